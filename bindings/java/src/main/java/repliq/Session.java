package repliq;

import java.lang.ref.Reference;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/**
 * One transaction after the other, over any queues of a store. One thread at a time; others get {@link Code#BUSY} and do
 * not wait, also from {@link #close}, which rolls back what was not committed.
 *
 * <p>At a server, puts are staged while the program goes on: what it refuses is told by a later call, with
 * {@link Code#ROLLBACK_ONLY} and the first cause. A connection that is lost takes the open transaction with it
 * ({@link Code#ROLLED_BACK}), and the session goes on with the next one.
 */
public final class Session implements AutoCloseable {
    private static final String DOING = "waiting for messages";
    private static final int ROOM = 4096;

    private final Store store;
    private final Handle handle;
    private final Level level;
    private final boolean lent;
    /** Belongs to the thread inside. */
    private final Packer packer = new Packer(1024);
    private ByteBuffer room;

    Session(Store store, long id, Level level) {
        this(store, id, level, false);
    }

    private Session(Store store, long id, Level level, boolean lent) {
        this.store = store;
        this.level = level;
        this.lent = lent;
        handle = Handle.alone(this, "session", id);
    }

    /** Where small payloads are put from, which costs less than to let the native library ask for an array. */
    private ByteBuffer room(long id) {
        if (room == null) {
            ByteBuffer made = ByteBuffer.allocateDirect(ROOM);
            Native.room(id, made);
            room = made;
        }
        return room;
    }

    /** A session of a listener, whose handler puts into it and does nothing else. */
    static Session lent(Store store, long id) {
        return new Session(store, id, null, true);
    }

    /**
     * Adds a message to the transaction.
     *
     * @param queue of this store
     * @param payload its bytes; copied before this returns
     * @throws RepliqException with TOO_LARGE, PAUSED, OUT_OF_ORDER or NO_SUCH_NAME when it was not added
     */
    public void put(Queue queue, byte[] payload) {
        int number = store.own(queue);
        Check.given(payload, "the payload");
        long id = handle.enter();
        try {
            if (payload.length > ROOM) {
                Native.put(id, number, payload, payload.length, Native.PAYLOAD);
            } else {
                room(id).clear().put(payload);
                Native.put(id, number, null, payload.length, Native.PAYLOAD);
            }
        } finally {
            handle.leave();
            // The room must outlive the call.
            Reference.reachabilityFence(this);
        }
    }

    /**
     * Adds a message to the transaction, as {@link #put(Queue, byte[])} does.
     *
     * @param queue of this store
     * @param payload what remains of it, direct or not; copied before this returns, and left as it is
     */
    public void put(Queue queue, ByteBuffer payload) {
        int number = store.own(queue);
        int length = Check.given(payload, "the payload").remaining();
        if (length > ROOM) {
            put(queue, Message.of(payload));
            return;
        }
        long id = handle.enter();
        try {
            room(id).clear().put(payload.duplicate());
            Native.put(id, number, null, length, Native.PAYLOAD);
        } finally {
            handle.leave();
            Reference.reachabilityFence(this);
        }
    }

    /**
     * Adds a message to the transaction, as {@link #put(Queue, byte[])} does.
     *
     * @param queue of this store
     * @param message to be put
     */
    public void put(Queue queue, Message message) {
        putMany(queue, List.of(Check.given(message, "the message")));
    }

    /**
     * Adds messages to the transaction.
     *
     * @param queue of this store
     * @param messages all of them, or none
     * @throws RepliqException as {@link #put(Queue, byte[])} does; {@link RepliqException#messageIndex} says which one was
     *     refused
     */
    public void putMany(Queue queue, Collection<Message> messages) {
        int number = store.own(queue);
        Check.given(messages, "the messages");
        long id = handle.enter();
        try {
            Packer packed = packer.clear().messages(messages);
            Native.put(id, number, packed.bytes, packed.length, packed.form(messages.size()));
        } finally {
            handle.leave();
        }
    }

    /**
     * Receives messages into the transaction, waiting for the first; the commit acknowledges them.
     *
     * @param consumer of this store
     * @param max as many at most, at least 1
     * @param timeout as long at most; 0 for what is there
     * @return in the order of their queue; none when the time is over
     * @throws RepliqException with {@link Code#CANCELLED} when the thread is interrupted, which it stays, within 100 ms;
     *     with PAUSED, NO_SUCH_NAME, CLOSED or CORRUPT
     */
    public List<Message> receive(Consumer consumer, int max, Duration timeout) {
        return take(consumer, max, Check.given(timeout, "the timeout"), null);
    }

    /**
     * Receives messages as {@link #receive(Consumer, int, Duration)} does, into memory of the caller.
     *
     * @param consumer of this store
     * @param max as many at most, at least 1
     * @param timeout as long at most; 0 for what is there
     * @param room see {@link Consumer#receive(int, Duration, ByteBuffer)}
     * @return in the order of their queue; none when the time is over. They are of no use any more when the buffer is
     *     written again
     */
    public List<Message> receive(Consumer consumer, int max, Duration timeout, ByteBuffer room) {
        return take(consumer, max, Check.given(timeout, "the timeout"), Check.given(room, "the buffer"));
    }

