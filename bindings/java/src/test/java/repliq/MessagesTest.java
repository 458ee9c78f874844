package repliq;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.ReadOnlyBufferException;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.Random;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

/** Messages in and out. */
class MessagesTest extends InStore {
    private List<Message> browse(Queue queue) {
        try (Snapshot snapshot = store.snapshot()) {
            return snapshot.browse(queue, 1, 10_000);
        }
    }

    private static Snapshot copied(Store to, Message message) {
        to.queue("q").put(message);
        return to.snapshot();
    }

    private static Message full() {
        return Message.builder(new byte[] {0, 1, -1}).kind(0xffff).key(new byte[] {9, 0}).header("a", new byte[] {5})
            .header("b", "ü").header("a", new byte[0]).expires(Instant.ofEpochMilli(4_102_444_800_123L))
            .producer("p", 1).build();
    }

    private static void check(Message message) {
        assertArrayEquals(new byte[] {0, 1, -1}, message.payload());
        assertEquals(ByteBuffer.wrap(new byte[] {0, 1, -1}), message.view());
        assertEquals(0xffff, message.kind());
        assertArrayEquals(new byte[] {9, 0}, message.key());
        assertEquals(List.of("a", "b", "a"),
            message.headers().stream().map(Header::name).collect(Collectors.toList()));
        assertArrayEquals(new byte[] {5}, message.header("a").get());
        assertEquals("ü", message.headers().get(1).text());
        assertArrayEquals(new byte[0], message.headers().get(2).value());
        assertTrue(message.header("c").isEmpty());
        assertEquals(Instant.ofEpochMilli(4_102_444_800_123L), message.expires().get());
        assertEquals("p", message.producer());
        assertEquals(1, message.producerSequence());
    }

    @Test
    void every_field_comes_back_received_and_browsed_and_put_again() {
        Instant before = Instant.now().minusSeconds(1);
        check(full());
        assertEquals(0, full().sequence());
        queue.put(full());
        Message received = store.consumer("c", queue).receive(1, Fixture.LONG).get(0);
        Message browsed = browse(queue).get(0);
        Message again;
        // In this store the number of its producer is taken.
        try (Store other = Store.open(dir.resolve("other")); Snapshot look = copied(other, received)) {
            again = look.browse(other.queue("q"), 1, 1).get(0);
        }
        for (Message message : List.of(received, browsed, again)) {
            check(message);
            assertEquals(1, message.sequence());
            Instant committed = message.committed().get();
            assertTrue(committed.isAfter(before) && committed.isBefore(Instant.now().plusSeconds(1)), "" + committed);
        }
        assertEquals(queue.number(), received.queue());
        assertEquals(1, received.deliveries());
        assertTrue(received.view().isDirect());
    }

    /** As message.rs packs it, with a body as body.rs of the journal describes it. */
    @Test
    void a_body_with_everything_that_may_be_present_is_taken_apart() {
        ByteBuffer packed = ByteBuffer.allocate(200).order(java.nio.ByteOrder.LITTLE_ENDIAN);
        packed.putInt(1).putInt(8).putLong(7).putLong(1_000).putInt(3).putInt(2).putInt(51);
        // kind, priority, present, lengths of key and headers; expires, deliver at, producer.
        packed.putShort((short) 0xfffe).put((byte) 9).put((byte) 7).putShort((short) 2).putShort((short) 9);
        packed.putLong(5_000).putLong(4_000).putLong(6).put((byte) 3).put("abc".getBytes()).put("ky".getBytes());
        packed.put((byte) 1).putShort((short) 2).put("hv1".getBytes());
        packed.put((byte) 0).putShort((short) 0).put("load".getBytes());
        packed.flip();
        Message message = Message.read(packed).get(0);
        assertEquals("load", message.text());
        assertEquals("load", new String(message.payload()));
        assertEquals("ky", new String(message.key()));
        assertEquals(List.of("h", ""), message.headers().stream().map(Header::name).collect(Collectors.toList()));
        assertEquals("v1", message.headers().get(0).text());
        assertEquals(0xfffe, message.kind());
        assertEquals(5_000, message.expires().get().toEpochMilli());
        assertEquals("abc", message.producer());
        assertEquals(6, message.producerSequence());
        assertEquals(7, message.sequence());
        assertEquals(3, message.queue());
        assertEquals(2, message.deliveries());
        assertEquals(1_000, message.committed().get().toEpochMilli());
    }

