"""repliq.aio: the verbs awaited, without a thread for each."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

import repliq
from repliq import aio


def threads() -> set[str]:
    return set(os.listdir("/proc/self/task"))


def test_put_commit_wait_and_receive_are_awaited(tmp_path: Path) -> None:
    async def main() -> None:
        async with await aio.open(tmp_path / "store") as store:
            orders, fills = store.queue("orders"), store.queue("fills")
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
            orders = store.queue("orders")
            clerk = store.consumer("clerk", orders)
            waiting = asyncio.create_task(clerk.receive(1))
            await asyncio.sleep(0.05)
            assert not waiting.done()
            await orders.put(b"1")
            (one,) = await asyncio.wait_for(waiting, 10)
            waiting = asyncio.create_task(clerk.receive(1))
            await asyncio.sleep(0.05)
            assert not waiting.done()
            clerk.reject(one)
            (again,) = await asyncio.wait_for(waiting, 10)
            assert again.deliveries == 2
            waiting = asyncio.create_task(clerk.receive(1))
            await asyncio.sleep(0.05)
            clerk.close()
            with pytest.raises(repliq.ClosedError):
                await asyncio.wait_for(waiting, 10)

    asyncio.run(main())


def test_a_thousand_commits_in_flight_need_three_threads_at_most(tmp_path: Path) -> None:
    async def main() -> int:
        before = threads()
        async with await aio.open(tmp_path / "store") as store:
            orders, most = store.queue("orders"), 0
            sessions = [store.session() for _ in range(1000)]
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
            orders = store.queue("orders")
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
        clerk = store.consumer("clerk", store.queue("orders"))
        waiting = asyncio.create_task(clerk.receive(1))
        await asyncio.sleep(0.05)
        await store.close()
        with pytest.raises(repliq.ClosedError):
            await asyncio.wait_for(waiting, 10)

    asyncio.run(main())
