"""The CReplication face, and the bytes of CScopeUQueue."""

from __future__ import annotations

import dataclasses
import datetime
import gc
import inspect
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from served import certify

import repliq
from repliq.socketpro import (
    DEFAULT_TTL,
    CClientQueue,
    CConnectionContext,
    CReplication,
    CScopeUQueue,
    QueueConfigure,
    ReplicationSetting,
    tagEncryptionMethod,
)

PAGE = Path(__file__).resolve().parents[3] / "docs/SOCKETPRO.md"

VECTORS = Path(__file__).resolve().parents[3] / "tests/conformance/scope_queue.txt"
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
NAMES = {
    "bool": "Bool", "i32": "Int", "i64": "Long", "f64": "Double", "string": "String", "bytes": "Bytes",
    "time": "Date", "object": "Object", "bools": "Bools", "ints": "Ints", "longs": "Longs",
    "doubles": "Doubles", "strings": "Strings",
}
ELEMENTS = {"bools": "bool", "ints": "i32", "longs": "i64", "doubles": "f64", "strings": "string"}


def value(kind: str, words: list[str]) -> Any:
    """The value of a type at the front of these words."""
    if kind == "object":
        inner = words.pop(0)
        return None if inner == "null" else value(inner, words)
    word = words.pop(0)
    if word == "null":
        return None
    if kind in ELEMENTS:
        return [value(ELEMENTS[kind], words) for _ in range(int(word))]
    if kind == "bool":
        return word == "true"
    if kind == "f64":
        return float(word)
    if kind == "string":
        return word[1:-1].replace("\\u0000", "\0")
    if kind == "bytes":
        return b"" if word == "-" else bytes.fromhex(word)
    if kind == "time":
        return EPOCH + datetime.timedelta(microseconds=int(word))
    return int(word)


def test_the_bytes_are_those_of_the_list_for_all_languages() -> None:
    good = bad = 0
    for line in VECTORS.read_text().splitlines():
        if line.startswith("#"):
            continue
        values, _, hexadecimal = line.rpartition(" = ")
        packed = bytes.fromhex(hexadecimal)
        if values.startswith("! "):
            reader = CScopeUQueue(packed)
            with pytest.raises(repliq.InvalidError):
                getattr(reader, "Load" + NAMES[values[2:]])()
                pytest.fail(line)
            assert reader.GetBuffer() == packed
            bad += 1
            continue
        words = re.findall(r'"[^"]*"|[^ ]+', values)
        writer, reader = CScopeUQueue(), CScopeUQueue(packed)
        while words:
            kind = words.pop(0)
            expected = value(kind, words)
            assert getattr(writer, "Save" + NAMES[kind])(expected) is writer
            assert repr(getattr(reader, "Load" + NAMES[kind])()) == repr(expected), line
        assert writer.GetBuffer() == packed and reader.GetSize() == 0, line
        good += 1
    assert good >= 50 and bad >= 25


def test_what_cannot_be_saved_is_refused_and_leaves_nothing() -> None:
    packer = CScopeUQueue()
    naive = datetime.datetime(2023, 1, 1)
    for save, wrong in (
        (packer.SaveInt, 2**31), (packer.SaveLong, 2**63), (packer.SaveString, "\ud800"),
        (packer.SaveDate, naive), (packer.SaveObject, b"x"), (packer.SaveObject, 2**63),
        (packer.SaveStrings, ["fine", "\ud800"]), (packer.Save, 7), (packer.SetSize, 1),
    ):
        with pytest.raises(repliq.InvalidError):
            save(wrong)  # type: ignore[operator]
    assert packer.GetSize() == 0
    packer.Save(True).Save(0.5).Save("a").Save(b"b").Save(EPOCH)
    assert len(packer) == 1 + 8 + 5 + 5 + 8
    packer.SetSize(0)
    assert packer.GetBuffer() == b""


@pytest.fixture
def configure(tmp_path: Path):
    QueueConfigure.SetMessageQueuePassword("MyQPassword")
    QueueConfigure.SetWorkDirectory(str(tmp_path / "sp_test"))
    yield
    QueueConfigure.SetMessageQueuePassword("")
    QueueConfigure.SetWorkDirectory("./")


@pytest.fixture
def port(tmp_path: Path):
    users = [repliq.User("till", "secret")]
    with repliq.open(tmp_path / "office") as store:
        with repliq.Server(store, plain=True, listen=["127.0.0.1:0"], users=users) as server:
            yield store, int(server.addresses[0].split(":")[1])


