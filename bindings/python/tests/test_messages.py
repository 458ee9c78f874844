"""Bytes in and out, transactions, readers."""

from __future__ import annotations

import array
import gc
import threading
from pathlib import Path

import pytest

import repliq


def payloads(store: repliq.Store, queue: repliq.Queue) -> list[bytes]:
    with store.snapshot() as snapshot:
        return [one.payload for one in snapshot.browse(queue)]


def test_every_kind_of_buffer_is_put_as_its_bytes(store: repliq.Store, queue: repliq.Queue) -> None:
    data = b"0123456789"
    given = [
        data,
        bytearray(data),
        memoryview(data),
        memoryview(data)[2:5],
        memoryview(data)[::2],
        memoryview(bytearray(data)),
        array.array("i", [1, -1]),
        b"",
    ]
    expected = [bytes(one) for one in given]
    for one in given:
        queue.put(one)
    queue.put_many(given)
    with store.session() as session:
        for one in given:
            session.put(queue, one)
        session.put_many(queue, iter(given))
        session.commit()
    assert payloads(store, queue) == expected * 4
    for wrong in ("text", 7, None):
        with pytest.raises(TypeError):
            queue.put(wrong)  # type: ignore[arg-type]
    message = repliq.Message(data, kind=3)
    assert message.view == data
    with pytest.raises(TypeError):
        queue.put(message, kind=7)


def test_a_buffer_that_changes_is_put_as_it_was_and_a_refusal_leaves_the_session(
    store: repliq.Store, queue: repliq.Queue
) -> None:
    data = bytearray(b"first")
    with store.session() as session:
        session.put(queue, data, key="k", kind=3)
        data[:] = b"other"
        with pytest.raises(repliq.TooLargeError) as caught:
            session.put(queue, data, key=b"k" * 70_000)
        assert caught.value.message_index == 0
        with pytest.raises(repliq.TooLargeError):
            session.put(queue, bytearray(1 << 26))
        session.put(queue, memoryview(data)[::-1])
        session.put(queue, bytearray())
        session.commit()
    assert payloads(store, queue) == [b"first", b"rehto", b""]
    with store.snapshot() as snapshot:
        first = snapshot.browse(queue)[0]
        assert (first.key, first.kind) == (b"k", 3)


def test_a_view_outlives_message_consumer_and_store(tmp_path: Path) -> None:
    with repliq.open(tmp_path / "store") as store:
        queue = store.queue("orders")
        queue.put_many([bytes([at]) * 50_000 for at in range(64)])
        consumer = store.consumer("clerk", queue)
        messages = consumer.receive(64, timeout=0)
        views = [message.view for message in messages]
        # No copy: what a view holds is the message.
        assert all(view.obj is message for view, message in zip(views, messages, strict=True))
        del messages
        # The readers' buffers are used again for what comes next.
        queue.put_many([b"\xff" * 50_000] * 64)
        consumer.receive(64, timeout=0)
        consumer.close()
    del store, queue, consumer
    gc.collect()
    # A receive gives out about a MiB at most.
    assert len(views) > 10
    for at, view in enumerate(views):
        assert view.readonly and bytes(view) == bytes([at]) * 50_000
    with pytest.raises(TypeError):
        views[0][0] = 1


def test_a_received_message_can_be_put_as_it_is(store: repliq.Store, queue: repliq.Queue) -> None:
    message = repliq.Message(b"tea", kind=7, key="k", headers={"a": "b"}, expires=4e9)
    queue.put(message)
    with store.snapshot() as snapshot:
        (read,) = snapshot.browse(queue)
    other = store.queue("other")
    other.put_many([read])
    with store.snapshot() as snapshot:
        (copy,) = snapshot.browse(other)
    for one in (message, read, copy):
        assert (one.payload, one.kind, one.key) == (b"tea", 7, b"k")
        assert one.headers == [("a", b"b")] and one.header("a") == b"b" and one.header("c", 1) == 1
        assert one.expires == 4e9
    assert message.sequence == 0 and read.sequence == 1 and read.committed is not None


