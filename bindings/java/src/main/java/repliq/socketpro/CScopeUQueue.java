package repliq.socketpro;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.Arrays;
import java.util.function.IntConsumer;
import java.util.function.IntFunction;
import java.util.function.Supplier;
import repliq.Code;
import repliq.RepliqException;

/**
 * Packs values for a request and reads them from one: one after the other, the same bytes in every language. What
 * they are says {@code docs/SOCKETPRO.md}.
 *
 * <p>Each {@code Save…} gives the packer back, so that calls can be chained. What cannot be saved, and what is not
 * there to be loaded, throws {@link RepliqException} with {@link Code#INVALID}, and nothing was packed or taken. For one
 * thread at a time; there is nothing to close, and closing empties it.
 */
public class CScopeUQueue implements AutoCloseable {
    /** The length of a string, bytes or an array that is null. */
    private static final int NULL = -1;
    /** An array of Java has not many more. */
    private static final int LENGTH_MAX = Integer.MAX_VALUE - 16;
    private static final long SECOND = 1_000_000;

    /** From its position to its limit: what is packed and not loaded yet. */
    private ByteBuffer packed;

    /** An empty packer. */
    public CScopeUQueue() {
        this(new byte[0]);
    }

    /**
     * Loads from a copy of these bytes.
     *
     * @param packed what was packed
     */
    public CScopeUQueue(byte[] packed) {
        this.packed = little(packed.clone());
    }

    /**
     * Loads from a copy of what remains of a buffer, which is left as it is.
     *
     * @param packed what was packed
     */
    public CScopeUQueue(ByteBuffer packed) {
        byte[] copy = new byte[packed.remaining()];
        packed.duplicate().get(copy);
        this.packed = little(copy);
    }

    private static ByteBuffer little(byte[] bytes) {
        return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }

    /**
     * The bytes that are not loaded yet.
     *
     * @return a copy
     */
    public byte[] GetBuffer() {
        byte[] copy = new byte[GetSize()];
        packed.duplicate().get(copy);
        return copy;
    }

    /** The same without a copy, for as long as nothing is saved or loaded. */
    ByteBuffer view() {
        return packed.asReadOnlyBuffer();
    }

    /**
     * How many bytes are not loaded yet.
     *
     * @return in bytes
     */
    public int GetSize() {
        return packed.remaining();
    }

    /**
     * Empties it.
     *
     * @param size 0, which is the only size there is
     */
    public void SetSize(int size) {
        if (size != 0) {
            throw invalid("a packer cannot be set to " + size + " bytes, only to 0");
        }
        packed = little(new byte[0]);
    }

    /** Empties it. */
    @Override
    public void close() {
        SetSize(0);
    }

    // ---- saving

    /**
     * Saves a bool, in one byte.
     *
     * @param value the value
     * @return this
     */
    public CScopeUQueue SaveBool(boolean value) {
        room(1).put((byte) (value ? 1 : 0));
        return this;
    }

    /**
     * Saves 32 bits.
     *
     * @param value the value
     * @return this
     */
    public CScopeUQueue SaveInt(int value) {
        room(4).putInt(value);
        return this;
    }

    /**
     * Saves 64 bits.
     *
     * @param value the value
     * @return this
     */
    public CScopeUQueue SaveLong(long value) {
        room(8).putLong(value);
        return this;
    }

    /**
     * Saves a double, in 64 bits.
     *
     * @param value the value
     * @return this
     */
    public CScopeUQueue SaveDouble(double value) {
        room(8).putDouble(value);
        return this;
    }

    /**
     * Saves a text as UTF-8 behind its length.
     *
     * @param value the value, or null
     * @return this
     */
    public CScopeUQueue SaveString(String value) {
        return value == null ? SaveInt(NULL) : raw(utf8(value));
    }

    /**
     * Saves bytes behind their number.
     *
     * @param value the value, or null
     * @return this
     */
    public CScopeUQueue SaveBytes(byte[] value) {
        return value == null ? SaveInt(NULL) : raw(ByteBuffer.wrap(value));
    }

