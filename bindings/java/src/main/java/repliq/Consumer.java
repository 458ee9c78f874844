package repliq;

import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Collection;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.stream.Collectors;

/**
 * A named, durable reader of a queue. Safe to use from several threads.
 *
 * <p>As an {@code Iterable} it hands out what is there, message by message, and ends when nothing is left. A message is
 * acknowledged when the next one is asked for, so a body that throws or breaks leaves its message in the queue.
 */
public final class Consumer implements AutoCloseable, Iterable<Message> {
    private static final String DOING = "waiting for messages";

    private final Store store;
    private final String name;
    private final Queue queue;
    private final Handle handle;

    Consumer(Store store, String name, Queue queue, long id) {
        this.store = store;
        this.name = name;
        this.queue = queue;
        handle = Handle.shared(this, "consumer", id);
    }

    Handle handle() {
        return handle;
    }

    /**
     * Its name.
     *
     * @return as it was opened
     */
    public String name() {
        return name;
    }

    /**
     * Its queue.
     *
     * @return as it was opened
     */
    public Queue queue() {
        return queue;
    }

    /**
     * Receives messages, waiting for the first. Each comes again unless it is acknowledged.
     *
     * @param max as many at most, at least 1
     * @param timeout as long at most; 0 for what is there
     * @return in the order of their queue; none when the time is over
     * @throws RepliqException with {@link Code#CANCELLED} when the thread is interrupted, which it stays, within 100 ms;
     *     with PAUSED, NO_SUCH_NAME, CLOSED or CORRUPT
     */
    public List<Message> receive(int max, Duration timeout) {
        return take(max, Check.given(timeout, "the timeout"), null);
    }

    /**
     * Receives messages as {@link #receive(int, Duration)} does, into memory of the caller, which spares the JVM to get
     * some for each call.
     *
     * @param max as many at most, at least 1
     * @param timeout as long at most; 0 for what is there
     * @param room a direct buffer, all of which is used; 256 bytes and the payload for each message are enough. Where it is
     *     not direct, can only be read, or is too small, the messages get memory of their own
     * @return in the order of their queue; none when the time is over. The messages and their views are of no use any more
     *     when the buffer is written again, and others are seen in their place
     */
    public List<Message> receive(int max, Duration timeout, ByteBuffer room) {
        return take(max, Check.given(timeout, "the timeout"), Check.given(room, "the buffer"));
    }

    /**
     * Receives messages as {@link #receive(int, Duration)} does, for as long as it takes.
     *
     * @param max as many at most, at least 1
     * @return at least one
     */
    public List<Message> receive(int max) {
        return take(max, null, null);
    }

    private List<Message> take(int max, Duration timeout, ByteBuffer room) {
        Check.range(max, 1, Integer.MAX_VALUE, "max");
        ByteBuffer usable = Message.usable(room);
        ByteBuffer packed = Waits.slices(timeout, DOING, store.slice(), milliseconds -> {
            long id = handle.enter();
            try {
                return Native.receive(0, id, max, milliseconds, usable);
            } finally {
                handle.leave();
            }
        });
        return packed == null ? List.of() : Message.read(packed);
    }

    /**
     * Waits for messages without a thread.
     *
     * @param port gets an event once a receive may give something, or would fail
     * @param tag under this number
     */
    public void watch(Port port, long tag) {
        Handle other = Check.given(port, "the port").handle();
        long id = other.enter();
        try {
            handle.call(Verb.CONSUMER_WATCH, new Packer(16).i64(id).i64(tag));
        } finally {
            other.leave();
        }
    }

    private static Packer sequences(Collection<Long> sequences) {
        return sequences(sequences, new Packer());
    }

    private static Packer sequences(Collection<Long> sequences, Packer packed) {
        packed.i32(Check.given(sequences, "the sequences").size());
        for (Long sequence : sequences) {
            packed.i64(Check.given(sequence, "a sequence"));
        }
        return packed;
    }

