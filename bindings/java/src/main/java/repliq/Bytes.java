package repliq;

import java.util.Arrays;

/** A value that is nothing but its bytes, which are the same in every language. */
abstract class Bytes {
    final byte[] bytes;

    Bytes(byte[] bytes) {
        this.bytes = bytes;
    }

    /**
     * Its text, which is the same in every language.
     *
     * @return from which the value is parsed
     */
    public abstract String text();

    /**
     * Its bytes, which are the same in every language.
     *
     * @return a copy
     */
    public byte[] toBytes() {
        return bytes.clone();
    }

    @Override
    public boolean equals(Object other) {
        return other != null && other.getClass() == getClass() && Arrays.equals(((Bytes) other).bytes, bytes);
    }

    @Override
    public int hashCode() {
        return Arrays.hashCode(bytes);
    }

    @Override
    public String toString() {
        return text();
    }
}
