package repliq;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/**
 * A queue of finished operations, for event loops; {@link Queue#putAsync} and {@link Session#commitAsync} have one of their
 * own. Safe to use from several threads.
 */
public final class Port implements AutoCloseable {
    private static final String DOING = "waiting for the events of a port";

    private final Handle handle;

    private Port(long id) {
        handle = Handle.shared(this, "port", id);
    }

    /**
     * Opens a port. It has no thread.
     *
     * @return to be closed
     */
    public static Port open() {
        Library.load();
        return new Port(new Packer().call(Verb.PORT_OPEN, 0).i64());
    }

    /**
     * A descriptor that is readable while events wait, for those who can wait for one outside of Java.
     *
     * @return it belongs to the port
     */
    public int fd() {
        return handle.call(Verb.PORT_FD).i32();
    }

    /**
     * Takes events, waiting for the first; who waits here also does the syncs.
     *
     * @param max as many at most
     * @param timeout as long at most; 0 for not at all
     * @return none when the time is over
     * @throws RepliqException with {@link Code#CANCELLED} when the thread is interrupted, which it stays, within 100 ms;
     *     with {@link Code#CLOSED} after a close
     */
    public List<Event> drain(int max, Duration timeout) {
        Check.given(timeout, "the timeout");
        Check.positive(max, "max");
        List<Event> events = Waits.slices(timeout, DOING, milliseconds -> slice(max, milliseconds));
        return events == null ? List.of() : events;
    }

    /** One slice of it; null for none. */
    List<Event> slice(int max, long milliseconds) {
        Unpacker answer = handle.call(Verb.PORT_DRAIN, new Packer().i32(max).i64(milliseconds));
        int count = answer.i32();
        List<Event> events = new ArrayList<>(count);
        for (int at = 0; at < count; at++) {
            events.add(new Event(answer));
        }
        return events.isEmpty() ? null : events;
    }

    /**
     * Ends the waiting for the operations with a tag: each gives an event with {@link Code#CANCELLED} now. What was
     * started goes on and may still be committed.
     *
     * @param tag of the operations
     * @throws RepliqException with {@link Code#NO_SUCH_NAME} where none is under way
     */
    public void cancel(long tag) {
        handle.call(Verb.PORT_CANCEL, new Packer().i64(tag));
    }

    /** Ends it; who waits in {@link #drain} gets {@link Code#CLOSED}. */
    @Override
    public void close() {
        Handles.close(handle, Verb.PORT_CLOSE);
    }

    Handle handle() {
        return handle;
    }
}
