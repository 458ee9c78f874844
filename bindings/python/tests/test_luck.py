"""Bad luck: use after close, close during a call, fork, exit, garbage, handlers. Never a crash or a lost message."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import repliq
import repliq.aio


def count(path: Path) -> int:
    with repliq.open(path) as store, store.snapshot() as snapshot:
        return len(snapshot.browse(store.queue("orders"), max=10_000))


def test_every_use_after_the_close_of_the_store_says_closed(tmp_path: Path) -> None:
    store = repliq.open(tmp_path / "store")
    queue, session, snapshot = store.queue("orders"), store.session(), store.snapshot()
    consumer, replication = store.consumer("clerk", queue), repliq.Replication(queue)
    server = repliq.Server(store, plain=True, listen=["127.0.0.1:0"])
    result = queue.put_async(b"1").result(timeout=20)
    store.close()
    store.close()
    calls: list[Callable[[], object]] = [
        lambda: store.queue("orders"),
        lambda: store.session(),
        lambda: store.snapshot(),
        lambda: store.consumer("other", queue),
        lambda: store.consumer_delete("other", queue),
        lambda: store.wait(result, timeout=0),
        lambda: store.wait_async(result),
        lambda: store.status(),
        lambda: queue.name,
        lambda: queue.put(b"x"),
        lambda: queue.put_many([b"x"]),
        lambda: queue.put_async(b"x"),
        lambda: queue.pause(),
        lambda: queue.purge(),
        lambda: queue.delete(),
        lambda: session.put(queue, b"x"),
        lambda: session.receive(consumer, timeout=0),
        lambda: session.commit(),
        lambda: session.commit_async(),
        lambda: consumer.receive(timeout=0),
        lambda: consumer.ack(1),
        lambda: consumer.seek(1),
        lambda: list(consumer),
        lambda: snapshot.browse(queue),
        lambda: replication.send(1, b"x"),
        lambda: replication.status(),
    ]
    for at, call in enumerate(calls):
        with pytest.raises(repliq.ClosedError):
            call()
            pytest.fail(f"call {at} succeeded")
    for one in (session, consumer, snapshot, replication, server):
        one.close()
        one.close()
    with pytest.raises(repliq.ClosedError):
        session.commit()
    with pytest.raises(repliq.ClosedError):
        consumer.receive(timeout=0)
    with pytest.raises(repliq.ClosedError):
        server.reload()
    assert count(tmp_path / "store") == 1


def test_every_use_after_its_own_close_says_closed_and_the_store_goes_on(
    store: repliq.Store, queue: repliq.Queue
) -> None:
    session, snapshot, port = store.session(), store.snapshot(), repliq.Port()
    consumer, other = store.consumer("clerk", queue), store.consumer("other", queue)
    replication = repliq.Replication(store.queue("root"))
    server = repliq.Server(store, plain=True, listen=["127.0.0.1:0"])
    session.put(queue, b"rolled back")
    for one in (session, consumer, snapshot, port, replication, server):
        one.close()
        one.close()
    calls: list[Callable[[], object]] = [
        lambda: session.put(queue, b"x"),
        lambda: session.put(queue, bytearray(b"x")),
        lambda: session.put_many(queue, [b"x"]),
        lambda: session.receive(other, timeout=0),
        lambda: session.commit(),
        lambda: session.commit_async(),
        lambda: session.commit_start(repliq.Port(), 1),
        lambda: session.rollback(),
        lambda: consumer.name,
        lambda: consumer.queue,
        lambda: consumer.receive(timeout=0),
        lambda: consumer.watch(repliq.Port(), 1),
        lambda: consumer.ack(1),
        lambda: consumer.reject(1),
        lambda: consumer.seek(1),
        lambda: consumer.listen(print),
        lambda: next(consumer.each(timeout=0)),
        lambda: snapshot.browse(queue),
        lambda: port.drain(timeout=0),
        lambda: queue.put_start([b"x"], port, 1),
        lambda: replication.add("t", "repliq://nobody@127.0.0.1:9", plain=True, password="x"),
        lambda: replication.send(1, b"x"),
        lambda: replication.start_job(),
        lambda: replication.push(),
        lambda: replication.stop(timeout=0),
        lambda: server.reload(),
        lambda: server.status(),
    ]
    told = []
    for at, call in enumerate(calls):
        try:
            told.append((at, call()))
        except repliq.ClosedError:
            pass
    assert told == []
    queue.put(b"1")
    assert [one.payload for one in other.receive(timeout=5)] == [b"1"]
    other.close()


@pytest.mark.parametrize("closed", ["store", "consumer"])
def test_a_close_ends_what_waits_in_other_threads(tmp_path: Path, closed: str) -> None:
    store = repliq.open(tmp_path / "store")
    queue = store.queue("orders")
    consumer, port = store.consumer("clerk", queue), repliq.Port()
    ended: list[BaseException | object] = []

    def wait(call: Callable[[], object]) -> None:
        try:
            ended.append(call())
        except BaseException as error:
            ended.append(error)

    calls = [lambda: consumer.receive(timeout=60), lambda: port.drain(timeout=60)]
    threads = [threading.Thread(target=wait, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    (store if closed == "store" else consumer).close()
    port.close()
    for thread in threads:
        thread.join(timeout=20)
    assert [type(one) for one in ended] == [repliq.ClosedError] * 2, ended
    store.close()


def test_a_store_closed_while_threads_put_loses_nothing_that_was_confirmed(tmp_path: Path) -> None:
    store = repliq.open(tmp_path / "store")
    queue = store.queue("orders")
    confirmed = [0, 0, 0]
    errors: list[BaseException] = []

    def put(at: int) -> None:
        try:
            while True:
                queue.put(b"x", level="process")
                confirmed[at] += 1
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=put, args=(at,)) for at in range(3)]
    for thread in threads:
        thread.start()
    while sum(confirmed) < 50:
        time.sleep(0.001)
    store.close()
    for thread in threads:
        thread.join(timeout=20)
    assert [type(one) for one in errors] == [repliq.ClosedError] * 3
    assert sum(confirmed) <= count(tmp_path / "store") <= sum(confirmed) + 3


def test_a_forked_child_is_told_and_the_parent_goes_on(tmp_path: Path) -> None:
    store = repliq.open(tmp_path / "store")
    queue, session = store.queue("orders"), store.session()
    queue.put_async(b"1").result(timeout=20)
    session.put(queue, b"2")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        # A child that hangs is ended, and that is seen.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(20)
        told = []
        for call in (
            lambda: queue.put(b"x"),
            lambda: queue.put_async(b"x"),
            lambda: session.commit(),
            lambda: store.session(),
        ):
            try:
                call()
                told.append("none")
            except repliq.Error as error:
                told.append(error.code.name)
        os.write(writer, " ".join(told).encode())
        del queue, session
        store.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert os.read(reader, 100).decode() == "FORKED FORKED FORKED FORKED"
    session.commit()
    store.close()
    assert count(tmp_path / "store") == 2


PROGRAM = """
import sys, threading, asyncio, repliq
store = repliq.open(sys.argv[1])
queue = store.queue("orders")
server = repliq.Server(store, plain=True, listen=["127.0.0.1:0"])
replication = repliq.Replication(queue)
replication.add("away", "repliq://nobody@127.0.0.1:9", plain=True, password="x")
repliq.log_set(10)
session = store.session()
session.put(queue, b"not committed")
snapshot = store.snapshot()
consumer = store.consumer("clerk", queue)
listener = store.consumer("listener", queue).listen(lambda session, message: None)
queue.put(b"1")
queue.put_async(b"2").result()
future = queue.put_async(b"3")
for _ in range(3):
    threading.Thread(target=lambda: consumer.receive(timeout=None) and consumer.receive(), daemon=True).start()
