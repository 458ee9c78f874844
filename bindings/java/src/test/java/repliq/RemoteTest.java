package repliq;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A store at a server: used like one in a directory, and what only a server can do to it. */
class RemoteTest {
    private static final Duration BRIEF = Duration.ofMillis(50);
    /** Stated are 100 ms; a busy machine may need longer. */
    private static final Duration SOON = Duration.ofSeconds(1);

    @TempDir Path dir;

    static List<String> texts(List<Message> messages) {
        return messages.stream().map(Message::text).collect(Collectors.toList());
    }

    static List<String> browse(Store store, String queue) {
        try (Snapshot snapshot = store.snapshot()) {
            return texts(snapshot.browse(store.queue(queue), 1, 10_000));
        }
    }

    @Test
    void it_is_used_like_a_store_in_a_directory_over_tcp_tls_and_a_socket() throws Exception {
        Path certificate = Served.certify(dir, "office.example");
        try (Served served = new Served(dir, "--plain")) {
            use(served.url(), Served::plain);
            use("repliq+unix://" + served.socket, o -> o.user("ann").password(Served.PASSWORD.toCharArray()));
        }
        Path other = java.nio.file.Files.createDirectory(dir.resolve("tls"));
        try (Served served = new Served(other, "--certificate-file", certificate.toString(), "--key-file",
                Served.key(certificate).toString())) {
            use(served.url(),
                o -> o.password(Served.PASSWORD).caFile(certificate).serverName("office.example"));
            Path stranger = Served.certify(dir, "other.example");
            Fixture.refused(Code.CERTIFICATE, () -> Store.open(served.url(),
                o -> o.password(Served.PASSWORD).caFile(stranger).serverName("office.example")));
            Fixture.refused(Code.CERTIFICATE,
                () -> Store.open(served.url(), o -> o.password(Served.PASSWORD).caFile(certificate)));
        }
    }

    private void use(String url, java.util.function.Consumer<StoreOptions> options) {
        try (Store store = Store.open(url, options)) {
            assertTrue(store.isRemote());
            Queue orders = store.queue("orders");
            Queue fills = store.queue("fills");
            assertEquals("orders", orders.name());
            Message first = Message.builder("1").key("k").kind(7).header("h", "v").build();
            Token token = orders.put(first, Level.PROCESS).token();
            orders.putMany(List.of(Message.of("2"), Message.of("3")));
            assertEquals(Level.POWER, orders.putAsync("4".getBytes()).join().level());
            store.await(token, Place.HERE, Fixture.LONG);
            try (Session session = store.session(); Consumer clerk = store.consumer("clerk", orders)) {
                List<Message> found = session.receive(clerk, 2, Fixture.LONG);
                assertEquals(List.of("1", "2"), texts(found));
                assertEquals(7, found.get(0).kind());
                session.put(fills, "not yet".getBytes());
                session.rollback();
                found = session.receive(clerk, 100, Fixture.LONG);
                assertEquals(List.of("1", "2", "3", "4"), texts(found));
                assertEquals(List.of(2, 2, 1, 1),
                    found.stream().map(Message::deliveries).collect(Collectors.toList()));
                session.put(fills, "a".getBytes());
                session.put(fills, ByteBuffer.wrap("b".getBytes()));
                session.put(fills, ByteBuffer.wrap(new byte[10_000]));
                session.putMany(fills, List.of(Message.of("d"), Message.builder("e").key("k").build()));
                assertTrue(browse(store, "fills").isEmpty());
                Commit commit = session.commit();
                store.await(commit.token(), Place.consumer("clerk"), Fixture.LONG);
                store.awaitAsync(commit.token(), Place.HERE).join();
                assertEquals(List.of(), session.receive(clerk, 1, BRIEF));
                Token fifth = orders.put("5".getBytes()).token();
                Fixture.refused(Code.TIMEOUT, () -> store.await(fifth, Place.consumer("clerk"), BRIEF));
                clerk.reject(clerk.receive(1, Fixture.LONG));
                for (Message one : clerk) {
                    assertEquals(2, one.deliveries());
                }
                clerk.seek(1);
                assertEquals(5, clerk.receive(100, Fixture.LONG).size());
            }
            assertEquals(5, browse(store, "fills").size());
            orders.pause();
            Fixture.refused(Code.PAUSED, () -> orders.put(new byte[1]));
            orders.resume();
            orders.purge();
            store.consumerDelete("clerk", orders);
            assertEquals(2, ((List<?>) store.status().values().get("queues")).size());
            assertFalse(store.isEncrypted());
            Fixture.refused(Code.UNSUPPORTED, () -> store.backup(dir.resolve("b")));
            Fixture.refused(Code.UNSUPPORTED, () -> new Replication(orders));
            orders.delete();
            fills.delete();
        }
    }

