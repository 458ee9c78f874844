package repliq;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/**
 * An open store. Safe to use from several threads. Close it, best by try-with-resources; one that is forgotten with all
 * that was opened on it is closed by the garbage collector some day.
 *
 * <p>Calls that wait end within 100 ms when their thread is interrupted, with {@link Code#CANCELLED}; the thread stays
 * interrupted, and nothing was lost. The exception is unchecked like all of this library: it needs no {@code catch} in a
 * handler or a lambda. A virtual thread that waits here holds the thread that carries it.
 */
public final class Store implements AutoCloseable {
    private static final String DOING = "waiting for a transaction";

    private final Handle handle;
    private final Futures futures = new Futures();
    private final boolean remote;

    private Store(long id) {
        handle = Handle.shared(this, "store", id);
        remote = handle.call(Verb.STORE_IS_REMOTE).flag();
    }

    /** How long a slice of a wait is at most, in milliseconds. */
    long slice() {
        return remote ? Waits.WHOLE_MS : Waits.SLICE_MS;
    }

    /**
     * Opens the store in a directory, which is created when there is none. The store at a server is opened by
     * {@link #open(String, java.util.function.Consumer)}.
     *
     * @param path of the directory
     * @return to be closed
     * @throws RepliqException with {@link Code#LOCKED} when it is open elsewhere, naming the owner; with NOT_A_STORE,
     *     BAD_PASSWORD, PERMISSION, VERSION, CORRUPT, NO_SPACE or IO; with {@link Code#UNSUPPORTED} when the native library
     *     cannot be loaded
     */
    public static Store open(Path path) {
        return open(path, options -> {});
    }

    /**
     * Opens a store as {@link #open(Path)} does.
     *
     * @param path of the directory
     * @param set sets options
     * @return to be closed
     * @throws RepliqException with {@link Code#NOT_A_STORE} when there is none and none is to be created
     */
    public static Store open(Path path, java.util.function.Consumer<? super StoreOptions> set) {
        return open(Check.given(path, "the path").toString(), set);
    }

    /**
     * Opens a store as {@link #open(Path)} does, or the one at a server.
     *
     * @param path of the directory, or a URL; see {@link #open(String, java.util.function.Consumer)}
     * @return to be closed
     */
    public static Store open(String path) {
        return open(path, options -> {});
    }

    /**
     * Opens a store as {@link #open(Path)} does, or the one at a server, which is used in the same way.
     *
     * <p>At a server the password is that of the user, and of the other options those from {@link StoreOptions#user} on
     * count. A connection that is lost comes back by itself. What only the owner of a directory can do, such as a backup,
     * is {@link Code#UNSUPPORTED} there. Each call waits for the answer of the server, and a thread that is interrupted
     * meanwhile leaves it with {@link Code#CANCELLED}; a commit that was sent is {@link Code#OUTCOME_UNKNOWN} then, with
     * CANCELLED as its cause, and {@link #resolve} tells what became of it. A call that is answered within 60 ms is not
     * disturbed.
     *
     * @param path of the directory, or a URL such as {@code repliq://user@host:port} or
     *     {@code repliq+unix://user@/path/of/socket}
     * @param set sets options
     * @return to be closed
     * @throws RepliqException as {@link #open(Path)} does; of a server UNREACHABLE, DENIED, CERTIFICATE, PROTOCOL, TIMEOUT
     */
    public static Store open(String path, java.util.function.Consumer<? super StoreOptions> set) {
        Library.load();
        Packer packed = new Packer().text(Check.given(path, "the path"));
        Options.set(packed, new StoreOptions(), set);
        return new Store(packed.call(Verb.STORE_OPEN, 0).i64());
    }

    /**
     * Makes a store of a backup in a directory that is empty or missing; it begins a new epoch. Tokens of what was
     * committed behind the backup then answer {@link Code#NOT_FOUND}.
     *
     * @param backup the directory of the backup
     * @param path the directory of the store
     * @return what was copied
     */
    public static BackupInfo restore(Path backup, Path path) {
        return restore(backup, path, options -> {});
    }

    /**
     * Makes a store of a backup as {@link #restore(Path, Path)} does.
     *
     * @param backup the directory of the backup
     * @param path the directory of the store
     * @param set sets options, such as the password
     * @return what was copied
     */
    public static BackupInfo restore(
            Path backup, Path path, java.util.function.Consumer<? super StoreOptions> set) {
        Library.load();
        Packer packed = new Packer().text(Check.given(backup, "the backup").toString());
        packed.text(Check.given(path, "the path").toString());
        Options.set(packed, new StoreOptions(), set);
        return packed.call(Verb.STORE_RESTORE, 0).backupInfo();
    }

