package repliq;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Consumers, sessions and snapshots, and the stores they read. */
class ConsumersTest extends InStore {
    @BeforeEach
    void open() {
        queue.putMany(List.of(Message.of("a"), Message.of("b"), Message.of("c")));
    }

    private static List<String> texts(List<Message> messages) {
        return messages.stream().map(Message::text).collect(Collectors.toList());
    }

    private List<String> left(String name) {
        try (Consumer consumer = store.consumer(name, queue)) {
            return texts(consumer.receive(100, Fixture.NONE));
        }
    }

    @Test
    void an_iteration_acknowledges_what_was_passed_and_keeps_what_was_left() {
        try (Consumer consumer = store.consumer("c", queue)) {
            for (Message message : consumer) {
                if (message.text().equals("b")) {
                    break;
                }
            }
        }
        assertEquals(List.of("b", "c"), left("c"));
        List<String> seen = new ArrayList<>();
        try (Consumer consumer = store.consumer("c", queue)) {
            Iterator<Message> each = consumer.each(Duration.ofMillis(1)).iterator();
            while (each.hasNext()) {
                assertTrue(each.hasNext());
                seen.add(each.next().text());
            }
            assertThrows(NoSuchElementException.class, each::next);
        }
        assertEquals(List.of("b", "c"), seen);
        assertEquals(List.of(), left("c"));
    }

    @Test
    void an_iteration_waits_as_long_as_it_is_told() throws Exception {
        try (Consumer consumer = store.consumer("c", queue, o -> o.from(From.NOW))) {
            Thread thread = new Thread(() -> {
                try {
                    TimeUnit.MILLISECONDS.sleep(50);
                } catch (InterruptedException error) {
                    return;
                }
                queue.put(new byte[] {'d'});
            });
            thread.start();
            Iterator<Message> each = consumer.each(Fixture.LONG).iterator();
            assertEquals("d", each.next().text());
            thread.join();
        }
    }

    @Test
    void what_is_rejected_or_not_acknowledged_comes_again_in_order() {
        try (Consumer consumer = store.consumer("c", queue)) {
            List<Message> all = consumer.receive(10, Fixture.LONG);
            assertEquals(List.of("a", "b", "c"), texts(all));
            consumer.ack(all.get(1));
            consumer.reject(all.subList(0, 1));
            assertEquals(List.of("a"), texts(consumer.receive(10, Fixture.LONG)));
            Fixture.refused(Code.INVALID, () -> consumer.ack(List.of()));
        }
        assertEquals(List.of("a", "c"), left("c"));
        try (Consumer consumer = store.consumer("c", queue)) {
            Message first = consumer.receive(1, Fixture.LONG).get(0);
            assertTrue(first.deliveries() >= 1);
            consumer.ackSequences(List.of(1L, 3L));
            consumer.seek(2);
            assertEquals(List.of("b", "c"), texts(consumer.receive(10, Fixture.LONG)));
            consumer.rejectSequences(List.of(3L));
        }
    }

    @Test
    void a_consumer_begins_where_it_is_told() {
        try (Consumer now = store.consumer("now", queue, o -> o.from(From.NOW));
                Consumer third = store.consumer("third", queue, o -> o.from(From.sequence(3)).ackLevel(Level.PROCESS));
                Consumer named = store.consumer("named", "q")) {
            assertEquals(List.of(), now.receive(10, Fixture.NONE));
            List<Message> rest = third.receive(10, Fixture.LONG);
            assertEquals(List.of("c"), texts(rest));
            assertEquals(Level.PROCESS, third.ack(rest).level());
            assertEquals(queue, named.queue());
            assertEquals("named", named.name());
            Fixture.refused(Code.BUSY, () -> store.consumer("named", queue));
        }
        store.consumerDelete("named", queue);
        Fixture.refused(Code.NO_SUCH_NAME, () -> store.consumerDelete("named", queue));
        Fixture.refused(Code.INVALID, () -> From.sequence(-1));
    }

