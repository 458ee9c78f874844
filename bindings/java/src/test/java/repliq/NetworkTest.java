package repliq;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Servers, replications, passwords and backups. */
class NetworkTest {
    @TempDir Path dir;
    private Store here;
    private Store there;
    private Server server;
    private Replication replication;

    @BeforeEach
    void open() {
        here = Store.open(dir.resolve("here"));
        there = Store.open(dir.resolve("there"));
        server = Fixture.server(there);
        replication = new Replication(here.queue("root"), o -> o.level(Level.PROCESS));
    }

    @AfterEach
    void close() {
        replication.close();
        server.close();
        there.close();
        here.close();
    }

    private void add(String name, java.util.function.Consumer<? super TargetOptions> set) {
        replication.add(name, Fixture.url(server), o -> set.accept(o.password("p").plain(true)));
    }

    private List<Message> arrived(String queue) {
        try (Consumer consumer = there.consumer("arrived", queue)) {
            return consumer.receive(1_000, Fixture.NONE);
        }
    }

    @Test
    void a_job_arrives_as_a_whole_or_not_at_all() {
        add("t", o -> {});
        assertTrue(replication.token().isEmpty());
        assertThrows(IOException.class, () -> replication.job(() -> {
            replication.send(1, new byte[1]);
            throw new IOException("no");
        }));
        replication.startJob();
        assertTrue(replication.send(1, new byte[] {1}).token().isEmpty());
        Fixture.refused(Code.EXISTS, replication::startJob);
        replication.send(2, ByteBuffer.wrap(new byte[] {2}));
        replication.sendMany(List.of(Message.of("a"), Message.of("b")));
        Token token = replication.endJob().token();
        assertEquals(token, replication.token().get());
        Fixture.refused(Code.INVALID, replication::endJob);
        replication.startJob();
        replication.send(9, new byte[1]);
        replication.abortJob();
        replication.push();
        here.await(token, Place.TARGETS, Fixture.LONG);
        List<Message> messages = arrived("root");
        assertEquals(4, messages.size());
        assertEquals(2, messages.get(1).kind());
        assertEquals("root", replication.root().name());
        assertTrue(replication.status().text().contains("\"t\""));
        replication.stop();
        Fixture.refused(Code.CLOSED, () -> replication.send(1, new byte[1]));
    }

    @Test
    void a_target_gets_what_it_selects() {
        add("kinds", o -> o.kinds(7, 0xffff).queue("kinds"));
        add("key", o -> o.keyPrefix("ab").queue("key"));
        add("name", o -> o.header("h").queue("name"));
        add("value", o -> o.header("h", "v").queue("value"));
        add("now", o -> o.from(From.NOW).queue("now"));
        replication.sendMany(List.of(Message.builder("k").kind(7).build(), Message.builder("a").key("abc").build(),
            Message.builder("h").header("h", "w").build(), Message.builder("v").header("h", "v").build()));
        here.await(replication.token().get(), Place.TARGETS, Fixture.LONG);
        assertEquals(1, arrived("kinds").size());
        assertEquals("a", arrived("key").get(0).text());
        assertEquals(2, arrived("name").size());
        assertEquals("v", arrived("value").get(0).text());
        assertEquals(4, arrived("now").size());
        replication.remove("now");
        assertEquals(List.of("key", "kinds", "name", "value"),
            replication.targets().stream().map(TargetStatus::name).sorted().collect(java.util.stream.Collectors.toList()));
    }

    @Test
    void a_target_tells_how_it_is() throws Exception {
        add("good", o -> o.heartbeat(Duration.ofSeconds(1)).connectTimeout(Duration.ofSeconds(9))
            .reconnectMax(Duration.ofSeconds(1)));
        replication.add("bad", "repliq+unix://" + dir.resolve("nobody"),
            o -> o.user("u").password(new byte[] {1}).reconnect(false));
        replication.send(1, new byte[10]);
        here.await(replication.token().get(), Place.target("good"), Fixture.LONG);
        Fixture.until(() -> replication.target("bad").lastError().isPresent());
        TargetStatus bad = replication.target("bad");
        assertFalse(bad.isConnected());
        assertEquals(1, bad.lagMessages());
        assertTrue(bad.lagBytes() >= 10);
        assertTrue(bad.lagMs() >= 0);
        assertTrue(bad.url().endsWith("nobody"));
        TargetStatus good = replication.target("good");
        assertTrue(good.isConnected(), good.state());
        assertEquals(0, good.lagMessages() + good.rewinds() + good.skipped() + good.gaps() + good.orphans());
        assertTrue(good.refused().isEmpty());
        assertFalse(good.position().isEmpty());
        Fixture.refused(Code.NO_SUCH_NAME, () -> replication.target("none"));
        Fixture.refused(Code.NO_SUCH_NAME, () -> replication.skip("none"));
        Fixture.refused(Code.NO_SUCH_NAME, () -> replication.acceptGap("none"));
        Fixture.refused(Code.EXISTS, () -> add("good", o -> {}));
        Fixture.refused(Code.INVALID, () -> replication.add("x", "http://example.com"));
        Fixture.refused(Code.INVALID, () -> add("x", o -> o.heartbeat(Duration.ofMillis(1))));
        Fixture.refused(Code.INVALID, () -> add("x", o -> o.kinds(-1)));
        Fixture.refused(Code.TIMEOUT, () -> replication.stop(Duration.ofMillis(1)));
        Fixture.refused(Code.CLOSED, () -> replication.push());
    }