    Handle handle() {
        return handle;
    }

    Futures futures() {
        return futures;
    }

    /** Refuses a queue of another store. */
    int own(Queue queue) {
        if (Check.given(queue, "the queue").store() != this) {
            throw Check.invalid("the queue belongs to another store");
        }
        return queue.number();
    }

    /**
     * The queue of a name.
     *
     * @param name 1 to 255 bytes of UTF-8; created on first use
     * @return a value
     */
    public Queue queue(String name) {
        int number = handle.call(Verb.STORE_QUEUE, new Packer().text(Check.given(name, "the name"))).i32();
        return new Queue(this, number);
    }

    /**
     * The same as {@link Queue#put(byte[])}.
     *
     * @param queue of this store
     * @param payload its bytes; copied before this returns
     * @return the token
     */
    public Commit put(Queue queue, byte[] payload) {
        own(queue);
        return queue.put(payload);
    }

    /**
     * The same as {@link Queue#put(ByteBuffer)}.
     *
     * @param queue of this store
     * @param payload what remains of it
     * @return the token
     */
    public Commit put(Queue queue, ByteBuffer payload) {
        own(queue);
        return queue.put(payload);
    }

    /**
     * The same as {@link Queue#put(Message)}.
     *
     * @param queue of this store
     * @param message to be put
     * @return the token
     */
    public Commit put(Queue queue, Message message) {
        own(queue);
        return queue.put(message);
    }

    /**
     * The same as {@link Queue#put(Message, Level)}.
     *
     * @param queue of this store
     * @param message to be put
     * @param level what it has to survive when this returns
     * @return the token
     */
    public Commit put(Queue queue, Message message, Level level) {
        own(queue);
        return queue.put(message, level);
    }

    /**
     * The same as {@link Queue#putMany(Collection)}.
     *
     * @param queue of this store
     * @param messages all of them, or none
     * @return the token
     */
    public Commit putMany(Queue queue, Collection<Message> messages) {
        own(queue);
        return queue.putMany(messages);
    }

    /**
     * The same as {@link Queue#putMany(Collection, Level)}.
     *
     * @param queue of this store
     * @param messages all of them, or none
     * @param level what they have to survive when this returns
     * @return the token
     */
    public Commit putMany(Queue queue, Collection<Message> messages, Level level) {
        own(queue);
        return queue.putMany(messages, level);
    }

    /**
     * The same as {@link Queue#putAsync(Message)}.
     *
     * @param queue of this store
     * @param message to be put
     * @return ends when it is durable
     */
    public CompletableFuture<Commit> putAsync(Queue queue, Message message) {
        own(queue);
        return queue.putAsync(message);
    }

    /**
     * Opens a session: transactions over any queues of this store.
     *
     * @return to be closed
     */
    public Session session() {
        return session(options -> {});
    }

    /**
     * Opens a session.
     *
     * @param set sets options, such as a name
     * @return to be closed
     * @throws RepliqException with {@link Code#EXISTS} where the session of this name is open and not to be taken over, and
     *     with {@link Code#DENIED} where it is another user's
     */
    public Session session(java.util.function.Consumer<? super SessionOptions> set) {
        SessionOptions options = new SessionOptions();
        Check.given(set, "the options").accept(options);
        Packer packed = options.pack(new Packer());
        return new Session(this, handle.call(Verb.SESSION_OPEN, packed).i64(), options.level());
    }

    /**
     * What became of a session's transaction, finally. A commit that is under way is waited for; one that has not begun
     * never will be, and its session gets {@link Code#ROLLED_BACK}.
     *
     * @param id of the transaction
     * @return {@link Outcome.State#EXPIRED} for all before the session's last committed transaction, and for sessions that
     *     were not used for 24 hours
     * @throws RepliqException with {@link Code#DENIED} where it is another user's
     */
    public Outcome resolve(TransactionId id) {
        Packer packed = new Packer().bytes(Check.given(id, "the identity").bytes);
        return new Outcome(handle.call(Verb.STORE_RESOLVE, packed));
    }

