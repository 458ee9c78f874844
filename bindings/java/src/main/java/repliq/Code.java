package repliq;

/** What went wrong, the same number in every language; never reused, never renumbered. */
public enum Code {
    /** No error. */
    OK(0, 0),
    /** An argument was out of range or not UTF-8. The call changed nothing. */
    INVALID(1, 0),
    /** The handle is stale, foreign or closed twice. */
    BAD_HANDLE(2, 0),
    /** Closed here, or by the other side with nothing left. */
    CLOSED(3, 4),
    /** A handle of the parent was used in a forked child. */
    FORKED(4, 4),
    /** A second thread in a session, re-entry, or close from the handle's own callback. */
    BUSY(5, 1),
    /** The feature is not built in, or reserved and not yet written. */
    UNSUPPORTED(6, 0),
    /** The name is in use. */
    EXISTS(7, 0),
    /** No queue, consumer, target or user of that name. */
    NO_SUCH_NAME(8, 0),
    /** A message, a name or a transaction is above its limit; nothing was staged. */
    TOO_LARGE(9, 0),
    /** A configured bound is reached. */
    QUOTA(10, 3),
    /** The disk is full; consuming still works. */
    NO_SPACE(11, 3),
    /** The operating system refused. */
    IO(12, 4),
    /** A sync failed: reopen the store. */
    POISONED(13, 4),
    /** Stored bytes fail their checksum somewhere other than in the torn tail; the range is attached. */
    CORRUPT(14, 0),
    /** The checksum is right and the seal is wrong: somebody changed the bytes on purpose. */
    TAMPERED(15, 4),
    /** The password of the store is wrong. */
    BAD_PASSWORD(16, 0),
    /** The directory or file is not a store. */
    NOT_A_STORE(17, 0),
    /** A newer format, protocol or ABI. */
    VERSION(18, 0),
    /** The directory or the address is in use; the owner is named. */
    LOCKED(19, 1),
    /** Owner, mode or a read-only mount. */
    PERMISSION(20, 0),
    /** The store is damaged or was opened for reading only. */
    READ_ONLY(21, 0),
    /** An earlier operation of this transaction failed; roll back. */
    ROLLBACK_ONLY(22, 2),
    /** The transaction is gone, the cause is attached; the session is usable. */
    ROLLED_BACK(23, 1),
    /** The commit was handed on and no answer came. */
    OUTCOME_UNKNOWN(24, 0),
    /** The outcome of an older number is not kept any more. */
    OUTCOME_EXPIRED(25, 0),
    /** The lease is gone, the message was handed to another. */
    STALE(26, 2),
    /** A newer owner, epoch, link or session took over. */
    FENCED(27, 4),
    /** The queue is paused. */
    PAUSED(28, 1),
    /** The time given is over. */
    TIMEOUT(29, 1),
    /** Interrupted, or closed while waiting. */
    CANCELLED(30, 0),
    /** The token of a transaction that wrote nothing. */
    EMPTY(31, 0),
    /** The token's transaction is lost; final. */
    NOT_FOUND(32, 0),
    /** The token belongs to another group of stores. */
    WRONG_GROUP(33, 0),
    /** This member is not the primary. */
    NOT_PRIMARY(34, 1),
    /** Refused, reset, no route, or an unknown host name. */
    UNREACHABLE(35, 1),
    /** The other side speaks something else. */
    PROTOCOL(36, 0),
    /** Login or right refused; it says no more. */
    DENIED(37, 0),
    /** The other side's certificate does not hold. */
    CERTIFICATE(38, 0),
    /** A database or an engine refused. */
    TARGET(39, 0),
    /** A bug of this library. */
    PANIC(40, 4),
    /** One target or source has another history; both stamps are attached. */
    DIVERGED(41, 0),
    /** The producer sequence is not the next one. */
    OUT_OF_ORDER(42, 0);

    private static final Code[] ALL = values();

    private final int number;
    private final int flags;

    Code(int number, int flags) {
        this.number = number;
        this.flags = flags;
    }

    /**
     * Its number.
     *
     * @return 0 to 42
     */
    public int number() {
        return number;
    }

    /**
     * Whether the same call may succeed later, as it is.
     *
     * @return whether it may
     */
    public boolean isRetriable() {
        return (flags & 1) != 0;
    }

    /**
     * Whether the transaction must be rolled back first.
     *
     * @return whether it must
     */
    public boolean requiresRollback() {
        return (flags & 2) != 0;
    }

    /**
     * Whether the object is finished: close it.
     *
     * @return whether it is
     */
    public boolean isFatal() {
        return (flags & 4) != 0;
    }

    /** Its flags as the native library has them. */
    int flags() {
        return flags;
    }

    /** The code of a number; PANIC where this version knows none. */
    static Code of(int number) {
        return number >= 0 && number < ALL.length ? ALL[number] : PANIC;
    }
}