    @Test
    void a_server_listens_where_it_is_told_and_lets_in_whom_it_knows() throws Exception {
        Path socket = dir.resolve("socket");
        Path file = dir.resolve("users");
        Files.writeString(file, "");
        try (Server own = new Server(there, o -> o.listen("127.0.0.1:0", "unix:" + socket).plain(true)
                .users(User.of("u", "ü".toCharArray()), User.of("v", "q").allow("publish", "a,b").allow("browse", "*"))
                .heartbeat(Duration.ofSeconds(1)).login(Duration.ofSeconds(3)).failureWaitMax(Duration.ofSeconds(1))
                .connectionsMax(9).strangersMax(3).failuresMax(2))) {
            assertEquals(1, own.addresses().size());
            assertEquals(there, own.store());
            replication.add("t", "repliq+unix://" + socket, o -> o.user("u").password("ü"));
            replication.send(1, new byte[1]);
            here.await(replication.token().get(), Place.TARGETS, Fixture.LONG);
            assertTrue(own.status().text().contains("\"u\""), own.status().text());
            own.reload();
            replication.remove("t");
            replication.add("w", "repliq+unix://" + socket, o -> o.user("u").password("wrong").reconnect(false));
            Fixture.until(() -> replication.target("w").lastError().isPresent());
            Fixture.refused(Code.LOCKED, () -> new Server(there, o -> o.listen(own.addresses().get(0)).plain(true)));
        }
        Fixture.refused(Code.INVALID, () -> new Server(there, o -> o.users(User.of("u", "p").allow("fly", "*"))));
        Fixture.refused(Code.INVALID, () -> new Server(there, o -> o.plain(true).usersFile(file).users(User.of("u", "p"))));
        Fixture.refused(Code.IO, () -> new Server(there, o -> o.listen("127.0.0.1:0")
            .certificateFile(dir.resolve("none")).keyFile(dir.resolve("none"))));
    }

    @Test
    void a_password_is_taken_as_an_array_which_stays_the_callers_and_our_copy_is_wiped() {
        char[] password = "pass wörd €".toCharArray();
        Path path = dir.resolve("secret");
        try (Store store = Store.open(path, o -> o.password(password))) {
            assertTrue(store.isEncrypted());
            assertFalse(here.isEncrypted());
            store.changePassword("other".toCharArray());
        }
        assertArrayEquals("pass wörd €".toCharArray(), password);
        Fixture.refused(Code.BAD_PASSWORD, () -> Store.open(path, o -> o.password(password)));
        Fixture.refused(Code.BAD_PASSWORD, () -> Store.open(path));
        try (Store store = Store.open(path, o -> o.password("other"))) {
            store.changePassword("ä");
        }
        Store.open(path, o -> o.password(new byte[] {(byte) 0xc3, (byte) 0xa4})).close();
        // The array that the options hold, and the one it was packed into.
        byte[] secret = Secret.of(new char[] {'x', 'y'});
        Packer call = new Packer().bytes(secret);
        byte[] inside = call.bytes;
        Fixture.refused(Code.INVALID, () -> call.call(Verb.TOKEN_PARSE, 0));
        assertArrayEquals(new byte[inside.length], inside);
        Secret.wipe(secret);
        assertArrayEquals(new byte[2], secret);
        // So is an array that became too small.
        Packer small = new Packer(8).bytes(new byte[] {1, 2, 3});
        byte[] before = small.bytes;
        small.bytes(new byte[100]);
        assertArrayEquals(new byte[8], before);
    }

    @Test
    void a_backup_is_restored_and_forgets_what_came_later() {
        Queue queue = here.queue("q");
        Token kept = queue.put(new byte[] {1}).token();
        BackupInfo info = here.backup(dir.resolve("b"));
        assertTrue(info.epoch() > 0 && info.sequence() > 0 && info.files() >= info.filesCopied());
        assertTrue(info.bytes() >= info.bytesCopied() && info.bytesCopied() > 0);
        Token lost = queue.put(new byte[] {2}).token();
        Store.restore(dir.resolve("b"), dir.resolve("r"));
        try (Store restored = Store.open(dir.resolve("r"))) {
            restored.await(kept, Place.HERE, Fixture.NONE);
            Fixture.refused(Code.NOT_FOUND, () -> restored.await(lost, Place.HERE, Fixture.NONE));
        }
    }

    @Test
    void reg_03_who_waits_at_a_server_asks_once() throws Exception {
        try (Store store = Store.open(Fixture.url(server), o -> o.password("p").plain(true))) {
            Queue orders = store.queue("orders");
            Consumer clerk = store.consumer("clerk", orders);
            Consumer other = store.consumer("other", orders);
            Session session = store.session();
            there.consumer("slow", there.queue("slow")).close();
            Token token = there.queue("slow").put(new byte[1]).token();
            long before = requests();
            List<CompletableFuture<List<Message>>> waits = List.of(
                CompletableFuture.supplyAsync(() -> clerk.receive(1)),
                CompletableFuture.supplyAsync(() -> session.receive(other, 1, Fixture.LONG)));
            Fixture.refused(Code.TIMEOUT,
                () -> store.await(token, Place.consumer("slow"), Duration.ofMillis(1_500)));
            assertTrue(requests() - before <= 3, () -> server.status().text());
            there.queue("orders").put("x".getBytes());
            for (CompletableFuture<List<Message>> wait : waits) {
                assertEquals("x", wait.get(30, TimeUnit.SECONDS).get(0).text());
            }
            session.close();
        }
    }

    /** Requests that have come on all connections. */
    private long requests() {
        long count = 0;
        for (Object one : (List<?>) server.status().values().get("connections")) {
            count += (Long) ((Map<?, ?>) one).get("requests");
        }
        return count;
    }
}
