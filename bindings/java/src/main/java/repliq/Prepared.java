package repliq;

import java.time.Instant;
import java.util.Optional;

/** A prepared transaction that waits, or one that was ended by hand; see {@link Store#prepared}. */
public final class Prepared {
    private final TransactionId id;
    private final byte[] xid;
    private final String user;
    private final Instant since;
    private final long messages;
    private final long bytes;
    private final long held;
    private final State state;
    private final Token token;
    private final String endedBy;
    private final Instant ended;

    Prepared(Unpacker from) {
        id = new TransactionId(from.raw(TransactionId.SIZE));
        xid = from.bytes();
        user = from.text();
        since = Instant.ofEpochMilli(from.i64());
        messages = from.i64();
        bytes = from.i64();
        held = from.i64();
        state = State.values()[from.u8()];
        boolean waits = state == State.PREPARED;
        token = waits ? null : new Token(from.raw(Token.SIZE));
        endedBy = waits ? null : from.text();
        ended = waits ? null : Instant.ofEpochMilli(from.i64());
    }

    /** Whether it waits, or how it ended. */
    public enum State {
        /** It waits for {@link Store#finish}. */
        PREPARED,
        /** It was committed by hand. */
        COMMITTED,
        /** It was rolled back by hand. */
        ROLLED_BACK
    }

    /**
     * Its identity.
     *
     * @return for {@link Store#finish} and {@link Store#resolve}
     */
    public TransactionId id() {
        return id;
    }

    /**
     * What its coordinator calls it.
     *
     * @return a copy; empty for nothing
     */
    public byte[] xid() {
        return xid.clone();
    }

    /**
     * Whose it is.
     *
     * @return a user of the server; empty for whoever opened the directory
     */
    public String user() {
        return user;
    }

    /**
     * When it was prepared.
     *
     * @return by the clock of the store
     */
    public Instant since() {
        return since;
    }

    /**
     * Messages it puts.
     *
     * @return how many
     */
    public long messages() {
        return messages;
    }

    /**
     * Bytes it puts.
     *
     * @return how many
     */
    public long bytes() {
        return bytes;
    }

    /**
     * Messages it has received, which nobody else gets.
     *
     * @return how many
     */
    public long held() {
        return held;
    }

    /**
     * Whether it waits, or how it ended.
     *
     * @return its state
     */
    public State state() {
        return state;
    }

    /**
     * Where it is in the order of commits.
     *
     * @return empty while it waits
     */
    public Optional<Token> token() {
        return Optional.ofNullable(token);
    }

    /**
     * Who ended it.
     *
     * @return a user of the server, or an empty text for whoever opened the directory; nothing while it waits
     */
    public Optional<String> endedBy() {
        return Optional.ofNullable(endedBy);
    }

    /**
     * When it was ended.
     *
     * @return nothing while it waits
     */
    public Optional<Instant> ended() {
        return Optional.ofNullable(ended);
    }

    @Override
    public String toString() {
        return id + " " + state;
    }
}
