"""The CReplication face, and the bytes of CScopeUQueue."""

from __future__ import annotations

import datetime
import re
import time
from pathlib import Path
from typing import Any

import pytest

import repliq
from repliq.socketpro import (
    DEFAULT_TTL,
    CConnectionContext,
    CReplication,
    CScopeUQueue,
    QueueConfigure,
    ReplicationSetting,
)

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