    /**
     * Saves a time as microseconds since 1970; what is finer is cut off, towards the past.
     *
     * @param value the value
     * @return this
     */
    public CScopeUQueue SaveDate(Instant value) {
        if (value == null) {
            throw invalid("cannot save a time that is null");
        }
        try {
            long seconds = value.getEpochSecond();
            long microseconds = value.getNano() / 1000;
            // Towards 0, so that the least of all times does not pass the end on its way.
            if (seconds < 0) {
                seconds++;
                microseconds -= SECOND;
            }
            return SaveLong(Math.addExact(Math.multiplyExact(seconds, SECOND), microseconds));
        } catch (ArithmeticException error) {
            throw invalid("cannot save " + value + ": its microseconds do not fit into 64 bits");
        }
    }

    /**
     * Saves a value behind its type.
     *
     * @param value null, or a Boolean, an Integer, a Long, a Double or a String
     * @return this
     */
    public CScopeUQueue SaveObject(Object value) {
        if (value == null) {
            return type(0);
        }
        if (value instanceof Boolean) {
            return type(1).SaveBool((Boolean) value);
        }
        if (value instanceof Integer) {
            return type(2).SaveInt((Integer) value);
        }
        if (value instanceof Long) {
            return type(3).SaveLong((Long) value);
        }
        if (value instanceof Double) {
            return type(4).SaveDouble((Double) value);
        }
        if (value instanceof String) {
            // Before the type, so that a text without a UTF-8 form leaves nothing.
            ByteBuffer text = utf8((String) value);
            return type(5).raw(text);
        }
        throw invalid("an object cannot hold a " + value.getClass().getName());
    }

    /**
     * Saves an array behind its length.
     *
     * @param values the values, or null
     * @return this
     */
    public CScopeUQueue SaveBools(boolean[] values) {
        return values == null ? SaveInt(NULL) : array(values.length, 1, i -> SaveBool(values[i]));
    }

    /**
     * Saves an array behind its length.
     *
     * @param values the values, or null
     * @return this
     */
    public CScopeUQueue SaveInts(int[] values) {
        return values == null ? SaveInt(NULL) : array(values.length, 4, i -> SaveInt(values[i]));
    }

    /**
     * Saves an array behind its length.
     *
     * @param values the values, or null
     * @return this
     */
    public CScopeUQueue SaveLongs(long[] values) {
        return values == null ? SaveInt(NULL) : array(values.length, 8, i -> SaveLong(values[i]));
    }

    /**
     * Saves an array behind its length.
     *
     * @param values the values, or null
     * @return this
     */
    public CScopeUQueue SaveDoubles(double[] values) {
        return values == null ? SaveInt(NULL) : array(values.length, 8, i -> SaveDouble(values[i]));
    }

    /**
     * Saves an array behind its length.
     *
     * @param values the values, each of which may be null, or null
     * @return this
     */
    public CScopeUQueue SaveStrings(String[] values) {
        return values == null ? SaveInt(NULL) : array(values.length, 4, i -> SaveString(values[i]));
    }

    /**
     * The same as {@link #SaveBool}.
     *
     * @param value the value
     * @return this
     */
    public CScopeUQueue Save(boolean value) {
        return SaveBool(value);
    }

    /**
     * The same as {@link #SaveInt}.
     *
     * @param value the value
     * @return this
     */
    public CScopeUQueue Save(int value) {
        return SaveInt(value);
    }

    /**
     * The same as {@link #SaveLong}.
     *
     * @param value the value
     * @return this
     */
    public CScopeUQueue Save(long value) {
        return SaveLong(value);
    }

    /**
     * The same as {@link #SaveDouble}.
     *
     * @param value the value
     * @return this
     */
    public CScopeUQueue Save(double value) {
        return SaveDouble(value);
    }

    /**
     * The same as {@link #SaveString}.
     *
     * @param value the value, or null
     * @return this
     */
    public CScopeUQueue Save(String value) {
        return SaveString(value);
    }

