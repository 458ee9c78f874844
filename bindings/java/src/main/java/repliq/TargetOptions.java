package repliq;

import java.nio.file.Path;
import java.time.Duration;

/** How a target is added: {@code replication.add("east", url, o -> o.password(password).kinds(7))}. */
public final class TargetOptions extends Options {
    private String user;
    private byte[] password;
    private boolean plain;
    private String caFile;
    private String serverName;
    private long heartbeatMs = -1;
    private long connectTimeoutMs = -1;
    private long reconnectMsMax = -1;
    private boolean reconnect = true;
    private String queue;
    private From from = From.OLDEST;
    private int[] kinds = {};
    private byte[] keyPrefix;
    private String headerName;
    private String headerValue;

    TargetOptions() {}

    /**
     * As whom to log in.
     *
     * @param user that of the URL by default
     * @return this
     */
    public TargetOptions user(String user) {
        this.user = Check.given(user, "user");
        return this;
    }

    /**
     * The password of that user. It never leaves this process.
     *
     * @param password a copy is taken, and wiped after the call; the array stays the caller's, to be wiped by it
     * @return this
     */
    public TargetOptions password(char[] password) {
        return secret(Secret.of(password));
    }

    /**
     * The password of that user. It never leaves this process.
     *
     * @param password a copy is taken, and wiped after the call; the array stays the caller's, to be wiped by it
     * @return this
     */
    public TargetOptions password(byte[] password) {
        return secret(Secret.of(password));
    }

    /**
     * The password of that user. It never leaves this process. A text cannot be wiped: prefer an array.
     *
     * @param password taken as UTF-8
     * @return this
     */
    public TargetOptions password(String password) {
        return secret(Secret.of(password));
    }

    /**
     * Plain TCP instead of TLS; the server must allow it, too. Unix sockets need neither.
     *
     * @param plain no by default
     * @return this
     */
    public TargetOptions plain(boolean plain) {
        this.plain = plain;
        return this;
    }

    /**
     * The authorities to trust.
     *
     * @param caFile a PEM file; the system's by default
     * @return this
     */
    public TargetOptions caFile(Path caFile) {
        this.caFile = Check.given(caFile, "caFile").toString();
        return this;
    }

    /**
     * The name the server's certificate must hold.
     *
     * @param serverName the host of the URL by default
     * @return this
     */
    public TargetOptions serverName(String serverName) {
        this.serverName = Check.given(serverName, "serverName");
        return this;
    }

    /**
     * After which time a silent connection shows that it lives.
     *
     * @param heartbeat 50 ms to 20 s; 5 s by default; taken to the millisecond
     * @return this
     */
    public TargetOptions heartbeat(Duration heartbeat) {
        heartbeatMs = Check.milliseconds(heartbeat, "heartbeat");
        return this;
    }

    /**
     * The time from the name of the host to the end of the login.
     *
     * @param connectTimeout 10 s by default; taken to the millisecond
     * @return this
     */
    public TargetOptions connectTimeout(Duration connectTimeout) {
        connectTimeoutMs = Check.milliseconds(connectTimeout, "connectTimeout");
        return this;
    }

    /**
     * The time between two tries at most.
     *
     * @param reconnectMax 30 s by default; taken to the millisecond
     * @return this
     */
    public TargetOptions reconnectMax(Duration reconnectMax) {
        reconnectMsMax = Check.milliseconds(reconnectMax, "reconnectMax");
        return this;
    }

    /**
     * Whether it tries again when the connection ends or does not come about.
     *
     * @param reconnect yes by default
     * @return this
     */
    public TargetOptions reconnect(boolean reconnect) {
        this.reconnect = reconnect;
        return this;
    }

    /**
     * The queue at the target.
     *
     * @param queue that of the URL by default, or else the root's name
     * @return this
     */
    public TargetOptions queue(String queue) {
        this.queue = Check.given(queue, "queue");
        return this;
    }

    /**
     * Where it begins when it is new.
     *
     * @param from {@link From#OLDEST}, which is the default, or {@link From#NOW}
     * @return this
     */
    public TargetOptions from(From from) {
        this.from = Check.given(from, "from");
        return this;
    }

    /**
     * Only messages of these kinds.
     *
     * @param kinds 0 to 65535 each; all by default
     * @return this
     */
    public TargetOptions kinds(int... kinds) {
        for (int kind : Check.given(kinds, "kinds")) {
            Check.range(kind, 0, 0xffff, "a kind");
        }
        this.kinds = kinds.clone();
        return this;
    }

    /**
     * Only messages whose key begins so.
     *
     * @param keyPrefix a copy is taken; all by default
     * @return this
     */
    public TargetOptions keyPrefix(byte[] keyPrefix) {
        this.keyPrefix = Check.given(keyPrefix, "keyPrefix").clone();
        return this;
    }

    /**
     * Only messages whose key begins so.
     *
     * @param keyPrefix taken as UTF-8; all by default
     * @return this
     */
    public TargetOptions keyPrefix(String keyPrefix) {
        this.keyPrefix = Check.utf8(keyPrefix, "keyPrefix");
        return this;
    }

    /**
     * Only messages that have this header.
     *
     * @param name of it; all messages by default
     * @return this
     */
    public TargetOptions header(String name) {
        this.headerName = Check.given(name, "the name of a header");
        this.headerValue = null;
        return this;
    }

    /**
     * Only messages that have this header with this value.
     *
     * @param name of it; all messages by default
     * @param value of it
     * @return this
     */
    public TargetOptions header(String name, String value) {
        header(name);
        this.headerValue = Check.given(value, "the value of a header");
        return this;
    }

    @Override
    void pack(Packer to) {
        to.text(user).bytes(password).flag(plain).text(caFile).text(serverName);
        to.i64(heartbeatMs).i64(connectTimeoutMs).i64(reconnectMsMax).flag(reconnect).text(queue).from(from);
        to.i32(kinds.length);
        for (int kind : kinds) {
            to.u16(kind);
        }
        to.bytes(keyPrefix).text(headerName).text(headerValue);
    }

    /** Another one than before, which is wiped. */
    private TargetOptions secret(byte[] secret) {
        wipe();
        password = secret;
        return this;
    }

    @Override
    void wipe() {
        Secret.wipe(password);
    }
}