port = repliq.Port()
threading.Thread(target=port.drain, daemon=True).start()
"""


def test_an_interpreter_that_ends_with_everything_open_ends_well(
    tmp_path: Path, python: Callable[..., str]
) -> None:
    for round in range(5):
        assert python(PROGRAM + "print('end')") == "end\n"
    assert count(tmp_path / "store") >= 10


def test_an_interpreter_ends_with_a_handler_that_never_returns(
    tmp_path: Path, python: Callable[..., str]
) -> None:
    program = """
import sys, threading, repliq
store = repliq.open(sys.argv[1])
queue = store.queue("orders")
queue.put(b"1")
inside = threading.Event()
def handler(session, message):
    session.put(queue, b"never")
    inside.set()
    threading.Event().wait()
listener = store.consumer("clerk", queue).listen(handler)
inside.wait()
try:
    listener.close(timeout=0.1)
except TimeoutError as error:
    print(type(error).__name__)
store.close()
"""
    assert python(program) == "TimeoutError\n"
    assert count(tmp_path / "store") == 1


def test_an_uncaught_exception_with_everything_open_ends_the_program_with_it(
    tmp_path: Path, python: Callable[..., str]
) -> None:
    python(PROGRAM + "raise SystemExit(7)", code=7)
    python(PROGRAM + "1 / 0", code=1, says="ZeroDivisionError: division by zero")
    assert count(tmp_path / "store") >= 4


CONFIRMING = """
import os
confirmed, running = [0, 0, 0], threading.Event()
files = [os.open(f"{sys.argv[1]}.{at}", os.O_CREAT | os.O_WRONLY) for at in range(3)]
def confirm(at):
    while True:
        if at == 2:
            queue.put_async(b"%d" % at).result()
        else:
            queue.put(b"%d" % at, level="process" if at else None)
        confirmed[at] += 1
        os.pwrite(files[at], b"%d" % confirmed[at], 0)
