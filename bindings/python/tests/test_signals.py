"""Ctrl-C ends every call that waits. Which those are, the package says: a new call must be put into a list here."""

from __future__ import annotations

import ast
import asyncio
import faulthandler
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

import repliq
import repliq.aio
from repliq import _repliq

# A tenth of a second is promised; a busy machine gets five times as much, and several tries for the promise.
PATIENCE = 0.5
PROMISED = 0.1

# What waits for nobody but the disk, or for nothing. A wait for the disk ends with its outcome: an interrupted
# commit could not tell it.
AT_ONCE = set(
    """
    Consumer.ack Consumer.close Consumer.listen Consumer.name Consumer.queue Consumer.reject Consumer.renew
    Consumer.seek Consumer.watch Event.error Event.result Event.tag Listener.status Port.cancel Port.close
    Port.fileno Message.committed Message.deliver_at Message.deliveries Message.expires Message.header
    Message.headers Message.key Message.kind Message.payload Message.priority Message.producer
    Message.producer_sequence Message.queue Message.sequence Message.view Queue.delete Queue.name Queue.number
    Queue.pause Queue.purge Queue.put Queue.put_async Queue.put_many Queue.put_many_async Queue.put_start
    Queue.redrive Queue.resume Replication.abort_job Replication.accept_gap Replication.add Replication.close Replication.end_job
    Replication.job Replication.push Replication.remove Replication.root Replication.send Replication.send_many
    Replication.skip Replication.start_job Replication.status Replication.token Result.level Result.token
    Outcome.state Outcome.token Session.id Store.is_remote Store.resolve TransactionId.epoch TransactionId.number
    TransactionId.parse TransactionId.session TransactionId.text aio.Session.id aio.Store.resolve
    Session.prepare Store.finish Store.prepared aio.Session.prepare aio.Store.finish aio.Store.prepared
    Server.addresses Server.reload Server.status Session.close Session.commit Session.commit_async
    Session.commit_start Session.put Session.put_many Session.rollback Snapshot.browse Snapshot.close Store.backup
    Store.change_password Store.close Store.consumer Store.consumer_delete Store.put Store.put_async Store.put_many
    Store.queue Store.session Store.snapshot Store.status Store.wait_async Store.watch Token.is_empty Token.join
    Token.parse Token.text Work.status Work.stop codes failed job leave log_level log_set nothing open restore
    aio.Consumer.close aio.Consumer.each aio.Consumer.listen aio.Consumer.name aio.Consumer.queue aio.Consumer.reject
    aio.Consumer.renew aio.Consumer.seek aio.Listener.status aio.Queue.delete aio.Queue.name aio.Queue.number
    aio.Queue.pause aio.Queue.purge aio.Queue.redrive aio.Queue.resume aio.Replication.abort_job
    aio.Replication.accept_gap aio.Replication.add aio.Replication.close aio.Replication.end_job aio.Replication.job
    aio.Replication.push aio.Replication.remove aio.Replication.replication aio.Replication.root aio.Replication.send
    aio.Replication.send_many aio.Replication.skip aio.Replication.start_job aio.Replication.status
    aio.Replication.target aio.Replication.token aio.Server.addresses aio.Server.close aio.Server.reload
    aio.Server.server aio.Server.status aio.Session.close aio.Session.put aio.Session.put_many aio.Session.rollback
    aio.Snapshot.browse aio.Snapshot.close aio.Store.backup aio.Store.change_password aio.Store.consumer
    aio.Store.consumer_delete aio.Store.is_remote aio.Store.put aio.Store.put_many aio.Store.queue aio.Store.session
    aio.Store.snapshot aio.Store.status aio.Consumer.ack aio.Queue.put aio.Queue.put_many aio.Session.commit
    aio.Store.close aio.open aio.restore Replication.target
    """.split()
)
# The life of a thread of ours, which no signal reaches.
OF_A_THREAD = {"Work.run"}


