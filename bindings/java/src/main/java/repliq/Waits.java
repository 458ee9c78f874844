package repliq;

import java.time.Duration;

/**
 * Calls that wait: cut into slices, between which an interrupt of the thread is seen. A wait for a server is one piece,
 * since each slice of it would be a request: there the native library looks for the interrupt in the middle.
 */
final class Waits {
    /** The longest time without a look at the interrupt, in milliseconds. */
    static final long SLICE_MS = 25;
    /** The length of a wait for a server: as long as it takes. */
    static final long WHOLE_MS = Long.MAX_VALUE / 4_000_000;
    private static final long MILLI = 1_000_000;

    private Waits() {}

    /** One slice of a wait of so many milliseconds; null when nothing came. */
    interface Slice<T> {
        T pass(long milliseconds);
    }

    /** A slice that fails with TIMEOUT when its time is over. */
    interface Attempt {
        void pass(long milliseconds);
    }

    /** How long a wait may be in nanoseconds, capped; what is below 0 is 0. */
    static long nanoseconds(Duration time, String name) {
        Check.given(time, name);
        if (time.isNegative()) {
            return 0;
        }
        try {
            return Math.min(time.toNanos(), Long.MAX_VALUE / 4);
        } catch (ArithmeticException error) {
            return Long.MAX_VALUE / 4;
        }
    }

    /** Throws CANCELLED where the thread is interrupted; it stays interrupted. */
    static void look(String doing) {
        if (Thread.currentThread().isInterrupted()) {
            throw RepliqException.of(Code.CANCELLED, "the thread was interrupted while " + doing);
        }
    }

    /** Waits at most so long, or for ever where there is no time; null when the time is over. */
    static <T> T slices(Duration timeout, String doing, Slice<T> slice) {
        return slices(timeout, doing, SLICE_MS, slice);
    }

    /** The same in slices of at most so many milliseconds. */
    static <T> T slices(Duration timeout, String doing, long most, Slice<T> slice) {
        look(doing);
        long deadline = timeout == null ? 0 : System.nanoTime() + nanoseconds(timeout, "the timeout");
        for (;;) {
            long left = timeout == null ? most * MILLI : deadline - System.nanoTime();
            long milliseconds = Math.min(most, Math.max(0, (left + MILLI - 1) / MILLI));
            T found = slice.pass(milliseconds);
            if (found != null) {
                return found;
            }
            look(doing);
            if (timeout != null && deadline - System.nanoTime() <= 0) {
                return null;
            }
        }
    }

    /** The same for a call that fails with TIMEOUT when its time is over. */
    static void attempts(Duration timeout, String doing, Attempt attempt) {
        attempts(timeout, doing, SLICE_MS, attempt);
    }

    /** The same in slices of at most so many milliseconds. */
    static void attempts(Duration timeout, String doing, long most, Attempt attempt) {
        RepliqException[] late = new RepliqException[1];
        Boolean done = slices(timeout, doing, most, milliseconds -> {
            try {
                attempt.pass(milliseconds);
                return Boolean.TRUE;
            } catch (RepliqException.Timeout error) {
                late[0] = error;
                return null;
            }
        });
        if (done == null) {
            throw late[0];
        }
    }
}
