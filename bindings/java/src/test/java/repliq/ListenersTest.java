package repliq;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.logging.Logger;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Handlers: what they do, what they throw, how they end. */
class ListenersTest extends InStore {
    private static final Logger LOG = Logger.getLogger("repliq.listener");

    private Queue other;

    @BeforeEach
    void open() {
        other = store.queue("other");
    }

    /** Failures that are meant are not to be read by people. */
    @BeforeAll
    static void quiet() {
        LOG.setLevel(java.util.logging.Level.OFF);
    }

    @AfterAll
    static void loud() {
        LOG.setLevel(null);
    }

    private Message next(Queue of) {
        try (Consumer consumer = store.consumer("next", of)) {
            Message message = consumer.receive(1, Fixture.LONG).get(0);
            consumer.ack(message);
            return message;
        }
    }

    @Test
    void what_a_handler_puts_is_committed_with_the_acknowledgement_on_its_own_thread() throws Exception {
        AtomicReference<Thread> thread = new AtomicReference<>();
        Consumer consumer = store.consumer("c", queue);
        Listener listener = consumer.listen((session, message) -> {
            thread.set(Thread.currentThread());
            session.put(other, ("got " + message.text()).getBytes());
        });
        Fixture.refused(Code.CLOSED, () -> consumer.receive(1, Fixture.NONE));
        Token token = queue.put(Message.of("a")).token();
        store.await(token, Place.consumer("c"), Fixture.LONG);
        assertEquals("got a", next(other).text());
        assertEquals("repliq-listener-c", thread.get().getName());
        assertTrue(thread.get().isDaemon());
        Fixture.until(() -> listener.status().done() == 1);
        listener.close();
        listener.close();
        assertFalse(thread.get().isAlive());
        // The consumer is free again.
        store.consumer("c", queue).close();
    }

    @Test
    void a_job_comes_as_a_whole() throws Exception {
        List<Integer> sizes = Collections.synchronizedList(new ArrayList<>());
        queue.putMany(List.of(Message.of("a"), Message.of("b"), Message.of("c")));
        queue.put(Message.of("d"));
        try (Listener listener = store.consumer("c", queue).listenJobs((session, messages) -> {
            session.putMany(other, messages);
            sizes.add(messages.size());
        })) {
            Fixture.until(() -> listener.status().done() == 2);
        }
        assertEquals(List.of(3, 1), sizes);
        assertEquals("a", next(other).text());
    }

    @Test
    void a_handler_that_throws_is_called_again_and_its_puts_are_gone() throws Exception {
        AtomicInteger calls = new AtomicInteger();
        queue.put(Message.of("a"));
        try (Listener listener = store.consumer("c", queue).listen((session, message) -> {
            session.put(other, message);
            if (calls.incrementAndGet() < 3) {
                throw new IllegalStateException("not yet");
            }
        }, o -> o.retry(Duration.ofMillis(1)).retryMax(Duration.ofMillis(5)))) {
            Fixture.until(() -> listener.status().done() == 1);
            assertEquals(2, listener.status().failed());
        }
        assertEquals("a", next(other).text());
        try (Consumer consumer = store.consumer("next", other)) {
            assertEquals(List.of(), consumer.receive(1, Fixture.NONE));
        }
    }

    /** What is thrown by the program, and what the JVM throws by itself. */
    private static void fail(int kind) throws Exception {
        switch (kind) {
            case 0:
                throw new AssertionError("as if");
            case 1:
                forever(0);
                break;
            case 2:
                throw new IllegalStateException("too large: " + new byte[Integer.MAX_VALUE].length);
            case 3:
                throw new LinkageError("as if");
            case 4:
                throw new ThreadDeath();
            case 5:
                throw new Error("as if") {
                    @Override
                    public String toString() {
                        throw new IllegalStateException("no text");
                    }
                };
            default:
                throw new InterruptedException("as if");
        }
    }

    private static final List<String> FAILURES = List.of("AssertionError", "StackOverflowError", "OutOfMemoryError",
        "LinkageError", "ThreadDeath", "ListenersTest$1", "InterruptedException");

