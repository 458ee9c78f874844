package repliq;

import java.util.Optional;

/** How an operation ended: with a commit, or with an error. */
public final class Event {
    private final long tag;
    private final Commit commit;
    private final RepliqException error;

    Event(Unpacker from) {
        tag = from.i64();
        boolean failed = from.flag();
        commit = failed ? null : from.commit();
        error = failed ? RepliqException.read(from) : null;
    }

    /**
     * The tag it was started with.
     *
     * @return any number
     */
    public long tag() {
        return tag;
    }

    /**
     * What it answered.
     *
     * @return empty where it failed
     */
    public Optional<Commit> commit() {
        return Optional.ofNullable(commit);
    }

    /**
     * Why it failed.
     *
     * @return empty where it did not
     */
    public Optional<RepliqException> error() {
        return Optional.ofNullable(error);
    }

    @Override
    public String toString() {
        return tag + ": " + (error == null ? commit.toString() : error.code().toString());
    }
}
