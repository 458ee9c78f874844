package repliq;

import java.nio.ByteBuffer;
import java.util.List;

/** A look at the queues of a store as they were, durably, without taking anything. Safe to use from several threads. */
public final class Snapshot implements AutoCloseable {
    private final Store store;
    private final Handle handle;

    Snapshot(Store store, long id) {
        this.store = store;
        handle = Handle.shared(this, "snapshot", id);
    }

    /**
     * Messages of a queue.
     *
     * @param queue of this store
     * @param from a sequence: 1 for the oldest there is, the last one plus 1 to go on
     * @param max as many at most
     * @return in the order of their queue; none at the end
     */
    public List<Message> browse(Queue queue, long from, int max) {
        Packer packed = new Packer(16).i32(store.own(queue)).i64(Check.positive(from, "from"));
        byte[] found = handle.call(Verb.SNAPSHOT_BROWSE, packed.i32(Check.positive(max, "max"))).all();
        return Message.read(ByteBuffer.wrap(found));
    }

    /** Ends the look. Does nothing the second time. */
    @Override
    public void close() {
        handle.close();
    }
}
