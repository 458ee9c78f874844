"""Persistent transactional message queues that replicate, transact and prove where a transaction is.

    import repliq

    with repliq.open("shop") as store:
        orders = store.queue("orders")
        orders.put(b"one pound of tea")

        for order in store.consumer("clerk", orders):
            print(order.payload)

- What can fail raises a subclass of ``repliq.Error``, one for each code.
- Stores, sessions, consumers, listeners, snapshots, ports, replications and servers are closed by ``close()`` or at
  the end of a ``with``; a session rolls back what was not committed. What is used after its close raises
  ``ClosedError``.
- Times are seconds as numbers; a ``timeout`` of ``None`` waits for ever. Every call that waits lets other threads
  of Python run, and Ctrl-C ends it.
- Payloads, keys and header values are bytes-like; ``bytes`` and views of them are not copied on the way in.
"""

import atexit as _atexit

from . import _repliq
from ._errors import (
    BadHandleError,
    BadPasswordError,
    BusyError,
    CancelledError,
    CertificateError,
    ClosedError,
    Code,
    CorruptError,
    DeniedError,
    DivergedError,
    EmptyError,
    Error,
    ExistsError,
    FencedError,
    ForkedError,
    InvalidError,
    IoError,
    LockedError,
    NoSpaceError,
    NoSuchNameError,
    NotAStoreError,
    NotFoundError,
    NotPrimaryError,
    OutcomeExpiredError,
    OutcomeUnknownError,
    OutOfOrderError,
    PanicError,
    Park,
    PausedError,
    PermissionError,
    PoisonedError,
    ProtocolError,
    QuotaError,
    ReadOnlyError,
    RollbackOnlyError,
    RolledBackError,
    StaleError,
    TamperedError,
    TargetError,
    TimeoutError,
    TooLargeError,
    UnreachableError,
    UnsupportedError,
    VersionError,
    WrongGroupError,
)
from ._listener import Listener
from ._log import log_set
from ._repliq import (
    Consumer,
    Event,
    Message,
    Outcome,
    Port,
    Queue,
    Replication,
    Result,
    Server,
    Session,
    Snapshot,
    Store,
    Token,
    TransactionId,
    abi,
    open,
    restore,
    version,
)
from ._status import BackupInfo, ListenerStatus, Prepared, ReplicationStatus, TargetStatus
from ._user import User

__version__ = version

__all__ = [
    "BadHandleError",
    "BadPasswordError",
    "BackupInfo",
    "BusyError",
    "CancelledError",
    "CertificateError",
    "ClosedError",
    "Code",
    "Consumer",
    "CorruptError",
    "DeniedError",
    "DivergedError",
    "EmptyError",
    "Error",
    "Event",
    "ExistsError",
    "FencedError",
    "ForkedError",
    "InvalidError",
    "IoError",
    "Listener",
    "ListenerStatus",
    "LockedError",
    "Message",
    "NoSpaceError",
    "NoSuchNameError",
    "NotAStoreError",
    "NotFoundError",
    "NotPrimaryError",
    "OutOfOrderError",
    "Outcome",
    "OutcomeExpiredError",
    "OutcomeUnknownError",
    "PanicError",
    "Park",
    "PausedError",
    "PermissionError",
    "PoisonedError",
    "Port",
    "Prepared",
    "ProtocolError",
    "Queue",
    "QuotaError",
    "ReadOnlyError",
    "Replication",
    "ReplicationStatus",
    "Result",
    "RollbackOnlyError",
    "RolledBackError",
    "Server",
    "Session",
    "Snapshot",
    "StaleError",
    "Store",
    "TamperedError",
    "TargetError",
    "TargetStatus",
    "TimeoutError",
    "Token",
    "TooLargeError",
    "TransactionId",
    "UnreachableError",
    "UnsupportedError",
    "User",
    "VersionError",
    "WrongGroupError",
    "abi",
    "log_set",
    "open",
    "restore",
    "version",
]

# Threads that wait in the library do not come back into an interpreter that ends.
_atexit.register(_repliq.leave)
