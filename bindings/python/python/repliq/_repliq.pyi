"""The extension module; use its classes as ``repliq.NAME``."""

import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Any, Callable, Final, Literal, Self, TypeAlias, TypeVar, final, overload

from typing_extensions import Buffer

from ._errors import Error
from ._listener import Listener
from ._status import BackupInfo, ListenerStatus, Prepared, ReplicationStatus, TargetStatus
from ._user import User

__all__ = [
    "Consumer",
    "Each",
    "Event",
    "Message",
    "Outcome",
    "Port",
    "Queue",
    "Replication",
    "Result",
    "Server",
    "Session",
    "Snapshot",
    "Store",
    "Token",
    "TransactionId",
    "Work",
    "abi",
    "codes",
    "leave",
    "log_drain",
    "log_level",
    "nothing",
    "open",
    "restore",
    "version",
]

_Level: TypeAlias = Literal["process", "power"]
_Key: TypeAlias = str | Buffer
_Headers: TypeAlias = Mapping[str, str | Buffer] | Iterable[tuple[str, str | Buffer]]
_Messages: TypeAlias = Iterable[Buffer | Message]
_Tokens: TypeAlias = Token | Result | Iterable[Token | Result]
_Sequences: TypeAlias = int | Message | Iterable[int | Message]
_Start: TypeAlias = Literal["oldest", "now"] | int
_T = TypeVar("_T")

version: Final[str]
abi: Final[int]

def open(
    path: str | os.PathLike[str],
    *,
    password: str | Buffer | None = None,
    create: bool = True,
    read_only: bool = False,
    helper: bool = True,
    level: _Level = "power",
    horizon: _Level = "power",
    segment_bytes: int | None = None,
    segment_bytes_max: int | None = None,
    keep: float | None = None,
    keep_bytes: int | None = None,
    quota_bytes: int | None = None,
    user: str | None = None,
    ca_file: str | os.PathLike[str] | None = None,
    server_name: str | None = None,
    plain: bool = False,
    reconnect: bool = True,
    heartbeat: float = 5.0,
    connect_timeout: float = 10.0,
    reconnect_max: float = 30.0,
) -> Store:
    """Opens the store in a directory, which is created when there is none, or the store at a server.

    ``password`` encrypts it at rest. ``level`` is what commits survive that name none: "power", or "process" for
    the end of the process only. ``horizon`` says the same of what others have seen: with "process" consumers and
    targets see it without a sync, and a power cut may take back what was seen; the store then goes on in a new epoch,
    and a token of what is lost raises NotFoundError. ``helper`` lets a thread work ahead. ``keep`` seconds and ``keep_bytes`` bound how
    long what every reader has is kept for receivers that went back. ``quota_bytes`` bounds all segment files
    together: at the bound puts raise NoSpaceError until something was acknowledged, purged or deleted.

    At a server ``path`` is its URL, "repliq://user@host:port" or "repliq+unix://user@/path/of/socket". ``password``
    is then the one of the user, who is named by ``user`` where the URL does not say, and of the other options those
    from ``user`` on count. TLS is verified against ``ca_file``, or the authorities of the system, for the host or
    ``server_name``; ``plain`` asks for plain TCP, which the server must allow. ``connect_timeout`` bounds the way
    from the name of the host to the end of the login, and later each call to the server, beside what it waits for
    there. A connection that is lost comes back by itself, unless ``reconnect`` is false, with at most
    ``reconnect_max`` seconds between two tries.

    A call that waits for the server ends with Ctrl-C. Of a commit that was sent nobody knows then whether it is
    done: the ``__cause__`` of the KeyboardInterrupt is an OutcomeUnknownError, and ``resolve`` tells.

    Raises:
        LockedError: open elsewhere; the owner is named.
        NoSuchNameError: nothing there, and ``create`` is false.
        NotAStoreError, BadPasswordError, PermissionError, VersionError, CorruptError, NoSpaceError, IoError.
        UnreachableError, DeniedError, CertificateError, ProtocolError, TimeoutError: of the server.
    """

