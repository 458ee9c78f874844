package repliq;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/**
 * A message: one to be put, or one that was read. Safe to use from several threads. One that was read holds its bytes,
 * and those of some that were read with it, for as long as it lives; it outlives session, consumer and store. It can be
 * put again as it is.
 */
public abstract class Message {
    Message() {}

    /**
     * A message that has nothing but a payload.
     *
     * @param payload its bytes; not copied before it is put
     * @return the message
     */
    public static Message of(byte[] payload) {
        return builder(payload).build();
    }

    /**
     * A message that has nothing but a payload.
     *
     * @param payload what remains of it, direct or not; not copied before it is put, and left as it is
     * @return the message
     */
    public static Message of(ByteBuffer payload) {
        return builder(payload).build();
    }

    /**
     * A message that has nothing but a text.
     *
     * @param text put as UTF-8
     * @return the message
     */
    public static Message of(String text) {
        return builder(text).build();
    }

    /**
     * For a message that has more than a payload.
     *
     * @param payload its bytes; not copied before it is put
     * @return a builder
     */
    public static Builder builder(byte[] payload) {
        return new Builder(ByteBuffer.wrap(Check.given(payload, "the payload")));
    }

    /**
     * For a message that has more than a payload.
     *
     * @param payload what remains of it, direct or not; not copied before it is put, and left as it is
     * @return a builder
     */
    public static Builder builder(ByteBuffer payload) {
        return new Builder(Check.given(payload, "the payload").duplicate());
    }

    /**
     * For a message that has more than a text.
     *
     * @param text put as UTF-8
     * @return a builder
     */
    public static Builder builder(String text) {
        return new Builder(ByteBuffer.wrap(Check.utf8(text, "the payload")));
    }

    /** A buffer of the caller, where the native library can write into it; else null. */
    static ByteBuffer usable(ByteBuffer room) {
        return room != null && room.isDirect() && !room.isReadOnly() ? room : null;
    }

    /** The messages of a buffer that the native library filled, from its beginning on. */
    static List<Message> read(ByteBuffer from) {
        // Once for all of them: views can only be read.
        ByteBuffer packed = from.asReadOnlyBuffer().order(ByteOrder.LITTLE_ENDIAN);
        packed.clear();
        int count = packed.getInt(0);
        Message[] messages = new Message[count];
        for (int at = 0; at < count; at++) {
            messages[at] = new Received(packed, packed.getInt(4 + 4 * at));
        }
        return Arrays.asList(messages);
    }

    /**
     * The payload.
     *
     * @return a copy
     */
    public byte[] payload() {
        ByteBuffer view = view();
        byte[] copy = new byte[view.remaining()];
        view.get(copy);
        return copy;
    }

    /**
     * The payload as UTF-8.
     *
     * @return a text
     */
    public String text() {
        return StandardCharsets.UTF_8.decode(view()).toString();
    }

    /**
     * The payload without a copy.
     *
     * @return a buffer that can only be read, direct where the message was received, at its beginning; it holds the
     *     bytes
     */
    public abstract ByteBuffer view();

    /**
     * What readers select and order by.
     *
     * @return a copy; empty for none
     */
    public abstract byte[] key();

    /**
     * All headers.
     *
     * @return as they were given, in their order
     */
    public abstract List<Header> headers();

    /**
     * The value of a header.
     *
     * @param name of it
     * @return that of the first header of this name, a copy
     */
    public Optional<byte[]> header(String name) {
        return headers().stream().filter(one -> one.name().equals(name)).findFirst().map(Header::value);
    }

    /**
     * A number for the program's own use.
     *
     * @return 0 to 65535
     */
    public abstract int kind();

    /**
     * When it stops being worth delivering.
     *
     * @return to the millisecond, or empty
     */
    public abstract Optional<Instant> expires();

    /**
     * Before when it is not received.
     *
     * @return to the millisecond, or empty
     */
    public abstract Optional<Instant> deliverAt();

    /**
     * Its priority: of what waits, the highest is received first.
     *
     * @return 0 to 9
     */
    public abstract int priority();

    /**
     * Who numbers its messages.
     *
     * @return empty for nobody
     */
    public abstract String producer();

    /**
     * The number its producer gave it.
     *
     * @return unsigned; 0 for none
     */
    public abstract long producerSequence();

    /**
     * Its place in its queue, gap-free from 1.
     *
     * @return 0 for one that was not read
     */
    public long sequence() {
        return 0;
    }

    /**
     * The number of its queue.
     *
     * @return 0 for one that was not read
     */
    public int queue() {
        return 0;
    }

    /**
     * How often it was handed to this consumer, this time counted.
     *
     * @return from 1 on; 0 for one that was not read
     */
    public int deliveries() {
        return 0;
    }

    /**
     * When its transaction was committed.
     *
     * @return to the millisecond, or empty for one that was not read
     */
    public Optional<Instant> committed() {
        return Optional.empty();
    }

    /** Appends it to what is put. */
    abstract void pack(Packer to);

    private static Optional<Instant> instant(long milliseconds) {
        return milliseconds == 0 ? Optional.empty() : Optional.of(Instant.ofEpochMilli(milliseconds));
    }

