"""A store at a server: used like one in a directory, and what only a server can do to it."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from served import PASSWORD, PLAIN, Served, certify
from test_signals import PATIENCE, interrupted

import repliq
import repliq.aio


def texts(messages: list[repliq.Message]) -> list[bytes]:
    return [one.payload for one in messages]


def browse(store: repliq.Store, name: str) -> list[bytes]:
    with store.snapshot() as snapshot:
        return texts(snapshot.browse(store.queue(name), max=10_000))


@pytest.fixture(params=["tcp", "tls", "socket"])
def store_at(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[repliq.Store]:
    """A store at a server, over each kind of connection."""
    words, options = ["--plain"], dict(PLAIN)
    if request.param == "tls":
        certificate, key = certify(tmp_path, "office.example")
        words = ["--certificate-file", str(certificate), "--key-file", str(key)]
        options = {"password": PASSWORD, "ca_file": certificate, "server_name": "office.example"}
    served = Served(tmp_path, *words)
    url = served.url()
    if request.param == "socket":
        url, options = f"repliq+unix://{served.socket}", {"password": PASSWORD, "user": "ann"}
    with repliq.open(url, **options) as store:
        yield store
    served.kill()


def test_it_is_used_like_a_store_in_a_directory(store_at: repliq.Store) -> None:
    store = store_at
    orders, fills = store.queue("orders"), store.queue("fills")
    assert store.is_remote and (orders.name, orders) == ("orders", store.queue("orders"))
    token = orders.put(b"1", key="k", kind=7, headers={"h": b"v"}, level="process").token
    orders.put_many([b"2", repliq.Message(b"3", kind=3)])
    assert orders.put_async(b"4").result(20).level == "power"
    store.wait(token, timeout=10)
    with store.session() as session, store.consumer("clerk", orders) as clerk:
        first = session.receive(clerk, 2, timeout=10)
        assert (texts(first), first[0].kind, first[0].key, first[0].header("h")) == ([b"1", b"2"], 7, b"k", b"v")
        session.put(fills, bytearray(b"not yet"))
        session.rollback()
        again = session.receive(clerk, timeout=10)
        assert [(one.payload, one.deliveries) for one in again] == [(b"1", 2), (b"2", 2), (b"3", 1), (b"4", 1)]
        session.put_many(fills, (b"price of " + one.payload for one in again))
        assert browse(store, "fills") == []
        result = session.commit()
        assert result.level == "power" and session.commit_async().result(20).token.is_empty
        store.wait(result, at="consumer:clerk", timeout=10)
        assert session.receive(clerk, timeout=0.05) == []
        with pytest.raises(repliq.TimeoutError):
            store.wait(orders.put(b"5"), at="consumer:clerk", timeout=0.05)
        (fifth,) = clerk.receive(timeout=10)
        clerk.reject(fifth)
        assert [(one.payload, one.deliveries) for one in clerk] == [(b"5", 2)]
        clerk.seek(1)
        assert texts(clerk.receive(timeout=10)) == [b"1", b"2", b"3", b"4", b"5"]
    assert browse(store, "fills") == [b"price of 1", b"price of 2", b"price of 3", b"price of 4"]
    orders.pause()
    with pytest.raises(repliq.PausedError):
        orders.put(b"6")
    orders.resume()
    orders.purge()
    store.consumer_delete("clerk", orders)
    assert store.status()["queues"]
    with pytest.raises(repliq.UnsupportedError):
        store.backup("nowhere")
    with pytest.raises(repliq.UnsupportedError):
        repliq.Replication(orders)
    orders.delete()


def test_who_is_not_let_in_hears_why(served: Served, tmp_path: Path) -> None:
    with pytest.raises(repliq.DeniedError):
        served.open(password="wrong")
    with pytest.raises(repliq.UnreachableError):
        repliq.open("repliq://ann@127.0.0.1:9", **PLAIN)
    with pytest.raises(repliq.InvalidError, match="orders"):
        repliq.open(served.url() + "/orders", **PLAIN)
    with pytest.raises(repliq.InvalidError, match="heartbeat_ms"):
        served.open(heartbeat=0.001)
    with pytest.raises(repliq.InvalidError):
        repliq.open("http://127.0.0.1", **PLAIN)
    # TLS is asked for where nobody says otherwise, and this one has none.
    with pytest.raises(repliq.Error) as refused:
        repliq.open(served.url(), password=PASSWORD, connect_timeout=2)
    assert refused.value.code.name in ("PROTOCOL", "UNREACHABLE", "CERTIFICATE", "UNSUPPORTED")
    with repliq.open(served.url("cid"), **PLAIN) as store:
        with pytest.raises(repliq.DeniedError):
            store.queue("out")


def test_a_certificate_is_verified(tmp_path: Path) -> None:
    certificate, key = certify(tmp_path, "office.example")
    other, _ = certify(tmp_path, "other.example")
    served = Served(tmp_path, "--certificate-file", str(certificate), "--key-file", str(key))
    for wrong in ({"ca_file": other, "server_name": "office.example"}, {"ca_file": certificate}):
        with pytest.raises(repliq.CertificateError):
            repliq.open(served.url(), password=PASSWORD, **wrong)
    served.kill()


def test_a_listener_works_on_what_comes_at_a_server(served: Served) -> None:
    seen: list[bytes] = []

    def handle(session: repliq.Session, message: repliq.Message) -> None:
        seen.append(message.payload)
        session.put(copies, message.payload.upper())
        if len(seen) == 2:
            raise ValueError("once")

    with served.open() as store:
        orders, copies = store.queue("orders"), store.queue("copies")
        with store.consumer("ear", orders).listen(handle, retry=0.001) as listener:
            orders.put_many([b"a", b"b", b"c"])
            store.wait(orders.put(b"d"), at="consumer:ear", timeout=20)
            end = time.monotonic() + 20
            while (status := listener.status())["done"] < 4:
                assert time.monotonic() < end, status
                time.sleep(0.005)
        assert seen == [b"a", b"b", b"b", b"c", b"d"]
        assert (status["done"], status["failed"], status["ended"]) == (4, 1, None)
        assert browse(store, "copies") == [b"A", b"B", b"C", b"D"]


def test_a_listener_of_several_threads_works_side_by_side(served: Served, tmp_path: Path) -> None:
    with served.open() as there, repliq.open(tmp_path / "here") as here:
        for store in (there, here):
            orders, copies = store.queue("many"), store.queue("copied")
            names: set[int] = set()
            met = threading.Barrier(3)

            def handle(session: repliq.Session, message: repliq.Message) -> None:
                if threading.get_ident() not in names:
                    names.add(threading.get_ident())
                    met.wait(20)
                session.put(copies, message.payload)

            with store.consumer("ear", orders).listen(handle, threads=3) as listener:
                orders.put_many([b"%d" % one for one in range(30)])
                end = time.monotonic() + 20
                while (status := listener.status())["done"] < 30:
                    assert time.monotonic() < end, status
                    time.sleep(0.005)
            assert sorted(browse(store, "copied")) == sorted(b"%d" % one for one in range(30))
            consumer = store.consumer("ear", orders)
            with pytest.raises(repliq.InvalidError, match="threads"):
                consumer.listen(handle, threads=0)


def test_an_identity_tells_what_became_of_a_transaction(served: Served, tmp_path: Path) -> None:
    with served.open() as there, repliq.open(tmp_path / "here") as here:
        for store in (there, here):
            queue = store.queue("orders")
            with store.session() as session:
                first = session.id()
                assert (first.epoch, first.number, len(first.session)) == (1, 1, 16)
                assert repliq.TransactionId.parse(first.text) == first == repliq.TransactionId.parse(bytes(first))
                assert (hash(first), str(first)) == (hash(repliq.TransactionId.parse(first.text)), first.text)
                session.put(queue, b"1")
                token = session.commit().token
                for id in (first, first.text, bytes(first)):
                    outcome = store.resolve(id)
                    assert (outcome.state, outcome.token) == ("committed", token)
                assert store.resolve(first) == outcome and hash(store.resolve(first)) == hash(outcome)
                second = session.id()
                assert (second.session, second.number) == (first.session, 2) and second != first
                # TXS-17: it is asked for before its commit, which is refused from then on.
                session.put(queue, b"late")
                assert (store.resolve(second).state, store.resolve(second).token) == ("rolled_back", None)
                with pytest.raises(repliq.RolledBackError):
                    session.commit()
                session.put(queue, b"2")
                session.commit()
                assert store.resolve(first).state == "expired"
            assert browse(store, "orders") == [b"1", b"2"]
            with pytest.raises(repliq.InvalidError):
                store.resolve("no identity")
            with pytest.raises(TypeError):
                store.resolve(17)  # type: ignore[arg-type]


def test_txs_25_a_session_with_a_name_is_open_once_and_can_be_taken_over(
    served: Served, tmp_path: Path
) -> None:
    with served.open() as there, repliq.open(tmp_path / "here") as here:
        for store in (there, here):
            queue = store.queue("orders")
            mine = store.session(name="mover")
            before = mine.id()
            mine.put(queue, b"never")
            with pytest.raises(repliq.ExistsError):
                store.session(name="mover")
            theirs = store.session(name="mover", takeover=True, level="power")
            with pytest.raises(repliq.FencedError):
                mine.commit()
            after = theirs.id()
            assert (after.session, after.epoch) == (before.session, before.epoch + 1)
            theirs.put(queue, b"theirs")
            assert theirs.commit().level == "power"
            theirs.close()
            mine.close()
            assert browse(store, "orders") == [b"theirs"]
            with pytest.raises(repliq.InvalidError):
                store.session(idle=1e9)


def test_txs_08_a_transaction_above_its_bound_can_only_be_rolled_back(served: Served, tmp_path: Path) -> None:
    with served.open() as there, repliq.open(tmp_path / "here") as here:
        for store in (there, here):
            queue = store.queue("orders")
            with store.session(bytes_max=1000) as session:
                session.put(queue, b"x" * 800)
                with pytest.raises(repliq.QuotaError):
                    session.put(queue, b"x" * 800)
                with pytest.raises(repliq.RollbackOnlyError):
                    session.put(queue, b"1")
                with pytest.raises(repliq.RolledBackError):
                    session.commit()
                session.put(queue, b"2")
                session.commit()
            assert browse(store, "orders") == [b"2"]


def test_txs_29_a_transaction_that_gets_no_call_is_rolled_back(served: Served) -> None:
    with served.open() as store:
        queue = store.queue("orders")
        queue.put(b"1")
        reader = store.consumer("reader", queue)
        with store.session(idle=0.3) as session:
            assert texts(session.receive(reader, timeout=10)) == [b"1"]
            (again,) = reader.receive(timeout=20)
            assert (again.payload, again.deliveries) == (b"1", 2)
            with pytest.raises(repliq.RolledBackError):
                session.commit()
            session.put(queue, b"2")
            session.commit()
        assert browse(store, "orders") == [b"1", b"2"]


def test_txs_13_a_server_that_is_killed_rolls_back_and_everything_goes_on_with_the_next_one(
    served: Served,
) -> None:
    with served.open() as store:
        queue = store.queue("orders")
        queue.put_many([b"1", b"2"])
        clerk, session = store.consumer("clerk", queue), store.session()
        id = session.id()
        assert texts(session.receive(clerk, timeout=10)) == [b"1", b"2"]
        session.put(queue, b"never")
        served.kill()
        served.start()
        with pytest.raises(repliq.RolledBackError):
            for _ in range(1000):
                session.put(queue, b"x" * 70_000)
        again = session.receive(clerk, timeout=20)
        assert texts(again) == [b"1", b"2"]
        session.put(queue, b"3")
        session.commit()
        assert session.id().session == id.session
        assert store.resolve(id).state == "expired"
        assert [one.payload for one in clerk] == [b"3"]


def test_without_reconnect_a_lost_server_is_unreachable(served: Served) -> None:
    with served.open(reconnect=False, connect_timeout=5) as store:
        queue = store.queue("orders")
        served.kill()
        end = time.monotonic() + 20
        while True:
            with pytest.raises(repliq.Error) as lost:
                queue.put(b"1")
            if lost.value.code.name in ("UNREACHABLE", "CLOSED"):
                break
            assert time.monotonic() < end, lost.value
        served.start()
        with pytest.raises(repliq.Error):
            queue.put(b"2")


def test_txs_19_a_commit_without_an_answer_is_unknown_and_resolve_is_what_readers_see(served: Served) -> None:
    with served.open(connect_timeout=5, heartbeat=20) as store, served.open(heartbeat=20) as other:
        queue, session = store.queue("orders"), store.session()
        id = session.id()
        session.put(queue, b"1")
        with served.stopped(), pytest.raises(repliq.OutcomeUnknownError, match=id.text):
            session.commit()
        outcome = other.resolve(id)
        assert (outcome.state == "committed") == (browse(other, "orders") == [b"1"])
        time.sleep(0.3)
        assert other.resolve(id) == outcome
        assert (outcome.state == "committed") == (browse(other, "orders") == [b"1"])
        session.put(queue, b"2")
        session.commit()


def test_txs_20_a_second_thread_in_a_session_is_busy_and_the_first_is_unharmed(served: Served) -> None:
    with served.open(heartbeat=5) as store:
        queue, session = store.queue("orders"), store.session()
        clerk = store.consumer("clerk", queue)
        session.put(queue, b"1")
        ended: list[object] = []
        thread = threading.Thread(target=lambda: ended.append(session.commit()))
        with served.stopped():
            thread.start()
            time.sleep(0.1)
            calls: list[Callable[[], object]] = [
                lambda: session.put(queue, b"2"), lambda: session.receive(clerk, timeout=0), session.commit,
                session.rollback, session.id, session.close,
            ]
            for call in calls:
                with pytest.raises(repliq.BusyError):
                    call()
            assert not ended
        thread.join(20)
        assert isinstance(ended[0], repliq.Result)
        assert browse(store, "orders") == [b"1"]


def test_ctrl_c_ends_every_call_that_waits_for_a_server_that_is_silent(served: Served) -> None:
    options = {"heartbeat": 20, "connect_timeout": 60}
    with served.open(**options) as store:
        queue, session = store.queue("orders"), store.session()
        clerk, other = store.consumer("clerk", queue), store.consumer("other", queue)
        token = queue.put(b"1").token
        receiving, id = store.session(), session.id()
        calls: dict[str, Callable[[], object]] = {
            "open": lambda: served.open(**options),
            "Store.queue": lambda: store.queue("another"),
            "Store.status": store.status,
            "Store.session": store.session,
            "Store.consumer": lambda: store.consumer("third", queue),
            "Store.resolve": lambda: store.resolve(id),
            "Store.wait": lambda: store.wait(token, timeout=None),
            "Queue.pause": queue.pause,
            "Queue.put": lambda: queue.put(b"unknown"),
            "Session.receive": lambda: receiving.receive(other, timeout=None),
            "Consumer.receive": lambda: clerk.receive(timeout=None),
            "Consumer.ack": lambda: clerk.ack(1),
            "Session.put": lambda: [session.put(queue, b"x" * 1_000_000) for _ in range(100)],
        }
        with served.stopped():
            took = {name: interrupted(name, call) for name, call in calls.items()}
        assert max(took.values()) < PATIENCE, took
        # What had been sent is done now, one after the other.
        end = time.monotonic() + 20
        while True:
            try:
                queue.resume()
                break
            except repliq.BusyError:
                assert time.monotonic() < end
                time.sleep(0.01)
        queue.put(b"2")


def test_ctrl_c_in_a_commit_at_a_server_says_that_its_outcome_is_unknown_and_resolve_tells(
    served: Served,
) -> None:
    with served.open(heartbeat=20, connect_timeout=60) as store:
        queue, session = store.queue("orders"), store.session()
        id = session.id()
        session.put(queue, b"1")
        raised: list[BaseException] = []

        def commit() -> None:
            try:
                session.commit()
            except BaseException as error:
                raised.append(error)
                raise

        with served.stopped():
            took = interrupted("Session.commit", commit)
        assert took < PATIENCE
        assert isinstance(raised[0].__cause__, repliq.OutcomeUnknownError)
        outcome = store.resolve(id)
        assert (outcome.state == "committed") == (browse(store, "orders") == [b"1"])
        # The session goes on.
        session.put(queue, b"2")
        session.commit()
        assert browse(store, "orders")[-1] == b"2"


WORKER = """
import os, sys, time, repliq
place, step = sys.argv[1], sys.argv[2]
options = dict(password=sys.argv[3], plain=True) if place.startswith("repliq:") else {}
end = time.monotonic() + 20
while True:
    try:
        store = repliq.open(place, **options)
        source, target = store.queue("in"), store.queue("out")
        clerk = store.consumer("clerk", source)
        break
    except (repliq.LockedError, repliq.BusyError):
        assert time.monotonic() < end
        time.sleep(0.01)
