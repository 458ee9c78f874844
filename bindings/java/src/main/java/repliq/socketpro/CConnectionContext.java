package repliq.socketpro;

/** Where a target is, and how to log in there. A text that is null counts as empty. */
public class CConnectionContext {
    /** Name or address; an IPv6 address stands without brackets. */
    public String Host = "localhost";
    /** From 1 to 65,535. */
    public int Port = 20901;
    /** The user to log in as; needed. */
    public String UserId = "";
    /** Never leaves the process, neither plain nor hashed. */
    public String Password = "";
    /** Plain TCP unless told otherwise. */
    public tagEncryptionMethod EncrytionMethod = tagEncryptionMethod.NoEncryption;
    /** Nothing is compressed: true is refused. */
    public boolean Zip;
    /** Refuses a host that is an IPv4 address; both families are tried in any case. */
    public boolean V6;
    /** The user's own. */
    public Object AnyData;
    /** The queue at the server where it has another name than the root. */
    public String Queue = "";
    /** PEM file of the authorities to trust instead of the system's. */
    public String CaFile = "";
    /** The name in the certificate where it is not the host. */
    public String ServerName = "";

    /** The defaults; {@link #UserId} must be set. */
    public CConnectionContext() {}

    /**
     * Over plain TCP.
     *
     * @param host name or address
     * @param port from 1 to 65,535
     * @param userId the user to log in as
     * @param password its password
     */
    public CConnectionContext(String host, int port, String userId, String password) {
        this(host, port, userId, password, tagEncryptionMethod.NoEncryption);
    }

    /**
     * Plain or with TLS.
     *
     * @param host name or address
     * @param port from 1 to 65,535
     * @param userId the user to log in as
     * @param password its password
     * @param em how the connection is protected
     */
    public CConnectionContext(String host, int port, String userId, String password, tagEncryptionMethod em) {
        this(host, port, userId, password, em, false, false, null);
    }

    /**
     * With everything that SocketPro has.
     *
     * @param host name or address
     * @param port from 1 to 65,535
     * @param userId the user to log in as
     * @param password its password
     * @param em how the connection is protected
     * @param zip false
     * @param v6 whether an IPv4 address is refused
     * @param anyData the user's own
     */
    public CConnectionContext(
            String host,
            int port,
            String userId,
            String password,
            tagEncryptionMethod em,
            boolean zip,
            boolean v6,
            Object anyData) {
        Host = host;
        Port = port;
        UserId = userId;
        Password = password;
        EncrytionMethod = em;
        Zip = zip;
        V6 = v6;
        AnyData = anyData;
    }
}
