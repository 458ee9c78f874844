package repliq.socketpro;

/** Another name of {@link CScopeUQueue}: here both are the same. */
public final class CUQueue extends CScopeUQueue {
    /** An empty packer. */
    public CUQueue() {}

    /**
     * Loads from a copy of these bytes.
     *
     * @param packed what was packed
     */
    public CUQueue(byte[] packed) {
        super(packed);
    }
}