    /**
     * The same as {@link #SaveBytes}.
     *
     * @param value the value, or null
     * @return this
     */
    public CScopeUQueue Save(byte[] value) {
        return SaveBytes(value);
    }

    /**
     * The same as {@link #SaveDate}.
     *
     * @param value the value
     * @return this
     */
    public CScopeUQueue Save(Instant value) {
        return SaveDate(value);
    }

    /**
     * The same as {@link #SaveObject}; this is what a boxed number or bool becomes.
     *
     * @param value the value, or null
     * @return this
     */
    public CScopeUQueue Save(Object value) {
        return SaveObject(value);
    }

    /**
     * The same as {@link #SaveBools}.
     *
     * @param values the values, or null
     * @return this
     */
    public CScopeUQueue Save(boolean[] values) {
        return SaveBools(values);
    }

    /**
     * The same as {@link #SaveInts}.
     *
     * @param values the values, or null
     * @return this
     */
    public CScopeUQueue Save(int[] values) {
        return SaveInts(values);
    }

    /**
     * The same as {@link #SaveLongs}.
     *
     * @param values the values, or null
     * @return this
     */
    public CScopeUQueue Save(long[] values) {
        return SaveLongs(values);
    }

    /**
     * The same as {@link #SaveDoubles}.
     *
     * @param values the values, or null
     * @return this
     */
    public CScopeUQueue Save(double[] values) {
        return SaveDoubles(values);
    }

    /**
     * The same as {@link #SaveStrings}.
     *
     * @param values the values, or null
     * @return this
     */
    public CScopeUQueue Save(String[] values) {
        return SaveStrings(values);
    }

    // ---- loading

    /**
     * Loads a bool.
     *
     * @return the value
     */
    public boolean LoadBool() {
        return whole(() -> {
            byte value = take(1).get();
            if (value != 0 && value != 1) {
                throw invalid("a bool is 0 or 1, not " + (value & 0xFF));
            }
            return value == 1;
        });
    }

    /**
     * Loads 32 bits.
     *
     * @return the value
     */
    public int LoadInt() {
        return take(4).getInt();
    }

    /**
     * Loads 64 bits.
     *
     * @return the value
     */
    public long LoadLong() {
        return take(8).getLong();
    }

    /**
     * Loads a double.
     *
     * @return the value
     */
    public double LoadDouble() {
        return take(8).getDouble();
    }

