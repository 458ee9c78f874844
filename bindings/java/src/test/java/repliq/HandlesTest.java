package repliq;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** What happens to handles: closed, used after that, used while they are closed, forgotten. */
class HandlesTest extends InStore {
    /** What knows its answer without asking. */
    private static final Set<String> ACCESSORS = Set.of("Consumer.name", "Consumer.queue", "Consumer.each",
        "Consumer.iterator", "Replication.root", "Replication.token", "Server.store");

    private Token token;

    @BeforeEach
    void open() {
        token = queue.put(new byte[] {1}).token();
    }

    /** One open object of each kind; the store comes last. */
    private Map<Class<?>, AutoCloseable> objects() {
        Map<Class<?>, AutoCloseable> objects = new LinkedHashMap<>();
        objects.put(Session.class, store.session());
        objects.put(Consumer.class, store.consumer("c", queue));
        objects.put(Snapshot.class, store.snapshot());
        objects.put(Port.class, Port.open());
        objects.put(Listener.class, store.consumer("l", queue).listen((session, message) -> {}));
        objects.put(Replication.class, new Replication(store.queue("root")));
        objects.put(Server.class, Fixture.server(store));
        objects.put(Store.class, store);
        return objects;
    }

    private Object argument(Method method, Class<?> type) {
        Object found = arguments().get(type);
        assertTrue(found != null, "no " + type + " for " + method);
        return found;
    }


    private Consumer spare;
    private Port sparePort;

    private Map<Class<?>, Object> arguments() {
        Map<Class<?>, Object> all = new LinkedHashMap<>();
        java.util.function.Consumer<Object> nothing = options -> {};
        Listener.Handler handler = (session, message) -> {};
        Listener.JobHandler jobs = (session, messages) -> {};
        Replication.Job<Exception> job = () -> {};
        all.put(boolean.class, false);
        all.put(int.class, 1);
        all.put(long.class, 1L);
        all.put(String.class, "x");
        all.put(byte[].class, new byte[1]);
        all.put(char[].class, new char[] {'p'});
        all.put(ByteBuffer.class, ByteBuffer.allocate(1));
        all.put(Message.class, Message.of("m"));
        all.put(Queue.class, queue);
        all.put(Level.class, Level.PROCESS);
        all.put(Place.class, Place.HERE);
        all.put(Token.class, token);
        all.put(TransactionId.class, TransactionId.parse("00112233445566778899aabbccddeeff.1.1"));
        all.put(Duration.class, Duration.ZERO);
        all.put(Path.class, dir.resolve("b"));
        all.put(Consumer.class, spare);
        all.put(Port.class, sparePort);
        all.put(java.util.function.Consumer.class, nothing);
        all.put(Listener.Handler.class, handler);
        all.put(Listener.JobHandler.class, jobs);
        all.put(Replication.Job.class, job);
        return all;
    }

    private Object[] arguments(Method method) {
        List<Object> made = new ArrayList<>();
        for (int at = 0; at < method.getParameterCount(); at++) {
            Class<?> type = method.getParameterTypes()[at];
            if (Collection.class.isAssignableFrom(type)) {
                String of = method.getGenericParameterTypes()[at].getTypeName();
                made.add(of.contains("Token") ? List.of(token)
                    : of.contains("Message") ? List.of(Message.of("m")) : List.of(1L));
            } else {
                made.add(argument(method, type));
            }
        }
        return made.toArray();
    }

    @Test
    void whatever_is_closed_says_so_to_every_call_and_can_be_closed_again() throws Exception {
        spare = store.consumer("spare", queue);
        sparePort = Port.open();
        int count = 0;
        for (Map.Entry<Class<?>, AutoCloseable> one : objects().entrySet()) {
            one.getValue().close();
            for (Method method : one.getKey().getDeclaredMethods()) {
                String name = one.getKey().getSimpleName() + "." + method.getName();
                int modifiers = method.getModifiers();
                if (!Modifier.isPublic(modifiers) || Modifier.isStatic(modifiers) || method.isSynthetic()
                        || ACCESSORS.contains(name)) {
                    continue;
                }
                Code expected = method.getName().equals("close") ? Code.OK : Code.CLOSED;
                assertEquals(expected, code(method, one.getValue()), name);
                count++;
            }
        }
        assertTrue(count > 70, "only " + count + " calls");
        // Queues are values of a closed store by now.
        for (Method method : Queue.class.getDeclaredMethods()) {
            if (!Modifier.isPublic(method.getModifiers()) || Set.of("number", "equals", "hashCode", "toString")
                    .contains(method.getName())) {
                continue;
            }
            assertEquals(Code.CLOSED, code(method, queue), "Queue." + method.getName());
        }
    }

    private Code code(Method method, Object of) throws Exception {
        try {
            method.invoke(of, arguments(method));
            return Code.OK;
        } catch (InvocationTargetException error) {
            if (error.getCause() instanceof RepliqException) {
                return ((RepliqException) error.getCause()).code();
            }
            throw new AssertionError(method + " threw " + error.getCause(), error.getCause());
        }
    }