    @Test
    void a_message_with_a_payload_alone_has_nothing_else() {
        queue.put(new byte[0]);
        Message message = browse(queue).get(0);
        assertEquals(0, message.view().remaining());
        assertEquals(0, message.key().length);
        assertEquals(List.of(), message.headers());
        assertEquals(0, message.kind());
        assertTrue(message.expires().isEmpty());
        assertEquals("", message.producer());
        assertEquals(0, message.producerSequence());
    }

    @Test
    void any_buffer_can_be_put_and_is_left_as_it_is() {
        byte[] bytes = "..payload..".getBytes(StandardCharsets.UTF_8);
        Map<String, ByteBuffer> all = new LinkedHashMap<>();
        ByteBuffer direct = ByteBuffer.allocateDirect(bytes.length);
        direct.put(bytes).flip();
        for (ByteBuffer whole : List.of(ByteBuffer.wrap(bytes), direct)) {
            whole.position(2).limit(9);
            String kind = whole.isDirect() ? "direct" : "heap";
            all.put(kind, whole);
            all.put(kind + " slice", whole.slice());
            all.put(kind + " read-only", whole.asReadOnlyBuffer());
            ByteBuffer part = whole.slice();
            part.position(0);
            all.put(kind + " slice read-only", part.asReadOnlyBuffer());
        }
        try (Session session = store.session()) {
            for (ByteBuffer buffer : all.values()) {
                int position = buffer.position();
                int limit = buffer.limit();
                session.put(queue, buffer);
                session.put(queue, Message.of(buffer));
                session.putMany(queue, List.of(Message.of(buffer), Message.builder(buffer).key("k").build()));
                queue.put(buffer);
                assertEquals(position, buffer.position());
                assertEquals(limit, buffer.limit());
            }
            session.commit();
        }
        List<Message> messages = browse(queue);
        assertEquals(all.size() * 5, messages.size());
        messages.forEach(message -> assertEquals("payload", message.text()));
    }

    @Test
    void a_payload_is_copied_when_it_is_put() {
        byte[] bytes = {1, 2, 3};
        try (Session session = store.session()) {
            session.put(queue, bytes);
            Arrays.fill(bytes, (byte) 9);
            session.commit();
        }
        assertArrayEquals(new byte[] {1, 2, 3}, browse(queue).get(0).payload());
    }

    @Test
    void what_was_read_cannot_be_written() {
        queue.put(new byte[] {1});
        Message message = store.consumer("c", queue).receive(1, Fixture.LONG).get(0);
        assertThrows(ReadOnlyBufferException.class, () -> message.view().put(0, (byte) 2));
        message.payload()[0] = 7;
        assertEquals(1, message.view().get(0));
        assertThrows(ReadOnlyBufferException.class, () -> Message.of(new byte[1]).view().put((byte) 1));
    }

    @Test
    void messages_of_all_sizes_come_back_in_order() {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        List<byte[]> put = new ArrayList<>();
        try (Session session = store.session()) {
            for (int at = 0; at < 300; at++) {
                byte[] bytes = new byte[random.nextInt(at % 50 == 0 ? 700_000 : 2_000)];
                random.nextBytes(bytes);
                put.add(bytes);
                if (random.nextBoolean()) {
                    session.put(queue, bytes);
                } else {
                    session.put(queue, Message.builder(bytes).key("" + at).build());
                }
                if (random.nextInt(10) == 0) {
                    session.commit();
                }
            }
            session.commit();
        }
        List<Message> received = new ArrayList<>();
        try (Consumer consumer = store.consumer("c", queue)) {
            while (received.size() < put.size()) {
                received.addAll(consumer.receive(1 + random.nextInt(40), Fixture.LONG));
            }
        }
        for (int at = 0; at < put.size(); at++) {
            assertArrayEquals(put.get(at), received.get(at).payload(), "seed " + seed + ", message " + at);
            assertEquals(at + 1, received.get(at).sequence());
        }
    }

