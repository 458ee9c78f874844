package repliq;

/** What a commit answers. A value. */
public final class Commit {
    private final Token token;
    private final Level level;

    Commit(Token token, Level level) {
        this.token = token;
        this.level = level;
    }

    /**
     * The token of the transaction.
     *
     * @return it; empty when nothing was written
     */
    public Token token() {
        return token;
    }

    /**
     * What it survives by now.
     *
     * @return at least the level asked for
     */
    public Level level() {
        return level;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Commit && ((Commit) other).token.equals(token) && ((Commit) other).level == level;
    }

    @Override
    public int hashCode() {
        return token.hashCode();
    }

    @Override
    public String toString() {
        return token + " (" + level + ")";
    }
}
