package repliq;

import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Optional;

/** A root queue that reaches every target, in order, once, job by job. Safe to use from several threads. */
public final class Replication implements AutoCloseable {
    private static final String DOING = "waiting for the targets";

    private final Queue root;
    private final Handle handle;
    private volatile Token last;

    /**
     * Replicates a queue, at the level of its store.
     *
     * @param root the queue
     */
    public Replication(Queue root) {
        this(root, options -> {});
    }

    /**
     * Replicates a queue.
     *
     * @param root the queue
     * @param set sets options
     */
    public Replication(Queue root, java.util.function.Consumer<? super ReplicationOptions> set) {
        this.root = Check.given(root, "the root");
        Packer packed = new Packer().i32(root.number());
        ReplicationOptions options = new ReplicationOptions();
        Check.given(set, "the options").accept(options);
        options.pack(packed);
        handle = Handle.shared(this, "replication", root.store().handle().call(Verb.REPLICATION_OPEN, packed).i64());
    }

    /** What to do inside of a job. */
    public interface Job<E extends Exception> {
        /**
         * Sends what belongs to the job.
         *
         * @throws E to give the job up
         */
        void run() throws E;
    }

    /**
     * Adds a target and starts its link; returns at once, connected or not.
     *
     * @param name of the target; one that the store knows goes on where it was
     * @param url {@code repliq://user@host:port}, with {@code /queue} where the queue at the target has another name than
     *     the root, or {@code repliq+unix:///path}
     * @throws RepliqException with {@link Code#EXISTS} when it is added already; {@link Code#INVALID} for a bad URL or name or
     *     a missing user or password
     */
    public void add(String name, String url) {
        add(name, url, options -> {});
    }

    /**
     * Adds a target as {@link #add(String, String)} does.
     *
     * @param name of the target
     * @param url where it is
     * @param set sets options
     * @throws RepliqException with CERTIFICATE or IO for a file of authorities that cannot be used
     */
    public void add(String name, String url, java.util.function.Consumer<? super TargetOptions> set) {
        Packer packed = new Packer().text(Check.given(name, "the name")).text(Check.given(url, "the URL"));
        handle.call(Verb.REPLICATION_ADD, Options.set(packed, new TargetOptions(), set));
    }

    private void of(int verb, String name) {
        handle.call(verb, new Packer().text(Check.given(name, "the name")));
    }

    /**
     * Ends a target for good: messages only it waited for may go.
     *
     * @param name of the target
     * @throws RepliqException with {@link Code#NO_SUCH_NAME}
     */
    public void remove(String name) {
        of(Verb.REPLICATION_REMOVE, name);
    }

    /**
     * Sets the transaction aside that a target refuses, for this target only.
     *
     * @param name of the target
     * @throws RepliqException with {@link Code#NO_SUCH_NAME}; with {@link Code#INVALID} when it refuses none
     */
    public void skip(String name) {
        of(Verb.REPLICATION_SKIP, name);
    }

    /**
     * Lets a target go on that is behind what is still kept.
     *
     * @param name of the target
     * @throws RepliqException with {@link Code#NO_SUCH_NAME}
     */
    public void acceptGap(String name) {
        of(Verb.REPLICATION_ACCEPT_GAP, name);
    }

    /**
     * Sends a message into the open job, or as a transaction of its own that is durable when this returns.
     *
     * @param kind 0 to 65535
     * @param payload its bytes; copied before this returns
     * @return the token, which is empty in a job: it comes with the end of the job
     */
    public Commit send(int kind, byte[] payload) {
        return send(Message.builder(payload).kind(kind).build());
    }

    /**
     * Sends a message as {@link #send(int, byte[])} does.
     *
     * @param kind 0 to 65535
     * @param payload what remains of it, direct or not; copied before this returns, and left as it is
     * @return the token
     */
    public Commit send(int kind, ByteBuffer payload) {
        return send(Message.builder(payload).kind(kind).build());
    }

    /**
     * Sends a message as {@link #send(int, byte[])} does.
     *
     * @param message to be sent
     * @return the token
     */
    public Commit send(Message message) {
        return sendMany(List.of(Check.given(message, "the message")));
    }

