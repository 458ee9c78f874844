package repliq;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The whole API once, on its happy path. */
class SmokeTest {
    private static final Duration LONG = Duration.ofSeconds(20);

    @TempDir Path dir;

    @Test
    void a_message_goes_through_a_store() throws Exception {
        try (Store store = Store.open(dir.resolve("s"))) {
            Queue orders = store.queue("orders");
            assertEquals("orders", orders.name());
            Commit commit = store.put(orders, Message.builder("tea").kind(7).key("k").header("h", "v").build());
            assertEquals(Level.POWER, commit.level());
            assertEquals(commit.token(), Token.parse(commit.token().text()));
            assertFalse(commit.token().isEmpty());
            assertEquals(List.of(commit.token()), Token.join(List.of(commit.token(), commit.token())));
            store.await(commit.token(), Place.HERE, Duration.ZERO);
            store.awaitAsync(commit.token(), Place.HERE).get(20, TimeUnit.SECONDS);
            try (Snapshot snapshot = store.snapshot()) {
                assertEquals("tea", snapshot.browse(orders, 1, 10).get(0).text());
            }
            try (Session session = store.session(); Consumer consumer = store.consumer("c", orders)) {
                Message message = session.receive(consumer, 10, LONG).get(0);
                assertEquals("tea", message.text());
                assertEquals(7, message.kind());
                assertArrayEquals("k".getBytes(), message.key());
                assertEquals("v", message.headers().get(0).text());
                assertTrue(message.view().isDirect());
                session.put(store.queue("fills"), message);
                session.commit();
                session.put(orders, new byte[] {1, 2, 3});
                session.commitAsync().get(20, TimeUnit.SECONDS);
                Message second = consumer.receive(10, LONG).get(0);
                assertEquals(2, second.sequence());
                consumer.ack(second);
                assertEquals(List.of(), consumer.receive(10, Duration.ZERO));
            }
            BackupInfo info = store.backup(dir.resolve("b"));
            assertTrue(info.filesCopied() > 0);
        }
        Store.restore(dir.resolve("b"), dir.resolve("r"));
        try (Store store = Store.open(dir.resolve("r"))) {
            assertTrue(store.status().text().contains("fills"));
        }
    }

    @Test
    void a_listener_works_and_parks() throws Exception {
        try (Store store = Store.open(dir.resolve("s"))) {
            Queue orders = store.queue("orders");
            Queue fills = store.queue("fills");
            try (Listener listener = store.consumer("c", orders).listen((session, message) -> {
                if (message.text().equals("bad")) {
                    throw new Park("bad");
                }
                session.put(fills, message);
            })) {
                orders.put(Message.builder("bad").key("b").build());
                orders.put(Message.builder("good").key("g").build());
                try (Consumer consumer = store.consumer("c", fills)) {
                    assertEquals("good", consumer.receive(1, LONG).get(0).text());
                }
                assertEquals("bad", listener.status().parked().get(0).reason());
            }
        }
    }

    @Test
    void a_replication_reaches_a_server() {
        try (Store there = Store.open(dir.resolve("there"));
                Server server = new Server(there, o -> o.listen("127.0.0.1:0").plain(true)
                    .users(User.of("replication", "p4localhost".toCharArray())));
                Store here = Store.open(dir.resolve("here"))) {
            Queue root = here.queue("root");
            String url = "repliq://replication@" + server.addresses().get(0);
            try (Replication replication = new Replication(root)) {
                replication.add("there", url, o -> o.password("p4localhost".toCharArray()).plain(true));
                replication.job(() -> {
                    replication.send(1, new byte[] {1});
                    replication.send(2, new byte[] {2});
                });
                here.await(replication.token().get(), Place.TARGETS, LONG);
                assertTrue(replication.target("there").isConnected());
                assertEquals(1, replication.targets().size());
                replication.stop(LONG);
            }
            try (Consumer consumer = there.consumer("c", "root")) {
                assertEquals(2, consumer.receive(10, LONG).size());
            }
        }
    }

    @Test
    void a_closed_store_says_so() {
        Store store = Store.open(dir.resolve("s"));
        Session session = store.session();
        Queue queue = store.queue("q");
        store.close();
        store.close();
        assertThrows(RepliqException.Closed.class, () -> store.queue("q"));
        assertThrows(RepliqException.Closed.class, () -> session.put(queue, new byte[1]));
        session.close();
    }
}