for at in range(3):
    threading.Thread(target=confirm, args=(at,), daemon=True).start()
# The eleventh is counted behind the writing of the tenth.
while min(confirmed) < 11:
    pass
"""

ENDS = {
    "by returning": ("pass", 0),
    "in atexit": (
        "import atexit\natexit.register(lambda: [queue.put(b'last'), consumer.close(), sys.exit(9)])", 0),
    "by os._exit": ("os._exit(5)", 5),
    "by os._exit in a handler": (
        "store.queue('bell').put(b'x')\n"
        "ear = store.consumer('ear', store.queue('bell')).listen(lambda session, message: os._exit(5))\n"
        "threading.Event().wait()", 5),
    "by os._exit behind a future": (
        "queue.put_async(b'x').add_done_callback(lambda future: os._exit(5))\nthreading.Event().wait()", 5),
    "by sys.exit in a handler that is tried again": (
        "store.queue('bell').put(b'x')\n"
        "ear = store.consumer('ear', store.queue('bell')).listen(lambda session, message: sys.exit(6), retry=0.001)", 0),
    "with a loop that was closed": (
        "from repliq import aio\n"
        "async def main():\n"
        "    other = await aio.open(sys.argv[1] + 'aio')\n"
        "    queue, consumer = await other.queue('q'), await other.consumer('c', await other.queue('none'))\n"
        "    for _ in range(200): asyncio.ensure_future(queue.put(b'x'))\n"
        "    asyncio.ensure_future(consumer.receive())\n"
        "    await asyncio.sleep(0)\n"
        "    kept.append(other)\n"
        "kept = []\nasyncio.run(main())", 0),
    "with a loop that was left": (
        "from repliq import aio\n"
        "loop = asyncio.new_event_loop()\n"
        "async def main():\n"
        "    global tasks, other\n"
        "    other = await aio.open(sys.argv[1] + 'aio')\n"
        "    queue = await other.queue('q')\n"
        "    tasks = [asyncio.ensure_future(queue.put(b'x')) for _ in range(200)]\n"
        "    await asyncio.sleep(0)\n"
        "loop.run_until_complete(main())\n"
        "for task in tasks: task._log_destroy_pending = False\n"
        "loop.close()", 0),
}


@pytest.mark.parametrize("how", list(ENDS))
def test_an_interpreter_that_ends_while_threads_put_loses_nothing_that_was_confirmed(
    tmp_path: Path, how: str
) -> None:
    program, code = ENDS[how]
    for round in range(3):
        path = tmp_path / str(round)
        done = subprocess.run(
            [sys.executable, "-X", "faulthandler", "-c", PROGRAM + CONFIRMING + program, path],
            capture_output=True, text=True, timeout=60,
        )
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        # What an exit in atexit or in a handler says is no crash.
        assert "Fatal" not in done.stderr and "Aborted" not in done.stderr, done.stderr
        if "exit in" not in how and "atexit" not in how:
            assert done.stderr == "", done.stderr
        with repliq.open(path) as store, store.snapshot() as snapshot:
            found: dict[bytes, int] = {}
            first = 1
            while some := snapshot.browse(store.queue("orders"), start=first, max=1000):
                for one in some:
                    found[one.payload] = found.get(one.payload, 0) + 1
                first = some[-1].sequence + 1
        assert b"not committed" not in found
        assert how != "in atexit" or b"last" in found
        for at in range(3):
            confirmed = int(Path(f"{path}.{at}").read_bytes())
            # The three before came from the program around it, and their listener took some.
            assert 10 <= confirmed <= found[b"%d" % at] <= confirmed + 3, (at, confirmed, found)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), ValueError("as if")])
def test_what_follows_a_future_may_raise_and_the_others_end(
    store: repliq.Store, queue: repliq.Queue, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    slow = store.consumer("slow", queue)
    waits = [store.wait_async(queue.put(b"x"), at="consumer:slow") for _ in range(3)]

    def follow(future: object) -> None:
        raise error

    waits[0].add_done_callback(follow)
    slow.ack([one.sequence for one in slow.receive(timeout=5)])
    for wait in waits:
        wait.result(timeout=20)
    assert queue.put_async(b"y").result(timeout=20).level == "power"
    slow.close()


@pytest.mark.parametrize("closed", ["itself", "store"])
def test_a_close_from_another_thread_ends_every_call_that_waits(tmp_path: Path, closed: str) -> None:
    for which in range(7):
        store = repliq.open(tmp_path / f"{closed}{which}")
        queue = store.queue("empty")
        token = store.queue("full").put(b"x").token
        consumer, session, port = store.consumer("clerk", queue), store.session(), repliq.Port()
        store.consumer("slow", store.queue("full"))
        replication = repliq.Replication(store.queue("root"))
        replication.add("away", "repliq://nobody@127.0.0.1:9", plain=True, password="x")
        replication.send(1, b"x")
        calls: list[tuple[Callable[[], object], repliq.Store | repliq.Consumer | repliq.Port]] = [
            (lambda: consumer.receive(timeout=None), consumer),
            (lambda: list(consumer.each(timeout=None)), consumer),
            (lambda: next(consumer.each(timeout=None)), consumer),
            (lambda: session.receive(consumer, timeout=None), consumer),
            (lambda: port.drain(timeout=None), port),
            (lambda: store.wait(token, at="consumer:slow", timeout=None), store),
            (lambda: replication.stop(timeout=None), store),
        ]
        call, end = calls[which]
        ended: list[object] = []

        def run(call: Callable[[], object] = call, ended: list[object] = ended) -> None:
            try:
                ended.append(call())
            except BaseException as error:
                ended.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        time.sleep(0.08)
        assert ended == [], which
        # A session is one thread's: another cannot close it.
        if which == 3:
            with pytest.raises(repliq.BusyError):
                session.close()
        # A port belongs to no store.
        (end if closed == "itself" or end is port else store).close()
        thread.join(timeout=20)
        assert [type(one) for one in ended] == [repliq.ClosedError], (which, ended)
        store.close()
        port.close()


@pytest.mark.parametrize("closed", ["consumer", "store"])
@pytest.mark.parametrize("how", ["receive", "ready", "each", "session", "wait"])
def test_a_close_in_a_loop_ends_every_task_that_waits(tmp_path: Path, how: str, closed: str) -> None:
    async def main() -> None:
        store = await repliq.aio.open(tmp_path / "store")
        consumer = await store.consumer("clerk", await store.queue("orders"))
        session = await store.session()
        full = await store.queue("full")
        token = (await full.put(b"x")).token
        await store.consumer("slow", full)
        tasks = {
            "receive": consumer.receive,
            "ready": consumer.ready,
            "each": lambda: anext(consumer.each()),
            "session": lambda: session.receive(consumer),
            "wait": lambda: store.wait(token, at="consumer:slow"),
        }
        task = asyncio.ensure_future(tasks[how]())
        await asyncio.sleep(0.05)
        assert not task.done()
        if closed == "store" or how == "wait":
            await store.close()
        else:
            await consumer.close()
        if how == "ready" and closed == "consumer":
            # It says that a receive would fail.
            with contextlib.suppress(repliq.ClosedError):
                await asyncio.wait_for(task, 20)
        else:
            with pytest.raises(repliq.ClosedError):
                await asyncio.wait_for(task, 20)
        await store.close()

    asyncio.run(main())


def test_the_wheel_and_the_shared_library_live_in_one_process(
    tmp_path: Path, python: Callable[..., str]
) -> None:
    library = Path(__file__).resolve().parents[3] / "target/debug/librepliq.so"
    program = """