def restore(
    backup: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    password: str | Buffer | None = None,
) -> BackupInfo:
    """Makes a store of a backup in a directory that is empty or missing; it begins a new epoch.

    Tokens of what was committed behind the backup then raise NotFoundError.
    """

@final
class Store:
    """An open store; made by ``repliq.open``. Safe to use from several threads.

    At a server it is used in the same way. What only the owner of a directory can do, such as a backup, raises
    UnsupportedError there.
    """

    @property
    def is_remote(self) -> bool:
        """Whether it is at a server, and was opened by a URL."""

    def queue(self, name: str) -> Queue:
        """The queue of this name, 1 to 255 bytes of UTF-8; created on first use."""

    def put(
        self,
        queue: Queue,
        payload: Buffer | Message,
        *,
        kind: int = 0,
        key: _Key | None = None,
        headers: _Headers | None = None,
        expires: float | None = None,
        deliver_at: float | None = None,
        priority: int = 0,
        producer: str | None = None,
        producer_sequence: int = 0,
        level: _Level | None = None,
    ) -> Result:
        """The same as ``queue.put``."""

    def put_many(self, queue: Queue, messages: _Messages, *, level: _Level | None = None) -> Result:
        """The same as ``queue.put_many``."""

    def put_async(
        self,
        queue: Queue,
        payload: Buffer | Message,
        *,
        kind: int = 0,
        key: _Key | None = None,
        headers: _Headers | None = None,
        expires: float | None = None,
        deliver_at: float | None = None,
        priority: int = 0,
        producer: str | None = None,
        producer_sequence: int = 0,
    ) -> Future[Result]:
        """The same as ``queue.put_async``."""

    def session(
        self,
        *,
        level: _Level | None = None,
        name: str = "",
        takeover: bool = False,
        idle: float = 0.0,
        bytes_max: int = 0,
    ) -> Session:
        """Opens a session: transactions over any queues of this store.

        One with a ``name`` is remembered, and open once at a time; ``takeover`` takes it from whoever has it open,
        who gets FencedError from then on. A transaction that gets no call for ``idle`` seconds is rolled back, which
        the next call says; 0 is no bound, and at a server its own, a minute. The put that makes a transaction larger
        than ``bytes_max``, 64 bytes more for each message, raises QuotaError, and the transaction can only be rolled
        back; 0 is no bound.

        Raises:
            ExistsError: open already, and ``takeover`` is false.
            DeniedError: of another user.
            QuotaError: too many are remembered.
        """

    def resolve(self, id: TransactionId | str | Buffer) -> Outcome:
        """What became of a session's transaction, finally.

        A commit that is under way is waited for. One that has not begun never will be: its session gets
        RolledBackError. "expired" answers for all before the session's last committed transaction, and for sessions
        that were not used for 24 hours.

        Raises:
            DeniedError: of another user.
        """

    def finish(self, id: TransactionId | str | Buffer, *, commit: bool) -> Result:
        """Commits a prepared transaction, or rolls it back, durably.

        It may come from anywhere and again: how one ended is known for 24 hours, of the last 16,384; where it was ended
        by hand, from the command line, longer.

        Raises:
            RolledBackError: it is to be committed, and was rolled back before.
            InvalidError: it is to be rolled back, and was committed before.
            NoSuchNameError: none is known.
            DeniedError: of another user.
            NoSpaceError: it waits on.
        """

    def prepared(self) -> list[Prepared]:
        """The prepared transactions that wait, and those that were ended by hand.

        At a server these are the user's own;
        with the right ``admin`` on ``*``, all.
        """

    def consumer(
        self,
        name: str,
        queue: Queue,
        *,
        start: _Start | None = None,
        ack_level: _Level | None = None,
        shared: bool = False,
        keyed: bool = False,
        parallel: int = 0,
        per_key: int = 0,
        lease: float = 0.0,
        retry_delay: float = 0.0,
        retry_multiplier: int = 0,
        retry_delay_max: float = 0.0,
        max_deliveries: int = 0,
        dead_letters: Queue | None = None,
        after_dead_letter: Literal["skip", "block", "park"] = "skip",
        conflate: bool = False,
        key_versions: bool = False,
    ) -> Consumer:
        """Opens the consumer of this name on a queue; it is created on first use and begins at ``start``.

        With an ``ack_level`` of "process" acknowledgements ride with the next sync. With ``shared`` several may be
        open, each message going to one, ``parallel`` of them out at a time. With ``keyed`` messages of one key are
        handed out one after the other, ``per_key`` of them at a time, or, with ``conflate``, the newest of those that
        wait alone, and those before it never. With ``key_versions`` a message whose header "repliq-version", a number, is
        not above the last one of its key that was acknowledged is acknowledged and not handed out. What was handed out
        for longer than ``lease`` may be handed to another. What was given back comes again after ``retry_delay``, which is multiplied with
        each further time; what comes back from the last of ``max_deliveries`` moves to ``dead_letters``, with headers
        that say why, how often, when and from where. With ``keyed`` the rest of its key goes on then, waits
        (``after_dead_letter="block"``) or moves, too ("park"), until ``Queue.redrive``.

        Raises:
            BusyError: it is open already, and not shared.
        """

    def consumer_delete(self, name: str, queue: Queue) -> Result:
        """Deletes a consumer; messages only it waited for may go."""

    def snapshot(self) -> Snapshot:
        """Opens a look at all queues as they are now; it keeps the disk space of what it can see."""

    def wait(self, tokens: _Tokens, *, at: str = "", timeout: float | None = None) -> None:
        """Waits until all transactions are at a place: "" (here), "target:NAME", "target:*", "consumer:NAME".

        Raises:
            TimeoutError: the time was over.
            NotFoundError: a transaction is lost; final.
            EmptyError, WrongGroupError, NoSuchNameError.
        """

    def wait_async(self, tokens: _Tokens, *, at: str = "") -> Future[Result]:
        """The same without waiting here."""

    def watch(self, tokens: _Tokens, port: Port, tag: int, *, at: str = "") -> None:
        """The same without waiting; the port gets the outcome under the tag."""

    def status(self) -> dict[str, Any]:
        """What it is and has."""

    def backup(self, dest: str | os.PathLike[str]) -> BackupInfo:
        """Copies everything committed into a directory while others go on; the next backup copies what is new."""

    def change_password(self, password: str | Buffer) -> None:
        """Gives an encrypted store another password; a crash leaves one of the two valid."""

    def close(self) -> None:
        """Makes everything durable and gives the directory free; what is used of it then raises ClosedError."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_args: object) -> None: ...

@final
class Queue:
    """A queue of a store: a value. The store must be open when it is used."""

    @property
    def number(self) -> int:
        """What the store calls it."""

    @property
    def name(self) -> str:
        """What you call it."""

    def put(
        self,
        payload: Buffer | Message,
        *,
        kind: int = 0,
        key: _Key | None = None,
        headers: _Headers | None = None,
        expires: float | None = None,
        deliver_at: float | None = None,
        priority: int = 0,
        producer: str | None = None,
        producer_sequence: int = 0,
        level: _Level | None = None,
    ) -> Result:
        """Puts a message as a transaction of its own and waits until it is as durable as asked.

        ``kind`` is a number for the program's own use, ``key`` is what readers select and order by, ``expires``
        is when it stops being worth delivering, in seconds since 1970. A ``producer`` numbers its messages; a
        repeated number is stored once.

        Raises:
            TooLargeError, PausedError, OutOfOrderError, NoSuchNameError, NoSpaceError, ReadOnlyError: nothing
                was put.
            OutcomeUnknownError: the disk failed, the next open decides.
        """

    def put_many(self, messages: _Messages, *, level: _Level | None = None) -> Result:
        """Puts messages as one transaction: buffers, or ``Message`` for more than a payload.

        The ``message_index`` of an error says which one was refused; then nothing was put.
        """

    def put_async(
        self,
        payload: Buffer | Message,
        *,
        kind: int = 0,
        key: _Key | None = None,
        headers: _Headers | None = None,
        expires: float | None = None,
        deliver_at: float | None = None,
        priority: int = 0,
        producer: str | None = None,
        producer_sequence: int = 0,
    ) -> Future[Result]:
        """Puts a message at the store's level without waiting. Leaving the future does not undo the put."""

    def put_many_async(self, messages: _Messages) -> Future[Result]:
        """Puts messages as one transaction without waiting."""

    def put_start(self, messages: _Messages, port: Port, tag: int) -> None:
        """Puts messages as one transaction without waiting; the port gets the outcome under the tag."""

    def pause(self) -> Result:
        """Refuses puts and receives with PausedError until ``resume``."""

    def resume(self) -> Result:
        """Accepts puts and receives again."""

    def purge(self) -> Result:
        """Drops every message that is in it now; sequences go on."""

    def redrive(self, *, max: int = 0, drop: bool = False) -> tuple[int, list[tuple[int, str]]]:
        """Puts its dead letters back where they came from, the oldest first, at most ``max`` of them; or drops them.

        One that was worked on in the order of its key comes again at its place; where something newer of its key was
        acknowledged since, it is refused, and stays. Returns how many went, and the sequences that stay, with why.
        At a server this needs the right ``admin`` on the queue and on those its letters came from.

        Raises:
            BusyError: another call is at it.
            DeniedError: the user has no such right.
        """

    def delete(self) -> Result:
        """Deletes it with its messages and consumers."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Message:
    """A message: one to be put, or one that was read, which holds its bytes for as long as it lives.

    ``kind`` is a number for the program's own use, ``key`` is what readers select and order by, ``expires`` is when it
    stops being worth delivering and ``deliver_at`` when it may be received first, in seconds since 1970. ``priority``
    is 0 to 9. A ``producer`` numbers its messages with ``producer_sequence``; a repeated number is stored once.
    """

    def __new__(
        cls,
        payload: Buffer | None = None,
        *,
        kind: int = 0,
        key: _Key | None = None,
        headers: _Headers | None = None,
        expires: float | None = None,
        deliver_at: float | None = None,
        priority: int = 0,
        producer: str | None = None,
        producer_sequence: int = 0,
    ) -> Self: ...
    @property
    def payload(self) -> bytes:
        """The payload, as a copy where the message was read."""

    @property
    def view(self) -> memoryview:
        """The payload without a copy; the view keeps the bytes."""

    @property
    def key(self) -> bytes:
        """What it is about; readers select and order by it. Empty where it has none."""

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        """Names and values, in the order in which they were given."""

    @overload
    def header(self, name: str) -> bytes | None: ...
    @overload
    def header(self, name: str, default: _T) -> bytes | _T:
        """The value of the first header of this name."""

    @property
    def kind(self) -> int:
        """A number for the program's own use, such as a request id; 0 for none."""

    @property
    def expires(self) -> float | None:
        """When it stops being worth delivering, in seconds since 1970."""

    @property
    def deliver_at(self) -> float | None:
        """Not received earlier, in seconds since 1970."""

    @property
    def priority(self) -> int:
        """0 to 9: of what waits, the highest is received first."""

    @property
    def producer(self) -> str:
        """The name of a producer that numbers its messages; empty for none."""

    @property
    def producer_sequence(self) -> int:
        """The producer's number, exactly one above its last one."""

    @property
    def sequence(self) -> int:
        """Its place in its queue, gap-free from 1; 0 for one that was not read."""

    @property
    def queue(self) -> int:
        """The number of its queue."""

    @property
    def deliveries(self) -> int:
        """How often it was handed to this consumer, this time counted."""

    @property
    def committed(self) -> float | None:
        """When its transaction was committed, in seconds since 1970."""

