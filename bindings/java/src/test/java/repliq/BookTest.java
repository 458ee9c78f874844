package repliq;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The Java of the book that no tutorial shows. */
class BookTest {
    @TempDir Path dir;

    // ANCHOR: retry
    /** Puts a message once, however often it has to be tried: the producer's number makes a repetition harmless. */
    static void putOnce(Queue queue, long number, String text) throws InterruptedException {
        Message message = Message.builder(text).producer("till 7", number).build();
        while (true) {
            try {
                queue.put(message);
                return;
            } catch (RepliqException error) {
                if (!error.isRetriable()) {
                    throw error;
                }
                System.err.println("tried again in a second: " + error.getMessage());
                Thread.sleep(1_000);
            }
        }
    }
    // ANCHOR_END: retry

    // ANCHOR: later
    /** Later, in another process that has the store: the text of the token was kept in a cookie, a file, a column. */
    static void later(Store store, String text) {
        store.await(Token.parse(text), Place.target("office"), Duration.ofSeconds(20));
    }
    // ANCHOR_END: later

    @Test
    void a_put_with_a_number_is_stored_once() throws InterruptedException {
        try (Store store = Store.open(dir.resolve("shop"))) {
            Queue orders = store.queue("orders");
            putOnce(orders, 1, "one pound of tea");
            putOnce(orders, 1, "one pound of tea");
            Fixture.refused(Code.OUT_OF_ORDER, () -> putOnce(orders, 3, "milk"));
            try (Consumer clerk = store.consumer("clerk", orders)) {
                assertEquals(1, clerk.receive(10, Duration.ZERO).size());
            }
        }
    }

    @Test
    void a_job_arrives_and_its_token_can_be_kept() {
        try (Store store = Store.open(dir.resolve("shop")); Store there = Store.open(dir.resolve("office"));
                Server server = Fixture.server(there)) {
            String url = Fixture.url(server);
            Token sent;
            // ANCHOR: job
            try (Replication replication = new Replication(store.queue("orders"))) {
                replication.add("office", url, options -> options.password("p").plain(true));

                // A job: both messages or neither; an exception gives it up.
                sent = replication.job(() -> {
                    replication.send(1, "one pound of tea".getBytes());
                    replication.send(1, "two pounds of sugar".getBytes());
                }).token();

                // Everything is on this disk now; this waits until it is on the office's.
                store.await(sent, Place.TARGETS, Duration.ofSeconds(20));
            }
            // ANCHOR_END: job
            later(store, sent.text());
            Fixture.refused(Code.WRONG_GROUP, () -> there.await(sent, Place.HERE, Duration.ZERO));
            try (Consumer reader = there.consumer("reader", "orders")) {
                List<String> texts = reader.receive(10, Duration.ZERO).stream().map(Message::text)
                        .collect(Collectors.toList());
                assertEquals(List.of("one pound of tea", "two pounds of sugar"), texts);
            }
        }
    }
}