session = store.session()
print("ready", flush=True)
for turn in range(100000):
    batch = session.receive(clerk, 3, timeout=0.2)
    if not batch:
        break
    if step == "received" and turn == 2:
        os.kill(os.getpid(), 9)
    session.put_many(target, [b"did " + one.payload for one in batch])
    if step == "put" and turn == 2:
        os.kill(os.getpid(), 9)
    if step == "started" and turn == 2:
        session.commit_async()
        os.kill(os.getpid(), 9)
    session.commit()
    if step == "committed" and turn == 2:
        os.kill(os.getpid(), 9)
print("end", flush=True)
"""


@pytest.mark.parametrize("place", ["directory", "server"])
def test_txs_05_a_worker_killed_at_any_point_consumes_and_produces_both_or_neither(
    tmp_path: Path, place: str
) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    served = Served(tmp_path, "--plain") if place == "server" else None
    url = served.url() if served else str(tmp_path / "store")
    everything = [b"%d" % at for at in range(60)]

    def run(step: str) -> str:
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER, url, step, PASSWORD], stdout=subprocess.PIPE, text=True
        )
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n", step
        if step == "any time":
            time.sleep(chance.random() / 50)
            worker.kill()
        said = worker.stdout.read()
        worker.wait()
        return said

    store = served.open() if served else repliq.open(url)
    store.queue("in").put_many(everything)
    if not served:
        store.close()
    for step in ["received", "put", "started", "committed", *["any time"] * 4]:
        run(step)
    assert run("to the end") == "end\n"
    if not served:
        store = repliq.open(url)
    assert browse(store, "out") == [b"did " + one for one in everything], seed
    with store.consumer("clerk", store.queue("in")) as clerk:
        assert clerk.receive(timeout=0) == [], seed
    store.close()
    if served:
        served.kill()


def test_txs_14_what_a_dead_process_had_received_comes_again_to_others_at_once(served: Served) -> None:
    program = """