    /**
     * Sends messages as {@link #send(int, byte[])} does.
     *
     * @param messages all of them, or none
     * @return the token
     */
    public Commit sendMany(Collection<Message> messages) {
        Packer packed = new Packer(256).messages(Check.given(messages, "the messages"));
        return keep(handle.call(Verb.REPLICATION_SEND, packed).commit());
    }

    private Commit keep(Commit commit) {
        if (!commit.token().isEmpty()) {
            last = commit.token();
        }
        return commit;
    }

    /**
     * Sends everything that is sent inside as one transaction; an exception gives it up.
     *
     * @param job sends
     * @param <E> what it may throw
     * @return the token
     * @throws E what the job threw; then nothing was sent
     * @throws RepliqException with {@link Code#EXISTS} while a job is open
     */
    public <E extends Exception> Commit job(Job<E> job) throws E {
        Check.given(job, "the job");
        startJob();
        boolean done = false;
        try {
            job.run();
            done = true;
        } finally {
            if (!done) {
                abortJob();
            }
        }
        return endJob();
    }

    /**
     * Begins a job: what is sent from now on is one transaction.
     *
     * @throws RepliqException with {@link Code#EXISTS} while one is open
     */
    public void startJob() {
        handle.call(Verb.REPLICATION_START_JOB);
    }

    /**
     * Commits the job.
     *
     * @return the token
     * @throws RepliqException with {@link Code#INVALID} when none is open
     */
    public Commit endJob() {
        return keep(handle.call(Verb.REPLICATION_END_JOB).commit());
    }

    /**
     * Gives the job up: nothing of it was sent.
     *
     * @throws RepliqException with {@link Code#INVALID} when none is open
     */
    public void abortJob() {
        handle.call(Verb.REPLICATION_ABORT_JOB);
    }

    /** Sees to it that everything committed goes out now. It does so by itself. */
    public void push() {
        handle.call(Verb.REPLICATION_PUSH);
    }

    /**
     * Root, targets and whether a job is open.
     *
     * @return as it is now
     */
    public Status status() {
        return new Status(handle.call(Verb.REPLICATION_STATUS).rest());
    }

    /**
     * The targets as they are: those added here, and those the store knows from before.
     *
     * @return by name
     */
    public List<TargetStatus> targets() {
        Unpacker answer = handle.call(Verb.REPLICATION_TARGETS);
        int count = answer.i32();
        List<TargetStatus> targets = new ArrayList<>(count);
        for (int at = 0; at < count; at++) {
            targets.add(new TargetStatus(answer));
        }
        return targets;
    }

    /**
     * A target as it is.
     *
     * @param name of the target
     * @return it
     * @throws RepliqException with {@link Code#NO_SUCH_NAME}
     */
    public TargetStatus target(String name) {
        Packer packed = new Packer().text(Check.given(name, "the name"));
        return new TargetStatus(handle.call(Verb.REPLICATION_TARGET, packed));
    }

    /**
     * The token of what was committed last.
     *
     * @return empty where nothing was
     */
    public Optional<Token> token() {
        return Optional.ofNullable(last);
    }

    /**
     * The queue.
     *
     * @return as it was opened
     */
    public Queue root() {
        return root;
    }

    /**
     * Waits until every target has everything that is committed now, and ends the links.
     *
     * @param timeout as long at most
     * @throws RepliqException with {@link Code#TIMEOUT} when the time was over: the rest goes out when the root is replicated
     *     again; with {@link Code#CANCELLED} when the thread is interrupted. The links are ended in any case
     */
    public void stop(Duration timeout) {
        settle(Check.given(timeout, "the timeout"));
    }

    /** Waits as {@link #stop(Duration)} does, for as long as it takes. */
    public void stop() {
        settle(null);
    }

    private void settle(Duration timeout) {
        try {
            Waits.attempts(timeout, DOING, milliseconds ->
                handle.call(Verb.REPLICATION_SETTLE, new Packer(8).i64(milliseconds)));
        } finally {
            close();
        }
    }

    /** Ends the links at once; an open job is rolled back. Does nothing the second time. */
    @Override
    public void close() {
        Handles.close(handle, Verb.REPLICATION_CLOSE);
    }
}
