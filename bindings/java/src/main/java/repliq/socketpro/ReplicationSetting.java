package repliq.socketpro;

/** How a replication works. Numbers count as unsigned, and 0 is the default of each. */
public class ReplicationSetting {
    /** Thirty days, in seconds. */
    public static final int DEFAULT_TTL = 30 * 24 * 3600;
    /** In milliseconds. */
    public static final int DEFAULT_RECV_TIMEOUT = 30_000;
    /** In milliseconds. */
    public static final int DEFAULT_CONN_TIMEOUT = 30_000;

    /** The directory of the stores; Start makes it where it is missing. */
    public String QueueDir = QueueConfigure.GetWorkDirectory();
    /** One try for each target, and none after it. */
    public boolean NoAutoConn;
    /** Seconds after its send at which a request expires. */
    public int TTL = DEFAULT_TTL;
    /** Milliseconds; a third of it is the heartbeat of a connection. */
    public int RecvTimeout = DEFAULT_RECV_TIMEOUT;
    /** Milliseconds from the name of the host to the end of the login; at most an hour. */
    public int ConnTimeout = DEFAULT_CONN_TIMEOUT;

    /** The defaults, with the work directory as it is now. */
    public ReplicationSetting() {}

    /** A copy with the defaults put in for 0, and a separator at the end of the directory. */
    static ReplicationSetting normal(ReplicationSetting of) {
        ReplicationSetting made = new ReplicationSetting();
        if (of == null) {
            return made;
        }
        made.QueueDir = QueueConfigure.folder(of.QueueDir);
        made.NoAutoConn = of.NoAutoConn;
        made.TTL = of.TTL == 0 ? DEFAULT_TTL : of.TTL;
        made.RecvTimeout = of.RecvTimeout == 0 ? DEFAULT_RECV_TIMEOUT : of.RecvTimeout;
        made.ConnTimeout = of.ConnTimeout == 0 ? DEFAULT_CONN_TIMEOUT : of.ConnTimeout;
        return made;
    }
}
