package repliq;

import java.util.Objects;

/** Where a consumer or a target begins that is new. */
public final class From {
    /** At the oldest message there is. */
    public static final From OLDEST = new From(0, 0);
    /** Behind the newest message there is. */
    public static final From NOW = new From(1, 0);

    private final int kind;
    private final long sequence;

    private From(int kind, long sequence) {
        this.kind = kind;
        this.sequence = sequence;
    }

    /**
     * At a sequence; a target can begin at none.
     *
     * @param sequence of the first message, from 1 on
     * @return where to begin
     * @throws RepliqException with {@link Code#INVALID} below 0
     */
    public static From sequence(long sequence) {
        return new From(2, Check.positive(sequence, "a sequence"));
    }

    int kind() {
        return kind;
    }

    long sequence() {
        return sequence;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof From && ((From) other).kind == kind && ((From) other).sequence == sequence;
    }

    @Override
    public int hashCode() {
        return Objects.hash(kind, sequence);
    }

    @Override
    public String toString() {
        return kind == 0 ? "oldest" : kind == 1 ? "now" : Long.toString(sequence);
    }
}