    @Test
    void a_repeated_number_of_a_producer_is_stored_once_and_a_gap_is_refused() {
        Message first = Message.builder("a").producer("p", 1).build();
        Commit once = queue.put(first);
        assertEquals(once.token(), queue.put(first).token());
        assertEquals(1, browse(queue).size());
        Fixture.refused(Code.OUT_OF_ORDER, () -> queue.put(Message.builder("c").producer("p", 3).build()));
    }

    @Test
    void the_refused_message_of_a_batch_is_named_and_none_is_put() {
        List<Message> batch = List.of(Message.of("a"), Message.builder("b").key(new byte[70_000]).build());
        RepliqException error = Fixture.refused(Code.TOO_LARGE, () -> queue.putMany(batch));
        assertEquals(OptionalInt.of(1), error.messageIndex());
        assertEquals(List.of(), browse(queue));
        try (Session session = store.session()) {
            Fixture.refused(Code.TOO_LARGE, () -> session.putMany(queue, batch));
            session.commit();
        }
        assertEquals(List.of(), browse(queue));
        assertTrue(Fixture.refused(Code.TOO_LARGE, () -> store.queue("n".repeat(256))).messageIndex().isEmpty());
    }

    @Test
    void what_no_message_can_have_is_refused_before_it_is_put() {
        Message.Builder builder = Message.builder("x");
        Fixture.refused(Code.INVALID, () -> builder.kind(-1));
        Fixture.refused(Code.INVALID, () -> builder.kind(0x10000));
        Fixture.refused(Code.INVALID, () -> builder.priority(256));
        Fixture.refused(Code.INVALID, () -> builder.key((byte[]) null));
        Fixture.refused(Code.INVALID, () -> builder.header(null, "v"));
        Fixture.refused(Code.INVALID, () -> builder.expires(Instant.ofEpochMilli(-1)));
        Fixture.refused(Code.INVALID, () -> builder.deliverAt(Instant.MAX));
        Fixture.refused(Code.INVALID, () -> queue.put((byte[]) null));
        Fixture.refused(Code.INVALID, () -> queue.putMany(Arrays.asList(Message.of("a"), null)));
        Fixture.refused(Code.INVALID, () -> Message.of((ByteBuffer) null));
        assertEquals(List.of(), browse(queue));
    }

    @Test
    void a_queue_belongs_to_its_store() {
        try (Store other = Store.open(dir.resolve("other")); Session session = store.session()) {
            Queue foreign = other.queue("q");
            assertFalse(foreign.equals(queue));
            assertEquals(queue, store.queue("q"));
            Fixture.refused(Code.INVALID, () -> session.put(foreign, new byte[1]));
            Fixture.refused(Code.INVALID, () -> store.put(foreign, new byte[1]));
            Fixture.refused(Code.INVALID, () -> store.consumer("c", foreign));
            Fixture.refused(Code.INVALID, () -> store.snapshot().browse(foreign, 1, 1));
            Consumer theirs = other.consumer("c", foreign);
            Fixture.refused(Code.INVALID, () -> session.receive(theirs, 1, Fixture.NONE));
        }
    }

    @Test
    void tokens_are_values() {
        Token first = queue.put(new byte[1]).token();
        Token second = queue.put(Message.of("x"), Level.PROCESS).token();
        assertEquals(first, Token.parse(first.text()));
        assertEquals(first, Token.parse(first.toBytes()));
        assertEquals(first.hashCode(), Token.parse(first.text()).hashCode());
        assertEquals(54, first.text().length());
        assertFalse(first.equals(second));
        assertEquals(List.of(second), Token.join(List.of(first, second)));
        try (Session session = store.session()) {
            assertTrue(session.commit().token().isEmpty());
        }
        Fixture.refused(Code.INVALID, () -> Token.parse("nonsense"));
        Fixture.refused(Code.INVALID, () -> Token.parse(new byte[40]));
        first.toBytes()[0]++;
        assertEquals(first, Token.parse(first.toBytes()));
    }
}