@final
class Token:
    """The proof of a commit, to be asked for at any store of the same group. Has no order."""

    @staticmethod
    def parse(text: str | Buffer) -> Token:
        """From the 54 characters of ``text``, or the 40 bytes of ``bytes(token)``."""

    @staticmethod
    def join(tokens: _Tokens) -> list[Token]:
        """The least list that says the same."""

    @property
    def text(self) -> str:
        """54 characters, to be kept in a cookie, a file, a column; ``parse`` reads them."""

    @property
    def is_empty(self) -> bool:
        """Whether it is of a transaction that wrote nothing."""

    def __bytes__(self) -> bytes: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Result:
    """What a commit answers: the token, and the level that was reached."""

    @property
    def token(self) -> Token:
        """Where the transaction is in the order of commits."""

    @property
    def level(self) -> _Level:
        """What it survives: "process" or "power"."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class TransactionId:
    """The identity of a transaction of a session, known before its commit, for ``store.resolve``."""

    @staticmethod
    def parse(text: str | Buffer) -> TransactionId:
        """From ``text``, or the 28 bytes of ``bytes(id)``."""

    @property
    def text(self) -> str:
        """Session in hexadecimal digits, epoch and number, with dots between them."""

    @property
    def session(self) -> bytes:
        """The session: 16 bytes."""

    @property
    def epoch(self) -> int:
        """Which of the session's owners, one after the other."""

    @property
    def number(self) -> int:
        """Which of the owner's transactions, from 1."""

    def __bytes__(self) -> bytes: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Outcome:
    """What became of a transaction."""

    @property
    def state(self) -> Literal["committed", "rolled_back", "pending", "expired"]:
        """Committed, durably. Rolled back: it never will be. Pending: it is prepared, or other members decide. Expired: nobody knows."""

    @property
    def token(self) -> Token | None:
        """The token of one that is committed."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Session:
    """One transaction after the other; one thread at a time, others get BusyError, also from ``close``.

    At the end of a ``with`` it rolls back what was not committed.

    At a server, puts are staged while the program goes on: what it refuses is told by a later call, with
    RollbackOnlyError and the first cause. A connection that is lost takes the open transaction with it
    (RolledBackError), and the session goes on with the next one.
    """

    def id(self) -> TransactionId:
        """The identity of the open transaction: ``store.resolve`` tells what became of it, also after a crash, for
        24 hours after the session's last use.

        In this process a session without a name is remembered from the first call on, which is a small transaction
        of its own.
        """

    def put(
        self,
        queue: Queue,
        payload: Buffer | Message,
        *,
        kind: int = 0,
        key: _Key | None = None,
        headers: _Headers | None = None,
        expires: float | None = None,
        deliver_at: float | None = None,
        priority: int = 0,
        producer: str | None = None,
        producer_sequence: int = 0,
    ) -> None:
        """Adds a message to the transaction; see ``Queue.put``."""

    def put_many(self, queue: Queue, messages: _Messages) -> None:
        """Adds messages to the transaction, all or none."""

    def receive(self, consumer: Consumer, max: int = 256, *, timeout: float | None = None) -> list[Message]:
        """Receives at most ``max`` messages into the transaction, waiting for the first; none when time is over.

        The commit acknowledges them.
        """

    def commit(self) -> Result:
        """Commits, and begins the next transaction.

        Raises:
            PausedError, OutOfOrderError, NoSuchNameError, NoSpaceError: nothing was written; the transaction
                stands and can be tried again or rolled back.
            StaleError, RolledBackError, FencedError: it is rolled back, and what it had received comes again.
            OutcomeUnknownError: the disk failed, the next open decides; or the server did not answer, and
                ``store.resolve`` tells.
        """

    def commit_async(self) -> Future[Result]:
        """Commits at the store's level without waiting, and begins the next transaction."""

    def commit_start(self, port: Port, tag: int) -> None:
        """The same; the port gets the outcome under the tag."""

    def prepare(self, xid: str | Buffer | None = None) -> TransactionId:
        """Prepares the transaction for a coordinator outside, and begins the next transaction.

        What it put is seen by nobody, and what it received given to nobody, until ``store.finish`` commits it or rolls it
        back, from wherever and whenever that comes: also after a crash. ``xid`` is what the coordinator calls it, at most
        255 bytes.

        Raises:
            QuotaError, ExistsError, BusyError, TooLargeError: 1,024 are prepared, one has this xid, or messages of the
                same producer, or the xid is too long; the transaction stands. Otherwise as ``commit``.
        """

    def rollback(self) -> None:
        """Forgets what was put and gives back what was received."""

    def close(self) -> None:
        """Rolls back what was not committed."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_args: object) -> None: ...

@final
class Consumer:
    """A named, durable reader of a queue. Safe to use from several threads.

    As an iterator it hands out what is there, message by message, and ends when nothing is left. A message is
    acknowledged when the next one is asked for, so a body that raises or breaks leaves its message in the queue.
    """

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def queue(self) -> Queue:
        """The queue it reads."""

    def receive(self, max: int = 256, *, timeout: float | None = None) -> list[Message]:
        """Receives at most ``max`` messages, waiting for the first; none when the time is over.

        Each comes again unless it is acknowledged.
        """

    def each(self, *, timeout: float | None = None) -> Each:
        """An iterator as the consumer itself, that ends when nothing came for so long."""

    def watch(self, port: Port, tag: int) -> None:
        """The port gets an event under the tag once a receive may give something, or would fail."""

    def ack(self, messages: _Sequences) -> Result:
        """Acknowledges messages, or their sequences, in any order, as a transaction of its own."""

    def reject(
        self,
        messages: _Sequences,
        *,
        delay: float | None = None,
        reason: str = "",
        to_end: bool = False,
    ) -> None:
        """Gives messages back: they come again, in order, before newer ones, after so many seconds or as
        ``retry_delay`` says. The reason is kept where a message becomes a dead letter. With ``to_end`` they come behind
        all that is in the queue now, in the order in which they are named.

        Raises:
            InvalidError: ``to_end``, and it was opened with ``conflate``.
            StaleError: shared or keyed, and it has one of them no more.
        """

    def renew(self, messages: _Sequences) -> None:
        """Keeps messages for another ``lease`` from now on.

        Raises:
            StaleError: the time of one was over.
        """

    def seek(self, sequence: int) -> Result:
        """Goes on with this sequence: what is before counts as acknowledged, from it on nothing does."""

    def listen(
        self,
        handler: Callable[[Session, Any], object],
        *,
        job: bool = False,
        policy: Literal["block", "park", "dead_letter"] = "block",
        dead_letter_after: int = 0,
        dead_letter_queue: str | None = None,
        retry: float = 0.1,
        retry_max: float = 10.0,
        threads: int = 1,
    ) -> Listener:
        """Calls ``handler(session, message)`` for each message, on a thread of its own, or on so many ``threads``.

        With ``job`` it gets the list of all messages of a transaction. When the handler returns, the session is
        committed with what it put there; when it raises, it is rolled back and the policy decides: try again for
        ever, set the key aside, or move it to ``dead_letter_queue`` after so many failures. ``raise
        repliq.Park(reason)`` sets the key aside at once. The consumer belongs to the listener from now on. On several
        threads there is no order but that of the keys of a ``keyed`` consumer.
        """

    def close(self) -> None:
        """Ends the use; who waits in a receive gets ClosedError. What was not acknowledged comes again."""

    def __iter__(self) -> Each: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_args: object) -> None: ...

@final
class Each(Iterator[Message]):
    """The messages of a consumer one by one."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> Message:
        """Acknowledges the message before, and waits for the next."""

