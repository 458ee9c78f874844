"""repliq.aio: the verbs awaited, without a thread for each."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from served import PLAIN, Served

import repliq
from repliq import aio

#: What is started without waiting, of which nothing is left to say where everything is awaited.
STARTED = {"put_async", "put_many_async", "put_start", "commit_async", "commit_start", "wait_async", "watch"}
#: The nouns of a loop, and what only they have: the twin, and a wait that elsewhere belongs to a receive.
NOUNS = ("Consumer", "Listener", "Queue", "Replication", "Server", "Session", "Snapshot", "Store")
OWN = {"consumer", "listener", "queue", "replication", "server", "session", "snapshot", "store", "ready"}


def threads() -> set[str]:
    return set(os.listdir("/proc/self/task"))


def test_put_commit_wait_and_receive_are_awaited(tmp_path: Path) -> None:
    async def main() -> None:
        async with await aio.open(tmp_path / "store") as store:
            orders, fills = await store.queue("orders"), await store.queue("fills")
            result = await orders.put(b"tea", key="k")
            await store.wait(result, timeout=10)
            async with store.session() as session, store.consumer("pricer", orders) as pricer:
                (one,) = await session.receive(pricer, timeout=10)
                assert (one.payload, one.key) == (b"tea", b"k")
                session.put(fills, b"price of " + one.payload)
                await session.commit()
                assert await session.receive(pricer, timeout=0.05) == []
            async with store.consumer("reader", fills) as reader:
                assert [one.payload async for one in reader.each(timeout=0.05)] == [b"price of tea"]
            async with store.consumer("slow", orders, start="now"):
                with pytest.raises(repliq.TimeoutError):
                    await store.wait(await orders.put(b"x"), at="consumer:slow", timeout=0.05)
            with pytest.raises(repliq.TooLargeError):
                await orders.put(b"x", key=b"k" * 70_000)

    asyncio.run(main())


def test_who_waits_for_messages_is_woken_by_a_put_a_rejection_a_close(tmp_path: Path) -> None:
    async def main() -> None:
        async with await aio.open(tmp_path / "store") as store:
            orders = await store.queue("orders")
            clerk = await store.consumer("clerk", orders)
            waiting = asyncio.create_task(clerk.receive(1))
            await asyncio.sleep(0.05)
            assert not waiting.done()
            await orders.put(b"1")
            (one,) = await asyncio.wait_for(waiting, 10)
            waiting = asyncio.create_task(clerk.receive(1))
            await asyncio.sleep(0.05)
            assert not waiting.done()
            await clerk.reject(one)
            (again,) = await asyncio.wait_for(waiting, 10)
            assert again.deliveries == 2
            waiting = asyncio.create_task(clerk.receive(1))
            await asyncio.sleep(0.05)
            await clerk.close()
            with pytest.raises(repliq.ClosedError):
                await asyncio.wait_for(waiting, 10)

    asyncio.run(main())


def test_a_thousand_commits_in_flight_need_three_threads_at_most(tmp_path: Path) -> None:
    async def main() -> int:
        before = threads()
        async with await aio.open(tmp_path / "store") as store:
            orders, most = await store.queue("orders"), 0
            sessions = [await store.session() for _ in range(1000)]
            while any(one.name == "repliq-aio" for one in threading.enumerate()):
                await asyncio.sleep(0.001)
            for at, session in enumerate(sessions):
                session.put(orders, b"%d" % at)
            commits = [asyncio.create_task(session.commit()) for session in sessions]
            while not all(commit.done() for commit in commits):
                most = max(most, len(threads() - before))
                await asyncio.sleep(0)
            results = await asyncio.gather(*commits)
            assert len({one.token for one in results}) == 1000
            with store.store.snapshot() as snapshot:
                found = snapshot.browse(orders.queue, max=2000)
            assert sorted(int(one.payload) for one in found) == list(range(1000))
        return most

    most = asyncio.run(main())
    assert 1 <= most <= 3, most


def test_a_cancelled_task_ends_the_waiting_and_not_the_commit(tmp_path: Path) -> None:
    async def main() -> None:
        async with await aio.open(tmp_path / "store") as store:
            orders = await store.queue("orders")
            tasks = [asyncio.create_task(orders.put(b"%d" % at)) for at in range(50)]
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert any(isinstance(one, asyncio.CancelledError) for one in ended)
            await orders.put(b"last")
            with store.store.snapshot() as snapshot:
                assert snapshot.browse(orders.queue, max=100)[-1].payload == b"last"

    asyncio.run(main())


def test_a_store_that_is_closed_ends_what_waits(tmp_path: Path) -> None:
    async def main() -> None:
        store = await aio.open(tmp_path / "store")
        clerk = await store.consumer("clerk", await store.queue("orders"))
        waiting = asyncio.create_task(clerk.receive(1))
        await asyncio.sleep(0.05)
        await store.close()
        with pytest.raises(repliq.ClosedError):
            await asyncio.wait_for(waiting, 10)

    asyncio.run(main())


def public(of: type) -> set[str]:
    return {name for name in vars(of) if not name.startswith("_")}


def arguments(call: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
    """Each argument with its kind and default, but `self`."""
    found = inspect.signature(call).parameters.values()
    return {one.name: (one.kind, one.default) for one in found if one.name not in ("self", "cls")}


def test_every_verb_is_there_with_the_same_arguments() -> None:
    for name in NOUNS:
        twin, noun = getattr(repliq, name), getattr(aio, name)
        assert public(twin) - STARTED - public(noun) == set(), name
        assert public(noun) - public(twin) - OWN == set(), name
        for verb in public(twin) & public(noun):
            if not callable(getattr(twin, verb)) or not callable(getattr(noun, verb)):
                continue
            ours, theirs = arguments(getattr(noun, verb)), arguments(getattr(twin, verb))
            if verb in ("put", "put_many") and name in ("Queue", "Store"):
                # It ends on a port, at the store's level.
                theirs.pop("level", None)
            assert ours == theirs, (name, verb)
    for name in ("open", "restore"):
        assert arguments(getattr(aio, name)) == arguments(getattr(repliq, name)), name
    assert arguments(aio.Replication) == arguments(repliq.Replication)
    assert arguments(aio.Server) == arguments(repliq.Server)


def test_queues_are_managed_and_looked_at_and_a_store_is_backed_up(tmp_path: Path) -> None:
    async def main() -> None:
        async with aio.open(tmp_path / "store", password="first") as store:
            orders, again = await store.queue("orders"), await store.queue("orders")
            assert (orders.name, orders.number, orders) == ("orders", again.number, again)
            assert len({orders, again}) == 1 and not store.is_remote
            await store.put(orders, b"1", key="k", kind=7)
            await store.put_many(orders, [b"2", repliq.Message(b"3")])
            with pytest.raises(TypeError):
                await orders.put(repliq.Message(b"x"), kind=7)
            async with store.snapshot() as snapshot:
                await orders.put(b"4")
                found = await snapshot.browse(orders, max=10)
                assert [(one.payload, one.key, one.kind) for one in found] == [(b"1", b"k", 7), (b"2", b"", 0), (b"3", b"", 0)]
                assert [one.payload for one in await snapshot.browse(orders, start=2, max=1)] == [b"2"]
            async with store.consumer("clerk", orders) as clerk:
                assert (clerk.name, clerk.queue) == ("clerk", orders)
                await clerk.seek(4)
                assert [one.payload for one in await clerk.receive(timeout=10)] == [b"4"]
            await store.consumer_delete("clerk", orders)
            with pytest.raises(repliq.NoSuchNameError):
                await store.consumer_delete("clerk", orders)
            await orders.pause()
            with pytest.raises(repliq.PausedError):
                await orders.put(b"5")
            await orders.resume()
            copied = await store.backup(tmp_path / "backup")
            assert copied["files"] == copied["files_copied"] > 0
            await orders.purge()
            rows = (await store.status())["queues"]
            assert [(one["name"], one["messages"]) for one in rows] == [("orders", 0)]
            await orders.delete()
            with pytest.raises(repliq.NoSuchNameError):
                await orders.put(b"6")
            await store.change_password("second")
        with pytest.raises(repliq.BadPasswordError):
            await aio.open(tmp_path / "store", password="first")
        await aio.restore(tmp_path / "backup", tmp_path / "restored", password="first")
        async with aio.open(tmp_path / "restored", password="first") as store, store.snapshot() as snapshot:
            found = await snapshot.browse(await store.queue("orders"))
            assert [one.payload for one in found] == [b"1", b"2", b"3", b"4"]

    asyncio.run(main())


def test_dead_letters_are_put_back_and_a_level_is_kept(tmp_path: Path) -> None:
    async def main() -> None:
        async with aio.open(tmp_path / "store") as store:
            orders, dead = await store.queue("orders"), await store.queue("dead")
            await orders.put(b"1")
            async with store.consumer("clerk", orders, max_deliveries=1, dead_letters=dead) as clerk:
                await clerk.reject(await clerk.receive(timeout=10), reason="no")
                assert await clerk.receive(timeout=0.05) == []
                assert await dead.redrive() == (1, [])
                assert [one.payload for one in await clerk.receive(timeout=10)] == [b"1"]
            async with store.session() as session:
                session.put(orders, b"2")
                assert (await session.commit()).level == "power"
            async with store.session(level="process") as session:
                session.put(orders, b"3")
                assert (await session.commit()).level == "process"
                session.put(orders, b"4")
                await session.rollback()
                session.put(orders, b"5")
                id = await session.prepare(b"x")
                (one,) = await store.prepared()
                assert (one["transaction"], one["xid"], one["state"]) == (id.text, "78", "prepared")
                assert set(one) == set(repliq.Prepared.__annotations__)
                await store.finish(id, commit=False)
                assert (await store.resolve(id)).state == "rolled_back"
                session.put_many(orders, [b"left"])
            async with store.snapshot() as snapshot:
                found = await snapshot.browse(orders)
                assert [one.payload for one in found][-2:] == [b"2", b"3"]

    asyncio.run(main())


@pytest.mark.parametrize("place", ["directory", "server"])
def test_a_handler_is_awaited_in_the_loop(tmp_path: Path, served: Served, place: str) -> None:
    async def main() -> None:
        where, options = (tmp_path / "own", {}) if place == "directory" else (served.url(), PLAIN)
        async with aio.open(where, **options) as store:
            orders, copies = await store.queue("orders"), await store.queue("copies")
            loop, seen = asyncio.get_running_loop(), []

            async def handle(session: aio.Session, message: repliq.Message) -> None:
                assert asyncio.get_running_loop() is loop
                await asyncio.sleep(0)
                seen.append(message.payload)
                session.put(copies, message.payload.upper(), key="k")
                if len(seen) == 2:
                    raise ValueError("once")
                with pytest.raises(repliq.BusyError):
                    await session.commit()
                with pytest.raises(repliq.BusyError):
                    await listener.close()

            listener = await (await store.consumer("ear", orders)).listen(handle, retry=0.001)
            async with listener:
                await orders.put_many([b"a", b"b"])
                await store.wait(await orders.put(b"c"), at="consumer:ear", timeout=20)
                while (status := listener.status())["done"] < 3:
                    await asyncio.sleep(0.005)
                assert (status["failed"], status["ended"], set(status)) == (
                    1, None, set(repliq.ListenerStatus.__annotations__))
            assert seen == [b"a", b"b", b"b", b"c"]
            async with store.snapshot() as snapshot:
                assert [one.payload for one in await snapshot.browse(copies)] == [b"A", b"B", b"C"]
            # Two at a time, whole transactions: both are in the handler at once.
            met, jobs = asyncio.Barrier(2), []

            async def work(session: aio.Session, messages: list[repliq.Message]) -> None:
                await asyncio.wait_for(met.wait(), 20)
                jobs.append([one.payload for one in messages])

            many = await store.queue("many")
            async with await store.consumer("ear", many) as ear, ear.listen(work, job=True, threads=2):
                for two in ([b"1", b"2"], [b"3", b"4"]):
                    await many.put_many(two)
                async with asyncio.timeout(20):
                    while len(jobs) < 2:
                        await asyncio.sleep(0.005)
            assert sorted(jobs) == [[b"1", b"2"], [b"3", b"4"]]

    asyncio.run(main())


def test_a_handler_that_does_not_return_is_left_and_a_closed_loop_ends_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with aio.open(tmp_path / "store") as store:
            orders, inside = await store.queue("orders"), asyncio.Event()
            await orders.put(b"1")

            async def stuck(session: aio.Session, message: repliq.Message) -> None:
                session.put(orders, b"never")
                inside.set()
                await asyncio.Event().wait()

            listener = await (await store.consumer("ear", orders)).listen(stuck)
            await inside.wait()
            with pytest.raises(TimeoutError):
                await listener.close(timeout=0.05)

    asyncio.run(main())
    with repliq.open(tmp_path / "store") as store, store.snapshot() as snapshot:
        assert [one.payload for one in snapshot.browse(store.queue("orders"))] == [b"1"]


def test_a_root_is_replicated_to_a_server_of_the_loop(tmp_path: Path) -> None:
    async def main() -> None:
        users = [repliq.User("till", "secret")]
        async with (
            aio.open(tmp_path / "office") as office,
            aio.Server(office, plain=True, listen=["127.0.0.1:0"], users=users) as server,
            aio.open(tmp_path / "store") as store,
        ):
            root = await store.queue("root")
            unopened = aio.Replication(root)
            with pytest.raises(repliq.InvalidError, match="await it"):
                await unopened.send(1, b"x")
            async with unopened as rep:
                url = f"repliq://till@{server.addresses[0]}"
                await rep.add("office", url, password="secret", plain=True)
                async with rep.job():
                    assert (await rep.send(1, b"tea", priority=3)).token.is_empty
                    await rep.send_many([repliq.Message(b"sugar", kind=2)])
                    assert (await rep.status())["job_open"]
                assert rep.token is not None and rep.root == root
                await store.wait(rep.token, at="target:office", timeout=20)
                with pytest.raises(ZeroDivisionError):
                    async with rep.job():
                        await rep.send(1, b"given up")
                        raise ZeroDivisionError
                # In the order of the calls, whoever makes them.
                await asyncio.gather(*[rep.send(at, b"one of many") for at in range(10, 40)])
                await rep.push()
                target = await rep.target("office")
                assert set(target) == set(repliq.TargetStatus.__annotations__)
                assert set(await rep.status()) == set(repliq.ReplicationStatus.__annotations__)
                with pytest.raises(repliq.NoSuchNameError):
                    await rep.target("nobody")
                with pytest.raises(repliq.InvalidError):
                    await rep.skip("office")
                assert (await server.status())["connections"][0]["user"] == "till"
                await rep.stop(timeout=20)
                with pytest.raises(repliq.ClosedError):
                    await rep.send(1, b"x")
            await rep.close()
            with pytest.raises(repliq.ClosedError):
                await rep.send(1, b"x")
            async with office.snapshot() as snapshot:
                found = await snapshot.browse(await office.queue("root"))
                assert [(one.kind, one.payload) for one in found[:2]] == [(1, b"tea"), (2, b"sugar")]
                assert found[0].priority == 3
                assert [one.kind for one in found[2:]] == list(range(10, 40))
            await server.reload()
            await server.close()
            with pytest.raises(repliq.ClosedError):
                await server.reload()

    asyncio.run(main())


def test_a_silent_server_holds_up_nobody_in_the_loop(served: Served) -> None:
    async def main() -> None:
        async with aio.open(served.url(), **{**PLAIN, "heartbeat": 20}) as store:
            orders = await store.queue("orders")
            await orders.put_many([b"1", b"2"])
            session, clerk = await store.session(), await store.consumer("clerk", orders)
            found = await clerk.receive(timeout=10)
            with served.stopped():
                waiting = [
                    asyncio.ensure_future(one)
                    for one in (
                        clerk.reject(found[1]), clerk.ack(found[0]), store.queue("other"), orders.pause(),
                        session.rollback(), store.status(), orders.put(b"3"),
                    )
                ]
                # A call that held up the loop would be over by now: it ends when the server is given up.
                await asyncio.sleep(0.2)
                assert sum(not one.done() for one in waiting) >= 5, waiting
            await asyncio.gather(*waiting, return_exceptions=True)
            await orders.resume()
            await session.close()
            await clerk.close()

    asyncio.run(main())


@pytest.mark.parametrize("place", ["directory", "server"])
def test_every_use_after_the_close_says_closed_and_everything_can_be_closed_again(
    tmp_path: Path, served: Served, place: str
) -> None:
    async def main() -> None:
        where, options = (tmp_path / "own", {}) if place == "directory" else (served.url(), PLAIN)
        store = await aio.open(where, **options)
        orders = await store.queue("orders")
        session, clerk, snapshot = await store.session(), await store.consumer("clerk", orders), await store.snapshot()
        ear = await (await store.consumer("ear", orders)).listen(lambda session, message: asyncio.sleep(0))
        own = [await aio.Replication(orders), await aio.Server(store, plain=True, listen=["127.0.0.1:0"])] if (
            place == "directory") else []
        await store.close()
        await store.close()
        calls: list[Callable[[], Any]] = [
            lambda: store.queue("orders"), lambda: store.put(orders, b"x"), lambda: orders.put(b"x"),
            lambda: store.session(), lambda: store.consumer("other", orders), lambda: store.snapshot(),
            lambda: store.status(), lambda: store.wait([], at=""), lambda: store.consumer_delete("clerk", orders),
            lambda: orders.pause(), lambda: orders.purge(), lambda: orders.delete(), lambda: session.commit(),
            lambda: session.receive(clerk, timeout=0), lambda: clerk.receive(timeout=0), lambda: clerk.ack(1),
            lambda: clerk.seek(1), lambda: anext(clerk.each()), lambda: snapshot.browse(orders),
            *[lambda one=one: one.status() for one in own[:1]],
        ]
        for at, call in enumerate(calls):
            with pytest.raises((repliq.ClosedError, repliq.InvalidError) if at == 7 else repliq.ClosedError):
                await asyncio.wait_for(call(), 20)
                pytest.fail(f"call {at} succeeded")
        for one in (session, clerk, snapshot, ear, *own):
            await asyncio.wait_for(one.close(), 20)
            await asyncio.wait_for(one.close(), 20)

    asyncio.run(main())