    @Test
    void whatever_a_handler_throws_is_not_acknowledged_and_told_by_status_letter_and_log() throws Exception {
        List<Throwable> logged = Collections.synchronizedList(new ArrayList<>());
        java.util.logging.Handler watch = new java.util.logging.Handler() {
            @Override
            public void publish(java.util.logging.LogRecord record) {
                logged.add(record.getThrown());
                // A logger that fails changes nothing.
                throw new LinkageError("of the logger");
            }

            @Override
            public void flush() {}

            @Override
            public void close() {}
        };
        LOG.setLevel(java.util.logging.Level.ALL);
        LOG.setUseParentHandlers(false);
        LOG.addHandler(watch);
        try {
            for (int kind = 0; kind < FAILURES.size(); kind++) {
                int how = kind;
                String name = FAILURES.get(kind);
                Queue own = store.queue("own" + kind);
                own.put(Message.builder("bad").key("k").build());
                logged.clear();
                // Set aside at the first failure, and still there.
                Listener parking = store.consumer("park", own).listen((session, message) -> {
                    session.put(other, message);
                    fail(how);
                }, o -> o.policy(Policy.PARK));
                Fixture.until(() -> parking.status().parked().size() == 1);
                assertEquals(0, parking.status().done(), name);
                assertEquals(1, parking.status().failed(), name);
                assertTrue(parking.status().ended().isEmpty(), name);
                assertTrue(parking.status().parked().get(0).reason().contains(name), parking.status().parked().get(0).reason());
                parking.close();
                assertEquals(1, logged.size(), name);
                assertTrue(logged.get(0).getClass().getName().contains(name), name + " " + logged.get(0).getClass());
                try (Consumer again = store.consumer("park", own)) {
                    assertEquals(1, again.receive(10, Fixture.LONG).size());
                }
                // A letter after the second, and a new try that does it.
                Queue dead = store.queue("dead" + kind);
                Listener burying = store.consumer("dead", own).listen((session, message) -> fail(how),
                    o -> o.policy(Policy.deadLetter(2, "dead" + how)).retry(Duration.ofMillis(1)));
                Fixture.until(() -> burying.status().dead() == 1);
                burying.close();
                assertTrue(new String(next(dead).header("repliq-reason").get()).contains(name), name);
                AtomicInteger calls = new AtomicInteger();
                Listener trying = store.consumer("block", own).listen((session, message) -> {
                    if (calls.incrementAndGet() < 3) {
                        fail(how);
                    }
                }, o -> o.retry(Duration.ofMillis(1)));
                Fixture.until(() -> trying.status().done() == 1);
                assertEquals(2, trying.status().failed(), name);
                trying.close();
                assertEquals(5, logged.size(), name);
            }
        } finally {
            LOG.removeHandler(watch);
            LOG.setUseParentHandlers(true);
            LOG.setLevel(java.util.logging.Level.OFF);
        }
        // What those handlers put is gone.
        try (Consumer consumer = store.consumer("next", other)) {
            assertEquals(List.of(), consumer.receive(1, Fixture.NONE));
        }
    }

    private static int forever(int depth) {
        return depth < 0 ? 0 : forever(depth + 1) + 1;
    }

    @Test
    void a_park_sets_the_key_aside_and_others_go_on() throws Exception {
        queue.putMany(List.of(Message.builder("bad").key("k").build(), Message.builder("same key").key("k").build(),
            Message.builder("good").key("g").build()));
        try (Listener listener = store.consumer("c", queue).listen((session, message) -> {
            if (message.text().equals("bad")) {
                throw new Park("why ü");
            }
            session.put(other, message);
        })) {
            assertEquals("good", next(other).text());
            ListenerStatus status = listener.status();
            assertEquals("why ü", status.parked().get(0).reason());
            assertArrayEquals("k".getBytes(), status.parked().get(0).key());
            assertTrue(status.ended().isEmpty());
        }
        try (Consumer consumer = store.consumer("c", queue)) {
            assertEquals("bad", consumer.receive(10, Fixture.LONG).get(0).text());
        }
    }

    @Test
    void the_policies_do_what_they_say() throws Exception {
        queue.put(Message.builder("bad").key("k").build());
        try (Listener listener = store.consumer("park", queue).listen((session, message) -> {
            throw new IllegalStateException("no");
        }, o -> o.policy(Policy.PARK))) {
            Fixture.until(() -> listener.status().parked().size() == 1);
        }
        try (Listener listener = store.consumer("dead", queue).listen((session, message) -> {
            throw new IllegalStateException("no");
        }, o -> o.policy(Policy.deadLetter(2, "dead")).retry(Duration.ofMillis(1)))) {
            Fixture.until(() -> listener.status().dead() == 1);
        }
        Message letter = next(store.queue("dead"));
        assertEquals("bad", letter.text());
        assertTrue(new String(letter.header("repliq-reason").get()).contains("no"));
        Fixture.refused(Code.INVALID, () -> Policy.deadLetter(0, "dead"));
    }

