"""A bug of the library: an exception with the code PANIC, and an interpreter that goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import repliq

SABOTAGED = Path(__file__).resolve().parents[3] / "target/python-sabotage"

PROGRAM = """
import sys, logging, repliq
from repliq import _repliq

assert repliq.__file__.startswith(sys.argv[2]), repliq.__file__
store = repliq.open(sys.argv[1])
queue = store.queue("orders")
token = queue.put(b"1").token
named = store.session(name="named")
identity = named.id()
named.close()
with store.session() as preparing:
    preparing.put(queue, b"0")
    prepared = preparing.prepare()
consumer, snapshot, port = store.consumer("clerk", queue), store.snapshot(), repliq.Port()
replication = repliq.Replication(store.queue("root"))
server = repliq.Server(store, plain=True, listen=["127.0.0.1:0"])
listener = store.consumer("ear", store.queue("quiet")).listen(lambda session, message: None)
calls = {
    "Store.queue": lambda: store.queue("other"),
    "Store.status": lambda: store.status(),
    "Store.session": lambda: store.session().close(),
    "Store.snapshot": lambda: store.snapshot().close(),
    "Store.resolve": lambda: store.resolve(identity),
    "Store.prepared": lambda: store.prepared(),
    "Store.finish": lambda: store.finish(prepared, commit=True),
    "Store.wait": lambda: store.wait(token),
    "Store.put": lambda: store.put(queue, b"2"),
    "Queue.name": lambda: queue.name,
    "Queue.put": lambda: queue.put(b"3"),
    "Queue.put_many": lambda: queue.put_many([b"4", b"5"]),
    "Queue.put_async": lambda: queue.put_async(b"6").result(20),
    "Queue.pause": lambda: queue.pause(),
    "Queue.resume": lambda: queue.resume(),
    "Consumer.receive": lambda: consumer.receive(timeout=0),
    "Consumer.ack": lambda: consumer.ack(1),
    "Consumer.seek": lambda: consumer.seek(1),
    "Consumer each": lambda: next(consumer.each(timeout=0)),
    "Snapshot.browse": lambda: snapshot.browse(queue),
    "Port.drain": lambda: port.drain(timeout=0),
    "Replication.send": lambda: replication.send(1, b"x"),
    "Replication.status": lambda: replication.status(),
    "Server.status": lambda: server.status(),
    "Listener.status": lambda: listener.status(),
}
sessions = {
    "Session.put": lambda session: session.put(queue, b"x"),
    "Session.put buffer": lambda session: session.put(queue, bytearray(b"x")),
    "Session.put key": lambda session: session.put(queue, b"x", key=b"k"),
    "Session.put_many": lambda session: session.put_many(queue, [b"x", b"y"]),
    "Session.receive": lambda session: session.receive(consumer, timeout=0),
    "Session.id": lambda session: session.id(),
    "Session.prepare": lambda session: session.prepare(),
    "Session.commit": lambda session: session.commit(),
    "Session.commit_async": lambda session: session.commit_async().result(20),
    "Session.commit_start": lambda session: session.commit_start(port, 1),
    "Session.rollback": lambda session: session.rollback(),
}
print(len(calls) + len(sessions))

def said(call):
    try:
        call()
    except repliq.Error as error:
        return error.code.name
    except BaseException as error:
        return type(error).__name__
    return "OK"

def struck(call):
    _repliq.sabotage_panic()
    call()

repliq.log_set(logging.ERROR)
for name, call in calls.items():
    first, second = said(lambda: struck(call)), said(call)
    if (first, second) != ("PANIC", "OK"):
        print(name, first, second)
for name, call in sessions.items():
    session = store.session()
    session.put(queue, b"never")
    first, second = said(lambda: struck(lambda: call(session))), said(lambda: call(session))
    if (first, second, said(session.close)) != ("PANIC", "PANIC", "OK"):
        print(name, first, second)
# A handler in which a call panics is tried again.
inside = store.consumer("inside", queue)
seen = []
def handler(lent, message):
    seen.append(message)
    if len(seen) == 1:
        _repliq.sabotage_panic()
    lent.put(store.queue("copies"), message.payload)
with inside.listen(handler, retry=0.001) as trying:
    while trying.status()["done"] < 2:
        pass
    print(trying.status()["failed"])
# One that panics itself says so.
run = repliq._listener._run
def struck_run(*arguments):
    _repliq.sabotage_panic()
    run(*arguments)
repliq._listener._run = struck_run
with store.consumer("dying", queue).listen(handler) as dying:
    while dying.status()["ended"] is None:
        pass
    print(dying.status()["ended"].code.name)
store.close()
with repliq.open(sys.argv[1]) as store:
    store.queue("orders").put(b"end")
print("end")
"""


def test_a_panic_inside_any_call_is_an_error_and_the_interpreter_goes_on(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(SABOTAGED)}
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", PROGRAM, tmp_path / "store", SABOTAGED],
        capture_output=True, text=True, timeout=60, env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "36\n1\nPANIC\nend\n", done.stdout + done.stderr
    # What was logged, and nothing that Rust prints by itself.
    assert "thread '" not in done.stderr and "planted" in done.stderr, done.stderr
    with repliq.open(tmp_path / "store") as store, store.snapshot() as snapshot:
        found = [one.payload for one in snapshot.browse(store.queue("orders"), max=1000)]
    assert found[0] == b"1" and found[-1] == b"end" and b"never" not in found


def test_the_wheel_holds_no_planted_fault() -> None:
    assert b"sabotage_panic" not in Path(repliq._repliq.__file__).read_bytes()
    assert not hasattr(repliq._repliq, "sabotage_panic")
    # It would be found.
    assert b"sabotage_panic" in (SABOTAGED / "repliq/_repliq.abi3.so").read_bytes()
