package repliq;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** What ends later: futures, and ports. */
class FuturesTest extends InStore {
    /** The threads of this process, as the system knows them, whoever started them. */
    private static Set<String> threads() throws IOException {
        try (Stream<Path> tasks = Files.list(Path.of("/proc/self/task"))) {
            return tasks.map(Path::toString).collect(Collectors.toSet());
        }
    }

    private static Set<String> names(Set<String> threads) {
        return threads.stream().map(thread -> {
            try {
                return Files.readString(Path.of(thread, "comm")).trim();
            } catch (IOException error) {
                return "gone";
            }
        }).filter(name -> name.startsWith("repliq")).collect(Collectors.toSet());
    }

    @Test
    void a_thousand_commits_in_flight_need_three_threads_at_most() throws Exception {
        // The first one starts what there is to start, and is not looked at.
        Set<String> before = threads();
        Set<String> seen = new HashSet<>();
        List<CompletableFuture<Commit>> futures = new ArrayList<>();
        int most = 0;
        try (Session session = store.session()) {
            for (int at = 0; at < 1_000; at++) {
                session.put(queue, new byte[100]);
                futures.add(session.commitAsync());
                if (at % 100 == 0) {
                    Set<String> now = threads();
                    now.removeAll(before);
                    Set<String> ours = names(now);
                    seen.addAll(ours);
                    most = Math.max(most, ours.size());
                }
            }
        }
        Set<Token> tokens = new HashSet<>();
        for (CompletableFuture<Commit> future : futures) {
            Commit commit = future.get(60, TimeUnit.SECONDS);
            assertEquals(Level.POWER, commit.level());
            tokens.add(commit.token());
        }
        assertEquals(1_000, tokens.size());
        assertTrue(seen.contains("repliq-futures"), "" + seen);
        assertTrue(most <= 3, seen + ", " + most + " at one time");
    }

    @Test
    void puts_and_waits_end_as_futures() throws Exception {
        Commit commit = queue.putAsync(Message.of("a")).get(60, TimeUnit.SECONDS);
        store.awaitAsync(commit.token(), Place.HERE).get(60, TimeUnit.SECONDS);
        queue.putManyAsync(List.of(Message.of("b"), Message.of("c"))).get(60, TimeUnit.SECONDS);
        assertEquals(3, store.consumer("c", queue).receive(10, Fixture.LONG).size());
        CompletableFuture<String> then = store.putAsync(queue, Message.of("d")).thenApply(done -> "then");
        assertEquals("then", then.get(60, TimeUnit.SECONDS));
    }

    @Test
    void what_is_refused_at_once_is_thrown_and_what_fails_later_ends_the_future() {
        queue.pause();
        CompletableFuture<Commit> paused = new CompletableFuture<>();
        Throwable thrown = null;
        try {
            paused = queue.putAsync(Message.of("a"));
        } catch (RepliqException error) {
            thrown = error;
        }
        if (thrown == null) {
            thrown = assertThrows(CompletionException.class, paused::join).getCause();
        }
        assertEquals(RepliqException.Paused.class, thrown.getClass());
        store.consumer("late", "p").close();
        CompletableFuture<Commit> nowhere =
            store.awaitAsync(store.queue("p").put(new byte[1]).token(), Place.consumer("late"));
        assertFalse(nowhere.isDone());
        store.close();
        thrown = assertThrows(CompletionException.class, nowhere::join).getCause();
        assertTrue(thrown instanceof RepliqException, "" + thrown);
        Fixture.refused(Code.CLOSED, () -> queue.putAsync(Message.of("a")));
    }

    @Test
    void a_cancelled_future_does_not_undo_the_put() {
        CompletableFuture<Commit> future = queue.putAsync(Message.of("a"));
        future.cancel(true);
        assertEquals("a", store.consumer("c", queue).receive(1, Fixture.LONG).get(0).text());
    }

    @Test
    void a_store_closed_by_what_a_future_does_next_is_closed() throws Exception {
        CountDownLatch closed = new CountDownLatch(1);
        queue.putAsync(Message.of("a")).thenRun(() -> {
            store.close();
            closed.countDown();
        });
        assertTrue(closed.await(60, TimeUnit.SECONDS));
        Fixture.refused(Code.CLOSED, () -> store.queue("q"));
    }

    @Test
    void a_port_gets_every_outcome_under_its_tag() {
        try (Port port = Port.open(); Session session = store.session()) {
            assertTrue(port.fd() > 2);
            queue.putStart(List.of(Message.of("a")), port, 1);
            session.put(queue, new byte[1]);
            session.commitStart(port, -2);
            Set<Long> tags = new HashSet<>();
            while (tags.size() < 2) {
                for (Event event : port.drain(10, Fixture.LONG)) {
                    assertTrue(event.error().isEmpty());
                    store.watch(List.of(event.commit().get().token()), Place.HERE, port, 3);
                    assertEquals(3, port.drain(1, Fixture.LONG).get(0).tag());
                    tags.add(event.tag());
                }
            }
            assertEquals(Set.of(1L, -2L), tags);
            Consumer consumer = store.consumer("c", store.queue("empty"));
            consumer.watch(port, 4);
            assertEquals(List.of(), port.drain(1, Fixture.NONE));
            store.queue("empty").put(new byte[1]);
            assertEquals(4, port.drain(1, Fixture.LONG).get(0).tag());
            consumer.receive(1, Fixture.LONG);
            consumer.watch(port, 5);
            port.cancel(5);
            Event cancelled = port.drain(1, Fixture.LONG).get(0);
            assertEquals(5, cancelled.tag());
            assertEquals(Code.CANCELLED, cancelled.error().get().code());
            assertTrue(cancelled.commit().isEmpty());
            Fixture.refused(Code.NO_SUCH_NAME, () -> port.cancel(99));
        }
    }
}