    @Test
    void a_session_is_rolled_back_unless_it_is_committed() {
        Queue other = store.queue("other");
        Consumer consumer = store.consumer("c", queue);
        try (Session session = store.session()) {
            session.receive(consumer, 2, Fixture.LONG);
            session.put(other, new byte[1]);
        }
        try (Session session = store.session(Level.PROCESS)) {
            assertEquals(List.of("a", "b"), texts(session.receive(consumer, 2, Fixture.LONG)));
            session.put(other, Message.of("kept"));
            Commit commit = session.commit();
            assertEquals(Level.PROCESS, commit.level());
            session.put(other, Message.of("lost"));
            session.receive(consumer, 1, Fixture.LONG);
            session.rollback();
            session.commit();
        }
        consumer.close();
        assertEquals(List.of("c"), left("c"));
        // A snapshot shows what is durable.
        queue.put(new byte[1]);
        try (Snapshot snapshot = store.snapshot()) {
            store.put(other, Message.of("later"));
            assertEquals(List.of("kept"), texts(snapshot.browse(other, 1, 10)));
            assertEquals(List.of("c"), texts(snapshot.browse(queue, 2, 1)));
            assertEquals(List.of(), snapshot.browse(queue, 5, 1));
        }
    }

    @Test
    void a_queue_can_be_paused_purged_and_deleted() {
        queue.pause();
        Fixture.refused(Code.PAUSED, () -> queue.put(new byte[1]));
        assertTrue(Fixture.refused(Code.PAUSED, () -> left("c")).isRetriable());
        queue.resume();
        queue.purge();
        queue.put(new byte[] {'d'});
        try (Consumer consumer = store.consumer("c", queue)) {
            Message message = consumer.receive(10, Fixture.LONG).get(0);
            assertEquals(4, message.sequence());
        }
        queue.delete();
        Fixture.refused(Code.NO_SUCH_NAME, () -> queue.put(new byte[1]));
        Fixture.refused(Code.NO_SUCH_NAME, queue::name);
    }

    @Test
    void a_place_is_waited_for() {
        Token token = queue.put(new byte[1]).token();
        Consumer consumer = store.consumer("c", queue);
        assertEquals("consumer:c", Place.consumer("c").toString());
        Fixture.refused(Code.TIMEOUT, () -> store.await(token, Place.consumer("c"), Fixture.NONE));
        consumer.ack(consumer.receive(10, Fixture.LONG));
        store.await(List.of(token), Place.consumer("c"), Fixture.LONG);
        store.await(token, Place.of("consumer:c"));
        Fixture.refused(Code.NO_SUCH_NAME, () -> store.await(token, Place.target("t"), Fixture.NONE));
        Fixture.refused(Code.INVALID, () -> store.await(token, Place.of("moon"), Fixture.NONE));
    }

    @Test
    void a_store_is_opened_as_its_options_say() {
        Fixture.refused(Code.LOCKED, () -> Store.open(dir.resolve("s")));
        try (Store look = Store.open(dir.resolve("s"), o -> o.readOnly(true))) {
            Fixture.refused(Code.READ_ONLY, () -> look.queue("q").put(new byte[1]));
        }
        Fixture.refused(Code.NOT_A_STORE, () -> Store.open(dir.resolve("none"), o -> o.create(false)));
        Fixture.refused(Code.INVALID, () -> Store.open(dir.resolve("none"), o -> o.segmentBytes(5)));
        Fixture.refused(Code.INVALID, () -> Store.open(dir.resolve("none"), o -> o.keep(Duration.ofMillis(-1))));
        Fixture.refused(Code.INVALID, () -> Store.open((Path) null));
        Path small = dir.resolve("small");
        try (Store store = Store.open(small.toString(), o -> o.level(Level.PROCESS).helper(false).segmentBytes(4096)
                .segmentBytesMax(8192).keep(Duration.ZERO).keepBytes(0))) {
            assertEquals(Level.PROCESS, store.put(store.queue("q"), new byte[1]).level());
        }
    }
}