def every_call() -> dict[str, bool]:
    """`Class.method` or `function` of everything in the package, with `aio.` before what is asyncio's; and whether
    it has a timeout."""
    found: dict[str, bool] = {}
    package = Path(repliq.__file__).parent
    files = {"_repliq.pyi", *(one.relative_to(package).as_posix() for one in package.rglob("*.py"))}
    without = {"__init__.py", "_errors.py", "_futures.py", "_status.py", "_user.py", "socketpro.py", "aio/_operations.py"}
    for file in files - without:
        before = "aio." if file.startswith("aio/") else ""
        for scope in [tree := ast.parse((package / file).read_text()), *tree.body]:
            if not isinstance(scope, ast.Module | ast.ClassDef):
                continue
            if isinstance(scope, ast.ClassDef) and scope.name.startswith("_"):
                continue
            of = before + (f"{scope.name}." if isinstance(scope, ast.ClassDef) else "")
            for node in scope.body:
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    if before and scope is tree and node.name not in repliq.aio.__all__:
                        continue
                    if not node.name.startswith("_") or node.name in ("__next__", "__anext__"):
                        names = [one.arg for one in node.args.args + node.args.kwonlyargs]
                        found[of + node.name] = "timeout" in names
    return found


def in_a_loop(call: Callable[[repliq.aio.Store, repliq.aio.Consumer], Coroutine[Any, Any, object]], path: Path):
    async def main() -> object:
        async with repliq.aio.open(path) as store:
            return await call(store, await store.consumer("clerk", await store.queue("orders")))

    return lambda: asyncio.run(main())


async def session_receive(store: repliq.aio.Store, consumer: repliq.aio.Consumer) -> object:
    async with store.session() as session:
        return await session.receive(consumer)


async def store_wait(store: repliq.aio.Store, consumer: repliq.aio.Consumer) -> object:
    orders = await store.queue("orders")
    return await store.wait((await orders.put(b"x")).token, at="consumer:clerk")


async def listener_close(store: repliq.aio.Store, consumer: repliq.aio.Consumer) -> object:
    async def handle(session: repliq.aio.Session, message: repliq.Message) -> None:
        inside.set()
        await asyncio.Event().wait()

    inside = asyncio.Event()
    await (await store.queue("orders")).put(b"x")
    listener = await consumer.listen(handle)
    await inside.wait()
    return await listener.close(timeout=None)


async def replication_stop(store: repliq.aio.Store, consumer: repliq.aio.Consumer) -> object:
    replication = await repliq.aio.Replication(await store.queue("root"))
    await replication.add("away", "repliq://nobody@127.0.0.1:9", plain=True, password="x")
    await replication.send(1, b"x")
    return await replication.stop(timeout=None)


CLIENT = """
import sys, time, repliq
with repliq.open(sys.argv[1]) as store, repliq.Replication(store.queue("theirs")) as replication:
    replication.add("away", sys.argv[2], plain=True, password="a long password")
    replication.send(1, b"x")
    time.sleep(60)
"""


@pytest.fixture
def stopped(store: repliq.Store, tmp_path: Path) -> Iterator[repliq.Server]:
    """A server with a client that does not answer."""
    user = repliq.User("clerk", "a long password", "replicate", "*")
    server = repliq.Server(store, plain=True, listen=["127.0.0.1:0"], users=[user])
    client = subprocess.Popen(
        [sys.executable, "-c", CLIENT, tmp_path / "client", "repliq://clerk@" + server.addresses[0]]
    )
    with store.consumer("connected", store.queue("theirs")) as connected:
        assert connected.receive(timeout=20)
    client.send_signal(signal.SIGSTOP)
    yield server
    client.kill()
    client.wait()
    server.close()


