package repliq;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Collection;

/** Puts arguments together as the native library reads them; see {@code bytes.rs} and {@code message.rs}. */
final class Packer {
    private static final VarHandle I16 = view(short[].class);
    private static final VarHandle I32 = view(int[].class);
    private static final VarHandle I64 = view(long[].class);
    private static final byte[] NONE = new byte[0];
    /** Set in the length of a payload that is all a message has. */
    private static final int PLAIN = 1 << 31;
    /** An array of Java has not many more. */
    private static final int LENGTH_MAX = Integer.MAX_VALUE - 16;
    /** What is kept for the next message of a session. */
    private static final int KEPT_MAX = 1 << 20;

    byte[] bytes;
    int length;
    /** Messages that had nothing but a payload. */
    private int plain;

    Packer() {
        this(64);
    }

    Packer(int room) {
        bytes = new byte[room];
    }

    private static VarHandle view(Class<?> array) {
        return MethodHandles.byteArrayViewVarHandle(array, ByteOrder.LITTLE_ENDIAN);
    }

    /** Empties it for the next use. */
    Packer clear() {
        length = 0;
        plain = 0;
        if (bytes.length > KEPT_MAX) {
            bytes = new byte[1024];
        }
        return this;
    }

    private static RepliqException tooLarge() {
        return RepliqException.of(Code.TOO_LARGE, "the messages do not fit into one array of Java");
    }

    /** Makes room for so many bytes more. */
    private int grow(int more) {
        int at = length;
        if (more > bytes.length - at) {
            if (more > LENGTH_MAX - at) {
                throw tooLarge();
            }
            int doubled = bytes.length > LENGTH_MAX / 2 ? LENGTH_MAX : bytes.length * 2;
            byte[] larger = Arrays.copyOf(bytes, Math.max(doubled, at + more));
            // A password may be in it.
            Arrays.fill(bytes, 0, at, (byte) 0);
            bytes = larger;
        }
        length = at + more;
        return at;
    }

    Packer u8(int value) {
        int at = grow(1);
        bytes[at] = (byte) value;
        return this;
    }

    Packer flag(boolean value) {
        return u8(value ? 1 : 0);
    }

    Packer u16(int value) {
        int at = grow(2);
        I16.set(bytes, at, (short) value);
        return this;
    }

    Packer i32(int value) {
        int at = grow(4);
        I32.set(bytes, at, value);
        return this;
    }

    Packer i64(long value) {
        int at = grow(8);
        I64.set(bytes, at, value);
        return this;
    }

    Packer raw(byte[] value) {
        int at = grow(value.length);
        System.arraycopy(value, 0, bytes, at, value.length);
        return this;
    }

    /** Bytes behind their length; null is none. */
    Packer bytes(byte[] value) {
        return value == null ? i32(-1) : i32(value.length).raw(value);
    }

    /** What remains of a buffer, which is left as it is. */
    Packer bytes(ByteBuffer value) {
        return bytes(value, 0);
    }

    private Packer bytes(ByteBuffer value, int marks) {
        int count = value.remaining();
        if (count > LENGTH_MAX - Integer.BYTES) {
            throw tooLarge();
        }
        int begin = grow(Integer.BYTES + count);
        int at = begin + Integer.BYTES;
        I32.set(bytes, begin, count | marks);
        if (value.hasArray()) {
            System.arraycopy(value.array(), value.arrayOffset() + value.position(), bytes, at, count);
        } else {
            value.duplicate().get(bytes, at, count);
        }
        return this;
    }

    /** A text; null is none. */
    Packer text(String value) {
        return bytes(value == null ? null : value.getBytes(StandardCharsets.UTF_8));
    }

    Packer level(Level level) {
        return u8(level == null ? 0 : level.number());
    }

    Packer from(From from) {
        return u8(from.kind()).i64(from.sequence());
    }

    Packer tokens(Collection<Token> tokens) {
        i32(tokens.size());
        for (Token token : tokens) {
            bytes(Check.given(token, "a token").bytes);
        }
        return this;
    }

    /** A message that has nothing but a payload. */
    Packer plain(ByteBuffer payload) {
        plain++;
        return bytes(payload, PLAIN);
    }

    /** The same, where the payload lies in an array. */
    Packer plain(byte[] from, int offset, int count) {
        if (count > LENGTH_MAX - Integer.BYTES) {
            throw tooLarge();
        }
        plain++;
        int at = grow(Integer.BYTES + count);
        I32.set(bytes, at, count | PLAIN);
        System.arraycopy(from, offset, bytes, at + Integer.BYTES, count);
        return this;
    }

    Packer messages(Collection<Message> messages) {
        i32(messages.size());
        for (Message message : messages) {
            Check.given(message, "a message").pack(this);
        }
        return this;
    }

    /** How so many messages were packed, for {@link Native#put}. */
    int form(int count) {
        return plain == count ? Native.PAYLOADS : Native.MESSAGES;
    }

    /** Exactly what was packed. */
    byte[] done() {
        return length == 0 ? NONE : length == bytes.length ? bytes : Arrays.copyOf(bytes, length);
    }

    /** Calls a verb with what was packed, and forgets it. */
    Unpacker call(int verb, long handle) {
        byte[] input = done();
        try {
            return new Unpacker(Native.call(verb, handle, input));
        } finally {
            if (input != bytes) {
                Arrays.fill(input, (byte) 0);
            }
            wipe();
        }
    }

    /** A password may be in it. */
    void wipe() {
        Arrays.fill(bytes, 0, length, (byte) 0);
    }
}
