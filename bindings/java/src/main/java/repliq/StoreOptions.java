package repliq;

import java.nio.file.Path;
import java.time.Duration;

/** How a store is opened: {@code Store.open(path, o -> o.password(password).level(Level.PROCESS))}. */
public final class StoreOptions extends Options {
    private byte[] password;
    private boolean create = true;
    private boolean readOnly;
    private boolean helper = true;
    private Level level;
    private Level horizon;
    private long segmentBytes = -1;
    private long segmentBytesMax = -1;
    private long keepMs = -1;
    private long keepBytes = -1;
    private long quotaBytes = -1;
    private String user;
    private String caFile;
    private String serverName;
    private boolean plain;
    private boolean reconnect = true;
    private long heartbeatMs = -1;
    private long connectTimeoutMs = -1;
    private long reconnectMsMax = -1;

    StoreOptions() {}

    /**
     * Encrypts the store, which it must be from its creation on. At a server it is the password of the user, and never
     * leaves this process.
     *
     * @param password a copy is taken, and wiped after the call; the array stays the caller's, to be wiped by it
     * @return this
     */
    public StoreOptions password(char[] password) {
        return secret(Secret.of(password));
    }

    /**
     * Encrypts the store, which it must be from its creation on.
     *
     * @param password a copy is taken, and wiped after the call; the array stays the caller's, to be wiped by it
     * @return this
     */
    public StoreOptions password(byte[] password) {
        return secret(Secret.of(password));
    }

    /**
     * Encrypts the store, which it must be from its creation on. A text cannot be wiped: prefer an array.
     *
     * @param password taken as UTF-8
     * @return this
     */
    public StoreOptions password(String password) {
        return secret(Secret.of(password));
    }

    /**
     * Whether a store is created where there is none.
     *
     * @param create yes by default
     * @return this
     */
    public StoreOptions create(boolean create) {
        this.create = create;
        return this;
    }

    /**
     * Opens for looking only, also while another process writes and when the store is damaged.
     *
     * @param readOnly no by default
     * @return this
     */
    public StoreOptions readOnly(boolean readOnly) {
        this.readOnly = readOnly;
        return this;
    }

    /**
     * Lets a thread prepare segments ahead and give dead ones back.
     *
     * @param helper yes by default
     * @return this
     */
    public StoreOptions helper(boolean helper) {
        this.helper = helper;
        return this;
    }

    /**
     * What commits survive that name no level.
     *
     * @param level {@link Level#POWER} by default
     * @return this
     */
    public StoreOptions level(Level level) {
        this.level = Check.given(level, "level");
        return this;
    }

    /**
     * What that survives which others have seen: consumers, targets, who sent it here. With {@link Level#PROCESS} they
     * see it without a sync, and a power cut may take back what was seen; the store then goes on in a new epoch, and a
     * token of what is lost answers {@link Code#NOT_FOUND}.
     *
     * @param horizon {@link Level#POWER} by default
     * @return this
     */
    public StoreOptions horizon(Level horizon) {
        this.horizon = Check.given(horizon, "horizon");
        return this;
    }

    /**
     * The first segment.
     *
     * @param segmentBytes a power of two from 4096 on; 65536 by default
     * @return this
     */
    public StoreOptions segmentBytes(long segmentBytes) {
        this.segmentBytes = Check.positive(segmentBytes, "segmentBytes");
        return this;
    }

    /**
     * The largest segment. Transactions above 1 MiB, or a quarter of it where that is less, are staged in files
     * of their own.
     *
     * @param segmentBytesMax a power of two up to 67108864, which is the default
     * @return this
     */
    public StoreOptions segmentBytesMax(long segmentBytesMax) {
        this.segmentBytesMax = Check.positive(segmentBytesMax, "segmentBytesMax");
        return this;
    }