    /**
     * Loads a text.
     *
     * @return the value, or null
     */
    public String LoadString() {
        return whole(() -> {
            byte[] bytes = LoadBytes();
            try {
                return bytes == null ? null : StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)).toString();
            } catch (CharacterCodingException error) {
                throw invalid("a text is not UTF-8");
            }
        });
    }

    /**
     * Loads bytes.
     *
     * @return the value, or null
     */
    public byte[] LoadBytes() {
        return array(1, count -> {
            byte[] bytes = new byte[count];
            packed.get(bytes);
            return bytes;
        });
    }

    /**
     * Loads a time.
     *
     * @return the value
     */
    public Instant LoadDate() {
        long microseconds = LoadLong();
        long nanos = Math.floorMod(microseconds, SECOND) * 1000;
        return Instant.ofEpochSecond(Math.floorDiv(microseconds, SECOND), nanos);
    }

    /**
     * Loads a value with its type.
     *
     * @return null, or a Boolean, an Integer, a Long, a Double or a String
     */
    public Object LoadObject() {
        return whole(() -> {
            byte type = take(1).get();
            switch (type) {
                case 0:
                    return null;
                case 1:
                    return LoadBool();
                case 2:
                    return LoadInt();
                case 3:
                    return LoadLong();
                case 4:
                    return LoadDouble();
                case 5:
                    String text = LoadString();
                    if (text == null) {
                        throw invalid("an object holds a text that is null");
                    }
                    return text;
                default:
                    throw invalid("an object of the unknown type " + (type & 0xFF));
            }
        });
    }

    /**
     * Loads an array.
     *
     * @return the values, or null
     */
    public boolean[] LoadBools() {
        return array(1, count -> {
            boolean[] values = new boolean[count];
            for (int i = 0; i < count; i++) {
                values[i] = LoadBool();
            }
            return values;
        });
    }

    /**
     * Loads an array.
     *
     * @return the values, or null
     */
    public int[] LoadInts() {
        return array(4, count -> {
            int[] values = new int[count];
            Arrays.setAll(values, i -> LoadInt());
            return values;
        });
    }

    /**
     * Loads an array.
     *
     * @return the values, or null
     */
    public long[] LoadLongs() {
        return array(8, count -> {
            long[] values = new long[count];
            Arrays.setAll(values, i -> LoadLong());
            return values;
        });
    }

    /**
     * Loads an array.
     *
     * @return the values, or null
     */
    public double[] LoadDoubles() {
        return array(8, count -> {
            double[] values = new double[count];
            Arrays.setAll(values, i -> LoadDouble());
            return values;
        });
    }

    /**
     * Loads an array.
     *
     * @return the values, each of which may be null, or null
     */
    public String[] LoadStrings() {
        return array(4, count -> {
            String[] values = new String[count];
            Arrays.setAll(values, i -> LoadString());
            return values;
        });
    }

    // ---- how it is done

    private static RepliqException invalid(String text) {
        return RepliqException.of(Code.INVALID, text);
    }

    private static ByteBuffer utf8(String text) {
        try {
            return StandardCharsets.UTF_8.newEncoder().encode(CharBuffer.wrap(text));
        } catch (CharacterCodingException error) {
            throw invalid("cannot save a text without a UTF-8 form: it has half of a surrogate pair");
        }
    }

    private CScopeUQueue type(int type) {
        room(1).put((byte) type);
        return this;
    }

    private CScopeUQueue raw(ByteBuffer bytes) {
        int size = bytes.remaining();
        room(4 + (long) size).putInt(size).put(bytes);
        return this;
    }

    /** Saves a length and so many elements, or nothing. */
    private CScopeUQueue array(int count, int size, IntConsumer save) {
        int end = packed.limit();
        room(4 + (long) count * size);
        packed.limit(end);
        try {
            SaveInt(count);
            for (int i = 0; i < count; i++) {
                save.accept(i);
            }
        } catch (RepliqException error) {
            packed.limit(end);
            throw error;
        }
        return this;
    }

    /** Makes what is packed longer by so many bytes, to be put into the buffer that this gives back. */
    private ByteBuffer room(long more) {
        int end = packed.limit();
        if (more > LENGTH_MAX - end) {
            throw RepliqException.of(Code.TOO_LARGE, "more than 2 GiB do not fit into a packer");
        }
        int needed = end + (int) more;
        if (needed > packed.capacity()) {
            int doubled = packed.capacity() > LENGTH_MAX / 2 ? LENGTH_MAX : packed.capacity() * 2;
            byte[] larger = Arrays.copyOf(packed.array(), Math.max(needed, Math.max(doubled, 64)));
            packed = little(larger).position(packed.position());
        }
        packed.limit(needed);
        return packed.duplicate().order(ByteOrder.LITTLE_ENDIAN).position(end);
    }

    /** The buffer, where it has so many bytes. */
    private ByteBuffer take(long count) {
        if (count > GetSize()) {
            throw invalid(count + " bytes are to be loaded, and " + GetSize() + " are there");
        }
        return packed;
    }

    /** Loads a value, or takes nothing. */
    private <T> T whole(Supplier<T> load) {
        int before = packed.position();
        try {
            return load.get();
        } catch (RepliqException error) {
            packed.position(before);
            throw error;
        }
    }

    /** Loads a length, and so many elements of a size that each of them has at least. */
    private <T> T array(int size, IntFunction<T> load) {
        return whole(() -> {
            int count = take(4).getInt();
            if (count == NULL) {
                return null;
            }
            // A number that needs 32 bits is far more than what is there.
            take(Integer.toUnsignedLong(count) * size);
            return load.apply(count);
        });
    }
}