def test_jobs_arrive_whole_at_both_targets_or_not_at_all(
    configure: None, port: tuple[repliq.Store, int], tmp_path: Path
) -> None:
    store, number = port
    one = CConnectionContext("127.0.0.1", number, "till", "secret", Queue="a")
    other = CConnectionContext("127.0.0.1", number, "till", "secret", Queue="b")
    with CReplication() as rep:
        assert (rep.Hosts, rep.Queues, rep.Connections, rep.SourceQueue.Available) == (0, 0, 0, False)
        assert rep.Start({"two": other, "one": one}, "root") and rep.LastError() is None
        assert rep.StartJob() and rep.Send(0x2002, CScopeUQueue().SaveString("David")) and rep.EndJob()
        assert rep.Send(0x2003) and rep.Send(0x2004, b"raw") and rep.DoReplication()
        assert rep.StartJob() and not rep.StartJob()
        assert rep.LastError().code is repliq.Code.EXISTS  # type: ignore[union-attr]
        assert rep.Send(0x2002, b"given up") and rep.AbortJob() and not rep.AbortJob()
        assert isinstance(rep.LastError(), repliq.InvalidError)
        assert not rep.Send(0x2001) and isinstance(rep.LastError(), repliq.InvalidError)
        end = time.monotonic() + 20
        while rep.SourceQueue.MessageCount > 0 and time.monotonic() < end:
            time.sleep(0.01)
        assert (rep.Replicable, rep.Hosts, rep.Queues, rep.Connections) == (True, 2, 3, 2)
        assert [queue.QueueName for queue in rep.TargetQueues] == ["one", "two"]
        source = rep.SourceQueue
        assert source.QueueFileName == str(tmp_path / "sp_test/root.repliq/") + "/"
        assert source.Secure and source.TTL == DEFAULT_TTL and source.MessageCount == 0
    expected = [(0x2002, b"\5\0\0\0David"), (0x2003, b""), (0x2004, b"raw")]
    with store.snapshot() as snapshot:
        for name in ("a", "b"):
            found = snapshot.browse(store.queue(name))
            assert [(m.kind, m.payload) for m in found] == expected
            assert 0 < found[0].expires - time.time() <= DEFAULT_TTL  # type: ignore[operator]


def test_with_one_target_there_is_no_root(configure: None, port: tuple[repliq.Store, int]) -> None:
    store, number = port
    rep = CReplication(ReplicationSetting(TTL=0, RecvTimeout=0, NoAutoConn=True))
    assert rep.Start({"Tolocal": CConnectionContext("127.0.0.1", number, "till", "secret")}, "ignored")
    assert (rep.IsReplicable(), rep.Hosts, rep.Queues) == (False, 1, 1)
    assert rep.SourceQueue.QueueName == "Tolocal" and rep.ReplicationSetting.TTL == DEFAULT_TTL
    assert not rep.DoReplication() and rep.Send(0x2002)
    rep.close()
    assert not rep.Send(0x2002) and isinstance(rep.LastError(), repliq.ClosedError)


def test_start_refuses_what_cannot_work(configure: None) -> None:
    def context(**fields: Any) -> CConnectionContext:
        return CConnectionContext(**{"UserId": "till", "Password": "x", **fields})

    rows: list[tuple[dict[str, CConnectionContext], str]] = [
        ({}, "INVALID"),
        ({"": context()}, "INVALID"),
        ({"a/b": context()}, "INVALID"),
        ({"x" * 248: context()}, "TOO_LARGE"),
        ({"a": context(Host="")}, "INVALID"),
        ({"a": context(Port=0)}, "INVALID"),
        ({"a": context(UserId="")}, "INVALID"),
        ({"a": context(EncrytionMethod=7)}, "INVALID"),
        ({"a": context(Zip=True)}, "UNSUPPORTED"),
        ({"a": context(Host="127.0.0.1", V6=True)}, "INVALID"),
    ]
    rep = CReplication()
    for connections, code in rows:
        assert not rep.Start(connections, "root")
        assert rep.LastError().code.name == code  # type: ignore[union-attr]
        assert rep.Hosts == 0
    two = {"a": context(Port=9), "b": context(Port=9)}
    assert rep.Start(two, "root"), rep.LastError()
    other = CReplication()
    assert not other.Start(two, "root")
    assert other.LastError().code is repliq.Code.LOCKED  # type: ignore[union-attr]
    rep.close()
    QueueConfigure.SetMessageQueuePassword("another")
    assert not other.Start(two, "root")
    assert other.LastError().code is repliq.Code.BAD_PASSWORD  # type: ignore[union-attr]