    /**
     * How long data stays after the slowest target has it.
     *
     * @param keep a day by default; taken to the millisecond
     * @return this
     */
    public StoreOptions keep(Duration keep) {
        keepMs = Check.milliseconds(keep, "keep");
        return this;
    }

    /**
     * How much of it stays at most.
     *
     * @param keepBytes bytes; 1 GiB by default
     * @return this
     */
    public StoreOptions keepBytes(long keepBytes) {
        this.keepBytes = Check.positive(keepBytes, "keepBytes");
        return this;
    }

    /**
     * How many bytes all segment files of the store may have together. At the bound puts answer
     * {@link Code#NO_SPACE} until something was acknowledged, purged or deleted.
     *
     * @param quotaBytes bytes, at least 16 times those of the first segment; 0, the default, for no bound but the disk
     * @return this
     */
    public StoreOptions quotaBytes(long quotaBytes) {
        this.quotaBytes = Check.positive(quotaBytes, "quotaBytes");
        return this;
    }

    /**
     * As whom to log in at the server of a store that is opened by a URL.
     *
     * @param user that of the URL by default
     * @return this
     */
    public StoreOptions user(String user) {
        this.user = Check.given(user, "user");
        return this;
    }

    /**
     * The authorities to trust, of a store that is opened by a URL.
     *
     * @param caFile a PEM file; the system's by default
     * @return this
     */
    public StoreOptions caFile(Path caFile) {
        this.caFile = Check.given(caFile, "caFile").toString();
        return this;
    }

    /**
     * The name the server's certificate must hold, of a store that is opened by a URL.
     *
     * @param serverName the host of the URL by default
     * @return this
     */
    public StoreOptions serverName(String serverName) {
        this.serverName = Check.given(serverName, "serverName");
        return this;
    }

    /**
     * Plain TCP to a server instead of TLS; it must allow it, too. Unix sockets need neither.
     *
     * @param plain no by default
     * @return this
     */
    public StoreOptions plain(boolean plain) {
        this.plain = plain;
        return this;
    }

    /**
     * Whether it tries again when the connection to its server ends.
     *
     * @param reconnect yes by default
     * @return this
     */
    public StoreOptions reconnect(boolean reconnect) {
        this.reconnect = reconnect;
        return this;
    }

    /**
     * After which time a silent connection to a server shows that it lives.
     *
     * @param heartbeat 50 ms to 20 s; 5 s by default; taken to the millisecond
     * @return this
     */
    public StoreOptions heartbeat(Duration heartbeat) {
        heartbeatMs = Check.milliseconds(heartbeat, "heartbeat");
        return this;
    }

    /**
     * The time from the name of the host to the end of the login, and of a call to the server beside what it waits for
     * there.
     *
     * @param connectTimeout 10 s by default; taken to the millisecond
     * @return this
     */
    public StoreOptions connectTimeout(Duration connectTimeout) {
        connectTimeoutMs = Check.milliseconds(connectTimeout, "connectTimeout");
        return this;
    }

    /**
     * The time between two tries to connect at most.
     *
     * @param reconnectMax 30 s by default; taken to the millisecond
     * @return this
     */
    public StoreOptions reconnectMax(Duration reconnectMax) {
        reconnectMsMax = Check.milliseconds(reconnectMax, "reconnectMax");
        return this;
    }

    @Override
    void pack(Packer to) {
        to.bytes(password).flag(create).flag(readOnly).flag(helper).level(level).level(horizon);
        to.i64(segmentBytes).i64(segmentBytesMax).i64(keepMs).i64(keepBytes).i64(quotaBytes);
        to.text(user).text(caFile).text(serverName).flag(plain).flag(reconnect);
        to.i64(heartbeatMs).i64(connectTimeoutMs).i64(reconnectMsMax);
    }

    /** Another one than before, which is wiped. */
    private StoreOptions secret(byte[] secret) {
        wipe();
        password = secret;
        return this;
    }

    @Override
    void wipe() {
        Secret.wipe(password);
    }
}