    @Test
    void what_was_opened_on_a_store_says_that_it_is_closed_once_the_store_is() {
        Map<Class<?>, AutoCloseable> objects = objects();
        store.close();
        Fixture.refused(Code.CLOSED, () -> ((Session) objects.get(Session.class)).put(queue, new byte[1]));
        Fixture.refused(Code.CLOSED, () -> ((Session) objects.get(Session.class)).commit());
        Fixture.refused(Code.CLOSED, () -> ((Consumer) objects.get(Consumer.class)).receive(1, Duration.ZERO));
        Fixture.refused(Code.CLOSED, () -> ((Snapshot) objects.get(Snapshot.class)).browse(queue, 1, 1));
        Fixture.refused(Code.CLOSED, () -> ((Replication) objects.get(Replication.class)).send(1, new byte[1]));
        objects.values().forEach(object -> {
            try {
                object.close();
            } catch (Exception error) {
                throw new AssertionError(error);
            }
        });
    }

    @Test
    void a_close_ends_who_waits_on_another_thread() throws Exception {
        Consumer consumer = store.consumer("c", store.queue("empty"));
        Port port = Port.open();
        Map<AutoCloseable, Runnable> waits = new LinkedHashMap<>();
        waits.put(consumer, () -> consumer.receive(1));
        waits.put(port, () -> port.drain(1, Duration.ofHours(1)));
        waits.put(store, () -> store.await(token, Place.consumer("c")));
        store.consumer("c", queue);
        for (Map.Entry<AutoCloseable, Runnable> one : waits.entrySet()) {
            AtomicReference<Throwable> thrown = new AtomicReference<>();
            Thread thread = new Thread(() -> {
                try {
                    one.getValue().run();
                } catch (Throwable error) {
                    thrown.set(error);
                }
            });
            thread.start();
            TimeUnit.MILLISECONDS.sleep(50);
            assertTrue(thread.isAlive(), () -> "" + thrown.get());
            one.getKey().close();
            thread.join(30_000);
            assertEquals(RepliqException.Closed.class, thrown.get().getClass(), () -> "" + thrown.get());
        }
    }

    @Test
    void a_close_may_race_with_calls() throws Exception {
        for (int round = 0; round < 200; round++) {
            Session session = store.session();
            Consumer consumer = store.consumer("r", queue);
            Port port = Port.open();
            Snapshot snapshot = store.snapshot();
            List<Throwable> odd = new ArrayList<>();
            CountDownLatch start = new CountDownLatch(1);
            List<Runnable> all = List.of(() -> session.put(queue, new byte[100]), session::commit,
                () -> consumer.receive(1, Duration.ofMillis(1)), () -> consumer.seek(1), () -> port.drain(1, Duration.ZERO),
                () -> snapshot.browse(queue, 1, 3), () -> session.receive(consumer, 1, Duration.ZERO));
            List<Thread> threads = new ArrayList<>();
            for (Runnable call : all) {
                Thread thread = new Thread(() -> {
                    try {
                        start.await();
                        for (int at = 0; at < 50; at++) {
                            try {
                                call.run();
                            } catch (RepliqException.Busy error) {
                                Thread.yield();
                            }
                        }
                    } catch (RepliqException.Closed error) {
                        return;
                    } catch (Throwable error) {
                        synchronized (odd) {
                            odd.add(error);
                        }
                    }
                });
                thread.start();
                threads.add(thread);
            }
            start.countDown();
            if (round % 2 == 0) {
                TimeUnit.MICROSECONDS.sleep(round * 5L);
            }
            closeInTheEnd(session);
            consumer.close();
            port.close();
            snapshot.close();
            for (Thread thread : threads) {
                thread.join();
            }
            assertEquals(List.of(), odd);
        }
    }

    /** A session is one thread's, so it may be told that another one is inside. */
    private static void closeInTheEnd(Session session) {
        for (;;) {
            try {
                session.close();
                return;
            } catch (RepliqException.Busy error) {
                Thread.yield();
            }
        }
    }

