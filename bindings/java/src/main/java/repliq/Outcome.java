package repliq;

import java.util.Objects;
import java.util.Optional;

/** What became of a transaction. A value. */
public final class Outcome {
    private final State state;
    private final Token token;

    Outcome(Unpacker from) {
        state = State.values()[from.u8()];
        token = state == State.COMMITTED ? new Token(from.raw(Token.SIZE)) : null;
    }

    /** What may have become of it, in the order of the native library. */
    public enum State {
        /** It is committed, durably. */
        COMMITTED,
        /** It is not, and never will be. */
        ROLLED_BACK,
        /** It is not known yet: it is prepared, or its commit waits for other members of the group. */
        PENDING,
        /** Nobody knows any more: later transactions of its session were committed, or the session was forgotten. */
        EXPIRED
    }

    /**
     * What became of it.
     *
     * @return finally, but for {@link State#PENDING}
     */
    public State state() {
        return state;
    }

    /**
     * The token of one that is committed.
     *
     * @return empty otherwise
     */
    public Optional<Token> token() {
        return Optional.ofNullable(token);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Outcome && ((Outcome) other).state == state
            && Objects.equals(((Outcome) other).token, token);
    }

    @Override
    public int hashCode() {
        return Objects.hash(state, token);
    }

    @Override
    public String toString() {
        return token == null ? state.toString() : state + " " + token;
    }
}
