"""The exceptions: one class for each code, all of them ``repliq.Error``."""

from __future__ import annotations

import builtins
import enum


class Code(enum.IntEnum):
    """The number of an error, the same in every language; never reused, never renumbered."""

    OK = 0
    INVALID = 1
    BAD_HANDLE = 2
    CLOSED = 3
    FORKED = 4
    BUSY = 5
    UNSUPPORTED = 6
    EXISTS = 7
    NO_SUCH_NAME = 8
    TOO_LARGE = 9
    QUOTA = 10
    NO_SPACE = 11
    IO = 12
    POISONED = 13
    CORRUPT = 14
    TAMPERED = 15
    BAD_PASSWORD = 16
    NOT_A_STORE = 17
    VERSION = 18
    LOCKED = 19
    PERMISSION = 20
    READ_ONLY = 21
    ROLLBACK_ONLY = 22
    ROLLED_BACK = 23
    OUTCOME_UNKNOWN = 24
    OUTCOME_EXPIRED = 25
    STALE = 26
    FENCED = 27
    PAUSED = 28
    TIMEOUT = 29
    CANCELLED = 30
    EMPTY = 31
    NOT_FOUND = 32
    WRONG_GROUP = 33
    NOT_PRIMARY = 34
    UNREACHABLE = 35
    PROTOCOL = 36
    DENIED = 37
    CERTIFICATE = 38
    TARGET = 39
    PANIC = 40
    DIVERGED = 41
    OUT_OF_ORDER = 42


class Error(Exception):
    """What went wrong: branch on ``code``, or catch the subclass; ``str(error)`` is for people."""

    code: Code
    #: The code of the error behind this one; ``Code.OK`` where there is none.
    cause: Code
    #: The number of the operating system, or 0.
    os_errno: int
    #: The message of a batch that was refused, counted from 0.
    message_index: int | None
    #: The sequences or offsets it is about, first and last.
    range: tuple[int, int] | None

    _code = Code.PANIC
    _flags = 0

    def __init__(
        self,
        text: str = "",
        cause: int = 0,
        os_errno: int = 0,
        message_index: int | None = None,
        range: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(text)
        self._text = text
        self.code = self._code
        self.cause = Code(cause)
        self.os_errno = os_errno
        self.message_index = message_index
        self.range = range

    def __str__(self) -> str:
        return self._text

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self._text, self.cause, self.os_errno, self.message_index, self.range)

    @property
    def retriable(self) -> bool:
        """Whether the same call may succeed later, as it is."""
        return bool(self._flags & 1)

    @property
    def requires_rollback(self) -> bool:
        """Whether the transaction must be rolled back first."""
        return bool(self._flags & 2)

    @property
    def fatal(self) -> bool:
        """Whether the object is finished: close it."""
        return bool(self._flags & 4)


class Park(Exception):
    """Raised by the handler of a listener to put its message aside, whatever the policy."""


class InvalidError(Error, ValueError):
    """An argument was out of range or not UTF-8. The call changed nothing."""

    _code = Code.INVALID
    _flags = 0


class BadHandleError(Error):
    """The handle is stale, foreign or closed twice."""

    _code = Code.BAD_HANDLE
    _flags = 0


class ClosedError(Error):
    """Closed here, or by the other side with nothing left."""

    _code = Code.CLOSED
    _flags = 4


class ForkedError(Error):
    """A handle of the parent was used in a forked child."""

    _code = Code.FORKED
    _flags = 4


class BusyError(Error):
    """A second thread in a session, re-entry, or close from the handle's own callback."""

    _code = Code.BUSY
    _flags = 1


class UnsupportedError(Error):
    """The feature is not built in, or reserved and not yet written."""

    _code = Code.UNSUPPORTED
    _flags = 0


class ExistsError(Error):
    """The name is in use."""

    _code = Code.EXISTS
    _flags = 0


class NoSuchNameError(Error):
    """No queue, consumer, target or user of that name."""

    _code = Code.NO_SUCH_NAME
    _flags = 0


class TooLargeError(Error):
    """A message, a name or a transaction is above its limit; nothing was staged."""

    _code = Code.TOO_LARGE
    _flags = 0


class QuotaError(Error):
    """A configured bound is reached."""

    _code = Code.QUOTA
    _flags = 3


class NoSpaceError(Error):
    """The disk is full; consuming still works."""

    _code = Code.NO_SPACE
    _flags = 3


class IoError(Error):
    """The operating system refused."""

    _code = Code.IO
    _flags = 4


