package repliq;

import java.util.OptionalInt;

/**
 * What went wrong: branch on {@link #code()}, or catch the subclass, of which there is one for each code; the message is
 * for people. It is unchecked, since most callers can do nothing but give up what they are doing.
 */
public abstract class RepliqException extends RuntimeException {
    /** What is known about it. */
    private final Facts facts;

    private RepliqException(Facts facts) {
        super(facts.text);
        this.facts = facts;
    }

    /** What is known about an error. */
    static final class Facts implements java.io.Serializable {
        final Code code;
        final String text;
        Code cause = Code.OK;
        int osErrno;
        int messageIndex = -1;
        long from;
        long last;

        Facts(Code code, String text) {
            this.code = code;
            this.text = text;
        }
    }

    /**
     * An error of this side.
     *
     * @param code its code, which says the subclass, too
     * @param text what was done, to what, and why it failed
     * @return to be thrown
     */
    public static RepliqException of(Code code, String text) {
        return of(new Facts(code, text));
    }

    /** An error as the native library packed it. */
    static RepliqException read(Unpacker from) {
        Code code = Code.of(from.i32());
        Code cause = Code.of(from.i32());
        int osErrno = from.i32();
        int messageIndex = from.i32();
        long first = from.i64();
        long last = from.i64();
        Facts facts = new Facts(code, from.text());
        facts.cause = cause;
        facts.osErrno = osErrno;
        facts.messageIndex = messageIndex;
        facts.from = first;
        facts.last = last;
        return of(facts);
    }

    private static RepliqException of(Facts facts) {
        switch (facts.code) {
            case INVALID:
                return new Invalid(facts);
            case BAD_HANDLE:
                return new BadHandle(facts);
            case CLOSED:
                return new Closed(facts);
            case FORKED:
                return new Forked(facts);
            case BUSY:
                return new Busy(facts);
            case UNSUPPORTED:
                return new Unsupported(facts);
            case EXISTS:
                return new Exists(facts);
            case NO_SUCH_NAME:
                return new NoSuchName(facts);
            case TOO_LARGE:
                return new TooLarge(facts);
            case QUOTA:
                return new Quota(facts);
            case NO_SPACE:
                return new NoSpace(facts);
            case IO:
                return new Io(facts);
            case POISONED:
                return new Poisoned(facts);
            case CORRUPT:
                return new Corrupt(facts);
            case TAMPERED:
                return new Tampered(facts);
            case BAD_PASSWORD:
                return new BadPassword(facts);
            case NOT_A_STORE:
                return new NotAStore(facts);
            case VERSION:
                return new Version(facts);
            case LOCKED:
                return new Locked(facts);
            case PERMISSION:
                return new Permission(facts);
            case READ_ONLY:
                return new ReadOnly(facts);
            case ROLLBACK_ONLY:
                return new RollbackOnly(facts);
            case ROLLED_BACK:
                return new RolledBack(facts);
            case OUTCOME_UNKNOWN:
                return new OutcomeUnknown(facts);
            case OUTCOME_EXPIRED:
                return new OutcomeExpired(facts);
            case STALE:
                return new Stale(facts);
            case FENCED:
                return new Fenced(facts);
            case PAUSED:
                return new Paused(facts);
            case TIMEOUT:
                return new Timeout(facts);
            case CANCELLED:
                return new Cancelled(facts);
            case EMPTY:
                return new Empty(facts);
            case NOT_FOUND:
                return new NotFound(facts);
            case WRONG_GROUP:
                return new WrongGroup(facts);
            case NOT_PRIMARY:
                return new NotPrimary(facts);
            case UNREACHABLE:
                return new Unreachable(facts);
            case PROTOCOL:
                return new Protocol(facts);
            case DENIED:
                return new Denied(facts);
            case CERTIFICATE:
                return new Certificate(facts);
            case TARGET:
                return new Target(facts);
            case PANIC:
                return new Panic(facts);
            case DIVERGED:
                return new Diverged(facts);
            case OUT_OF_ORDER:
                return new OutOfOrder(facts);
            default:
                return new Panic(facts);
        }
    }

    /**
     * Its code.
     *
     * @return never {@link Code#OK}
     */
    public Code code() {
        return facts.code;
    }

