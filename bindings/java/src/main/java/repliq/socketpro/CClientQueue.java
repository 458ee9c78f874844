package repliq.socketpro;

/** A root or a target as it was when it was asked for. A value: there is nothing to close. */
public final class CClientQueue {
    private final String name;
    private final String directory;
    private final int ttl;
    private final boolean secure;
    private final long messages;
    private final boolean available;
    private final boolean connected;
    private final String lastError;

    /** Before the start. */
    CClientQueue() {
        this("", "", 0, false, false);
    }

    CClientQueue(String name, String directory, int ttl, boolean secure, boolean available) {
        this(name, directory, ttl, secure, available, 0, false, "");
    }

    private CClientQueue(
            String name,
            String directory,
            int ttl,
            boolean secure,
            boolean available,
            long messages,
            boolean connected,
            String lastError) {
        this.name = name;
        this.directory = directory;
        this.ttl = ttl;
        this.secure = secure;
        this.available = available;
        this.messages = messages;
        this.connected = connected;
        this.lastError = lastError;
    }

    /** The same in this state. */
    CClientQueue in(long messages, boolean connected, String lastError) {
        return new CClientQueue(name, directory, ttl, secure, available, messages, connected, lastError);
    }

    /**
     * The name of the root or of the target.
     *
     * @return empty before Start
     */
    public String getQueueName() {
        return name;
    }

    /**
     * The directory of the store.
     *
     * @return with a separator at its end; empty before Start
     */
    public String getQueueFileName() {
        return directory;
    }

    /**
     * Messages that the target, or any target of the root, has not confirmed.
     *
     * @return how many
     */
    public long getMessageCount() {
        return messages;
    }

    /**
     * Open.
     *
     * @return whether it is
     */
    public boolean getAvailable() {
        return available;
    }

    /**
     * The store is encrypted.
     *
     * @return whether it is
     */
    public boolean getSecure() {
        return secure;
    }

    /**
     * Seconds after its send at which a request expires.
     *
     * @return unsigned; 0 before Start
     */
    public int getTTL() {
        return ttl;
    }

    /**
     * Connected and logged in; of the root: any of the targets.
     *
     * @return whether it is
     */
    public boolean getConnected() {
        return connected;
    }

    /**
     * Why the link failed last.
     *
     * @return empty for no failure, and for the root
     */
    public String getLastError() {
        return lastError;
    }
}