class PoisonedError(Error):
    """A sync failed: reopen the store."""

    _code = Code.POISONED
    _flags = 4


class CorruptError(Error):
    """Stored bytes fail their checksum somewhere other than in the torn tail; the range is attached."""

    _code = Code.CORRUPT
    _flags = 0


class TamperedError(Error):
    """The checksum is right and the seal is wrong: somebody changed the bytes on purpose."""

    _code = Code.TAMPERED
    _flags = 4


class BadPasswordError(Error):
    """The password of the store is wrong."""

    _code = Code.BAD_PASSWORD
    _flags = 0


class NotAStoreError(Error):
    """The directory or file is not a store."""

    _code = Code.NOT_A_STORE
    _flags = 0


class VersionError(Error):
    """A newer format, protocol or ABI."""

    _code = Code.VERSION
    _flags = 0


class LockedError(Error):
    """The directory or the address is in use; the owner is named."""

    _code = Code.LOCKED
    _flags = 1


class PermissionError(Error, builtins.PermissionError):
    """Owner, mode or a read-only mount."""

    _code = Code.PERMISSION
    _flags = 0


class ReadOnlyError(Error):
    """The store is damaged or was opened for reading only."""

    _code = Code.READ_ONLY
    _flags = 0


class RollbackOnlyError(Error):
    """An earlier operation of this transaction failed; roll back."""

    _code = Code.ROLLBACK_ONLY
    _flags = 2


class RolledBackError(Error):
    """The transaction is gone, the cause is attached; the session is usable."""

    _code = Code.ROLLED_BACK
    _flags = 1


class OutcomeUnknownError(Error):
    """The commit was handed on and no answer came."""

    _code = Code.OUTCOME_UNKNOWN
    _flags = 0


class OutcomeExpiredError(Error):
    """The outcome of an older number is not kept any more."""

    _code = Code.OUTCOME_EXPIRED
    _flags = 0


class StaleError(Error):
    """The lease is gone, the message was handed to another."""

    _code = Code.STALE
    _flags = 2


class FencedError(Error):
    """A newer owner, epoch, link or session took over."""

    _code = Code.FENCED
    _flags = 4


class PausedError(Error):
    """The queue is paused."""

    _code = Code.PAUSED
    _flags = 1


class TimeoutError(Error, builtins.TimeoutError):
    """The time given is over."""

    _code = Code.TIMEOUT
    _flags = 1


class CancelledError(Error):
    """Interrupted, or closed while waiting."""

    _code = Code.CANCELLED
    _flags = 0


class EmptyError(Error):
    """The token of a transaction that wrote nothing."""

    _code = Code.EMPTY
    _flags = 0


class NotFoundError(Error):
    """The token's transaction is lost; final."""

    _code = Code.NOT_FOUND
    _flags = 0


class WrongGroupError(Error):
    """The token belongs to another group of stores."""

    _code = Code.WRONG_GROUP
    _flags = 0


class NotPrimaryError(Error):
    """This member is not the primary."""

    _code = Code.NOT_PRIMARY
    _flags = 1


class UnreachableError(Error):
    """Refused, reset, no route, or an unknown host name."""

    _code = Code.UNREACHABLE
    _flags = 1


class ProtocolError(Error):
    """The other side speaks something else."""

    _code = Code.PROTOCOL
    _flags = 0


class DeniedError(Error):
    """Login or right refused; it says no more."""

    _code = Code.DENIED
    _flags = 0


class CertificateError(Error):
    """The other side's certificate does not hold."""

    _code = Code.CERTIFICATE
    _flags = 0


class TargetError(Error):
    """A database or an engine refused."""

    _code = Code.TARGET
    _flags = 0


class PanicError(Error):
    """A bug of this library."""

    _code = Code.PANIC
    _flags = 4


class DivergedError(Error):
    """One target or source has another history; both stamps are attached."""

    _code = Code.DIVERGED
    _flags = 0


class OutOfOrderError(Error):
    """The producer sequence is not the next one."""

    _code = Code.OUT_OF_ORDER
    _flags = 0


def make(
    code: int,
    text: str,
    cause: int,
    os_errno: int,
    message_index: int | None,
    range: tuple[int, int] | None,
) -> Error:
    """The exception of an error of the core."""
    return _CLASSES[Code(code)](text, cause, os_errno, message_index, range)


_CLASSES: dict[Code, type[Error]] = {one._code: one for one in Error.__subclasses__()}