@final
class Work:
    """A listener and its work, for the threads that run it."""

    def run(self) -> None:
        """Works until it is stopped."""

    def stop(self) -> None:
        """Ends the work after the calls under way."""

    def status(self) -> ListenerStatus:
        """What it has done."""

@final
class Snapshot:
    """A look at the queues of a store as they were, without taking anything."""

    def browse(self, queue: Queue, *, start: int = 1, max: int = 256) -> list[Message]:
        """At most ``max`` messages from a sequence on; none at the end. Go on with the last sequence plus 1."""

    def close(self) -> None:
        """Gives the disk space free that it keeps."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_args: object) -> None: ...

@final
class Port:
    """A queue of finished operations, for event loops: ``fileno()`` is readable while events wait."""

    def __new__(cls) -> Self: ...
    def fileno(self) -> int:
        """A descriptor that ``select`` and event loops find readable while events wait. It belongs to the port."""

    def drain(self, max: int = 256, *, timeout: float | None = None) -> list[Event]:
        """Takes at most ``max`` events, waiting for the first; who waits here also does the syncs."""

    def cancel(self, tag: int) -> None:
        """Ends the waiting for the operations with this tag; what was started goes on."""

    def close(self) -> None:
        """Ends it; who waits in a drain gets ClosedError, and events that were not taken are dropped."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_args: object) -> None: ...