    private static List<Long> sequences(List<Message> messages) {
        return Check.given(messages, "the messages").stream()
            .map(message -> Check.given(message, "a message").sequence()).collect(Collectors.toList());
    }

    /**
     * Acknowledges messages as a transaction of its own.
     *
     * @param messages in any order, at least one
     * @return the token
     */
    public Commit ack(List<Message> messages) {
        return ackSequences(sequences(messages));
    }

    /**
     * Acknowledges a message as a transaction of its own.
     *
     * @param message that was received
     * @return the token
     */
    public Commit ack(Message message) {
        return ack(List.of(Check.given(message, "the message")));
    }

    /**
     * Acknowledges messages as {@link #ack(List)} does.
     *
     * @param sequences of them
     * @return the token
     */
    public Commit ackSequences(Collection<Long> sequences) {
        return handle.call(Verb.CONSUMER_ACK, sequences(sequences)).commit();
    }

    /**
     * Gives messages back: they come again, in order, before newer ones.
     *
     * @param messages that were received
     */
    public void reject(List<Message> messages) {
        rejectSequences(sequences(messages));
    }

    /**
     * Gives messages back: they come again, in order, after a while, which outlasts a reopen.
     *
     * @param messages that were received
     * @param delay taken to the millisecond; 0 as the options of the consumer say
     */
    public void reject(List<Message> messages, Duration delay) {
        reject(messages, delay, "");
    }

    /**
     * Gives messages back as {@link #reject(List, Duration)} does.
     *
     * @param messages that were received
     * @param delay taken to the millisecond; 0 as the options of the consumer say
     * @param reason why; kept where a message becomes a dead letter
     */
    public void reject(List<Message> messages, Duration delay, String reason) {
        rejectSequences(sequences(messages), delay, reason);
    }

    /**
     * Gives messages back: they come again behind all that is in the queue now, in the order in which they are named, and
     * that outlasts a reopen. {@link Code#INVALID} for a consumer that conflates.
     *
     * @param messages that were received
     * @param delay taken to the millisecond; 0 as the options of the consumer say
     * @param reason why; kept where a message becomes a dead letter
     */
    public void rejectToEnd(List<Message> messages, Duration delay, String reason) {
        rejectToEndSequences(sequences(messages), delay, reason);
    }

    /**
     * Keeps messages for another lease from now on.
     *
     * @param messages that were received
     */
    public void renew(List<Message> messages) {
        renewSequences(sequences(messages));
    }

    /**
     * Keeps messages as {@link #renew(List)} does.
     *
     * @param sequences of them
     */
    public void renewSequences(Collection<Long> sequences) {
        handle.call(Verb.CONSUMER_RENEW, sequences(sequences));
    }

    /**
     * Gives messages back as {@link #reject(List)} does.
     *
     * @param sequences of them
     */
    public void rejectSequences(Collection<Long> sequences) {
        rejectSequences(sequences, Duration.ZERO, "");
    }

    /**
     * Gives messages back as {@link #reject(List, Duration, String)} does.
     *
     * @param sequences of them
     * @param delay taken to the millisecond; 0 as the options of the consumer say
     * @param reason why; kept where a message becomes a dead letter
     */
    public void rejectSequences(Collection<Long> sequences, Duration delay, String reason) {
        reject(sequences, delay, reason, false);
    }

    /**
     * Gives messages back as {@link #rejectToEnd(List, Duration, String)} does.
     *
     * @param sequences of them
     * @param delay taken to the millisecond; 0 as the options of the consumer say
     * @param reason why; kept where a message becomes a dead letter
     */
    public void rejectToEndSequences(Collection<Long> sequences, Duration delay, String reason) {
        reject(sequences, delay, reason, true);
    }

    private void reject(Collection<Long> sequences, Duration delay, String reason, boolean toEnd) {
        Packer packed = new Packer().i64(Check.milliseconds(delay, "delay")).text(Check.given(reason, "the reason"));
        handle.call(Verb.CONSUMER_REJECT, sequences(sequences, packed.flag(toEnd)));
    }

