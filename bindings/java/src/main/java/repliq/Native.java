package repliq;

import java.nio.ByteBuffer;

/** The native library: its functions, and what they call. */
final class Native {
    /** Below this size messages received share a buffer. */
    private static final int SHARED = 64 << 10;
    /** The size of such a buffer. */
    private static final int ROOM = 256 << 10;
    private static final ThreadLocal<ByteBuffer> ROOMS = new ThreadLocal<>();

    private Native() {}

    /** Calls a verb of {@link Verb}; the answer is packed. */
    static native byte[] call(int verb, long handle, byte[] input);

    /** Gives a session a direct buffer to put payloads from. */
    static native void room(long session, ByteBuffer room);

    /** The bytes of a put are packed messages. */
    static final int MESSAGES = 0;
    /** They are the one payload. */
    static final int PAYLOAD = 1;
    /** They are packed messages that have nothing but payloads. */
    static final int PAYLOADS = 2;

    /** Puts into a session. Where there are no bytes, a payload lies in its room. */
    static native void put(long session, int queue, byte[] bytes, int length, int form);

    /**
     * Receives packed messages, of a consumer or into a session; null when the time is over. They lie in the room where
     * there is one and they fit.
     */
    static native ByteBuffer receive(long session, long consumer, int max, long waitMs, ByteBuffer room);

    /** Does a part of the work of a listener until it is closed, calling {@link Listener.Work#handle}. */
    static native void run(long listener, int part, Listener.Work work);

    /** Does nothing: what a call costs. */
    static native void nothing(long handle);

    /** A direct buffer of this length: the native library asks for it, and fills it. */
    static ByteBuffer direct(int length) {
        if (length > SHARED) {
            return ByteBuffer.allocateDirect(length);
        }
        ByteBuffer room = ROOMS.get();
        if (room == null || room.remaining() < length) {
            room = ByteBuffer.allocateDirect(ROOM);
            ROOMS.set(room);
        }
        int end = room.position() + length;
        ByteBuffer part = room.duplicate();
        part.limit(end);
        room.position(end);
        return part.slice();
    }

    /** Throws what the native library packed. */
    static void fail(byte[] packed) {
        throw RepliqException.read(new Unpacker(packed));
    }
}