    @Test
    void a_number_that_stands_for_nothing_is_refused_by_every_function_of_the_library() {
        Session session = store.session();
        Consumer consumer = store.consumer("c", queue);
        long stale = number(session);
        session.close();
        long consumers = number(consumer);
        // The place of the session is taken by somebody else, who is not touched.
        Session next = store.session();
        next.put(queue, new byte[1]);
        List<Long> numbers = new ArrayList<>(List.of(0L, 1L, -1L, 0x7f00_1234_5678L, Long.MIN_VALUE, Long.MAX_VALUE, stale,
            stale + (1L << 32), stale + (3L << 32), stale + 1, 1L << 32 | 0xffff_ffffL, 1L << 32 | 1_048_576L));
        long live = number(next);
        numbers.removeAll(List.of(live, consumers));
        byte[] input = new byte[64];
        ByteBuffer room = ByteBuffer.allocateDirect(64);
        int count = 0;
        for (long number : numbers) {
            for (int verb = 10; verb <= 104; verb++) {
                // Those that need no handle.
                if (Set.of(Verb.STORE_OPEN, Verb.STORE_RESTORE, Verb.PORT_OPEN).contains(verb)) {
                    continue;
                }
                int of = verb;
                RepliqException error = org.junit.jupiter.api.Assertions.assertThrows(RepliqException.class,
                    () -> Native.call(of, number, input), () -> of + " of " + number);
                count += error.code() == Code.BAD_HANDLE ? 1 : 0;
            }
            Fixture.refused(Code.BAD_HANDLE, () -> Native.call(Verb.FREE, number, input));
            Fixture.refused(Code.BAD_HANDLE, () -> Native.put(number, queue.number(), input, 1, Native.PAYLOAD));
            Fixture.refused(Code.BAD_HANDLE, () -> Native.room(number, room));
            if (number != 0) {
                // With 0 it would be a receive without a session.
                Fixture.refused(Code.BAD_HANDLE, () -> Native.receive(number, consumers, 1, 0, room));
            }
            Fixture.refused(Code.BAD_HANDLE, () -> Native.receive(0, number, 1, 0, room));
            Fixture.refused(Code.BAD_HANDLE, () -> Native.run(number, 0, null));
        }
        // The rest are numbers of no verb.
        assertTrue(count >= numbers.size() * 50, "only " + count + " of " + numbers.size());
        // One of another kind.
        Fixture.refused(Code.BAD_HANDLE, () -> Native.call(Verb.STORE_STATUS, live, input));
        Fixture.refused(Code.BAD_HANDLE, () -> Native.put(consumers, queue.number(), input, 1, Native.PAYLOAD));
        Fixture.refused(Code.BAD_HANDLE, () -> Native.run(live, 0, null));
        assertTrue(next.commit().token() != null);
        assertEquals(2, consumer.receive(3, Duration.ZERO).size());
    }

    /** The number of a handle. */
    private static long number(Object of) {
        try {
            java.lang.reflect.Field field = of.getClass().getDeclaredField("handle");
            field.setAccessible(true);
            Handle handle = (Handle) field.get(of);
            long number = handle.enter();
            handle.leave();
            return number;
        } catch (ReflectiveOperationException error) {
            throw new AssertionError(error);
        }
    }

    @Test
    void a_second_thread_in_a_session_is_told_so() throws Exception {
        try (Session session = store.session(); Consumer consumer = store.consumer("c", store.queue("empty"))) {
            Thread thread = new Thread(() -> session.receive(consumer, 1, Duration.ofSeconds(30)));
            thread.start();
            Fixture.until(() -> {
                try {
                    session.put(queue, new byte[1]);
                    return false;
                } catch (RepliqException.Busy error) {
                    return true;
                }
            });
            // Closing it is a call like any other; the one that waits goes on.
            Fixture.refused(Code.BUSY, session::close);
            assertTrue(thread.isAlive());
            store.queue("empty").put(new byte[1]);
            thread.join();
            session.rollback();
        }
    }

    @Test
    void what_was_forgotten_is_closed_by_the_cleaner() throws Exception {
        forget();
        Set<String> left = new TreeSet<>(Set.of("consumer", "store"));
        Path other = dir.resolve("forgotten");
        Fixture.until(() -> {
            System.gc();
            try {
                store.consumer("forgotten", queue).close();
                left.remove("consumer");
            } catch (RepliqException.Busy error) {
                assertTrue(left.contains("consumer"));
            }
            try {
                Store.open(other).close();
                left.remove("store");
            } catch (RepliqException.Locked error) {
                assertTrue(left.contains("store"));
            }
            return left.isEmpty() && futures() == 0;
        });
    }

    private static long futures() {
        return Thread.getAllStackTraces().keySet().stream()
            .filter(thread -> thread.getName().equals("repliq-futures")).count();
    }

    private void forget() {
        Consumer consumer = store.consumer("forgotten", queue);
        assertEquals("forgotten", consumer.name());
        Fixture.refused(Code.BUSY, () -> store.consumer("forgotten", queue));
        Store other = Store.open(dir.resolve("forgotten"));
        // What was opened on it keeps it open, and is forgotten with it.
        Session session = other.session();
        session.put(other.queue("q"), new byte[1]);
        other.putAsync(other.queue("q"), Message.of("m")).join();
        assertEquals(1, futures());
        Fixture.refused(Code.LOCKED, () -> Store.open(dir.resolve("forgotten")));
    }

    @Test
    void a_message_outlives_everything_it_came_from() {
        Message message = store.consumer("c", queue).receive(1, Fixture.LONG).get(0);
        ByteBuffer view = message.view();
        store.close();
        for (int at = 0; at < 3; at++) {
            System.gc();
        }
        assertEquals(1, view.get(0));
        assertEquals(1, message.payload()[0]);
    }
}