    @Test
    void who_is_not_let_in_hears_why() throws Exception {
        try (Served served = new Served(dir, "--plain")) {
            Fixture.refused(Code.DENIED, () -> Store.open(served.url(), o -> o.plain(true).password("wrong")));
            Fixture.refused(Code.UNREACHABLE, () -> Store.open("repliq://ann@127.0.0.1:9", Served::plain));
            Fixture.refused(Code.INVALID, () -> Store.open(served.url() + "/orders", Served::plain));
            Fixture.refused(Code.INVALID, () -> Store.open(served.url(), o -> o.heartbeat(Duration.ofMillis(1))));
            Fixture.refused(Code.INVALID, () -> Store.open("http://127.0.0.1", Served::plain));
        }
    }

    @Test
    void a_listener_works_on_what_comes_at_a_server() throws Exception {
        try (Served served = new Served(dir, "--plain"); Store store = served.open()) {
            Queue orders = store.queue("orders");
            Queue copies = store.queue("copies");
            List<String> seen = new ArrayList<>();
            try (Listener listener = store.consumer("ear", orders).listen((session, message) -> {
                seen.add(message.text());
                session.put(copies, message.payload());
                if (seen.size() == 2) {
                    throw new IllegalStateException("once");
                }
            }, o -> o.retry(Duration.ofMillis(1)))) {
                orders.putMany(List.of(Message.of("a"), Message.of("b"), Message.of("c")));
                store.await(orders.put("d".getBytes()).token(), Place.consumer("ear"), Fixture.LONG);
                Fixture.until(() -> listener.status().done() == 4);
                assertEquals(1, listener.status().failed());
                assertTrue(listener.status().ended().isEmpty());
            }
            assertEquals(List.of("a", "b", "b", "c", "d"), seen);
            assertEquals(List.of("a", "b", "c", "d"), browse(store, "copies"));
        }
    }

    @Test
    void a_listener_of_several_threads_works_side_by_side() throws Exception {
        try (Served served = new Served(dir, "--plain"); Store there = served.open();
                Store here = Store.open(dir.resolve("here"))) {
            for (Store store : List.of(there, here)) {
                Queue orders = store.queue("many");
                Queue copies = store.queue("copied");
                CountDownLatch met = new CountDownLatch(3);
                Set<Thread> threads = ConcurrentHashMap.newKeySet();
                try (Listener listener = store.consumer("ear", orders).listen((session, message) -> {
                    if (threads.add(Thread.currentThread())) {
                        met.countDown();
                        assertTrue(met.await(30, TimeUnit.SECONDS));
                    }
                    session.put(copies, message.payload());
                }, o -> o.threads(3))) {
                    for (int at = 0; at < 30; at++) {
                        orders.put(Integer.toString(at).getBytes());
                    }
                    Fixture.until(() -> listener.status().done() == 30);
                }
                assertEquals(3, threads.size());
                assertEquals(30, new HashSet<>(browse(store, "copied")).size());
                Fixture.refused(Code.INVALID, () -> store.consumer("ear", orders).listen((s, m) -> {}, o -> o.threads(0)));
            }
        }
    }

    @Test
    void many_commits_are_under_way_at_once_on_one_thread_of_ours() throws Exception {
        try (Served served = new Served(dir, "--plain"); Store store = served.open()) {
            Queue orders = store.queue("orders");
            List<Session> sessions = new ArrayList<>();
            for (int at = 0; at < 100; at++) {
                Session session = store.session();
                session.put(orders, Integer.toString(at).getBytes());
                sessions.add(session);
            }
            List<CompletableFuture<Commit>> futures =
                sessions.stream().map(Session::commitAsync).collect(Collectors.toList());
            Set<Token> tokens = new HashSet<>();
            futures.forEach(future -> tokens.add(future.join().token()));
            assertEquals(100, tokens.size());
            assertEquals(100, browse(store, "orders").size());
            sessions.forEach(Session::close);
        }
    }