import ctypes, struct, sys, repliq
c = ctypes.CDLL(sys.argv[2], mode=ctypes.RTLD_GLOBAL)
c.repliq_store_queue.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
pointer = ctypes.c_void_p
c.repliq_store_put.argtypes = [pointer, ctypes.c_uint32, ctypes.c_char_p, ctypes.c_size_t, pointer, pointer]
def open_c(path):
    store = ctypes.c_void_p()
    return c.repliq_store_open(path.encode(), None, ctypes.byref(store)), store
mine = repliq.open(sys.argv[1])
queue = mine.queue("orders")
queue.put_async(b"by the wheel").result()
print(open_c(sys.argv[1])[0] == repliq.Code.LOCKED)
code, theirs = open_c(sys.argv[1] + "2")
number = ctypes.c_uint32()
print(code, c.repliq_store_queue(theirs, b"orders", ctypes.byref(number)))
payload = ctypes.create_string_buffer(b"by the library", 14)
message = struct.pack("=QQ", ctypes.addressof(payload), 14).ljust(512, bytes(1))
print(c.repliq_store_put(theirs, number, message, 1, None, None))
try:
    repliq.open(sys.argv[1] + "2")
except repliq.LockedError:
    print("locked")
queue.put(b"by the wheel again")
"""
    assert python(program, str(library)) == "True\n0 0\n0\nlocked\n"
    assert count(tmp_path / "store") == 2 and count(tmp_path / "store2") == 1


def test_what_is_collected_closes_itself(tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/task"))
    for round in range(3):
        store = repliq.open(tmp_path / "store")
        queue = store.queue("orders")
        session = store.session()
        session.put(queue, b"rolled back")
        queue.put_async(b"1").result(timeout=20)
        consumer = store.consumer("clerk", queue)
        listener = store.consumer("listener", queue).listen(lambda session, message: None)
        replication, snapshot = repliq.Replication(queue), store.snapshot()
        server = repliq.Server(store, plain=True, listen=["127.0.0.1:0"])
        cycle: list[object] = [store, queue, session, consumer, listener, replication, snapshot, server]
        cycle.append(cycle)
        del store, queue, session, consumer, listener, replication, snapshot, server, cycle
        gc.collect()
        wait_until(lambda: not is_locked(tmp_path / "store"))
    assert count(tmp_path / "store") == 3
    wait_until(lambda: len(set(os.listdir("/proc/self/task")) - before) == 0)


def is_locked(path: Path) -> bool:
    try:
        repliq.open(path).close()
    except repliq.LockedError:
        return True
    return False


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_handler_that_raises_is_tried_again_and_logged(
    store: repliq.Store, queue: repliq.Queue, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[tuple[bytes, str]] = []
    done = threading.Event()
    fills = store.queue("fills")

    def handler(session: repliq.Session, message: repliq.Message) -> None:
        seen.append((message.payload, threading.current_thread().name))
        session.put(fills, b"fill %d" % len(seen))
        if len(seen) < 3:
            raise ZeroDivisionError("no luck")
        with pytest.raises(repliq.BusyError):
            session.commit()
        with pytest.raises(repliq.BusyError):
            listener.close()
        kept.append(session)
        done.set()

    kept: list[repliq.Session] = []
    queue.put(b"1")
    with caplog.at_level(logging.ERROR, "repliq.listener"):
        with store.consumer("clerk", queue).listen(handler, retry=0.001) as listener:
            assert done.wait(20)
            wait_until(lambda: listener.status()["done"] == 1)
            assert listener.status()["failed"] == 2
    assert seen == [(b"1", "repliq-listener")] * 3
    assert [record.message for record in caplog.records] == ["a handler failed: no luck"] * 2
    with store.snapshot() as snapshot:
        assert [one.payload for one in snapshot.browse(fills)] == [b"fill 3"]
    # The session was lent: it is of no use any more, and no danger.
    with pytest.raises(repliq.ClosedError):
        kept[0].put(fills, b"late")
    assert list(store.consumer("clerk", queue)) == []


class Speechless(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


def too_deep(depth: int = 0) -> int:
    return too_deep(depth + 1) + 1


def fail(name: str) -> None:
    """Raises what has this name: by itself where Python does so, too."""
    if name == "RecursionError":
        too_deep()
    elif name == "MemoryError":
        bytearray(1 << 60)
    elif name == "Speechless":
        raise Speechless()
    raise {"KeyboardInterrupt": KeyboardInterrupt(), "SystemExit": SystemExit(3),
           "GeneratorExit": GeneratorExit("as if"), "CancelledError": asyncio.CancelledError()}[name]


@pytest.mark.parametrize("name", [
    "KeyboardInterrupt", "SystemExit", "GeneratorExit", "CancelledError", "RecursionError", "MemoryError", "Speechless",
])
@pytest.mark.parametrize("logger", ["good", "bad"])
def test_whatever_a_handler_raises_is_not_acknowledged_and_told_by_status_letter_and_log(
    store: repliq.Store, queue: repliq.Queue, name: str, logger: str, caplog: pytest.LogCaptureFixture
) -> None:
    fills = store.queue("fills")
    log = logging.getLogger("repliq.listener")
    logged: list[BaseException | None] = []

    def look(record: logging.LogRecord) -> bool:
        logged.append(record.exc_info[1] if record.exc_info else None)
        if logger == "bad":
            raise SystemExit("of the logger")
        return True

    def handler(session: repliq.Session, message: repliq.Message) -> None:
        session.put(fills, message.payload)
        if message.key == b"park":
            raise repliq.Park("aside")
        fail(name)

    queue.put_many([repliq.Message(b"1", key=b"bad"), repliq.Message(b"2", key=b"park")])
    log.addFilter(look)
    try:
        with store.consumer("parker", queue).listen(handler, policy="park") as listener:
            wait_until(lambda: len(listener.status()["parked"]) == 2)
            status = listener.status()
            assert (status["done"], status["failed"], status["ended"]) == (0, 1, None)
            reasons = dict(status["parked"])
            assert name in reasons[b"bad"] and reasons[b"park"] == "aside"
        assert [type(one).__name__ for one in logged] == [name, "NoneType"]
        with store.consumer("parker", queue) as again:
            assert [one.payload for one in again.receive(timeout=5)] == [b"1", b"2"]
        burying = store.consumer("burier", queue).listen(
            handler, policy="dead_letter", dead_letter_after=2, dead_letter_queue="dead", retry=0.001
        )
        with burying as listener:
            wait_until(lambda: listener.status()["dead"] == 1)
        calls = []

        def second(session: repliq.Session, message: repliq.Message) -> None:
            calls.append(message)
            if len(calls) < 3:
                fail(name)

        with store.consumer("blocker", queue).listen(second, retry=0.001) as listener:
            wait_until(lambda: listener.status()["done"] == 2)
            assert listener.status()["failed"] == 2
    finally:
        log.removeFilter(look)
    with store.snapshot() as snapshot:
        assert name in snapshot.browse(store.queue("dead"))[0].header("repliq-reason").decode()
        assert snapshot.browse(fills) == []


def test_a_handler_can_put_aside_and_a_dead_letter_names_its_reason(
    store: repliq.Store, queue: repliq.Queue
) -> None:
    def park(session: repliq.Session, message: repliq.Message) -> None:
        if message.key == b"bad":
            raise repliq.Park("not today")

    queue.put_many([repliq.Message(b"1", key=b"bad"), repliq.Message(b"2", key=b"good")])
    with store.consumer("parker", queue).listen(park) as listener:
        wait_until(lambda: listener.status()["done"] == 1)
        assert listener.status()["parked"] == [(b"bad", "not today")]

    def fail(session: repliq.Session, unit: list[repliq.Message]) -> None:
        raise ValueError(f"{len(unit)} messages")

    burying = store.consumer("burier", queue).listen(
        fail, job=True, policy="dead_letter", dead_letter_after=2, dead_letter_queue="dead", retry=0.001
    )
    with burying as listener:
        wait_until(lambda: listener.status()["dead"] == 1)
    with store.snapshot() as snapshot:
        letters = snapshot.browse(store.queue("dead"))
    assert [one.payload for one in letters] == [b"1", b"2"]
    assert letters[0].header("repliq-reason") == b"ValueError: 2 messages"
    with pytest.raises(repliq.InvalidError):
        store.consumer("c", queue).listen(fail, policy="dead_letter")
