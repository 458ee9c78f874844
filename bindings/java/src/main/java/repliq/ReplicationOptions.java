package repliq;

/** How a replication is opened: {@code new Replication(root, o -> o.level(Level.PROCESS))}. */
public final class ReplicationOptions {
    private Level level;

    ReplicationOptions() {}

    /**
     * What its commits survive.
     *
     * @param level that of the store by default
     * @return this
     */
    public ReplicationOptions level(Level level) {
        this.level = Check.given(level, "level");
        return this;
    }

    void pack(Packer to) {
        to.level(level);
    }
}
