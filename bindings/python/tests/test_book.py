"""The Python of the book that no tutorial shows."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

import repliq
from repliq import aio


@pytest.fixture
def office(tmp_path: Path):
    users = [repliq.User("till", "secret", "replicate", "orders")]
    with repliq.open(tmp_path / "office") as store:
        with repliq.Server(store, plain=True, listen=["127.0.0.1:0"], users=users) as server:
            yield store, f"repliq://till@{server.addresses[0]}"


def test_a_job_arrives_and_its_token_can_be_kept(
    store: repliq.Store, office: tuple[repliq.Store, str]
) -> None:
    there, url = office
    # ANCHOR: job
    with repliq.Replication(store.queue("orders")) as replication:
        replication.add("office", url, password="secret", plain=True)

        # A job: both messages or neither; an exception gives it up.
        with replication.job():
            replication.send(1, b"one pound of tea")
            replication.send(1, b"two pounds of sugar")

        # Everything is on this disk now; this waits until it is on the office's.
        sent = replication.token
        store.wait(sent, at="target:*", timeout=20)
    # ANCHOR_END: job
    text = sent.text
    # ANCHOR: later
    # Later, in another process that has the store: the text was kept in a cookie, a file, a column.
    store.wait(repliq.Token.parse(text), at="target:office", timeout=20)
    # ANCHOR_END: later
    with pytest.raises(repliq.WrongGroupError):
        there.wait(sent, timeout=0)
    with there.snapshot() as snapshot:
        found = snapshot.browse(there.queue("orders"))
    assert [one.payload for one in found] == [b"one pound of tea", b"two pounds of sugar"]


# ANCHOR: retry
def put_once(queue: repliq.Queue, number: int, payload: bytes) -> None:
    """Puts a message once, however often it has to be tried: the producer's number makes a repetition harmless."""
    while True:
        try:
            queue.put(payload, producer="till 7", producer_sequence=number)
            return
        except repliq.Error as error:
            if not error.retriable:
                raise
            print("tried again in a second:", error)
            time.sleep(1)
# ANCHOR_END: retry


def test_a_put_with_a_number_is_stored_once(store: repliq.Store, queue: repliq.Queue) -> None:
    for _ in range(3):
        put_once(queue, 1, b"one pound of tea")
    with pytest.raises(repliq.OutOfOrderError):
        put_once(queue, 3, b"milk")
    with store.snapshot() as snapshot:
        assert len(snapshot.browse(queue)) == 1


def test_the_verbs_are_awaited(tmp_path: Path) -> None:
    directory = tmp_path / "shop"

    # ANCHOR: aio
    async def main() -> None:
        async with aio.open(directory) as store:
            orders, invoices = await store.queue("orders"), await store.queue("invoices")
            ordered = await orders.put(b"one pound of tea")
            async with store.session() as session, store.consumer("clerk", orders) as clerk:
                for order in await session.receive(clerk, timeout=10):
                    session.put(invoices, b"invoice: " + order.payload)
                await session.commit()
            await store.wait(ordered, at="consumer:clerk", timeout=10)
    # ANCHOR_END: aio

    asyncio.run(main())
    with repliq.open(directory) as store, store.snapshot() as snapshot:
        invoices = snapshot.browse(store.queue("invoices"))
    assert [one.payload for one in invoices] == [b"invoice: one pound of tea"]