@pytest.fixture
def calls(store: repliq.Store, queue: repliq.Queue, stopped: repliq.Server, tmp_path: Path):
    """Each of them, so that it would wait for ever, or for a second at least."""
    release = threading.Event()
    session, consumer, port = store.session(), store.consumer("clerk", queue), repliq.Port()
    root = store.queue("root")
    replication = repliq.Replication(root)
    replication.add("away", "repliq://nobody@127.0.0.1:9", plain=True, password="x")
    replication.send(1, b"x")
    other = store.queue("other")
    other.put(b"1")
    listener = store.consumer("busy", other).listen(lambda session, message: release.wait() and None)
    token = queue.put(b"x")
    list(consumer)
    store.consumer("slow", queue, start="now").close()
    late = queue.put(b"y")
    consumer.receive(timeout=5)
    aio = tmp_path / "aio"
    yield {
        "Store.wait": lambda: store.wait([token, late], at="consumer:slow", timeout=None),
        "Session.receive": lambda: session.receive(consumer, timeout=None),
        "Consumer.receive": lambda: consumer.receive(timeout=None),
        "Consumer.each": lambda: list(consumer.each(timeout=None)),
        "Each.__next__": lambda: next(consumer.each(timeout=None)),
        "Port.drain": lambda: port.drain(timeout=None),
        "Replication.stop": lambda: replication.stop(timeout=None),
        "Listener.close": lambda: listener.close(timeout=None),
        "Server.close": lambda: stopped.close(),
        "log_drain": lambda: _repliq.log_drain(timeout=None),
        "aio.Store.wait": in_a_loop(store_wait, tmp_path / "waiting"),
        "aio.Session.receive": in_a_loop(session_receive, aio),
        "aio.Consumer.receive": in_a_loop(lambda _, consumer: consumer.receive(), aio),
        "aio.Consumer.ready": in_a_loop(lambda _, consumer: consumer.ready(), aio),
        "aio.Each.__anext__": in_a_loop(lambda _, consumer: anext(consumer.each()), aio),
        "aio.Listener.close": in_a_loop(listener_close, tmp_path / "listening"),
        "aio.Replication.stop": in_a_loop(replication_stop, tmp_path / "replicating"),
    }
    release.set()
    session.close()
    consumer.close()


def interrupted(name: str, call: Callable[[], object]) -> float:
    """The seconds from Ctrl-C until the call has ended with it."""
    sent = [0.0]

    def interrupt() -> None:
        time.sleep(0.1)
        sent[0] = time.monotonic()
        os.kill(os.getpid(), signal.SIGINT)

    # A call that goes on in spite of it would hold up everything.
    faulthandler.dump_traceback_later(30, exit=True)
    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        call()
        pytest.fail(f"{name} returned")
    took = time.monotonic() - sent[0]
    thread.join()
    faulthandler.cancel_dump_traceback_later()
    assert sent[0] > 0, f"{name} ended before Ctrl-C"
    return took


def test_every_call_is_known_to_wait_or_not(calls: dict[str, Callable[[], object]]) -> None:
    known = set(calls) | AT_ONCE | OF_A_THREAD
    assert set(every_call()) == known, set(every_call()) ^ known
    timed = {name for name, has in every_call().items() if has}
    # An iterator waits in its next, and not where it is made.
    assert len(timed) > 10 and timed <= set(calls) | {"aio.Consumer.each"}, timed - set(calls)
    assert not set(calls) & AT_ONCE


def test_every_call_that_waits_ends_with_ctrl_c(calls: dict[str, Callable[[], object]]) -> None:
    took = {name: interrupted(name, call) for name, call in calls.items()}
    assert max(took.values()) < PATIENCE, took


def test_a_tenth_of_a_second_is_enough(calls: dict[str, Callable[[], object]]) -> None:
    for name in ("Store.wait", "Session.receive", "Consumer.receive", "Port.drain", "log_drain", "aio.Store.wait"):
        took: list[float] = []
        while not took or (took[-1] >= PROMISED and len(took) < 5):
            took.append(interrupted(name, calls[name]))
        assert took[-1] < PROMISED, (name, took)


def test_other_threads_run_while_one_waits(store: repliq.Store, queue: repliq.Queue) -> None:
    consumer = store.consumer("clerk", queue)
    found: list[bytes] = []
    thread = threading.Thread(
        target=lambda: found.extend(one.payload for one in consumer.receive(timeout=20))
    )
    thread.start()
    for _ in range(100):
        time.sleep(0.001)
    queue.put(b"1")
    thread.join(timeout=20)
    assert found == [b"1"]
    consumer.close()


def test_a_future_is_interrupted_as_python_does_it(store: repliq.Store, queue: repliq.Queue) -> None:
    with store.consumer("slow", queue):
        future = store.wait_async(queue.put(b"x"), at="consumer:slow")
        assert interrupted("Future.result", lambda: future.result()) < PATIENCE
        assert not future.done()
