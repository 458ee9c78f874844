package repliq;

import java.nio.ByteBuffer;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/** A queue of a store: a value. The store must be open when it is used. Safe to use from several threads. */
public final class Queue {
    private final Store store;
    private final int number;

    Queue(Store store, int number) {
        this.store = store;
        this.number = number;
    }

    Store store() {
        return store;
    }

    /**
     * Its number, which is the same as long as it exists.
     *
     * @return from 1 on
     */
    public int number() {
        return number;
    }

    /**
     * Its name.
     *
     * @return 1 to 255 bytes of UTF-8
     * @throws RepliqException with {@link Code#NO_SUCH_NAME} where it was deleted
     */
    public String name() {
        return store.handle().call(Verb.QUEUE_NAME, new Packer().i32(number)).rest();
    }

    /**
     * Puts a message as a transaction of its own and waits until it is as durable as the store's level says.
     *
     * @param payload its bytes; copied before this returns
     * @return the token
     * @throws RepliqException with TOO_LARGE, PAUSED, OUT_OF_ORDER, NO_SUCH_NAME, NO_SPACE or READ_ONLY when nothing was
     *     put; with {@link Code#OUTCOME_UNKNOWN} when the disk failed and the next open decides
     */
    public Commit put(byte[] payload) {
        return put(Message.of(payload));
    }

    /**
     * Puts a message as {@link #put(byte[])} does.
     *
     * @param payload what remains of it, direct or not; copied before this returns, and left as it is
     * @return the token
     */
    public Commit put(ByteBuffer payload) {
        return put(Message.of(payload));
    }

    /**
     * Puts a message as {@link #put(byte[])} does.
     *
     * @param message to be put
     * @return the token
     */
    public Commit put(Message message) {
        return putMany(List.of(Check.given(message, "the message")));
    }

    /**
     * Puts a message as {@link #put(byte[])} does.
     *
     * @param message to be put
     * @param level what it has to survive when this returns
     * @return the token
     */
    public Commit put(Message message, Level level) {
        return putMany(List.of(Check.given(message, "the message")), level);
    }

    /**
     * Puts messages as one transaction.
     *
     * @param messages all of them, or none
     * @return the token
     * @throws RepliqException as {@link #put(byte[])} does; {@link RepliqException#messageIndex} says which one was
     *     refused
     */
    public Commit putMany(Collection<Message> messages) {
        return put(messages, null);
    }

    /**
     * Puts messages as {@link #putMany(Collection)} does.
     *
     * @param messages all of them, or none
     * @param level what they have to survive when this returns
     * @return the token
     */
    public Commit putMany(Collection<Message> messages, Level level) {
        return put(messages, Check.given(level, "level"));
    }

    private Commit put(Collection<Message> messages, Level level) {
        Packer packed = new Packer(256).i32(number).level(level).messages(Check.given(messages, "the messages"));
        return store.handle().call(Verb.STORE_PUT, packed).commit();
    }

    /**
     * Puts a message at the store's level without waiting.
     *
     * @param message to be put
     * @return ends when it is durable, or with a {@link RepliqException}; on a thread of the library, so what takes long
     *     belongs into {@code thenApplyAsync}. Cancelling it does not undo the put
     */
    public CompletableFuture<Commit> putAsync(Message message) {
        return putManyAsync(List.of(Check.given(message, "the message")));
    }

    /**
     * Puts a message at the store's level without waiting, as {@link #putAsync(Message)} does.
     *
     * @param payload its bytes; copied before this returns
     * @return ends when it is durable
     */
    public CompletableFuture<Commit> putAsync(byte[] payload) {
        return putAsync(Message.of(payload));
    }

    /**
     * Puts messages as one transaction at the store's level without waiting, as {@link #putAsync(Message)} does.
     *
     * @param messages all of them, or none
     * @return ends when they are durable
     */
    public CompletableFuture<Commit> putManyAsync(Collection<Message> messages) {
        Check.given(messages, "the messages");
        return store.futures().start(store, (port, tag) -> start(messages, port, tag));
    }

    /**
     * Puts messages as one transaction at the store's level without waiting.
     *
     * @param messages all of them, or none
     * @param port gets the outcome
     * @param tag under this number
     */
    public void putStart(Collection<Message> messages, Port port, long tag) {
        Check.given(messages, "the messages");
        Handle handle = Check.given(port, "the port").handle();
        long id = handle.enter();
        try {
            start(messages, id, tag);
        } finally {
            handle.leave();
        }
    }

    private void start(Collection<Message> messages, long port, long tag) {
        Packer packed = new Packer(256).i32(number).i64(port).i64(tag).messages(messages);
        store.handle().call(Verb.STORE_PUT_START, packed);
    }

    private Commit call(int verb) {
        return store.handle().call(verb, new Packer().i32(number)).commit();
    }

    /**
     * Refuses puts and receives with {@link Code#PAUSED} until {@link #resume}, also after the next open.
     *
     * @return the token
     */
    public Commit pause() {
        return call(Verb.QUEUE_PAUSE);
    }

    /**
     * Accepts puts and receives again.
     *
     * @return the token
     */
    public Commit resume() {
        return call(Verb.QUEUE_RESUME);
    }

    /**
     * Drops every message that is in it now; sequences go on.
     *
     * @return the token
     */
    public Commit purge() {
        return call(Verb.QUEUE_PURGE);
    }

    /**
     * Puts its dead letters back where they came from, the oldest first. One that was worked on in the order of its key
     * comes again at its place; where something newer of its key was acknowledged since, it is refused, and stays. At a
     * server this needs the right {@code admin} on the queue and on those its letters came from.
     *
     * @return how many went, and which stay
     * @throws RepliqException with {@link Code#BUSY} while another call is at it, {@link Code#DENIED} without the right
     */
    public Redriven redrive() {
        return redrive(0, false);
    }

    /**
     * Puts its dead letters back as {@link #redrive()} does, or drops them.
     *
     * @param max as many at most; 0 for all
     * @param drop whether they are dropped: the rest of their keys goes on without them
     * @return how many went, and which stay
     */
    public Redriven redrive(long max, boolean drop) {
        if (max < 0) {
            throw Check.invalid("max is " + max + ", which is less than 0");
        }
        return new Redriven(store.handle().call(Verb.QUEUE_REDRIVE, new Packer().i32(number).i64(max).flag(drop)));
    }

    /**
     * Deletes it with its messages and consumers.
     *
     * @return the token
     */
    public Commit delete() {
        return call(Verb.QUEUE_DELETE);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Queue && ((Queue) other).store == store && ((Queue) other).number == number;
    }

    @Override
    public int hashCode() {
        return number;
    }

    @Override
    public String toString() {
        return "queue " + number;
    }
}
