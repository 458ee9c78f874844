package repliq;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Every call that waits: ends when its thread is interrupted, and when its time is over. */
class WaitsTest {
    private static final Duration HOUR = Duration.ofHours(1);
    /** Stated are 100 ms; a busy machine may need longer. */
    private static final Duration SOON = Duration.ofSeconds(1);
    private static final List<Class<?>> CLASSES = List.of(Store.class, Queue.class, Session.class, Consumer.class,
        Snapshot.class, Port.class, Listener.class, Replication.class, Server.class, Token.class);

    @TempDir Path dir;
    private Store store;
    private Queue queue;
    private Commit commit;
    private final Map<String, Calls> calls = new TreeMap<>();
    private CountDownLatch handler;
    private int opened;

    private interface Call {
        void run(Duration timeout) throws Exception;
    }

    /** A call that waits, and what it answers when the time is over, where it has one. */
    private static final class Calls {
        final Call call;
        final boolean throwsTimeout;

        Calls(Call call, boolean throwsTimeout) {
            this.call = call;
            this.throwsTimeout = throwsTimeout;
        }
    }

    @BeforeEach
    void open() throws Exception {
        store = Store.open(dir.resolve("s" + opened++));
        handler = new CountDownLatch(1);
        queue = store.queue("q");
        // Nobody connects, so nothing arrives there.
        Replication replication = new Replication(store.queue("root"));
        replication.add("t", "repliq+unix://" + dir.resolve("nobody"), o -> o.user("u").password("p"));
        commit = replication.send(1, new byte[] {1});
        Place there = Place.target("t");
        Port port = Port.open();
        List<Token> tokens = List.of(commit.token());

        waits("Store.await(Token,Place,Duration)", t -> store.await(commit.token(), there, t));
        waits("Store.await(Token,Place)", t -> store.await(commit.token(), there));
        waits("Store.await(Collection,Place,Duration)", t -> store.await(tokens, there, t));
        waits("Store.await(Collection,Place)", t -> store.await(tokens, there));
        looks("Session.receive(Consumer,int,Duration)", t -> {
            try (Session session = store.session(); Consumer consumer = store.consumer("a", queue)) {
                assertEquals(List.of(), session.receive(consumer, 1, t));
            }
        });
        looks("Session.receive(Consumer,int)", t -> {
            try (Session session = store.session(); Consumer consumer = store.consumer("b", queue)) {
                session.receive(consumer, 1);
            }
        });
        Consumer consumer = store.consumer("c", queue);
        looks("Consumer.receive(int,Duration)", t -> assertEquals(List.of(), consumer.receive(1, t)));
        looks("Consumer.receive(int,Duration,ByteBuffer)",
            t -> assertEquals(List.of(), consumer.receive(1, t, ByteBuffer.allocateDirect(64))));
        looks("Session.receive(Consumer,int,Duration,ByteBuffer)", t -> {
            try (Session session = store.session()) {
                assertEquals(List.of(), session.receive(consumer, 1, t, ByteBuffer.allocateDirect(64)));
            }
        });
        looks("Consumer.receive(int)", t -> consumer.receive(1));
        looks("Consumer.each(Duration)", t -> consumer.each(t).iterator().hasNext());
        looks("Port.drain(int,Duration)", t -> assertEquals(List.of(), port.drain(1, t)));
        waits("Replication.stop(Duration)", t -> replication.stop(t));
        waits("Replication.stop()", t -> replication.stop());
        Listener stuck = stuck();
        waits("Listener.close(Duration)", t -> stuck.close(t));
        waits("Listener.close()", t -> stuck.close());
    }

    @AfterEach
    void close() {
        handler.countDown();
        store.close();
    }

    private void waits(String name, Call call) {
        calls.put(name, new Calls(call, true));
    }

    private void looks(String name, Call call) {
        calls.put(name, new Calls(call, false));
    }

    /** A listener in a handler that does not return. */
    private Listener stuck() throws Exception {
        Queue own = store.queue("stuck");
        own.put(new byte[1]);
        CountDownLatch inside = new CountDownLatch(1);
        Listener listener = store.consumer("stuck", own).listen((session, message) -> {
            inside.countDown();
            handler.await();
        });
        inside.await();
        return listener;
    }

