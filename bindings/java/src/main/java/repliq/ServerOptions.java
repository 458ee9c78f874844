package repliq;

import java.nio.file.Path;
import java.time.Duration;

/** How a server is opened: {@code new Server(store, o -> o.listen("127.0.0.1:0").plain(true).users(user))}. */
public final class ServerOptions extends Options {
    private String[] listen = {};
    private boolean plain;
    private String certificateFile;
    private String keyFile;
    private String usersFile;
    private User[] users = {};
    private long heartbeatMs = -1;
    private long loginMs = -1;
    private long failureWaitMsMax = -1;
    private int connectionsMax = -1;
    private int strangersMax = -1;
    private int failuresMax = -1;
    private int sessionsMax = -1;
    private int transactionsMax = -1;
    private long stagedBytesMax = -1;
    private int userShare = -1;

    ServerOptions() {}

    /**
     * Where to listen.
     *
     * @param listen {@code host:port}, {@code [address]:port}, port 0 for any that is free, {@code unix:/path};
     *     {@code 127.0.0.1:20901} by default
     * @return this
     */
    public ServerOptions listen(String... listen) {
        for (String one : Check.given(listen, "listen")) {
            Check.given(one, "an address of listen");
        }
        this.listen = listen.clone();
        return this;
    }

    /**
     * Whether plain TCP is allowed, beside TLS where there is a certificate.
     *
     * @param plain no by default
     * @return this
     */
    public ServerOptions plain(boolean plain) {
        this.plain = plain;
        return this;
    }

    /**
     * The certificate chain for TLS.
     *
     * @param certificateFile a PEM file; none by default
     * @return this
     */
    public ServerOptions certificateFile(Path certificateFile) {
        this.certificateFile = Check.given(certificateFile, "certificateFile").toString();
        return this;
    }

    /**
     * The key of the certificate.
     *
     * @param keyFile a PEM file; none by default
     * @return this
     */
    public ServerOptions keyFile(Path keyFile) {
        this.keyFile = Check.given(keyFile, "keyFile").toString();
        return this;
    }

    /**
     * The users file.
     *
     * @param usersFile as {@code repliq user} writes it; none by default
     * @return this
     */
    public ServerOptions usersFile(Path usersFile) {
        this.usersFile = Check.given(usersFile, "usersFile").toString();
        return this;
    }

    /**
     * The users themselves.
     *
     * @param users made for this server; none by default
     * @return this
     */
    public ServerOptions users(User... users) {
        for (User user : Check.given(users, "users")) {
            Check.given(user, "a user");
        }
        this.users = users.clone();
        return this;
    }

    /**
     * After which time a silent connection shows that it lives.
     *
     * @param heartbeat 50 ms to 20 s; 5 s by default; taken to the millisecond
     * @return this
     */
    public ServerOptions heartbeat(Duration heartbeat) {
        heartbeatMs = Check.milliseconds(heartbeat, "heartbeat");
        return this;
    }

    /**
     * The time from the first byte of a stranger to the end of the login.
     *
     * @param login 5 s by default; taken to the millisecond
     * @return this
     */
    public ServerOptions login(Duration login) {
        loginMs = Check.milliseconds(login, "login");
        return this;
    }

    /**
     * The longest time that a login has to wait after too many failed ones.
     *
     * @param failureWaitMax 30 s by default; taken to the millisecond
     * @return this
     */
    public ServerOptions failureWaitMax(Duration failureWaitMax) {
        failureWaitMsMax = Check.milliseconds(failureWaitMax, "failureWaitMax");
        return this;
    }

    /**
     * Connections at one time.
     *
     * @param connectionsMax 1024 by default
     * @return this
     */
    public ServerOptions connectionsMax(int connectionsMax) {
        this.connectionsMax = Check.positive(connectionsMax, "connectionsMax");
        return this;
    }

    /**
     * Of these, connections that have not logged in.
     *
     * @param strangersMax 64 by default
     * @return this
     */
    public ServerOptions strangersMax(int strangersMax) {
        this.strangersMax = Check.positive(strangersMax, "strangersMax");
        return this;
    }

    /**
     * Failed logins of a user from an address before the next wait.
     *
     * @param failuresMax 5 by default
     * @return this
     */
    public ServerOptions failuresMax(int failuresMax) {
        this.failuresMax = Check.positive(failuresMax, "failuresMax");
        return this;
    }

    /**
     * Sessions that are open at one time, over all connections.
     *
     * @param sessionsMax 16,384 by default
     * @return this
     */
    public ServerOptions sessionsMax(int sessionsMax) {
        this.sessionsMax = Check.positive(sessionsMax, "sessionsMax");
        return this;
    }

    /**
     * Of these, sessions whose transaction has put or received something.
     *
     * @param transactionsMax 4,096 by default
     * @return this
     */
    public ServerOptions transactionsMax(int transactionsMax) {
        this.transactionsMax = Check.positive(transactionsMax, "transactionsMax");
        return this;
    }

    /**
     * Bytes that open transactions have staged, with 64 for each message.
     *
     * @param stagedBytesMax 4 GiB by default
     * @return this
     */
    public ServerOptions stagedBytesMax(long stagedBytesMax) {
        if (stagedBytesMax < 1) {
            throw Check.invalid("stagedBytesMax is " + stagedBytesMax + ", which is less than 1");
        }
        this.stagedBytesMax = stagedBytesMax;
        return this;
    }

    /**
     * How many percent of each of these three, of the sessions a store remembers and of its prepared transactions, one user has at most.
     *
     * @param userShare 1 to 100; 50 by default
     * @return this
     */
    public ServerOptions userShare(int userShare) {
        this.userShare = Check.range(userShare, 1, 100, "userShare");
        return this;
    }

    @Override
    void pack(Packer to) {
        to.i32(listen.length);
        for (String one : listen) {
            to.text(one);
        }
        to.flag(plain).text(certificateFile).text(keyFile).text(usersFile).i32(users.length);
        for (User user : users) {
            user.pack(to);
        }
        to.i64(heartbeatMs).i64(loginMs).i64(failureWaitMsMax);
        to.i32(connectionsMax).i32(strangersMax).i32(failuresMax);
        to.i32(sessionsMax).i32(transactionsMax).i64(stagedBytesMax).i32(userShare);
    }

    @Override
    void wipe() {
        for (User user : users) {
            user.wipe();
        }
    }
}