@final
class Event:
    """How an operation ended: with a result, or with an error."""

    @property
    def tag(self) -> int:
        """As it was given when the operation was started."""

    @property
    def result(self) -> Result | None:
        """What the commit answered; None where it failed."""

    @property
    def error(self) -> Error | None:
        """Why it failed; None where it did not."""

@final
class Replication:
    """A root queue that reaches every target, in order, once, job by job.

        with repliq.Replication(store.queue("orders")) as replication:
            replication.add("office", "repliq://till@office", password=password)
            with replication.job():
                replication.send(1, b"one pound of tea")
                replication.send(1, b"two pounds of sugar")
            store.wait(replication.token, at="target:*")

    ``level`` is what commits survive, the store's by default.
    """

    def __new__(cls, root: Queue, *, level: _Level | None = None) -> Self: ...
    def add(
        self,
        name: str,
        url: str,
        *,
        password: str | Buffer | None = None,
        plain: bool = False,
        user: str | None = None,
        queue: str | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        server_name: str | None = None,
        kinds: list[int] | None = None,
        key_prefix: _Key | None = None,
        header_name: str | None = None,
        header_value: str | None = None,
        start: _Start | None = None,
        heartbeat: float = 5.0,
        connect_timeout: float = 10.0,
        reconnect_max: float = 30.0,
        reconnect: bool = True,
    ) -> None:
        """Adds a target and starts its link; returns at once, connected or not.

        ``url`` is repliq://user@host:port, with /queue where the queue at the target has another name than the
        root, or repliq+unix:///path. ``kinds``, ``key_prefix`` and ``header_name`` select what it gets. ``start``
        is "oldest" or "now". Without ``reconnect`` there is one try.
        """

    def remove(self, name: str) -> None:
        """Ends a target for good: messages only it waited for may go."""

    def skip(self, name: str) -> None:
        """Sets the transaction aside that a target refuses, for this target only."""

    def accept_gap(self, name: str) -> None:
        """Lets a target go on that is behind what is still kept."""

    def send(
        self,
        kind: int,
        payload: Buffer,
        *,
        key: _Key | None = None,
        headers: _Headers | None = None,
        expires: float | None = None,
        deliver_at: float | None = None,
        priority: int = 0,
        producer: str | None = None,
        producer_sequence: int = 0,
    ) -> Result:
        """Sends a message into the open job, or as a transaction of its own; in a job the token is empty."""

    def send_many(self, messages: _Messages) -> Result:
        """Sends messages, all or none: buffers, or ``Message`` for more than a payload, as its ``kind``."""

    def job(self) -> AbstractContextManager[Replication]:
        """``with replication.job():`` is one transaction; an exception gives it up."""

    def start_job(self) -> None:
        """Begins a job: what is sent from now on is one transaction, invisible until its end.

        Raises:
            ExistsError: a job is open.
        """

    def end_job(self) -> Result:
        """Commits the job. Every target gets it as a whole.

        Raises:
            InvalidError: no job is open.
        """

    def abort_job(self) -> None:
        """Gives the job up: nothing sent since its start is left.

        Raises:
            InvalidError: no job is open.
        """

    def push(self) -> None:
        """Sees to it that everything committed goes out now. It does so by itself."""

    def status(self) -> ReplicationStatus:
        """Root, targets and whether a job is open."""

    def target(self, name: str) -> TargetStatus:
        """A target as it is.

        Raises:
            NoSuchNameError: neither added here nor known from before.
        """

    @property
    def token(self) -> Token | None:
        """The token of what was committed last."""

    @property
    def root(self) -> Queue:
        """The root queue."""

    def stop(self, *, timeout: float | None = None) -> None:
        """Waits until every target has everything, and ends the links.

        Raises:
            TimeoutError: the rest goes out when the root is replicated again.
        """

    def close(self) -> None:
        """Ends the links at once; an open job is rolled back."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_args: object) -> None: ...

@final
class Server:
    """A store that others can reach.

        users = [repliq.User("till", password, "replicate,publish", "orders")]
        with repliq.Server(store, certificate_file="c.pem", key_file="k.pem", users=users) as server:
            print(server.addresses)

    ``listen`` holds "host:port", "[address]:port" (port 0 for any that is free) or "unix:/path", by default
    "127.0.0.1:20901". TLS needs ``certificate_file`` and ``key_file``; ``plain`` allows plain TCP. Users come from
    ``users_file``, as ``repliq user add`` writes it, or from ``users``. The rest are bounds, times in seconds: see
    docs/OPTIONS.md.
    """

    def __new__(
        cls,
        store: Store,
        *,
        listen: list[str] | None = None,
        plain: bool = False,
        certificate_file: str | os.PathLike[str] | None = None,
        key_file: str | os.PathLike[str] | None = None,
        users_file: str | os.PathLike[str] | None = None,
        users: Iterable[User] | None = None,
        heartbeat: float = 5.0,
        login: float = 5.0,
        failure_wait_max: float = 30.0,
        connections_max: int = 1024,
        strangers_max: int = 64,
        failures_max: int = 5,
        sessions_max: int = 16_384,
        transactions_max: int = 4_096,
        staged_bytes_max: int = 4_294_967_296,
        user_share: int = 50,
    ) -> Self: ...
    @property
    def addresses(self) -> list[str]:
        """Where it listens for TCP, with the ports it got."""

    def status(self) -> dict[str, Any]:
        """Who is connected, and what came of strangers."""

    def reload(self) -> None:
        """Reads users, certificate and key again; users that changed are cut off at once."""

    def close(self) -> None:
        """Ends it, after at most 7 seconds for what was asked before; Ctrl-C ends the waiting, and not the end."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_args: object) -> None: ...

def codes() -> list[tuple[str, int, int]]:
    """Name, number and flags of every code."""

def leave() -> None:
    """Called once, when the interpreter ends."""

def log_level(level: int | None) -> None:
    """Keeps log lines of this level and more important ones for ``log_drain``."""

def log_drain(timeout: float | None = None) -> tuple[list[tuple[int, str, str]], int]:
    """Waits for log lines: level, name and text of each; and how many were lost."""

def nothing() -> None:
    """Does nothing: what a call costs."""
