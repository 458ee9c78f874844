package repliq;

import java.util.Optional;

/** A target as it is. */
public final class TargetStatus {
    private final String name;
    private final String url;
    private final String state;
    private final String position;
    private final long lagMessages;
    private final long lagBytes;
    private final long lagMs;
    private final String lastError;
    private final String refused;
    private final long rewinds;
    private final long skipped;
    private final long gaps;
    private final long orphans;

    TargetStatus(Unpacker from) {
        name = from.text();
        url = from.text();
        state = from.text();
        position = from.text();
        lagMessages = from.i64();
        lagBytes = from.i64();
        lagMs = from.i64();
        lastError = from.text();
        refused = from.text();
        rewinds = from.i64();
        skipped = from.i64();
        gaps = from.i64();
        orphans = from.i64();
    }

    /**
     * Its name.
     *
     * @return as it was added
     */
    public String name() {
        return name;
    }

    /**
     * Where it is.
     *
     * @return without a password
     */
    public String url() {
        return url;
    }

    /**
     * What its link does.
     *
     * @return {@code connecting}, {@code connected}, {@code streaming}, {@code failed}, {@code stopped} or {@code closed}
     */
    public String state() {
        return state;
    }

    /**
     * Whether its link is connected and logged in.
     *
     * @return whether it is
     */
    public boolean isConnected() {
        return state.equals("connected") || state.equals("streaming");
    }

    /**
     * Everything up to here is stored there, durably.
     *
     * @return a text for people
     */
    public String position() {
        return position;
    }

    /**
     * Messages of the root it has not confirmed.
     *
     * @return how many
     */
    public long lagMessages() {
        return lagMessages;
    }

    /**
     * Bytes of them.
     *
     * @return how many
     */
    public long lagBytes() {
        return lagBytes;
    }

    /**
     * Age of the oldest of them.
     *
     * @return milliseconds
     */
    public long lagMs() {
        return lagMs;
    }

    /**
     * What went wrong last.
     *
     * @return a text for people
     */
    public Optional<String> lastError() {
        return Optional.ofNullable(lastError);
    }

    /**
     * The transaction it refuses, and why.
     *
     * @return a text for people
     */
    public Optional<String> refused() {
        return Optional.ofNullable(refused);
    }

    /**
     * How often it went back to an older state.
     *
     * @return times
     */
    public long rewinds() {
        return rewinds;
    }

    /**
     * Transactions that were set aside for it.
     *
     * @return how many
     */
    public long skipped() {
        return skipped;
    }

    /**
     * Gaps that were accepted.
     *
     * @return how many
     */
    public long gaps() {
        return gaps;
    }

    /**
     * Transactions it has that are in no history any more.
     *
     * @return how many
     */
    public long orphans() {
        return orphans;
    }

    @Override
    public String toString() {
        return name + ": " + state;
    }
}
