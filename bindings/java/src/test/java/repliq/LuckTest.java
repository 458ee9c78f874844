package repliq;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.BooleanSupplier;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Bad luck: exits with everything open, closes during calls, handlers that fail. Never a crash or a lost message. */
@Timeout(value = 5, unit = TimeUnit.MINUTES)
class LuckTest {
    private static final Duration HOUR = Duration.ofHours(1);

    @TempDir Path dir;

    private String victim(int status, String... arguments) throws Exception {
        return Child.run(dir, status, Victim.class, Map.of(), arguments);
    }

    private List<String> stored(String queue) {
        try (Store store = Store.open(dir.resolve("store")); Snapshot snapshot = store.snapshot()) {
            List<String> all = new ArrayList<>();
            long next = 1;
            for (;;) {
                List<Message> some = snapshot.browse(store.queue(queue), next, 1000);
                if (some.isEmpty()) {
                    return all;
                }
                some.forEach(message -> all.add(message.text()));
                next = some.get(some.size() - 1).sequence() + 1;
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"return,0", "exit,7", "throw,1", "halt,8"})
    void a_jvm_that_ends_with_everything_open_loses_nothing_that_was_confirmed(String how, int status) throws Exception {
        victim(status, how);
        holds_what_was_confirmed();
    }

    private void holds_what_was_confirmed() throws Exception {
        // The listener moved some.
        Set<String> stored = new HashSet<>(stored("orders"));
        stored.addAll(stored("quiet"));
        for (int number = 0; number < 3; number++) {
            String prefix = number + ":";
            long found = stored.stream().filter(text -> text.startsWith(prefix)).count();
            long confirmed = ByteBuffer.wrap(Files.readAllBytes(dir.resolve("confirmed" + number))).getLong();
            assertTrue(confirmed >= 20 && found >= confirmed && found <= confirmed + 1, found + " of " + confirmed);
        }
        assertTrue(stored.contains("1") && !stored.contains("not committed"));
    }

    @ParameterizedTest
    @CsvSource({"return,0", "exit,7", "handler,7", "future,7", "halt,8"})
    void a_jvm_may_end_while_the_cleaner_ends_what_was_forgotten(String how, int status) throws Exception {
        Path all = dir;
        for (int round = 0; round < 3; round++) {
            dir = Files.createDirectory(all.resolve("round" + round));
            victim(status, "forget", how, "" + 60 * round);
            holds_what_was_confirmed();
        }
    }

    @Test
    void a_handler_that_never_returns_keeps_neither_the_store_open_nor_the_jvm_alive() throws Exception {
        String text = victim(0, "stuck");
        assertTrue(text.contains("late") && text.contains("again"), text);
        assertEquals(List.of("1"), stored("orders"));
    }

    @Test
    void a_transaction_that_does_not_fit_into_the_heap_fails_in_the_handler_and_nowhere_else() throws Exception {
        String text = victim(0, "large");
        assertTrue(text.contains("failed") && !text.contains("fits"), text);
        assertEquals(9, stored("orders").size());
    }

    @Test
    void futures_end_in_a_heap_that_is_full_for_a_while() throws Exception {
        String said = victim(0, "starved");
        assertTrue(said.contains("ended "), said);
    }

    @Test
    void a_million_receives_and_puts_leave_nothing_behind() throws Exception {
        assertTrue(victim(0, "receive", "1000000").contains("done "));
    }

    @Test
    void a_hundred_thousand_calls_of_a_handler_leave_nothing_behind() throws Exception {
        assertTrue(victim(0, "handle", "100000").contains("done "));
    }

    @Test
    void a_close_from_another_thread_ends_every_call_that_waits() throws Exception {
        for (String closed : List.of("itself", "the store")) {
            for (int which = 0; which < 7; which++) {
                Path path = dir.resolve(closed.replace(' ', '_') + which);
                Store store = Store.open(path);
                Queue queue = store.queue("empty");
                Token token = store.queue("full").put(new byte[1]).token();
                Consumer consumer = store.consumer("clerk", queue);
                Session session = store.session();
                Port port = Port.open();
                Replication replication = new Replication(store.queue("root"));
                replication.add("away", "repliq://u@127.0.0.1:9", o -> o.plain(true).password("p"));
                replication.send(1, new byte[1]);
                store.consumer("slow", store.queue("full"));
                Map<Runnable, AutoCloseable> calls = new LinkedHashMap<>();
                calls.put(() -> consumer.receive(1, HOUR), consumer);
                calls.put(() -> consumer.each(HOUR).iterator().hasNext(), consumer);
                calls.put(() -> session.receive(consumer, 1, HOUR), consumer);
                calls.put(() -> session.receive(consumer, 1), consumer);
                calls.put(() -> port.drain(1, HOUR), port);
                calls.put(() -> store.await(token, Place.consumer("slow"), HOUR), store);
                calls.put(() -> replication.stop(HOUR), replication);
                Map.Entry<Runnable, AutoCloseable> call = List.copyOf(calls.entrySet()).get(which);
                // A port belongs to no store.
                AutoCloseable end = closed.equals("itself") || call.getValue() == port ? call.getValue() : store;
                ended(call.getKey(), end, closed + " in call " + which);
                store.close();
                port.close();
            }
        }
    }

    /** A call on another thread, ended by a close on this one. */
    private static void ended(Runnable call, AutoCloseable end, String what) throws Exception {
        AtomicReference<Throwable> thrown = new AtomicReference<>();
        Thread thread = new Thread(() -> {
            try {
                call.run();
            } catch (Throwable error) {
                thrown.set(error);
            }
        });
        thread.start();
        TimeUnit.MILLISECONDS.sleep(60);
        assertTrue(thread.isAlive(), () -> what + " threw " + thrown.get());
        end.close();
        thread.join(30_000);
        assertFalse(thread.isAlive(), what);
        assertEquals(RepliqException.Closed.class, thrown.get() == null ? null : thrown.get().getClass(), what);
    }

    @Test
    void whatever_a_handler_throws_is_a_new_try() throws Exception {
        List<Throwable> bad = List.of(new IllegalStateException("no luck"), new StackOverflowError(),
            new OutOfMemoryError("made up"), new Exception((String) null), new ThreadDeath(), new AssertionError());
        AtomicInteger calls = new AtomicInteger();
        try (Store store = Store.open(dir.resolve("store"))) {
            Queue queue = store.queue("orders");
            Queue fills = store.queue("fills");
            queue.put("1".getBytes());
            List<Session> kept = new ArrayList<>();
            Listener listener = store.consumer("clerk", queue).listen((session, message) -> {
                int call = calls.getAndIncrement();
                session.put(fills, ("fill " + call).getBytes());
                kept.add(session);
                if (call < bad.size()) {
                    sneak(bad.get(call));
                }
                if (call == bad.size()) {
                    endless(1);
                }
                // An interrupt that a handler leaves behind is not lost on the next one.
                Thread.currentThread().interrupt();
            }, o -> o.retry(Duration.ofMillis(1)).retryMax(Duration.ofMillis(2)));
            until(() -> listener.status().done() == 1);
            assertEquals(bad.size() + 1, listener.status().failed());
            queue.put("2".getBytes());
            until(() -> listener.status().done() == 2);
            // The session was lent: it is of no use any more, and no danger.
            assertThrows(RepliqException.Closed.class, () -> kept.get(0).put(fills, "late".getBytes()));
            listener.close();
            assertThrows(RepliqException.Closed.class, () -> kept.get(0).put(fills, "late".getBytes()));
        }
        assertEquals(List.of("fill 7", "fill 8"), stored("fills"));
    }

    private static int endless(int depth) {
        return endless(depth + 1) + 1;
    }

    @SuppressWarnings("unchecked")
    private static <E extends Throwable> void sneak(Throwable error) throws E {
        throw (E) error;
    }

    @Test
    void futures_that_are_pending_when_the_store_is_closed_end_all_of_them() throws Exception {
        List<CompletableFuture<Commit>> puts = new ArrayList<>();
        List<CompletableFuture<Commit>> waits = new ArrayList<>();
        int stored;
        try (Store store = Store.open(dir.resolve("store"))) {
            Queue queue = store.queue("orders");
            Token token = queue.put("first".getBytes()).token();
            store.consumer("slow", queue).close();
            for (int at = 0; at < 500; at++) {
                puts.add(queue.putAsync(("put " + at).getBytes()));
                waits.add(store.awaitAsync(token, Place.consumer("slow")));
            }
        }
        for (CompletableFuture<Commit> wait : waits) {
            assertEnded(wait);
            assertTrue(wait.isCompletedExceptionally());
        }
        int confirmed = 0;
        for (CompletableFuture<Commit> put : puts) {
            assertEnded(put);
            confirmed += put.isCompletedExceptionally() ? 0 : 1;
        }
        stored = stored("orders").size() - 1;
        assertTrue(stored >= confirmed, stored + " of " + confirmed);
    }

    private static void assertEnded(CompletableFuture<Commit> future) throws Exception {
        try {
            future.orTimeout(20, TimeUnit.SECONDS).join();
        } catch (CompletionException error) {
            assertTrue(error.getCause() instanceof RepliqException, () -> "" + error.getCause());
            Code code = ((RepliqException) error.getCause()).code();
            assertTrue(code == Code.CLOSED || code == Code.CANCELLED, () -> "" + error.getCause());
        }
    }

    @Test
    void a_future_whose_reader_throws_or_closes_the_store_ends_the_others_too() throws Exception {
        Store store = Store.open(dir.resolve("store"));
        Queue queue = store.queue("orders");
        Consumer slow = store.consumer("slow", queue);
        List<CompletableFuture<Commit>> waits = new ArrayList<>();
        for (int at = 1; at <= 3; at++) {
            waits.add(store.awaitAsync(queue.put(("" + at).getBytes()).token(), Place.consumer("slow")));
        }
        AtomicReference<String> closer = new AtomicReference<>();
        waits.get(0).thenRun(() -> {
            throw new IllegalStateException("of the program");
        });
        waits.get(1).thenRun(() -> {
            store.close();
            closer.set(Thread.currentThread().getName());
        });
        slow.receive(3, Duration.ZERO);
        slow.ackSequences(List.of(1L));
        waits.get(0).get(20, TimeUnit.SECONDS);
        slow.ackSequences(List.of(2L));
        until(() -> closer.get() != null);
        assertEquals("repliq-futures", closer.get());
        assertEnded(waits.get(2));
        assertTrue(waits.get(2).isCompletedExceptionally());
        assertEquals(List.of("3"), stored("orders"));
    }

    @Test
    void what_is_collected_in_a_ring_closes_itself() throws Exception {
        for (int round = 0; round < 3; round++) {
            ring();
            until(() -> {
                System.gc();
                try {
                    Store.open(dir.resolve("store")).close();
                    return true;
                } catch (RepliqException.Locked error) {
                    return false;
                }
            });
        }
        assertEquals(List.of("1", "1", "1"), stored("orders"));
    }

    private void ring() throws Exception {
        Store store = Store.open(dir.resolve("store"));
        Queue queue = store.queue("orders");
        Session session = store.session();
        session.put(queue, "rolled back".getBytes());
        queue.putAsync("1".getBytes()).get(20, TimeUnit.SECONDS);
        List<Object> ring = new ArrayList<>(List.of(store, queue, session, store.snapshot(), Port.open(),
            store.consumer("clerk", queue), new Replication(store.queue("root")),
            new Server(store, o -> o.plain(true).listen("127.0.0.1:0").users(User.of("u", "p")))));
        ring.add(ring);
    }

    private static void until(BooleanSupplier holds) throws InterruptedException {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
        while (!holds.getAsBoolean()) {
            assertTrue(System.nanoTime() < end, "did not become so");
            TimeUnit.MILLISECONDS.sleep(5);
        }
    }
}
