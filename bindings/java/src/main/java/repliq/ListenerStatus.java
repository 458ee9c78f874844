package repliq;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;

/** What a listener has done. */
public final class ListenerStatus {
    private final long done;
    private final long failed;
    private final long dead;
    private final List<Parked> parked;
    private final RepliqException ended;

    /** As the library tells it, unless the work ended with an error of its own. */
    ListenerStatus(Unpacker from, RepliqException died) {
        done = from.i64();
        failed = from.i64();
        dead = from.i64();
        int count = from.i32();
        List<Parked> read = new ArrayList<>(count);
        for (int at = 0; at < count; at++) {
            read.add(new Parked(from.bytes(), from.text()));
        }
        parked = Collections.unmodifiableList(read);
        ended = from.flag() ? RepliqException.read(from) : died;
    }

    /** A key that was set aside. */
    public static final class Parked {
        private final byte[] key;
        private final String reason;

        Parked(byte[] key, String reason) {
            this.key = key;
            this.reason = reason;
        }

        /**
         * The key.
         *
         * @return a copy; empty for messages without one
         */
        public byte[] key() {
            return key.clone();
        }

        /**
         * Why.
         *
         * @return what the handler said
         */
        public String reason() {
            return reason;
        }
    }

    /**
     * Messages, or transactions, that were committed.
     *
     * @return how many
     */
    public long done() {
        return done;
    }

    /**
     * Failures of the handler.
     *
     * @return how many
     */
    public long failed() {
        return failed;
    }

    /**
     * Messages, or transactions, that were moved to the queue of dead letters.
     *
     * @return how many
     */
    public long dead() {
        return dead;
    }

    /**
     * Keys that were set aside.
     *
     * @return in their order
     */
    public List<Parked> parked() {
        return parked;
    }

    /**
     * Why it ended by itself.
     *
     * @return empty where it did not
     */
    public Optional<RepliqException> ended() {
        return Optional.ofNullable(ended);
    }
}
