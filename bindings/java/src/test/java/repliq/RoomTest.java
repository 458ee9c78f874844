package repliq;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Messages received into memory of the caller. */
class RoomTest {
    private static final int KIND = 7;

    @TempDir Path dir;
    private Store store;
    private Queue queue;
    private Consumer consumer;

    @BeforeEach
    void open() {
        store = Store.open(dir.resolve("s"));
        queue = store.queue("q");
        consumer = store.consumer("c", queue);
        Message one = Message.builder("one").kind(KIND).key("k").header("h", "v").producer("p", 1).build();
        queue.putMany(List.of(one, Message.of("two"), Message.of("")));
    }

    @AfterEach
    void close() {
        store.close();
    }

    private static void check(List<Message> found) {
        assertEquals(List.of("one", "two", ""), List.of(found.get(0).text(), found.get(1).text(), found.get(2).text()));
        assertEquals(KIND, found.get(0).kind());
        assertArrayEquals("k".getBytes(), found.get(0).key());
        assertEquals("v", found.get(0).headers().get(0).text());
        assertEquals("p", found.get(0).producer());
        assertEquals(3, found.get(2).sequence());
        assertTrue(found.get(1).view().isDirect() && found.get(1).view().isReadOnly());
        assertEquals(ByteBuffer.wrap("two".getBytes()), found.get(1).view());
    }

    @Test
    void the_messages_lie_in_the_buffer_of_the_caller() {
        ByteBuffer room = ByteBuffer.allocateDirect(4096);
        // Where it stands does not matter, and it is left there.
        room.position(100).limit(200);
        List<Message> found = consumer.receive(9, Duration.ZERO, room);
        check(found);
        assertEquals(List.of(100, 200), List.of(room.position(), room.limit()));
        room.clear();
        while (room.hasRemaining()) {
            room.put((byte) 'x');
        }
        assertNotEquals(ByteBuffer.wrap("two".getBytes()), consumerView(found));
    }

    /** The view, as the messages had it before the buffer was overwritten, would be another. */
    private static ByteBuffer consumerView(List<Message> found) {
        try {
            return found.get(1).view();
        } catch (RuntimeException error) {
            // The length is an x now, too.
            return ByteBuffer.allocate(0);
        }
    }

    @Test
    void a_session_receives_into_it_as_well() {
        ByteBuffer room = ByteBuffer.allocateDirect(4096);
        try (Session session = store.session()) {
            check(session.receive(consumer, 9, Duration.ZERO, room));
            assertEquals(3, room.get(0));
            session.commit();
        }
        assertEquals(List.of(), consumer.receive(9, Duration.ZERO, room));
    }

    @Test
    void a_buffer_that_cannot_be_used_is_not() {
        ByteBuffer small = ByteBuffer.allocateDirect(16);
        ByteBuffer heap = ByteBuffer.allocate(4096);
        ByteBuffer none = ByteBuffer.allocateDirect(0);
        for (ByteBuffer room : List.of(small, heap, none, ByteBuffer.allocateDirect(4096).asReadOnlyBuffer())) {
            consumer.seek(1);
            check(consumer.receive(9, Duration.ZERO, room));
            for (int at = 0; at < room.capacity(); at++) {
                assertEquals(0, room.get(at));
            }
        }
        Fixture.refused(Code.INVALID, () -> consumer.receive(9, Duration.ZERO, null));
    }
}