    /**
     * The code of the error behind this one.
     *
     * @return {@link Code#OK} where there is none
     */
    public Code causeCode() {
        return facts.cause;
    }

    /**
     * The number of the operating system.
     *
     * @return an errno, or 0
     */
    public int osErrno() {
        return facts.osErrno;
    }

    /**
     * The message of a batch that was refused.
     *
     * @return its index, counted from 0, where it is about one
     */
    public OptionalInt messageIndex() {
        return facts.messageIndex < 0 ? OptionalInt.empty() : OptionalInt.of(facts.messageIndex);
    }

    /**
     * The first of the sequences or offsets it is about.
     *
     * @return 0 where it is about none
     */
    public long rangeFirst() {
        return facts.from;
    }

    /**
     * The last of the sequences or offsets it is about.
     *
     * @return 0 where it is about none
     */
    public long rangeLast() {
        return facts.last;
    }

    /**
     * Whether the same call may succeed later, as it is.
     *
     * @return whether it may
     */
    public boolean isRetriable() {
        return code().isRetriable();
    }

    /**
     * Whether the transaction must be rolled back first.
     *
     * @return whether it must
     */
    public boolean requiresRollback() {
        return code().requiresRollback();
    }

    /**
     * Whether the object is finished: close it.
     *
     * @return whether it is
     */
    public boolean isFatal() {
        return code().isFatal();
    }

    /** An argument was out of range or not UTF-8. The call changed nothing. */
    public static final class Invalid extends RepliqException {
        Invalid(Facts facts) {
            super(facts);
        }
    }

    /** The handle is stale, foreign or closed twice. */
    public static final class BadHandle extends RepliqException {
        BadHandle(Facts facts) {
            super(facts);
        }
    }

    /** Closed here, or by the other side with nothing left. */
    public static final class Closed extends RepliqException {
        Closed(Facts facts) {
            super(facts);
        }
    }

    /** A handle of the parent was used in a forked child. */
    public static final class Forked extends RepliqException {
        Forked(Facts facts) {
            super(facts);
        }
    }

    /** A second thread in a session, re-entry, or close from the handle's own callback. */
    public static final class Busy extends RepliqException {
        Busy(Facts facts) {
            super(facts);
        }
    }

    /** The feature is not built in, or reserved and not yet written. */
    public static final class Unsupported extends RepliqException {
        Unsupported(Facts facts) {
            super(facts);
        }
    }

    /** The name is in use. */
    public static final class Exists extends RepliqException {
        Exists(Facts facts) {
            super(facts);
        }
    }

    /** No queue, consumer, target or user of that name. */
    public static final class NoSuchName extends RepliqException {
        NoSuchName(Facts facts) {
            super(facts);
        }
    }

    /** A message, a name or a transaction is above its limit; nothing was staged. */
    public static final class TooLarge extends RepliqException {
        TooLarge(Facts facts) {
            super(facts);
        }
    }

    /** A configured bound is reached. */
    public static final class Quota extends RepliqException {
        Quota(Facts facts) {
            super(facts);
        }
    }

    /** The disk is full; consuming still works. */
    public static final class NoSpace extends RepliqException {
        NoSpace(Facts facts) {
            super(facts);
        }
    }

    /** The operating system refused. */
    public static final class Io extends RepliqException {
        Io(Facts facts) {
            super(facts);
        }
    }

    /** A sync failed: reopen the store. */
    public static final class Poisoned extends RepliqException {
        Poisoned(Facts facts) {
            super(facts);
        }
    }

    /** Stored bytes fail their checksum somewhere other than in the torn tail; the range is attached. */
    public static final class Corrupt extends RepliqException {
        Corrupt(Facts facts) {
            super(facts);
        }
    }

    /** The checksum is right and the seal is wrong: somebody changed the bytes on purpose. */
    public static final class Tampered extends RepliqException {
        Tampered(Facts facts) {
            super(facts);
        }
    }

    /** The password of the store is wrong. */
    public static final class BadPassword extends RepliqException {
        BadPassword(Facts facts) {
            super(facts);
        }
    }