    @Test
    void a_handler_may_put_and_do_nothing_else_with_its_session_and_not_for_longer() throws Exception {
        AtomicReference<Session> kept = new AtomicReference<>();
        List<Code> codes = Collections.synchronizedList(new ArrayList<>());
        Consumer idle = store.consumer("idle", other);
        queue.put(Message.of("a"));
        try (Listener listener = store.consumer("c", queue).listen((session, message) -> {
            kept.set(session);
            List<Runnable> calls = List.of(session::commit, session::rollback, session::close, session::commitAsync,
                () -> session.receive(idle, 1, Fixture.NONE));
            for (Runnable call : calls) {
                try {
                    call.run();
                    codes.add(Code.OK);
                } catch (RepliqException error) {
                    codes.add(error.code());
                }
            }
        })) {
            Fixture.until(() -> listener.status().done() == 1);
            assertEquals(Collections.nCopies(5, Code.BUSY), codes);
            Fixture.refused(Code.CLOSED, () -> kept.get().put(other, new byte[1]));
        }
        Fixture.refused(Code.CLOSED, () -> kept.get().put(other, new byte[1]));
    }

    @Test
    void a_listener_cannot_be_closed_by_its_handler_and_waits_for_it_elsewhere() throws Exception {
        AtomicReference<Listener> itself = new AtomicReference<>();
        AtomicReference<Code> code = new AtomicReference<>();
        CountDownLatch inside = new CountDownLatch(1);
        CountDownLatch go = new CountDownLatch(1);
        itself.set(store.consumer("c", queue).listen((session, message) -> {
            inside.countDown();
            go.await();
            code.set(Fixture.refused(Code.BUSY, () -> itself.get().close()).code());
        }));
        queue.put(Message.of("a"));
        inside.await();
        Fixture.refused(Code.TIMEOUT, () -> itself.get().close(Duration.ofMillis(30)));
        go.countDown();
        itself.get().close();
        assertEquals(Code.BUSY, code.get());
        // The call under way was the last, and was committed.
        try (Consumer consumer = store.consumer("c", queue)) {
            assertEquals(List.of(), consumer.receive(1, Fixture.NONE));
        }
    }

    @Test
    void a_store_may_be_closed_while_listeners_work() throws Exception {
        for (int round = 0; round < 20; round++) {
            try (Store own = Store.open(dir.resolve("own"))) {
                Queue from = own.queue("from");
                Queue to = own.queue("to");
                Listener listener = own.consumer("c", from).listen((session, message) -> session.put(to, message));
                for (int at = 0; at < 20; at++) {
                    from.put(Message.of("m" + at), Level.PROCESS);
                }
                if (round % 2 == 0) {
                    TimeUnit.MILLISECONDS.sleep(1);
                }
                own.close();
                listener.close();
            }
        }
        try (Store own = Store.open(dir.resolve("own"))) {
            try (Listener listener = own.consumer("c", own.queue("from")).listen((session, message) ->
                    session.put(own.queue("to"), message))) {
                Fixture.until(() -> {
                    try (Snapshot snapshot = own.snapshot()) {
                        return snapshot.browse(own.queue("to"), 400, 1).size() == 1;
                    }
                });
                assertTrue(listener.status().ended().isEmpty());
            }
            // Exactly once each, whatever was closed in between.
            try (Snapshot snapshot = own.snapshot()) {
                assertEquals(400, snapshot.browse(own.queue("to"), 1, 1_000).size());
            }
        }
    }

    @Test
    void a_listener_whose_queue_is_deleted_ends_and_says_why() throws Exception {
        Listener listener = store.consumer("c", queue).listen((session, message) -> {});
        queue.delete();
        Fixture.until(() -> listener.status().ended().isPresent());
        assertEquals(Code.NO_SUCH_NAME, listener.status().ended().get().code());
        listener.close();
    }
}