import os, sys, repliq
store = repliq.open(sys.argv[1], password=sys.argv[2], plain=True)
session, clerk = store.session(), store.consumer("clerk", store.queue("orders"))
print(len(session.receive(clerk, timeout=10)), flush=True)
session.put(store.queue("orders"), b"never")
sys.stdin.read()
"""
    with served.open() as store:
        queue = store.queue("orders")
        queue.put_many([b"1", b"2"])
        dying = subprocess.Popen(
            [sys.executable, "-c", program, served.url(), PASSWORD],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        assert dying.stdout is not None and dying.stdout.readline() == "2\n"
        with pytest.raises(repliq.BusyError):
            store.consumer("clerk", queue)
        dying.kill()
        dying.communicate()
        end = time.monotonic() + 10
        while True:
            try:
                clerk = store.consumer("clerk", queue)
                break
            except repliq.BusyError:
                assert time.monotonic() < end
                time.sleep(0.01)
        queue.put(b"3")
        found = clerk.receive(timeout=10)
        assert texts(found) == [b"1", b"2", b"3"]
        clerk.close()


def test_a_loop_puts_commits_and_receives_at_a_server(served: Served) -> None:
    async def main() -> None:
        async with await repliq.aio.open(served.url(), **PLAIN) as store:
            orders = await store.queue("orders")
            await store.wait(await orders.put(b"0", kind=3), timeout=10)
            sessions = [await store.session() for _ in range(20)]
            for at, one in enumerate(sessions, 1):
                one.put(orders, b"%d" % at)
            before = set(os.listdir("/proc/self/task"))
            results = await asyncio.gather(*[one.commit() for one in sessions])
            assert len({one.token for one in results}) == 20
            assert len(set(os.listdir("/proc/self/task")) - before) <= 2
            async with store.session() as session, store.consumer("clerk", orders) as clerk:
                id = await session.id()
                found = await session.receive(clerk, timeout=10)
                assert len(found) == 21
                await session.commit()
                assert (await store.resolve(id)).state == "committed"
                waiting = asyncio.create_task(clerk.receive(1))
                await asyncio.sleep(0.05)
                assert not waiting.done()
                await orders.put(b"woken")
                (one,) = await asyncio.wait_for(waiting, 10)
                assert one.payload == b"woken"
                await clerk.ack(one)
                assert [one.payload async for one in clerk.each(timeout=0.05)] == []
                with pytest.raises(repliq.TooLargeError):
                    await orders.put(b"x", key=b"k" * 70_000)

    asyncio.run(main())


def test_a_loop_goes_on_while_a_server_is_silent_and_a_cancelled_receive_loses_nothing(served: Served) -> None:
    async def main() -> None:
        async with await repliq.aio.open(served.url(), **{**PLAIN, "heartbeat": 20}) as store:
            orders, copies = await store.queue("orders"), await store.queue("copies")
            await orders.put(b"1")
            async with store.session() as session, store.consumer("clerk", orders) as clerk:
                with served.stopped():
                    waiting = asyncio.create_task(session.receive(clerk))
                    await asyncio.sleep(0.1)
                    assert not waiting.done()
                    waiting.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await waiting
                # What came meanwhile has been seen by nobody, so nobody may commit it.
                session_put = asyncio.get_running_loop().time() + 20
                while True:
                    try:
                        session.put(copies, b"of nothing")
                        break
                    except repliq.BusyError:
                        assert asyncio.get_running_loop().time() < session_put
                        await asyncio.sleep(0.01)
                with pytest.raises(repliq.RollbackOnlyError):
                    await session.commit()
                (one,) = await session.receive(clerk, timeout=10)
                assert one.payload == b"1"
                await session.commit()
            with store.store.snapshot() as snapshot:
                assert len(snapshot.browse(copies.queue)) == 1

    asyncio.run(main())