    /** The directory or file is not a store. */
    public static final class NotAStore extends RepliqException {
        NotAStore(Facts facts) {
            super(facts);
        }
    }

    /** A newer format, protocol or ABI. */
    public static final class Version extends RepliqException {
        Version(Facts facts) {
            super(facts);
        }
    }

    /** The directory or the address is in use; the owner is named. */
    public static final class Locked extends RepliqException {
        Locked(Facts facts) {
            super(facts);
        }
    }

    /** Owner, mode or a read-only mount. */
    public static final class Permission extends RepliqException {
        Permission(Facts facts) {
            super(facts);
        }
    }

    /** The store is damaged or was opened for reading only. */
    public static final class ReadOnly extends RepliqException {
        ReadOnly(Facts facts) {
            super(facts);
        }
    }

    /** An earlier operation of this transaction failed; roll back. */
    public static final class RollbackOnly extends RepliqException {
        RollbackOnly(Facts facts) {
            super(facts);
        }
    }

    /** The transaction is gone, the cause is attached; the session is usable. */
    public static final class RolledBack extends RepliqException {
        RolledBack(Facts facts) {
            super(facts);
        }
    }

    /** The commit was handed on and no answer came. */
    public static final class OutcomeUnknown extends RepliqException {
        OutcomeUnknown(Facts facts) {
            super(facts);
        }
    }

    /** The outcome of an older number is not kept any more. */
    public static final class OutcomeExpired extends RepliqException {
        OutcomeExpired(Facts facts) {
            super(facts);
        }
    }

    /** The lease is gone, the message was handed to another. */
    public static final class Stale extends RepliqException {
        Stale(Facts facts) {
            super(facts);
        }
    }

    /** A newer owner, epoch, link or session took over. */
    public static final class Fenced extends RepliqException {
        Fenced(Facts facts) {
            super(facts);
        }
    }

    /** The queue is paused. */
    public static final class Paused extends RepliqException {
        Paused(Facts facts) {
            super(facts);
        }
    }

    /** The time given is over. */
    public static final class Timeout extends RepliqException {
        Timeout(Facts facts) {
            super(facts);
        }
    }

    /** Interrupted, or closed while waiting. */
    public static final class Cancelled extends RepliqException {
        Cancelled(Facts facts) {
            super(facts);
        }
    }

    /** The token of a transaction that wrote nothing. */
    public static final class Empty extends RepliqException {
        Empty(Facts facts) {
            super(facts);
        }
    }

    /** The token's transaction is lost; final. */
    public static final class NotFound extends RepliqException {
        NotFound(Facts facts) {
            super(facts);
        }
    }

    /** The token belongs to another group of stores. */
    public static final class WrongGroup extends RepliqException {
        WrongGroup(Facts facts) {
            super(facts);
        }
    }

    /** This member is not the primary. */
    public static final class NotPrimary extends RepliqException {
        NotPrimary(Facts facts) {
            super(facts);
        }
    }

    /** Refused, reset, no route, or an unknown host name. */
    public static final class Unreachable extends RepliqException {
        Unreachable(Facts facts) {
            super(facts);
        }
    }

    /** The other side speaks something else. */
    public static final class Protocol extends RepliqException {
        Protocol(Facts facts) {
            super(facts);
        }
    }

    /** Login or right refused; it says no more. */
    public static final class Denied extends RepliqException {
        Denied(Facts facts) {
            super(facts);
        }
    }

    /** The other side's certificate does not hold. */
    public static final class Certificate extends RepliqException {
        Certificate(Facts facts) {
            super(facts);
        }
    }

    /** A database or an engine refused. */
    public static final class Target extends RepliqException {
        Target(Facts facts) {
            super(facts);
        }
    }

    /** A bug of this library. */
    public static final class Panic extends RepliqException {
        Panic(Facts facts) {
            super(facts);
        }
    }

    /** One target or source has another history; both stamps are attached. */
    public static final class Diverged extends RepliqException {
        Diverged(Facts facts) {
            super(facts);
        }
    }

    /** The producer sequence is not the next one. */
    public static final class OutOfOrder extends RepliqException {
        OutOfOrder(Facts facts) {
            super(facts);
        }
    }
}
