"""The CReplication face, for those who know SocketPro; docs/SOCKETPRO.md has every name and every difference.

    from repliq.socketpro import CConnectionContext, CReplication, CScopeUQueue, QueueConfigure

    QueueConfigure.SetMessageQueuePassword("MyQPassword")
    QueueConfigure.SetWorkDirectory("sp_test/")
    with CReplication() as rep:
        rep.Start({"Tolocal": CConnectionContext("127.0.0.1", 20901, "replication", "p4localhost")})
        rep.Send(0x2002, CScopeUQueue().SaveString("David").SaveString("Young"))
"""

from __future__ import annotations

import copy
import dataclasses
import datetime
import enum
import os
import struct
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import repliq

__all__ = [
    "CClientQueue",
    "CConnectionContext",
    "CReplication",
    "CScopeUQueue",
    "DEFAULT_TTL",
    "QueueConfigure",
    "ReplicationSetting",
    "tagEncryptionMethod",
]

_T = TypeVar("_T")

#: Thirty days, in seconds.
DEFAULT_TTL = 2_592_000
_DEFAULT_TIMEOUT = 30_000
_RESERVED_ID = 0x2001
_NULL = 0xFFFFFFFF
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def _folder(path: str) -> str:
    """The path with a separator at its end."""
    return path if path.endswith("/") else path + "/"


class tagEncryptionMethod(enum.IntEnum):
    """How a connection is secured; ``NoEncryption`` counts as asking for plain TCP."""

    NoEncryption = 0
    TLSv1 = 1


class QueueConfigure:
    """Of the whole process; values count for the ``Start`` that follows."""

    _work_directory: ClassVar[str] = "./"
    _password: ClassVar[str] = ""

    @classmethod
    def SetWorkDirectory(cls, dir: str) -> None:
        """Where new settings put their queues."""
        QueueConfigure._work_directory = _folder(os.fspath(dir))

    @classmethod
    def GetWorkDirectory(cls) -> str:
        """Ends with a separator."""
        return QueueConfigure._work_directory

    @classmethod
    def SetMessageQueuePassword(cls, pwd: str) -> None:
        """Encrypts every store from now on; empty for none."""
        QueueConfigure._password = pwd


@dataclasses.dataclass
class ReplicationSetting:
    """How a replication works; 0 is the default of a number."""

    QueueDir: str = dataclasses.field(default_factory=QueueConfigure.GetWorkDirectory)
    NoAutoConn: bool = False
    #: Seconds after its send at which a request expires.
    TTL: int = DEFAULT_TTL
    #: Milliseconds; a third of it is the heartbeat of a connection.
    RecvTimeout: int = _DEFAULT_TIMEOUT
    #: Milliseconds from the name of the host to the end of the login.
    ConnTimeout: int = _DEFAULT_TIMEOUT


@dataclasses.dataclass
class CConnectionContext:
    """Where a target is, and how to log in there."""

    Host: str = "localhost"
    Port: int = 20901
    UserId: str = ""
    Password: str = dataclasses.field(default="", repr=False)
    EncrytionMethod: int = tagEncryptionMethod.NoEncryption
    Zip: bool = False
    V6: bool = False
    AnyData: Any = None
    #: The destination queue where it has another name than the root.
    Queue: str = ""
    #: PEM file of the authorities to trust instead of the system's.
    CaFile: str = ""
    #: The name in the certificate where it is not the host.
    ServerName: str = ""