def test_leaving_a_session_rolls_back_and_an_exception_does_too(
    store: repliq.Store, queue: repliq.Queue
) -> None:
    with store.session() as session:
        session.put(queue, b"1")
    with pytest.raises(ZeroDivisionError), store.session() as session:
        session.put(queue, b"2")
        raise ZeroDivisionError
    with store.session() as session:
        session.put(queue, b"3")
        assert session.commit().level == "power"
    assert payloads(store, queue) == [b"3"]
    with pytest.raises(repliq.ClosedError):
        session.put(queue, b"4")


def test_a_queue_of_another_store_is_refused(tmp_path: Path, store: repliq.Store) -> None:
    with repliq.open(tmp_path / "other") as other:
        foreign = other.queue("orders")
        with store.session() as session, pytest.raises(repliq.InvalidError):
            session.put(foreign, b"x")
        with pytest.raises(repliq.InvalidError):
            store.put(foreign, b"x")


def test_a_consumer_as_an_iterator_acknowledges_what_was_worked_on(
    store: repliq.Store, queue: repliq.Queue
) -> None:
    queue.put_many([b"1", b"2", b"3"])
    with store.consumer("clerk", queue) as clerk, pytest.raises(ZeroDivisionError):
        for message in clerk:
            if message.payload == b"2":
                raise ZeroDivisionError
    with store.consumer("clerk", queue) as clerk:
        assert [one.payload for one in clerk.each(timeout=0.05)] == [b"2", b"3"]
        assert list(clerk) == []


def test_messages_and_sequences_can_be_acknowledged_and_rejected(
    store: repliq.Store, queue: repliq.Queue
) -> None:
    queue.put_many([b"1", b"2", b"3"])
    with store.consumer("clerk", queue) as clerk:
        one, two, three = clerk.receive(timeout=0)
        clerk.reject([three, two.sequence])
        clerk.ack(one)
        again = clerk.receive(timeout=0)
        assert [(m.payload, m.deliveries) for m in again] == [(b"2", 2), (b"3", 2)]
        done = clerk.ack(again)
        store.wait([done, done.token], timeout=5)
        with pytest.raises(repliq.InvalidError):
            clerk.ack(repliq.Message(b"never read"))
        with pytest.raises(repliq.InvalidError):
            clerk.ack(-1)
        with pytest.raises(TypeError):
            clerk.ack(["x"])  # type: ignore[list-item]


def test_futures_end_with_the_commit_and_errors_come_through(
    store: repliq.Store, queue: repliq.Queue
) -> None:
    futures = [queue.put_async(b"%d" % at) for at in range(100)]
    results = [future.result(timeout=20) for future in futures]
    assert len({one.token for one in results}) == 100
    store.wait_async(results).result(timeout=20)
    with store.session() as session:
        session.put(queue, b"last")
        session.commit_async().result(timeout=20)
    assert len(payloads(store, queue)) == 101
    with pytest.raises(repliq.TooLargeError):
        queue.put_async(b"x", key=b"k" * 70_000)


def test_a_second_thread_in_a_session_is_told(store: repliq.Store, queue: repliq.Queue) -> None:
    session, consumer = store.session(), store.consumer("clerk", queue)
    inside = threading.Event()

    def receive() -> None:
        inside.set()
        session.receive(consumer, timeout=5)

    thread = threading.Thread(target=receive)
    thread.start()
    inside.wait()
    seen = None
    while thread.is_alive() and seen is None:
        try:
            session.put(queue, b"x")
        except repliq.BusyError as error:
            seen = error
    queue.put(b"end")
    thread.join()
    assert seen is not None and seen.retriable
    session.close()
    consumer.close()


def test_times_are_seconds_and_nonsense_is_refused(store: repliq.Store, queue: repliq.Queue) -> None:
    consumer = store.consumer("clerk", queue)
    assert consumer.receive(timeout=-1) == []
    with pytest.raises(repliq.InvalidError):
        consumer.receive(timeout=float("nan"))
    with pytest.raises(repliq.InvalidError):
        queue.put(b"x", expires=-5)
    with pytest.raises(repliq.InvalidError):
        queue.put(b"x", level="never")  # type: ignore[arg-type]
    consumer.close()