    private static String name(Method method) {
        String types = Arrays.stream(method.getParameterTypes()).map(Class::getSimpleName)
            .collect(Collectors.joining(","));
        return method.getDeclaringClass().getSimpleName() + "." + method.getName() + "(" + types + ")";
    }

    private static Stream<Method> methods() {
        return CLASSES.stream().flatMap(type -> Arrays.stream(type.getDeclaredMethods()))
            .filter(method -> Modifier.isPublic(method.getModifiers()) && !method.isSynthetic());
    }

    /** Whether it takes a time to wait; what a reject takes is the delay of the messages, and nobody waits for it. */
    private static boolean waits(Method method) {
        return !method.getName().startsWith("reject") && List.of(method.getParameterTypes()).contains(Duration.class);
    }

    @Test
    void the_calls_tested_here_are_all_that_wait() {
        // What has a sister with a time waits for as long as it takes.
        TreeSet<String> found = methods().filter(method -> waits(method) || methods().anyMatch(other -> waits(other)
                && other.getDeclaringClass() == method.getDeclaringClass() && other.getName().equals(method.getName())))
            .map(WaitsTest::name).collect(Collectors.toCollection(TreeSet::new));
        assertEquals(new TreeSet<>(calls.keySet()), found);
    }

    @Test
    void an_interrupt_ends_every_one_of_them_and_leaves_the_thread_interrupted() throws Exception {
        for (String name : List.copyOf(calls.keySet())) {
            // What the one before left stuck or stopped is gone.
            close();
            open();
            AtomicReference<Throwable> thrown = new AtomicReference<>();
            AtomicReference<Boolean> flag = new AtomicReference<>();
            Thread thread = new Thread(() -> {
                try {
                    calls.get(name).call.run(HOUR);
                } catch (Throwable error) {
                    thrown.set(error);
                }
                flag.set(Thread.currentThread().isInterrupted());
            });
            thread.start();
            TimeUnit.MILLISECONDS.sleep(60);
            assertTrue(thread.isAlive(), name);
            long since = System.nanoTime();
            thread.interrupt();
            thread.join(30_000);
            Duration took = Duration.ofNanos(System.nanoTime() - since);
            assertTrue(took.compareTo(SOON) < 0, name + " took " + took);
            assertEquals(RepliqException.Cancelled.class, thrown.get().getClass(), () -> name + thrown.get());
            assertTrue(flag.get(), name);
        }
    }

    @Test
    void an_interrupted_thread_does_not_begin_to_wait() {
        Consumer consumer = store.consumer("d", queue);
        Thread.currentThread().interrupt();
        try {
            assertThrows(RepliqException.Cancelled.class, () -> consumer.receive(1, Duration.ZERO));
            assertTrue(Thread.currentThread().isInterrupted());
        } finally {
            assertTrue(Thread.interrupted());
        }
        // What does not wait does not look.
        Thread.currentThread().interrupt();
        queue.put(new byte[1]);
        assertTrue(Thread.interrupted());
    }

    @Test
    void every_time_is_over_some_time() throws Exception {
        for (String name : List.copyOf(calls.keySet())) {
            if (!name.contains("Duration")) {
                continue;
            }
            for (Duration time : List.of(Duration.ZERO, Duration.ofMillis(-5), Duration.ofMillis(70))) {
                close();
                open();
                Calls one = calls.get(name);
                long since = System.nanoTime();
                if (one.throwsTimeout) {
                    assertThrows(RepliqException.Timeout.class, () -> one.call.run(time), name);
                } else {
                    one.call.run(time);
                }
                long took = System.nanoTime() - since;
                assertTrue(took >= time.toNanos(), name + " took " + took + " ns of " + time);
                assertTrue(took < HOUR.toNanos() / 2, name);
            }
        }
    }

    @Test
    void a_time_that_does_not_fit_into_a_number_is_for_ever() throws Exception {
        Consumer consumer = store.consumer("d", queue);
        AtomicReference<List<Message>> received = new AtomicReference<>();
        Thread thread = new Thread(() -> received.set(consumer.receive(1, Duration.ofSeconds(Long.MAX_VALUE))));
        thread.start();
        TimeUnit.MILLISECONDS.sleep(60);
        queue.put(new byte[1]);
        thread.join(30_000);
        assertEquals(1, received.get().size());
    }
}
