package repliq;

import java.util.List;

/** A store that others can reach. Safe to use from several threads. */
public final class Server implements AutoCloseable {
    private final Store store;
    private final Handle handle;

    /**
     * Opens a server.
     *
     * @param store what others reach; it must stay open
     * @param set sets options: at least the users, and how they connect
     * @throws RepliqException with {@link Code#LOCKED} for an address in use; {@link Code#INVALID}; {@link Code#CERTIFICATE}
     */
    public Server(Store store, java.util.function.Consumer<? super ServerOptions> set) {
        this.store = Check.given(store, "the store");
        Packer packed = Options.set(new Packer(), new ServerOptions(), set);
        handle = Handle.shared(this, "server", store.handle().call(Verb.SERVER_OPEN, packed).i64());
    }

    /**
     * The store.
     *
     * @return as it was given
     */
    public Store store() {
        return store;
    }

    /**
     * Where it listens for TCP.
     *
     * @return {@code address:port} each, with the ports it got
     */
    public List<String> addresses() {
        String text = handle.call(Verb.SERVER_ADDRESSES).rest();
        return text.isEmpty() ? List.of() : List.of(text.split("\n"));
    }

    /**
     * Who is connected, and what came of strangers.
     *
     * @return as it is now
     */
    public Status status() {
        return new Status(handle.call(Verb.SERVER_STATUS).rest());
    }

    /** Reads users, certificate and key again; users that changed are cut off at once. */
    public void reload() {
        handle.call(Verb.SERVER_RELOAD);
    }

    /** Ends all connections. Does nothing the second time. */
    @Override
    public void close() {
        Handles.close(handle, Verb.SERVER_CLOSE);
    }
}