    /** Makes a message to be put. Not for several threads at the same time. */
    public static final class Builder {
        private static final byte[] NONE = new byte[0];

        private final ByteBuffer payload;
        private byte[] key = NONE;
        private byte[] producer = NONE;
        private int kind;
        private int priority;
        private long producerSequence;
        private long expires;
        private long deliverAt;
        private final List<Header> headers = new ArrayList<>();

        private Builder(ByteBuffer payload) {
            this.payload = payload;
        }

        /**
         * A number for the program's own use.
         *
         * @param kind 0 to 65535
         * @return this
         * @throws RepliqException with {@link Code#INVALID} for another
         */
        public Builder kind(int kind) {
            this.kind = Check.range(kind, 0, 0xffff, "kind");
            return this;
        }

        /**
         * What readers select and order by.
         *
         * @param key a copy is taken
         * @return this
         */
        public Builder key(byte[] key) {
            this.key = Check.given(key, "the key").clone();
            return this;
        }

        /**
         * What readers select and order by.
         *
         * @param key taken as UTF-8
         * @return this
         */
        public Builder key(String key) {
            this.key = Check.utf8(key, "the key");
            return this;
        }

        /**
         * Adds a header; several may have the same name.
         *
         * @param name 1 to 255 bytes of UTF-8
         * @param value a copy is taken
         * @return this
         */
        public Builder header(String name, byte[] value) {
            headers.add(new Header(Check.given(name, "the name of a header"),
                Check.given(value, "the value of a header").clone()));
            return this;
        }

        /**
         * Adds a header; several may have the same name.
         *
         * @param name 1 to 255 bytes of UTF-8
         * @param value taken as UTF-8
         * @return this
         */
        public Builder header(String name, String value) {
            headers.add(new Header(Check.given(name, "the name of a header"),
                Check.utf8(value, "the value of a header")));
            return this;
        }

        /**
         * When it stops being worth delivering.
         *
         * @param expires taken to the millisecond, behind 1970
         * @return this
         */
        public Builder expires(Instant expires) {
            this.expires = milliseconds(expires, "expires");
            return this;
        }

        /**
         * Not before when it is to be delivered.
         *
         * @param deliverAt taken to the millisecond, behind 1970
         * @return this
         */
        public Builder deliverAt(Instant deliverAt) {
            this.deliverAt = milliseconds(deliverAt, "deliverAt");
            return this;
        }

        /**
         * Its priority.
         *
         * @param priority 0 to 255
         * @return this
         * @throws RepliqException with {@link Code#INVALID} for another
         */
        public Builder priority(int priority) {
            this.priority = Check.range(priority, 0, 0xff, "priority");
            return this;
        }

        /**
         * Who numbers its messages: a repeated number is stored once.
         *
         * @param producer its name
         * @param sequence one more than that of its message before, unsigned
         * @return this
         */
        public Builder producer(String producer, long sequence) {
            this.producer = Check.utf8(producer, "producer");
            this.producerSequence = sequence;
            return this;
        }

        /**
         * The message.
         *
         * @return what was set
         */
        public Message build() {
            return new Made(this);
        }

        private static long milliseconds(Instant time, String name) {
            try {
                return Check.positive(Check.given(time, name).toEpochMilli(), name);
            } catch (ArithmeticException error) {
                throw Check.invalid(name + " is " + time + ", too far away");
            }
        }
    }

    /** A message to be put. */
    private static final class Made extends Message {
        private final ByteBuffer payload;
        /** Where the payload lies in an array, which is put with less ado than a buffer; null where it does not. */
        private final byte[] array;
        private final int offset;
        private final byte[] key;
        private final byte[] producer;
        private final int kind;
        private final int priority;
        private final long producerSequence;
        private final long expires;
        private final long deliverAt;
        private final List<Header> headers;
        /** Whether it has nothing but a payload. */
        private final boolean plain;

        Made(Builder from) {
            payload = from.payload;
            array = payload.hasArray() ? payload.array() : null;
            offset = array == null ? 0 : payload.arrayOffset() + payload.position();
            key = from.key;
            producer = from.producer;
            kind = from.kind;
            priority = from.priority;
            producerSequence = from.producerSequence;
            expires = from.expires;
            deliverAt = from.deliverAt;
            headers = List.copyOf(from.headers);
            plain = key.length + producer.length + kind + priority + headers.size() == 0
                && (producerSequence | expires | deliverAt) == 0;
        }

        @Override
        void pack(Packer to) {
            if (plain && array != null) {
                to.plain(array, offset, payload.remaining());
                return;
            }
            if (plain) {
                to.plain(payload);
                return;
            }
            to.bytes(payload).bytes(key).bytes(producer).u16(kind).u8(priority);
            to.i64(producerSequence).i64(expires).i64(deliverAt).i32(headers.size());
            for (Header header : headers) {
                to.text(header.name()).bytes(header.bytes());
            }
        }

        @Override
        public ByteBuffer view() {
            return payload.asReadOnlyBuffer();
        }

        @Override
        public byte[] key() {
            return key.clone();
        }

        @Override
        public List<Header> headers() {
            return headers;
        }