    @Test
    void an_identity_tells_what_became_of_a_transaction() throws Exception {
        try (Served served = new Served(dir, "--plain"); Store there = served.open();
                Store here = Store.open(dir.resolve("here"))) {
            for (Store store : List.of(there, here)) {
                assertEquals(store == there, store.isRemote());
                Queue queue = store.queue("orders");
                Session session = store.session();
                TransactionId first = session.id();
                assertEquals(1, first.epoch());
                assertEquals(1, first.number());
                assertEquals(16, first.session().length);
                assertEquals(first, TransactionId.parse(first.text()));
                assertEquals(first, TransactionId.parse(first.toBytes()));
                assertEquals(first.hashCode(), TransactionId.parse(first.toString()).hashCode());
                session.put(queue, "1".getBytes());
                Token token = session.commit().token();
                Outcome outcome = store.resolve(first);
                assertEquals(Outcome.State.COMMITTED, outcome.state());
                assertEquals(token, outcome.token().get());
                assertEquals(outcome, store.resolve(TransactionId.parse(first.text())));
                assertEquals(outcome.hashCode(), store.resolve(first).hashCode());
                TransactionId second = session.id();
                assertNotEquals(first, second);
                assertArrayEquals(first.session(), second.session());
                session.put(queue, "late".getBytes());
                assertEquals(Outcome.State.ROLLED_BACK, store.resolve(second).state());
                assertTrue(store.resolve(second).token().isEmpty());
                Fixture.refused(Code.ROLLED_BACK, session::commit);
                session.put(queue, "2".getBytes());
                session.commit();
                assertEquals(Outcome.State.EXPIRED, store.resolve(first).state());
                assertEquals(List.of("1", "2"), browse(store, "orders"));
                session.close();
            }
            Fixture.refused(Code.INVALID, () -> TransactionId.parse("no identity"));
            Fixture.refused(Code.INVALID, () -> here.resolve(null));
        }
    }

    @Test
    void an_interrupt_ends_every_call_that_waits_for_a_server_that_is_silent() throws Exception {
        try (Served served = new Served(dir, "--plain"); Store store = served.openPatiently()) {
            Queue queue = store.queue("orders");
            Token token = queue.put(new byte[1]).token();
            Consumer clerk = store.consumer("clerk", queue);
            Consumer other = store.consumer("other", queue);
            Session session = store.session();
            Session putting = store.session();
            TransactionId id = session.id();
            Map<String, Runnable> calls = new LinkedHashMap<>();
            calls.put("Store.open", served::openPatiently);
            calls.put("Store.queue", () -> store.queue("another"));
            calls.put("Store.status", store::status);
            calls.put("Store.session", store::session);
            calls.put("Store.consumer", () -> store.consumer("third", queue));
            calls.put("Store.resolve", () -> store.resolve(id));
            calls.put("Store.await", () -> store.await(token, Place.consumer("clerk")));
            calls.put("Queue.pause", queue::pause);
            calls.put("Session.receive", () -> session.receive(other, 1));
            calls.put("Consumer.receive", () -> clerk.receive(1));
            calls.put("Consumer.ack", () -> clerk.ackSequences(List.of(1L)));
            calls.put("Session.put", () -> {
                for (int at = 0; at < 100; at++) {
                    putting.put(queue, new byte[1_000_000]);
                }
            });
            served.stop();
            for (Map.Entry<String, Runnable> one : calls.entrySet()) {
                assertEquals(Code.CANCELLED, interrupted(one.getKey(), one.getValue()).code(), one.getKey());
            }
            served.goOn();
            // What had been sent is done now, one after the other.
            Fixture.until(() -> {
                try {
                    queue.resume();
                    return true;
                } catch (RepliqException.Busy error) {
                    return false;
                }
            });
            queue.put("2".getBytes());
        }
    }

    /** What a call threw that was interrupted; its thread stays interrupted. */
    private static RepliqException interrupted(String name, Runnable call) throws Exception {
        AtomicReference<Throwable> thrown = new AtomicReference<>();
        AtomicReference<Boolean> flag = new AtomicReference<>();
        Thread thread = new Thread(() -> {
            try {
                call.run();
            } catch (Throwable error) {
                thrown.set(error);
            }
            flag.set(Thread.currentThread().isInterrupted());
        });
        thread.start();
        TimeUnit.MILLISECONDS.sleep(120);
        assertTrue(thread.isAlive(), () -> name + " threw " + thrown.get());
        long since = System.nanoTime();
        thread.interrupt();
        thread.join(30_000);
        Duration took = Duration.ofNanos(System.nanoTime() - since);
        assertTrue(took.compareTo(SOON) < 0, name + " took " + took);
        assertTrue(thrown.get() instanceof RepliqException, () -> name + " threw " + thrown.get());
        assertTrue(flag.get(), name);
        return (RepliqException) thrown.get();
    }