class CScopeUQueue:
    """Packs values for a request, or reads them from one; the same bytes in every language."""

    def __init__(self, buffer: bytes | bytearray | memoryview = b"") -> None:
        self._bytes = bytearray(buffer)
        self._at = 0

    def GetBuffer(self) -> bytes:
        """The bytes that are not loaded yet."""
        return bytes(self._bytes[self._at :])

    def GetSize(self) -> int:
        """How many these are."""
        return len(self._bytes) - self._at

    def SetSize(self, size: int) -> None:
        """Empties it; no other size than 0 is allowed."""
        if size != 0:
            raise repliq.InvalidError(f"a packer cannot be set to {size} bytes, only to 0")
        self._bytes, self._at = bytearray(), 0

    def __len__(self) -> int:
        return self.GetSize()

    # ---- saving

    def _pack(self, layout: str, value: object) -> CScopeUQueue:
        try:
            self._bytes += struct.pack("<" + layout, value)
        except (struct.error, OverflowError) as error:
            raise repliq.InvalidError(f"cannot save {value!r}: {error}") from None
        return self

    def SaveBool(self, value: bool) -> CScopeUQueue:
        """One byte, 0 or 1."""
        return self._pack("B", 1 if value else 0)

    def SaveInt(self, value: int) -> CScopeUQueue:
        """32 bits."""
        return self._pack("i", value)

    def SaveLong(self, value: int) -> CScopeUQueue:
        """64 bits."""
        return self._pack("q", value)

    def SaveDouble(self, value: float) -> CScopeUQueue:
        """64 bits, IEEE 754."""
        return self._pack("d", value)

    def SaveBytes(self, value: bytes | bytearray | memoryview | None) -> CScopeUQueue:
        """Behind their number; None is a number of its own."""
        if value is None:
            return self._pack("I", _NULL)
        raw = bytes(value)
        self._pack("I", len(raw))
        self._bytes += raw
        return self

    def SaveString(self, value: str | None) -> CScopeUQueue:
        """As UTF-8, behind the number of its bytes; None is a number of its own."""
        if value is None:
            return self._pack("I", _NULL)
        try:
            return self.SaveBytes(value.encode())
        except UnicodeEncodeError as error:
            raise repliq.InvalidError(f"cannot save a text without a UTF-8 form: {error}") from None

    def SaveDate(self, value: datetime.datetime) -> CScopeUQueue:
        """An aware time; microseconds since 1970."""
        if value.tzinfo is None:
            raise repliq.InvalidError(f"cannot save {value}, which does not say its time zone")
        return self.SaveLong((value - _EPOCH) // datetime.timedelta(microseconds=1))

    def SaveObject(self, value: None | bool | int | float | str) -> CScopeUQueue:
        """With its type; an int as 32 bits where it fits."""
        if value is None:
            return self._pack("B", 0)
        before = len(self._bytes)
        try:
            if isinstance(value, bool):
                return self._pack("B", 1).SaveBool(value)
            if isinstance(value, int):
                if -(2**31) <= value < 2**31:
                    return self._pack("B", 2).SaveInt(value)
                return self._pack("B", 3).SaveLong(value)
            if isinstance(value, float):
                return self._pack("B", 4).SaveDouble(value)
            if isinstance(value, str):
                return self._pack("B", 5).SaveString(value)
        except repliq.InvalidError:
            del self._bytes[before:]
            raise
        raise repliq.InvalidError(f"an object cannot hold a {type(value).__name__}")

    def _save_all(
        self, values: Sequence[_T] | None, save: Callable[[_T], object]
    ) -> CScopeUQueue:
        if values is None:
            return self._pack("I", _NULL)
        before = len(self._bytes)
        self._pack("I", len(values))
        try:
            for value in values:
                save(value)
        except repliq.InvalidError:
            del self._bytes[before:]
            raise
        return self

    def SaveBools(self, values: Sequence[bool] | None) -> CScopeUQueue:
        """All of them, behind their number."""
        return self._save_all(values, self.SaveBool)

    def SaveInts(self, values: Sequence[int] | None) -> CScopeUQueue:
        """All of them, 32 bits each, behind their number."""
        return self._save_all(values, self.SaveInt)

    def SaveLongs(self, values: Sequence[int] | None) -> CScopeUQueue:
        """All of them, 64 bits each, behind their number."""
        return self._save_all(values, self.SaveLong)

    def SaveDoubles(self, values: Sequence[float] | None) -> CScopeUQueue:
        """All of them, behind their number."""
        return self._save_all(values, self.SaveDouble)

    def SaveStrings(self, values: Sequence[str | None] | None) -> CScopeUQueue:
        """All of them, behind their number; each may be None."""
        return self._save_all(values, self.SaveString)

    def Save(self, value: bool | float | str | bytes | datetime.datetime) -> CScopeUQueue:
        """By the type of the value; an int must say its width with ``SaveInt`` or ``SaveLong``."""
        if isinstance(value, bool):
            return self.SaveBool(value)
        if isinstance(value, float):
            return self.SaveDouble(value)
        if isinstance(value, str):
            return self.SaveString(value)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self.SaveBytes(value)
        if isinstance(value, datetime.datetime):
            return self.SaveDate(value)
        raise repliq.InvalidError(f"cannot save a {type(value).__name__} without being told how")

    # ---- loading

    def _whole(self, load: Callable[[], _T]) -> _T:
        """Loads, or takes nothing."""
        before = self._at
        try:
            return load()
        except BaseException:
            self._at = before
            raise

    def _take(self, count: int) -> bytes:
        if count > self.GetSize():
            raise repliq.InvalidError(f"{count} bytes are to be loaded, and {self.GetSize()} are there")
        self._at += count
        return bytes(self._bytes[self._at - count : self._at])

    def _unpack(self, layout: str, size: int) -> Any:
        return struct.unpack("<" + layout, self._take(size))[0]

    def LoadBool(self) -> bool:
        """What ``SaveBool`` saved."""
        def load() -> bool:
            value = self._unpack("B", 1)
            if value > 1:
                raise repliq.InvalidError(f"a bool is 0 or 1, not {value}")
            return bool(value)

        return self._whole(load)

    def LoadInt(self) -> int:
        """What ``SaveInt`` saved."""
        value: int = self._unpack("i", 4)
        return value

    def LoadLong(self) -> int:
        """What ``SaveLong`` saved."""
        value: int = self._unpack("q", 8)
        return value

    def LoadDouble(self) -> float:
        """What ``SaveDouble`` saved."""
        value: float = self._unpack("d", 8)
        return value

    def LoadBytes(self) -> bytes | None:
        """What ``SaveBytes`` saved."""
        def load() -> bytes | None:
            length = self._unpack("I", 4)
            return None if length == _NULL else self._take(length)

        return self._whole(load)

    def LoadString(self) -> str | None:
        """What ``SaveString`` saved."""
        def load() -> str | None:
            raw = self.LoadBytes()
            try:
                return None if raw is None else raw.decode()
            except UnicodeDecodeError as error:
                raise repliq.InvalidError(f"a text is not UTF-8: {error}") from None

        return self._whole(load)

    def LoadDate(self) -> datetime.datetime:
        """What ``SaveDate`` saved, in UTC."""
        def load() -> datetime.datetime:
            try:
                return _EPOCH + datetime.timedelta(microseconds=self.LoadLong())
            except OverflowError:
                raise repliq.InvalidError("a time is outside of what Python can hold") from None

        return self._whole(load)

    def LoadObject(self) -> None | bool | int | float | str:
        """What ``SaveObject`` saved."""
        def load() -> None | bool | int | float | str:
            kind = self._unpack("B", 1)
            if kind == 0:
                return None
            loads: dict[int, Callable[[], bool | int | float | str | None]] = {
                1: self.LoadBool,
                2: self.LoadInt,
                3: self.LoadLong,
                4: self.LoadDouble,
                5: self.LoadString,
            }
            if kind not in loads:
                raise repliq.InvalidError(f"an object of the unknown type {kind}")
            value = loads[kind]()
            if value is None:
                raise repliq.InvalidError("an object holds a text that is null")
            return value

        return self._whole(load)

    def _load_all(self, size: int, load: Callable[[], _T]) -> list[_T] | None:
        def load_all() -> list[_T] | None:
            count = self._unpack("I", 4)
            if count == _NULL:
                return None
            if count * size > self.GetSize():
                raise repliq.InvalidError(f"{count} elements are to be loaded, which are not there")
            return [load() for _ in range(count)]

        return self._whole(load_all)

    def LoadBools(self) -> list[bool] | None:
        """What ``SaveBools`` saved."""
        return self._load_all(1, self.LoadBool)

    def LoadInts(self) -> list[int] | None:
        """What ``SaveInts`` saved."""
        return self._load_all(4, self.LoadInt)

    def LoadLongs(self) -> list[int] | None:
        """What ``SaveLongs`` saved."""
        return self._load_all(8, self.LoadLong)

    def LoadDoubles(self) -> list[float] | None:
        """What ``SaveDoubles`` saved."""
        return self._load_all(8, self.LoadDouble)

    def LoadStrings(self) -> list[str | None] | None:
        """What ``SaveStrings`` saved."""
        return self._load_all(4, self.LoadString)


@dataclasses.dataclass(frozen=True)
class CClientQueue:
    """A root or a target as it was when it was asked for."""

    QueueName: str = ""
    #: The directory of the store.
    QueueFileName: str = ""
    #: Messages that the target, or any target of the root, has not confirmed.
    MessageCount: int = 0
    Available: bool = False
    Secure: bool = False
    TTL: int = 0
    Connected: bool = False
    #: Why the link failed last; empty for no failure, and for the root.
    LastError: str = ""


class _Opened:
    """What a successful ``Start`` opened."""

    def __init__(
        self, setting: ReplicationSetting, connections: Mapping[str, CConnectionContext], root: str
    ) -> None:
        self.root = root
        self.directory = f"{setting.QueueDir}{root}.repliq/"
        self.targets = sorted(connections, key=str.encode)
        password = QueueConfigure._password
        self.secure = bool(password)
        try:
            os.makedirs(setting.QueueDir, exist_ok=True)
        except OSError:
            pass  # Opening says why.
        self.store = repliq.open(self.directory, password=password or None)
        try:
            self.link = repliq.Replication(self.store.queue(root))
            for name in self.targets:
                self._add(setting, name, connections[name])
        except BaseException:
            self.store.close()
            raise

    def _add(self, setting: ReplicationSetting, name: str, to: CConnectionContext) -> None:
        host = f"[{to.Host}]" if ":" in to.Host else to.Host
        self.link.add(
            name,
            f"repliq://{host}:{to.Port}",
            user=to.UserId,
            password=to.Password or None,
            plain=to.EncrytionMethod == tagEncryptionMethod.NoEncryption,
            ca_file=to.CaFile or None,
            server_name=to.ServerName or None,
            queue=to.Queue or None,
            heartbeat=min(max(setting.RecvTimeout // 3, 50), 20_000) / 1000,
            connect_timeout=setting.ConnTimeout / 1000,
            reconnect_max=5.0,
            reconnect=not setting.NoAutoConn,
        )

    def close(self) -> None:
        self.link.close()
        self.store.close()


class CReplication:
    """A root queue that reaches every target, in order, once, job by job.

    Any number of threads may call anything but ``Start`` and ``close`` at once. The job belongs to the object.
    """

    _DIR_SEP_ = "/"
    _last = threading.local()

    def __init__(self, setting: ReplicationSetting | None = None) -> None:
        setting = copy.copy(setting) if setting is not None else ReplicationSetting()
        setting.TTL = setting.TTL or DEFAULT_TTL
        setting.RecvTimeout = setting.RecvTimeout or _DEFAULT_TIMEOUT
        setting.ConnTimeout = setting.ConnTimeout or _DEFAULT_TIMEOUT
        setting.QueueDir = _folder(os.fspath(setting.QueueDir))
        self._setting = setting
        self._opened: _Opened | None = None

    def Start(self, mapQueueConn: Mapping[str, CConnectionContext], rootQueueName: str = "") -> bool:
        """Opens the root with its targets; true when the queues are open, connected or not."""

        def start() -> None:
            self.close()
            for name, connection in mapQueueConn.items():
                _check(name, connection)
            if not mapQueueConn:
                raise repliq.InvalidError("cannot start a replication without a connection")
            root = rootQueueName or "replication"
            if len(mapQueueConn) == 1:
                (root,) = mapQueueConn
            _check_name(root, "root queue")
            self._opened = _Opened(self._setting, mapQueueConn, root)

        return self._told(start)

    def Send(self, reqId: int, q: CScopeUQueue | bytes | bytearray | memoryview | None = None) -> bool:
        """One request; true when it is stored, or is part of the open job."""

        def send() -> None:
            if not _RESERVED_ID < reqId <= 0xFFFF:
                raise repliq.InvalidError(f"request id {reqId} is not one from 8194 to 65535")
            payload = q.GetBuffer() if isinstance(q, CScopeUQueue) else b"" if q is None else q
            expires = time.time() + self._setting.TTL
            self._get().link.send(reqId, payload, expires=expires)

        return self._told(send)

    def StartJob(self) -> bool:
        """From here to ``EndJob`` everything that any thread sends is one transaction."""
        return self._told(lambda: self._get().link.start_job())

    def EndJob(self) -> bool:
        """Commits it; after false the job is gone and nothing of it is stored."""
        return self._told(lambda: self._get().link.end_job())

    def AbortJob(self) -> bool:
        """Gives it up: nothing of it is left."""
        return self._told(lambda: self._get().link.abort_job())

    def DoReplication(self) -> bool:
        """Sees to it that what is stored goes out now, which it does by itself; false with one target."""

        def push() -> None:
            opened = self._get()
            if len(opened.targets) < 2:
                text = f'there is nothing to replicate: "{opened.root}" has one target'
                raise repliq.InvalidError(text)
            opened.link.push()

        return self._told(push)

    def IsReplicable(self) -> bool:
        """Started with two targets or more."""
        return self.Hosts > 1

    @property
    def Replicable(self) -> bool:
        """Started with two targets or more."""
        return self.IsReplicable()

    @property
    def Connections(self) -> int:
        """How many targets are connected and logged in."""
        return sum(target.Connected for target in self.TargetQueues)

    @property
    def Hosts(self) -> int:
        """How many targets there are; 0 before ``Start``."""
        opened = self._opened
        return len(opened.targets) if opened else 0

    @property
    def Queues(self) -> int:
        """The targets, and the root where there are two or more."""
        return self.Hosts + (self.Hosts > 1)

    @property
    def SourceQueue(self) -> CClientQueue:
        """The root as it is now."""
        opened = self._opened
        if opened is None:
            return CClientQueue()
        targets = self.TargetQueues
        return CClientQueue(
            opened.root,
            opened.directory,
            max((target.MessageCount for target in targets), default=0),
            True,
            opened.secure,
            self._setting.TTL,
            any(target.Connected for target in targets),
        )

    @property
    def TargetQueues(self) -> list[CClientQueue]:
        """In the order of their names."""
        opened = self._opened
        if opened is None:
            return []
        made = CClientQueue("", opened.directory, 0, True, opened.secure, self._setting.TTL)
        try:
            known = {one["name"]: one for one in opened.link.status()["targets"]}
        except repliq.Error as error:
            gone = dataclasses.replace(made, Available=False, LastError=str(error))
            return [dataclasses.replace(gone, QueueName=name) for name in opened.targets]
        return [
            dataclasses.replace(
                made,
                QueueName=name,
                MessageCount=known[name]["lag_messages"],
                Connected=known[name]["state"] in ("connected", "streaming"),
                LastError=known[name]["last_error"] or "",
            )
            for name in opened.targets
            if name in known
        ]

    @property
    def ReplicationSetting(self) -> ReplicationSetting:
        """With the defaults put in for 0."""
        return self._setting

    def LastError(self) -> repliq.Error | None:
        """Why the last call of this thread that answers a bool failed; ``None`` where it did not."""
        found: repliq.Error | None = getattr(CReplication._last, "error", None)
        return found

    def close(self) -> None:
        """Gives an open job up and ends the links; what is stored goes out after the next ``Start``."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    def __enter__(self) -> CReplication:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def _get(self) -> _Opened:
        if self._opened is None:
            raise repliq.ClosedError("the replication was not started")
        return self._opened

    @staticmethod
    def _told(call: Callable[[], object]) -> bool:
        CReplication._last.error = None
        try:
            call()
        except repliq.Error as error:
            CReplication._last.error = error
            return False
        return True


def _check_name(name: str, what: str) -> None:
    """A name that is a part of a path, too."""
    if len(name.encode()) > 247:
        raise repliq.TooLargeError(f"the name of a {what} has more than 247 bytes")
    if not name or any(one == "/" or one < " " or one == "\x7f" for one in name):
        text = f"the name of a {what} is empty, or has a / or a control character"
        raise repliq.InvalidError(text)


def _check(name: str, to: CConnectionContext) -> None:
    _check_name(name, "target")
    refusals = [
        (not to.Host, "Host is empty"),
        (not 0 < to.Port <= 65_535, f"Port is {to.Port}"),
        (not to.UserId, "UserId is empty"),
        (
            to.EncrytionMethod not in list(tagEncryptionMethod),
            "EncrytionMethod is neither NoEncryption nor TLSv1",
        ),
        (
            to.V6 and not to.Host.strip("0123456789."),
            "V6 is true, and Host is an IPv4 address",
        ),
    ]
    for wrong, text in refusals:
        if wrong:
            raise repliq.InvalidError(f'target "{name}": {text}')
    if to.Zip:
        raise repliq.UnsupportedError(f'target "{name}": Zip is true, and nothing is compressed')
