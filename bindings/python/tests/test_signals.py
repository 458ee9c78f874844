"""Ctrl-C ends every call that waits. Which those are, the stub says: those with a timeout."""

from __future__ import annotations

import ast
import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import repliq
import repliq.aio
from repliq import _repliq

# A tenth of a second is promised; a busy machine gets ten times as much.
PATIENCE = 1.0


def waiting_calls() -> set[str]:
    """`Class.method` of everything in the package that has a parameter `timeout`."""
    found = set()
    package = Path(repliq.__file__).parent
    for file in ("_repliq.pyi", "_listener.py", "_log.py"):
        tree = ast.parse((package / file).read_text())
        for scope in [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))]:
            for node in scope.body:
                if not isinstance(node, ast.FunctionDef):
                    continue
                names = [one.arg for one in node.args.args + node.args.kwonlyargs]
                if "timeout" in names:
                    found.add(f"{scope.name}.{node.name}" if isinstance(scope, ast.ClassDef) else node.name)
    return found


@pytest.fixture
def calls(store: repliq.Store, queue: repliq.Queue, tmp_path: Path):
    """Each of them, so that it would wait for ever."""
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
    yield {
        "Store.wait": lambda: store.wait([token, late], at="consumer:slow", timeout=None),
        "Session.receive": lambda: session.receive(consumer, timeout=None),
        "Consumer.receive": lambda: consumer.receive(timeout=None),
        "Consumer.each": lambda: next(consumer.each(timeout=None)),
        "Port.drain": lambda: port.drain(timeout=None),
        "Replication.stop": lambda: replication.stop(timeout=None),
        "Listener.close": lambda: listener.close(timeout=None),
        "log_drain": lambda: _repliq.log_drain(timeout=None),
    }
    release.set()
    session.close()
    consumer.close()


def test_every_call_with_a_timeout_ends_with_ctrl_c(calls: dict[str, Callable[[], object]]) -> None:
    assert set(calls) == waiting_calls()
    for name, call in calls.items():
        sent = [0.0]

        def interrupt() -> None:
            time.sleep(0.1)
            sent[0] = time.monotonic()
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            call()
            pytest.fail(f"{name} returned")
        took = time.monotonic() - sent[0]
        thread.join()
        assert sent[0] > 0 and took < PATIENCE, (name, took)


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


def test_futures_and_asyncio_are_interrupted_as_python_does_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with await repliq.aio.open(tmp_path / "aio") as store:
            asyncio.get_running_loop().call_later(0.1, os.kill, os.getpid(), signal.SIGINT)
            await store.consumer("clerk", store.queue("orders")).receive()

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