    /**
     * Goes on with a sequence: what is before counts as acknowledged, from it on nothing does.
     *
     * @param sequence of the next message
     * @return the token
     */
    public Commit seek(long sequence) {
        return handle.call(Verb.CONSUMER_SEEK, new Packer(8).i64(sequence)).commit();
    }

    /**
     * Calls a handler for each message, on a thread of its own; see {@link Listener}.
     *
     * @param handler what to do with a message
     * @return to be closed. The consumer belongs to it from now on
     */
    public Listener listen(Listener.Handler handler) {
        return listen(handler, options -> {});
    }

    /**
     * Calls a handler as {@link #listen(Listener.Handler)} does.
     *
     * @param handler what to do with a message
     * @param set sets options
     * @return to be closed
     */
    public Listener listen(
            Listener.Handler handler, java.util.function.Consumer<? super ListenerOptions> set) {
        Check.given(handler, "the handler");
        return open(Unit.MESSAGE, (session, unit) -> handler.handle(session, unit.get(0)), set);
    }

    /**
     * Calls a handler for all messages of each transaction, on a thread of its own; see {@link Listener}.
     *
     * @param handler what to do with the messages of a transaction
     * @return to be closed. The consumer belongs to it from now on
     */
    public Listener listenJobs(Listener.JobHandler handler) {
        return listenJobs(handler, options -> {});
    }

    /**
     * Calls a handler as {@link #listenJobs(Listener.JobHandler)} does.
     *
     * @param handler what to do with the messages of a transaction
     * @param set sets options
     * @return to be closed
     */
    public Listener listenJobs(
            Listener.JobHandler handler, java.util.function.Consumer<? super ListenerOptions> set) {
        return open(Unit.JOB, Check.given(handler, "the handler"), set);
    }

    private Listener open(
            Unit unit, Listener.JobHandler handler, java.util.function.Consumer<? super ListenerOptions> set) {
        ListenerOptions options = new ListenerOptions();
        Check.given(set, "the options").accept(options);
        Handle opened = store.handle();
        long id = opened.enter();
        try {
            Packer packed = new Packer().i64(handle.give());
            options.pack(packed, unit);
            Unpacker answer = packed.call(Verb.LISTENER_OPEN, id);
            long listener = answer.i64();
            Session[] sessions = new Session[answer.i32()];
            for (int at = 0; at < sessions.length; at++) {
                sessions[at] = Session.lent(store, answer.i64());
            }
            return new Listener(name, listener, sessions, handler);
        } finally {
            opened.leave();
        }
    }

    /** Hands out what is there, and ends when nothing is left. */
    @Override
    public Iterator<Message> iterator() {
        return new Each(Duration.ZERO);
    }

    /**
     * Hands out messages as the consumer itself does, and ends when nothing came for so long.
     *
     * @param timeout of each wait
     * @return to be used once
     */
    public Iterable<Message> each(Duration timeout) {
        Check.given(timeout, "the timeout");
        return () -> new Each(timeout);
    }

    /** Ends the use; who waits in a receive gets {@link Code#CLOSED}. What was not acknowledged comes again. */
    @Override
    public void close() {
        Handles.close(handle, Verb.CONSUMER_CLOSE);
    }

    /** The messages one by one; each is acknowledged when the next is asked for. */
    private final class Each implements Iterator<Message> {
        private final Duration timeout;
        private Message current;
        private Message next;

        Each(Duration timeout) {
            this.timeout = timeout;
        }

        @Override
        public boolean hasNext() {
            if (next == null) {
                if (current != null) {
                    ack(current);
                    current = null;
                }
                List<Message> received = receive(1, timeout);
                next = received.isEmpty() ? null : received.get(0);
            }
            return next != null;
        }

        @Override
        public Message next() {
            if (!hasNext()) {
                throw new NoSuchElementException("nothing is left in the queue");
            }
            current = next;
            next = null;
            return current;
        }
    }
}
