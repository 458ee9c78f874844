package repliq;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;

/** Takes answers of the native library apart. */
final class Unpacker {
    private final ByteBuffer from;

    Unpacker(byte[] from) {
        this.from = ByteBuffer.wrap(from).order(ByteOrder.LITTLE_ENDIAN);
    }

    boolean isEmpty() {
        return !from.hasRemaining();
    }

    int u8() {
        return from.get() & 0xff;
    }

    boolean flag() {
        return from.get() != 0;
    }

    int i32() {
        return from.getInt();
    }

    long i64() {
        return from.getLong();
    }

    byte[] raw(int length) {
        byte[] taken = new byte[length];
        from.get(taken);
        return taken;
    }

    /** Bytes behind their length, or null. */
    byte[] bytes() {
        int length = i32();
        return length < 0 ? null : raw(length);
    }

    /** A text behind its length, or null. */
    String text() {
        byte[] taken = bytes();
        return taken == null ? null : new String(taken, StandardCharsets.UTF_8);
    }

    /** All that is left, as a text. */
    String rest() {
        return new String(raw(from.remaining()), StandardCharsets.UTF_8);
    }

    byte[] all() {
        return raw(from.remaining());
    }

    Commit commit() {
        Token token = new Token(raw(Token.SIZE));
        return new Commit(token, Level.of(u8()));
    }

    BackupInfo backupInfo() {
        return new BackupInfo(i64(), i64(), i64(), i64(), i64(), i64());
    }
}