    /**
     * Commits a prepared transaction, or rolls it back, durably. It may come from anywhere and again: how one ended is known
     * for 24 hours, of the last 16,384; where it was ended by hand, from the command line, longer.
     *
     * @param id of the transaction
     * @param commit whether it is committed; otherwise it is rolled back
     * @return where that is in the order of commits
     * @throws RepliqException with {@link Code#ROLLED_BACK} where it is to be committed and was rolled back before, with
     *     {@link Code#INVALID} where it is the other way round, with {@link Code#NO_SUCH_NAME} where none is known, with
     *     {@link Code#DENIED} where it is another user's, and with {@link Code#NO_SPACE}, and then it waits on
     */
    public Commit finish(TransactionId id, boolean commit) {
        Packer packed = new Packer().bytes(Check.given(id, "the identity").bytes).flag(commit);
        return handle.call(Verb.STORE_FINISH, packed).commit();
    }

    /**
     * The prepared transactions that wait, and those that were ended by hand. At a server these are the user's own; with the
     * right {@code admin} on {@code *}, all of them.
     *
     * @return by identity
     */
    public List<Prepared> prepared() {
        Unpacker answer = handle.call(Verb.STORE_PREPARED);
        int count = answer.i32();
        List<Prepared> prepared = new ArrayList<>(count);
        for (int at = 0; at < count; at++) {
            prepared.add(new Prepared(answer));
        }
        return prepared;
    }

    /**
     * Opens a session.
     *
     * @param level what its commits survive
     * @return to be closed
     */
    public Session session(Level level) {
        return session(options -> options.level(level));
    }

    /**
     * Opens the consumer of a name on a queue; it is created on first use.
     *
     * @param name of the consumer
     * @param queue of this store
     * @return to be closed
     * @throws RepliqException with {@link Code#BUSY} when it is open already
     */
    public Consumer consumer(String name, Queue queue) {
        return consumer(name, queue, options -> {});
    }

    /**
     * Opens a consumer as {@link #consumer(String, Queue)} does.
     *
     * @param name of the consumer
     * @param queue of this store
     * @param set sets options
     * @return to be closed
     */
    public Consumer consumer(
            String name, Queue queue, java.util.function.Consumer<? super ConsumerOptions> set) {
        Packer packed = new Packer().text(Check.given(name, "the name")).i32(own(queue));
        ConsumerOptions options = new ConsumerOptions();
        Check.given(set, "the options").accept(options);
        options.pack(packed);
        return new Consumer(this, name, queue, handle.call(Verb.CONSUMER_OPEN, packed).i64());
    }

    /**
     * Opens a consumer as {@link #consumer(String, Queue)} does.
     *
     * @param name of the consumer
     * @param queue name of the queue; created on first use
     * @return to be closed
     */
    public Consumer consumer(String name, String queue) {
        return consumer(name, queue(queue));
    }

    /**
     * Deletes a consumer; messages only it waited for may go.
     *
     * @param name of the consumer
     * @param queue of this store
     * @return the token
     * @throws RepliqException with {@link Code#NO_SUCH_NAME} where there is none
     */
    public Commit consumerDelete(String name, Queue queue) {
        Packer packed = new Packer().text(Check.given(name, "the name")).i32(own(queue));
        return handle.call(Verb.CONSUMER_DELETE, packed).commit();
    }

    /**
     * Opens a look at all queues as they are now.
     *
     * @return to be closed: it keeps the disk space of what it can see
     */
    public Snapshot snapshot() {
        return new Snapshot(this, handle.call(Verb.SNAPSHOT_OPEN).i64());
    }

    /**
     * Waits until a transaction is at a place.
     *
     * @param token of the transaction
     * @param at where
     * @param timeout as long at most; 0 for a look
     * @throws RepliqException with {@link Code#TIMEOUT} when the time was over; {@link Code#NOT_FOUND} when the transaction
     *     is lost, which is final; EMPTY, WRONG_GROUP, NO_SUCH_NAME; {@link Code#CANCELLED} when the thread is interrupted
     */
    public void await(Token token, Place at, Duration timeout) {
        await(List.of(Check.given(token, "the token")), at, timeout);
    }

    /**
     * Waits for a transaction as {@link #await(Token, Place, Duration)} does, for as long as it takes.
     *
     * @param token of the transaction
     * @param at where
     */
    public void await(Token token, Place at) {
        await(List.of(Check.given(token, "the token")), at);
    }

    /**
     * Waits for several transactions as {@link #await(Token, Place, Duration)} does.
     *
     * @param tokens of all of them
     * @param at where
     * @param timeout as long at most; 0 for a look
     */
    public void await(Collection<Token> tokens, Place at, Duration timeout) {
        attempts(tokens, at, Check.given(timeout, "the timeout"));
    }