def section(heading: str) -> list[list[str]]:
    """The rows of the tables in a section of the page, cell by cell."""
    page = PAGE.read_text()
    text = page[page.index(f"\n## {heading}\n") + 1 :]
    text = text[: text.find("\n## ")]
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) > 2, heading
    return rows


def public(of: type) -> set[str]:
    """What a class has beside its fields."""
    fields = {one.name for one in dataclasses.fields(of)} if dataclasses.is_dataclass(of) else set()
    return {name for name in vars(of) if not name.startswith("_")} - fields


def test_the_page_names_what_is_there_and_everything_that_is_there() -> None:
    def named(heading: str) -> set[str]:
        cells = " ".join(row[1] for row in section(heading)[1:])
        return {re.split(r"\W", one)[0] for one in re.findall(r"`(\w+)", cells)}

    assert named("CReplication") - {"CReplication", "with", "_DIR_SEP_", "CScopeUQueue"} == public(CReplication)
    assert CReplication._DIR_SEP_ == "/"
    assert named("QueueConfigure") == public(QueueConfigure)
    assert named("CClientQueue") == {one.name for one in dataclasses.fields(CClientQueue)}
    for of in (ReplicationSetting, CConnectionContext):
        fields = [one.name for one in dataclasses.fields(of)]
        assert set(fields) == {row[0].strip("`") for row in section(of.__name__)[1:]}, of
    order = re.search(r"Python and Java: `CConnectionContext\((.*?)\)`", PAGE.read_text())
    assert order is not None and order[1].split(", ") == [one.name for one in dataclasses.fields(CConnectionContext)][:8]
    saves = {one for row in section("CScopeUQueue")[1:] for one in re.findall(r"`((?:Save|Load)\w+)`", " ".join(row))}
    others = {"GetBuffer", "GetSize", "SetSize", "Save"}
    assert public(CScopeUQueue) - others == saves
    assert list(inspect.signature(CReplication.Start).parameters)[1:] == ["mapQueueConn", "rootQueueName"]
    assert list(inspect.signature(CReplication.Send).parameters)[1:] == ["reqId", "q"]


