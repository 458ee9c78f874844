package repliq;

import java.util.Collections;
import java.util.Map;
import java.util.TreeMap;

/** What became of dead letters. */
public final class Redriven {
    private final long done;
    private final Map<Long, String> refused;

    Redriven(Unpacker from) {
        done = from.i64();
        Map<Long, String> read = new TreeMap<>();
        for (int left = from.i32(); left > 0; left--) {
            long sequence = from.i64();
            read.put(sequence, from.text());
        }
        refused = Collections.unmodifiableMap(read);
    }

    /**
     * How many were put back, or dropped.
     *
     * @return their number
     */
    public long done() {
        return done;
    }

    /**
     * Those that stay letters.
     *
     * @return by sequence, why
     */
    public Map<Long, String> refused() {
        return refused;
    }

    @Override
    public String toString() {
        return done + " were redriven, and refused " + refused;
    }
}
