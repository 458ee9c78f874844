package repliq.socketpro;

/** How a connection is protected. */
public enum tagEncryptionMethod {
    /** Plain TCP; the server must allow it, too. */
    NoEncryption,
    /** TLS 1.3, whatever the name says, with a certificate that is verified. */
    TLSv1;

    /**
     * Its number in SocketPro.
     *
     * @return 0 or 1
     */
    public int getValue() {
        return ordinal();
    }
}