class Remote:
    """A server of this process that goes and comes."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder, self.options = folder, options or {"plain": True}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.up()

    def up(self) -> None:
        users = [repliq.User("till", "secret")]
        self.store = repliq.open(self.folder)
        self.server = repliq.Server(self.store, listen=[f"127.0.0.1:{self.port}"], users=users, **self.options)

    def down(self) -> None:
        self.server.close()
        self.store.close()

    def at(self, **fields: Any) -> CConnectionContext:
        return CConnectionContext(**{"Host": "127.0.0.1", "Port": self.port, "UserId": "till", "Password": "secret", **fields})

    def kinds(self, queue: str) -> list[int]:
        of = self.store.queue(queue)
        with self.store.snapshot() as snapshot:
            return [one.kind for one in snapshot.browse(of, max=10_000)]


@pytest.fixture
def remotes(configure: None, tmp_path: Path) -> Iterator[tuple[Remote, Remote]]:
    both = Remote(tmp_path / "far"), Remote(tmp_path / "farther")
    yield both
    for one in both:
        one.down()


def both_at(remotes: tuple[Remote, Remote], **fields: Any) -> dict[str, CConnectionContext]:
    return {"Tolocal": remotes[0].at(**fields), "ToLinux": remotes[1].at(**fields)}


def soon(what: str, so: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not so():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def everybody_has_it(rep: CReplication) -> None:
    soon("everybody has it", lambda: rep.SourceQueue.MessageCount == 0)


def failed(rep: CReplication, answer: bool, code: str) -> None:
    error = rep.LastError()
    assert answer is False and error is not None and error.code.name == code, (answer, error)


def test_a_server_that_goes_and_comes_gets_everything_once(remotes: tuple[Remote, Remote]) -> None:
    with CReplication() as rep:
        assert rep.Start(both_at(remotes), "root"), rep.LastError()
        assert rep.Send(0x2002)
        everybody_has_it(rep)
        remotes[1].down()
        soon("one is connected", lambda: rep.Connections == 1)
        assert rep.StartJob() and rep.Send(0x2003) and rep.Send(0x2004) and rep.EndJob()
        soon("the other has it", lambda: remotes[0].kinds("root") == [0x2002, 0x2003, 0x2004])
        (linux,) = [one for one in rep.TargetQueues if one.QueueName == "ToLinux"]
        assert (linux.MessageCount, linux.Connected) == (2, False) and linux.LastError
        assert rep.SourceQueue.MessageCount == 2
        remotes[1].up()
        everybody_has_it(rep)
    for one in remotes:
        assert one.kinds("root") == [0x2002, 0x2003, 0x2004]


def test_leftovers_go_out_after_the_next_start_and_a_job_left_open_does_not(
    remotes: tuple[Remote, Remote], tmp_path: Path
) -> None:
    for one in remotes:
        one.down()
    rep = CReplication(ReplicationSetting(QueueDir=str(tmp_path / "made/here")))
    assert rep.Start(both_at(remotes), "root"), rep.LastError()
    assert rep.Connections == 0 and rep.Send(0x2002)
    assert rep.StartJob() and rep.Send(0x2003) and rep.EndJob()
    assert rep.StartJob() and rep.Send(0x2004)
    rep.close()
    rep.close()
    for one in remotes:
        one.up()
    assert rep.Start(both_at(remotes), "root") and not rep.EndJob()
    everybody_has_it(rep)
    # A second start closes what was open; a target may be new, and begins with the oldest that is kept.
    assert rep.StartJob() and rep.Send(0x2005)
    assert rep.Start({**both_at(remotes), "third": remotes[0].at(Queue="third")}, "root")
    failed(rep, rep.AbortJob(), "INVALID")
    assert (rep.Hosts, rep.Queues) == (3, 4) and rep.Send(0x2006)
    everybody_has_it(rep)
    rep.close()
    assert remotes[0].kinds("root") == remotes[1].kinds("root") == [0x2002, 0x2003, 0x2006]
    assert remotes[0].kinds("third")[-1] == 0x2006


def test_a_refused_request_leaves_the_job_as_it_was(remotes: tuple[Remote, Remote]) -> None:
    with CReplication() as rep:
        assert rep.Start(both_at(remotes), "root")
        assert rep.StartJob() and rep.Send(0x2002, None)
        for id in (0, 0x2001, 0x10000, -1):
            failed(rep, rep.Send(id), "INVALID")
        failed(rep, rep.Send(0x2003, b"x" * ((16 << 20) + 1)), "TOO_LARGE")
        assert rep.Send(0xFFFF, memoryview(b"abc")[1:]) and rep.LastError() is None
        assert rep.EndJob()
        everybody_has_it(rep)
        assert remotes[0].kinds("root") == [0x2002, 0xFFFF]


def test_without_auto_conn_there_is_one_try(remotes: tuple[Remote, Remote]) -> None:
    remotes[0].down()
    with CReplication(ReplicationSetting(NoAutoConn=True)) as rep:
        assert rep.Start({"Tolocal": remotes[0].at()}) and rep.Send(0x2002)
        soon("it was tried", lambda: rep.TargetQueues[0].LastError != "")
        remotes[0].up()
        time.sleep(0.3)
        assert rep.Connections == 0 and remotes[0].kinds("Tolocal") == []
        assert rep.Start({"Tolocal": remotes[0].at()})
        everybody_has_it(rep)
    assert remotes[0].kinds("Tolocal") == [0x2002]


def test_a_request_expires_after_its_ttl(remotes: tuple[Remote, Remote]) -> None:
    with CReplication(ReplicationSetting(TTL=1)) as rep:
        assert rep.Start({"Tolocal": remotes[0].at()})
        before = time.time()
        assert rep.Send(0x2002)
        after = time.time()
        everybody_has_it(rep)
        assert rep.SourceQueue.TTL == 1
    store = remotes[0].store
    of = store.queue("Tolocal")
    with store.snapshot() as snapshot:
        (found,) = snapshot.browse(of)
    assert found.expires is not None and before + 0.999 <= found.expires <= after + 1.001
    time.sleep(max(0.0, found.expires - time.time()) + 0.01)
    with store.consumer("clerk", store.queue("Tolocal")) as clerk:
        assert clerk.receive(timeout=0.05) == []


def test_a_server_that_refuses_makes_no_call_fail_and_says_why(remotes: tuple[Remote, Remote]) -> None:
    with CReplication() as rep:
        assert rep.Start({"Tolocal": remotes[0].at(Password="wrong"), "ToLinux": remotes[1].at()}, "root")
        assert rep.Send(0x2002)
        soon("the other has it", lambda: remotes[1].kinds("root") == [0x2002])
        soon("it says why", lambda: rep.TargetQueues[1].LastError != "")
        linux, local = rep.TargetQueues
        assert (linux.QueueName, linux.Connected, linux.LastError, linux.MessageCount) == ("ToLinux", True, "", 0)
        assert (local.QueueName, local.Connected, local.MessageCount, rep.Connections) == ("Tolocal", False, 1, 1)
        assert "secret" not in local.LastError and "wrong" not in local.LastError


def test_certificates_are_verified(configure: None, tmp_path: Path) -> None:
    certificate, key = certify(tmp_path, "office.example")
    stranger, _ = certify(tmp_path, "other.example")
    remote = Remote(tmp_path / "office", certificate_file=certificate, key_file=key)
    tls = {"EncrytionMethod": tagEncryptionMethod.TLSv1, "ServerName": "office.example"}
    with CReplication() as rep:
        assert rep.Start({"Tolocal": remote.at(**tls, CaFile=str(stranger))}) and rep.Send(0x2002)
        soon("it is refused", lambda: rep.TargetQueues[0].LastError != "")
        assert rep.Connections == 0 and remote.kinds("Tolocal") == []
        assert rep.Start({"Tolocal": remote.at(**tls, CaFile=str(certificate))})
        everybody_has_it(rep)
    assert remote.kinds("Tolocal") == [0x2002]
    remote.down()


def in_threads(count: int, call: Callable[[int], None]) -> None:
    raised: list[BaseException] = []

    def run(at: int) -> None:
        try:
            call(at)
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(at,)) for at in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert raised == []


def test_many_threads_send_into_one_job_and_errors_are_their_own(remotes: tuple[Remote, Remote]) -> None:
    with CReplication() as rep:
        assert rep.Start(both_at(remotes), "root") and rep.StartJob()
        met = threading.Barrier(4)

        def send(at: int) -> None:
            for number in range(50):
                assert rep.Send(0x3000 + at * 100 + number), rep.LastError()
            if at == 0:
                failed(rep, rep.Send(1), "INVALID")
            met.wait(20)
            assert (rep.LastError() is not None) == (at == 0)

        in_threads(4, send)
        assert remotes[0].kinds("root") == []
        assert rep.EndJob()
        everybody_has_it(rep)
        found = remotes[0].kinds("root")
        for at in range(4):
            mine = [one - 0x3000 - at * 100 for one in found if 0 <= one - 0x3000 - at * 100 < 100]
            assert mine == list(range(50))
        with remotes[0].store.snapshot() as snapshot:
            browsed = snapshot.browse(remotes[0].store.queue("root"), max=1000)
        assert len(browsed) == 200 and len({one.committed for one in browsed}) == 1


def test_closing_while_others_send_answers_true_or_closed(remotes: tuple[Remote, Remote]) -> None:
    rep = CReplication()
    assert rep.Start({"Tolocal": remotes[0].at()})
    stored, going = [0, 0, 0], threading.Event()

    def send(at: int) -> None:
        if at == 3:
            going.wait(20)
            rep.close()
            return
        while rep.Send(0x2002):
            stored[at] += 1
            if stored[at] > 5:
                going.set()
        failed(rep, False, "CLOSED")

    in_threads(4, send)
    assert rep.Start({"Tolocal": remotes[0].at()})
    everybody_has_it(rep)
    rep.close()
    assert len(remotes[0].kinds("Tolocal")) == sum(stored)


def test_what_is_forgotten_is_closed_by_the_collector(remotes: tuple[Remote, Remote]) -> None:
    rep = CReplication()
    assert rep.Start({"Tolocal": remotes[0].at()}) and rep.StartJob() and rep.Send(0x2002)
    other = CReplication()
    failed(other, other.Start({"Tolocal": remotes[0].at()}), "LOCKED")
    del rep
    gc.collect()
    assert other.Start({"Tolocal": remotes[0].at()}), other.LastError()
    assert other.SourceQueue.MessageCount == 0
    other.close()