    @Test
    void an_interrupted_commit_is_unknown_and_resolve_tells() throws Exception {
        try (Served served = new Served(dir, "--plain"); Store store = served.openPatiently()) {
            Queue queue = store.queue("orders");
            Session session = store.session();
            TransactionId id = session.id();
            session.put(queue, "1".getBytes());
            served.stop();
            RepliqException error = interrupted("Session.commit", session::commit);
            assertEquals(Code.OUTCOME_UNKNOWN, error.code());
            assertTrue(error.getMessage().contains(id.text()), error.getMessage());
            served.goOn();
            boolean committed = store.resolve(id).state() == Outcome.State.COMMITTED;
            assertEquals(committed ? List.of("1") : List.of(), browse(store, "orders"));
            session.put(queue, "2".getBytes());
            session.commit();
            assertTrue(browse(store, "orders").contains("2"));
        }
    }

    @Test
    void a_close_from_another_thread_ends_every_call_that_waits_at_a_server() throws Exception {
        try (Served served = new Served(dir, "--plain")) {
            for (boolean all : new boolean[] {false, true}) {
                for (int which = 0; which < 3; which++) {
                    Store store = served.open();
                    Queue queue = store.queue("empty");
                    Token token = store.queue("full").put(new byte[1]).token();
                    Consumer slow = store.consumer("slow", store.queue("full"));
                    Consumer clerk = store.consumer("clerk", queue);
                    Session session = store.session();
                    List<Runnable> calls = List.of(() -> clerk.receive(1), () -> session.receive(clerk, 1),
                        () -> store.await(token, Place.consumer("slow")));
                    AtomicReference<Throwable> thrown = new AtomicReference<>();
                    Runnable call = calls.get(which);
                    Thread thread = new Thread(() -> {
                        try {
                            call.run();
                        } catch (Throwable error) {
                            thrown.set(error);
                        }
                    });
                    thread.start();
                    TimeUnit.MILLISECONDS.sleep(100);
                    assertNull(thrown.get());
                    if (all || which == 2) {
                        store.close();
                    } else {
                        clerk.close();
                    }
                    thread.join(30_000);
                    String what = which + " of " + all;
                    assertTrue(thrown.get() instanceof RepliqException.Closed, () -> what + thrown.get());
                    slow.close();
                    store.close();
                    // The server sees by itself that the connection is gone.
                    TimeUnit.MILLISECONDS.sleep(100);
                }
            }
        }
    }

    @Test
    void txs30_a_prepared_transaction_is_told_with_all_it_has_also_when_it_was_ended_by_hand() throws Exception {
        Path place = dir.resolve("prepared");
        TransactionId id;
        java.time.Instant before = java.time.Instant.now().minusMillis(1);
        try (Store store = Store.open(place); Session session = store.session()) {
            Queue orders = store.queue("orders");
            orders.put("received".getBytes());
            assertEquals(List.of(), store.prepared());
            Consumer clerk = store.consumer("clerk", orders);
            session.receive(clerk, 1, Fixture.LONG);
            session.put(orders, new byte[10]);
            id = session.prepare(new byte[] {0, -1});
            session.put(orders, new byte[1]);
            TransactionId other = session.prepare();
            List<Prepared> found = store.prepared();
            assertEquals(Set.of(id, other), found.stream().map(Prepared::id).collect(Collectors.toSet()));
            Prepared one = found.stream().filter(each -> each.id().equals(id)).findFirst().get();
            assertArrayEquals(new byte[] {0, -1}, one.xid());
            assertEquals(List.of(1L, 1L, Prepared.State.PREPARED), List.of(one.messages(), one.held(), one.state()));
            assertTrue(one.bytes() >= 10 && one.user().isEmpty(), () -> one.bytes() + " of " + one.user());
            assertTrue(!one.since().isBefore(before) && !one.since().isAfter(java.time.Instant.now()), () -> "" + one.since());
            assertTrue(one.token().isEmpty() && one.endedBy().isEmpty() && one.ended().isEmpty());
            store.finish(other, true);
            assertEquals(1, store.prepared().size());
        }
        Served.run(Served.PROGRAM, "tx", "rollback", place.toString(), id.text());
        try (Store store = Store.open(place)) {
            Prepared one = store.prepared().get(0);
            assertEquals(id + " ROLLED_BACK", one.toString());
            assertFalse(one.token().get().isEmpty());
            assertTrue(one.endedBy().isPresent() && !one.ended().get().isBefore(one.since()));
            assertEquals(Outcome.State.ROLLED_BACK, store.resolve(id).state());
        }
    }
}