        @Override
        public int kind() {
            return kind;
        }

        @Override
        public Optional<Instant> expires() {
            return instant(expires);
        }

        @Override
        public Optional<Instant> deliverAt() {
            return instant(deliverAt);
        }

        @Override
        public int priority() {
            return priority;
        }

        @Override
        public String producer() {
            return new String(producer, StandardCharsets.UTF_8);
        }

        @Override
        public long producerSequence() {
            return producerSequence;
        }
    }

    /**
     * A message that was read: a place in a buffer, as {@code message.rs} fills it, with a body as {@code body.rs} of the
     * journal describes it.
     */
    private static final class Received extends Message {
        private static final int COMMITTED = 8;
        private static final int QUEUE = 16;
        private static final int DELIVERIES = 20;
        private static final int LENGTH = 24;
        private static final int BODY = 28;
        private static final int PRESENT = BODY + 3;
        private static final int KEY_LENGTH = BODY + 4;
        private static final int HEADERS_LENGTH = BODY + 6;
        private static final int FRONT = BODY + 8;
        private static final int EXPIRES = 1;
        private static final int DELIVER_AT = 2;
        private static final int PRODUCER = 4;

        private final ByteBuffer packed;
        private final int at;

        Received(ByteBuffer packed, int at) {
            this.packed = packed;
            this.at = at;
        }

        private int u8(int from) {
            return packed.get(from) & 0xff;
        }

        private int u16(int from) {
            return packed.getShort(from) & 0xffff;
        }

        private boolean has(int part) {
            return (packed.get(at + PRESENT) & part) != 0;
        }

        /** Where what is there of the producer begins: its sequence, the length of its name, its name. */
        private int producerAt() {
            return at + FRONT + (has(EXPIRES) ? 8 : 0) + (has(DELIVER_AT) ? 8 : 0);
        }

        private int keyAt() {
            if (packed.get(at + PRESENT) == 0) {
                return at + FRONT;
            }
            int producer = producerAt();
            return has(PRODUCER) ? producer + 9 + u8(producer + 8) : producer;
        }

        private int headersAt() {
            return keyAt() + u16(at + KEY_LENGTH);
        }

        private int payloadAt() {
            return headersAt() + u16(at + HEADERS_LENGTH);
        }

        private int end() {
            return at + BODY + packed.getInt(at + LENGTH);
        }

        private byte[] copy(int from, int length) {
            byte[] copy = new byte[length];
            ByteBuffer source = packed.duplicate();
            source.position(from);
            source.get(copy);
            return copy;
        }

        private byte[] producerBytes() {
            int producer = producerAt();
            return has(PRODUCER) ? copy(producer + 9, u8(producer + 8)) : new byte[0];
        }

        @Override
        void pack(Packer to) {
            List<Header> headers = headers();
            to.bytes(view()).bytes(key()).bytes(producerBytes()).u16(kind()).u8(priority());
            to.i64(producerSequence()).i64(expiresMs()).i64(deliverAtMs()).i32(headers.size());
            for (Header header : headers) {
                to.text(header.name()).bytes(header.bytes());
            }
        }

        @Override
        public ByteBuffer view() {
            ByteBuffer view = packed.duplicate();
            view.position(payloadAt()).limit(end());
            return view.slice();
        }

        @Override
        public byte[] payload() {
            int from = payloadAt();
            return copy(from, end() - from);
        }

        @Override
        public byte[] key() {
            return copy(keyAt(), u16(at + KEY_LENGTH));
        }

        @Override
        public List<Header> headers() {
            List<Header> headers = new ArrayList<>();
            int end = payloadAt();
            for (int from = headersAt(); from < end; ) {
                int name = u8(from);
                int value = u16(from + 1);
                from += 3;
                headers.add(new Header(new String(copy(from, name), StandardCharsets.UTF_8), copy(from + name, value)));
                from += name + value;
            }
            return headers;
        }

        @Override
        public int kind() {
            return u16(at + BODY);
        }

        private long expiresMs() {
            return has(EXPIRES) ? packed.getLong(at + FRONT) : 0;
        }

        @Override
        public Optional<Instant> expires() {
            return instant(expiresMs());
        }

        private long deliverAtMs() {
            return has(DELIVER_AT) ? packed.getLong(at + FRONT + (has(EXPIRES) ? 8 : 0)) : 0;
        }

        @Override
        public Optional<Instant> deliverAt() {
            return instant(deliverAtMs());
        }

        @Override
        public int priority() {
            return u8(at + BODY + 2);
        }

        @Override
        public String producer() {
            return new String(producerBytes(), StandardCharsets.UTF_8);
        }

        @Override
        public long producerSequence() {
            return has(PRODUCER) ? packed.getLong(producerAt()) : 0;
        }

        @Override
        public long sequence() {
            return packed.getLong(at);
        }

        @Override
        public int queue() {
            return packed.getInt(at + QUEUE);
        }

        @Override
        public int deliveries() {
            return packed.getInt(at + DELIVERIES);
        }

        @Override
        public Optional<Instant> committed() {
            return instant(packed.getLong(at + COMMITTED));
        }
    }
}