    /**
     * Receives messages as {@link #receive(Consumer, int, Duration)} does, for as long as it takes.
     *
     * @param consumer of this store
     * @param max as many at most, at least 1
     * @return at least one
     */
    public List<Message> receive(Consumer consumer, int max) {
        return take(consumer, max, null, null);
    }

    private List<Message> take(Consumer consumer, int max, Duration timeout, ByteBuffer room) {
        Check.range(max, 1, Integer.MAX_VALUE, "max");
        Handle other = Check.given(consumer, "the consumer").handle();
        long id = own();
        try {
            ByteBuffer usable = Message.usable(room);
            ByteBuffer packed = Waits.slices(timeout, DOING, store.slice(), milliseconds -> {
                long from = other.enter();
                try {
                    return Native.receive(id, from, max, milliseconds, usable);
                } finally {
                    other.leave();
                }
            });
            return packed == null ? List.of() : Message.read(packed);
        } finally {
            handle.leave();
        }
    }

    /** Begins a call that a handler may not make. */
    private long own() {
        if (lent) {
            throw RepliqException.of(Code.BUSY,
                "the session is lent by a listener, which receives, commits and closes it");
        }
        return handle.enter();
    }

    private Unpacker call(int verb, Packer packed) {
        long id = own();
        try {
            return packed.call(verb, id);
        } finally {
            handle.leave();
        }
    }

    /**
     * The identity of the open transaction: {@link Store#resolve} tells what became of it, also after a crash, for 24 hours
     * after the session's last use.
     *
     * @return a value. In this process a session without a name is remembered from the first call on, which is a small
     *     transaction of its own
     */
    public TransactionId id() {
        return new TransactionId(call(Verb.SESSION_ID, new Packer(0)).all());
    }

    /**
     * Commits, and begins the next transaction.
     *
     * @return the token, and what it survives
     * @throws RepliqException with PAUSED, OUT_OF_ORDER, NO_SUCH_NAME or NO_SPACE when nothing was written: the transaction
     *     stands and can be tried again or rolled back; with STALE, ROLLED_BACK or FENCED when it is rolled back; with
     *     {@link Code#OUTCOME_UNKNOWN} when the disk failed and the next open decides, or when the server did not answer
     *     and {@link Store#resolve} tells
     */
    public Commit commit() {
        return call(Verb.SESSION_COMMIT, new Packer(1).level(level)).commit();
    }

    /**
     * Commits at the store's level without waiting, and begins the next transaction.
     *
     * @return see {@link Queue#putAsync(Message)}
     */
    public CompletableFuture<Commit> commitAsync() {
        return store.futures().start(store, this::start);
    }

    /**
     * Commits at the store's level without waiting, and begins the next transaction.
     *
     * @param port gets the outcome
     * @param tag under this number
     */
    public void commitStart(Port port, long tag) {
        Handle other = Check.given(port, "the port").handle();
        long id = other.enter();
        try {
            start(id, tag);
        } finally {
            other.leave();
        }
    }

    private void start(long port, long tag) {
        call(Verb.SESSION_COMMIT_START, new Packer(16).i64(port).i64(tag));
    }

    /**
     * Prepares the transaction for a coordinator outside, under no name; see {@link #prepare(byte[])}.
     *
     * @return its identity
     */
    public TransactionId prepare() {
        return prepare(new byte[0]);
    }

    /**
     * Prepares the transaction for a coordinator outside, and begins the next transaction. What it put is seen by nobody, and
     * what it received given to nobody, until {@link Store#finish} commits it or rolls it back, from wherever and whenever
     * that comes: also after a crash.
     *
     * @param xid what the coordinator calls it, at most 255 bytes
     * @return its identity
     * @throws RepliqException with {@link Code#QUOTA}, {@link Code#EXISTS}, {@link Code#BUSY} or {@link Code#TOO_LARGE} where
     *     1,024 are prepared, one has this xid, or messages of the same producer, or the xid is too long: the transaction
     *     stands; otherwise as {@link #commit()}
     */
    public TransactionId prepare(byte[] xid) {
        Packer packed = new Packer().bytes(Check.given(xid, "the xid"));
        return new TransactionId(call(Verb.SESSION_PREPARE, packed).all());
    }

    /** Forgets what was put and gives back what was received. */
    public void rollback() {
        call(Verb.SESSION_ROLLBACK, new Packer(0));
    }

    /**
     * Rolls back what was not committed, and ends the session. Does nothing the second time.
     *
     * @throws RepliqException with {@link Code#BUSY} for the session that a handler got, and while another thread is in it,
     *     whose call goes on
     */
    @Override
    public void close() {
        if (lent) {
            own();
        }
        handle.closeAlone();
    }

    /** Ends the loan. */
    void end() {
        handle.close();
    }
}