    /**
     * Waits for several transactions as {@link #await(Token, Place, Duration)} does, for as long as it takes.
     *
     * @param tokens of all of them
     * @param at where
     */
    public void await(Collection<Token> tokens, Place at) {
        attempts(tokens, at, null);
    }

    private void attempts(Collection<Token> tokens, Place at, Duration timeout) {
        byte[] place = place(tokens, at).done();
        Waits.attempts(timeout, DOING, slice(), milliseconds ->
            handle.call(Verb.STORE_WAIT, new Packer(place.length + 8).raw(place).i64(milliseconds)));
    }

    private static Packer place(Collection<Token> tokens, Place at) {
        Check.given(tokens, "the tokens");
        return new Packer().text(Check.given(at, "the place").toString()).tokens(tokens);
    }

    /**
     * Waits for a transaction without a thread.
     *
     * @param token of the transaction
     * @param at where
     * @return ends when it is there, or with what {@link #await(Token, Place, Duration)} throws, but for the time; see
     *     {@link Queue#putAsync(Message)}
     */
    public CompletableFuture<Commit> awaitAsync(Token token, Place at) {
        return awaitAsync(List.of(Check.given(token, "the token")), at);
    }

    /**
     * Waits for several transactions without a thread, as {@link #awaitAsync(Token, Place)} does.
     *
     * @param tokens of all of them
     * @param at where
     * @return ends when all are there
     */
    public CompletableFuture<Commit> awaitAsync(Collection<Token> tokens, Place at) {
        byte[] place = place(tokens, at).done();
        return futures.start(this, (port, tag) -> watch(place, port, tag));
    }

    /**
     * Waits for transactions as {@link #awaitAsync(Token, Place)} does.
     *
     * @param tokens of all of them
     * @param at where
     * @param port gets the outcome
     * @param tag under this number
     */
    public void watch(Collection<Token> tokens, Place at, Port port, long tag) {
        byte[] place = place(tokens, at).done();
        Handle other = Check.given(port, "the port").handle();
        long id = other.enter();
        try {
            watch(place, id, tag);
        } finally {
            other.leave();
        }
    }

    private void watch(byte[] place, long port, long tag) {
        handle.call(Verb.STORE_WATCH, new Packer(place.length + 16).raw(place).i64(port).i64(tag));
    }

    /**
     * What it is and has.
     *
     * @return as {@code repliq status --json} prints it
     */
    public Status status() {
        return new Status(handle.call(Verb.STORE_STATUS).rest());
    }

    /**
     * Whether it is at a server.
     *
     * @return whether it was opened by a URL
     */
    public boolean isRemote() {
        return handle.call(Verb.STORE_IS_REMOTE).flag();
    }

    /**
     * Whether it is encrypted.
     *
     * @return whether it has a password
     */
    public boolean isEncrypted() {
        return handle.call(Verb.STORE_IS_ENCRYPTED).flag();
    }

    /**
     * Copies everything committed into a directory while others go on; the next backup into it copies what is new.
     *
     * @param dest the directory; created when there is none
     * @return what was copied
     */
    public BackupInfo backup(Path dest) {
        Packer packed = new Packer().text(Check.given(dest, "the directory").toString());
        return handle.call(Verb.STORE_BACKUP, packed).backupInfo();
    }

    /**
     * Gives an encrypted store another password; a crash leaves one of the two valid.
     *
     * @param password a copy is taken and wiped; the array stays the caller's, to be wiped by it
     */
    public void changePassword(char[] password) {
        byte[] copy = Secret.of(password);
        try {
            handle.call(Verb.STORE_PASSWORD, new Packer(copy.length + 4).bytes(copy));
        } finally {
            Secret.wipe(copy);
        }
    }

    /**
     * Gives an encrypted store another password. A text cannot be wiped: prefer {@link #changePassword(char[])}.
     *
     * @param password taken as UTF-8
     */
    public void changePassword(String password) {
        char[] copy = Check.given(password, "the password").toCharArray();
        try {
            changePassword(copy);
        } finally {
            Arrays.fill(copy, '\0');
        }
    }

    /**
     * Makes everything durable and gives the directory free; what was opened on it then answers {@link Code#CLOSED}, as
     * does who waits. Futures that did not end end with that. Does nothing the second time.
     */
    @Override
    public void close() {
        try {
            Handles.close(handle, Verb.STORE_CLOSE);
        } finally {
            futures.close();
        }
    }
}
