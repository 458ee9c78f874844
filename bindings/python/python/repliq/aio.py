"""repliq for asyncio: the same nouns and verbs, to be awaited.

    async with await aio.open("shop") as store:
        orders = store.queue("orders")
        await orders.put(b"one pound of tea")
        async with store.consumer("clerk", orders) as clerk:
            async for order in clerk.each(timeout=1):
                print(order.payload)

Everything that is under way ends on one port, whose descriptor the loop watches: a thousand commits in flight need
no thread each. A store belongs to the loop in which it was opened. A call that is cancelled ends its waiting; a
commit that was started goes on.

A store at a server, opened by its URL, is used in the same way. What is awaited holds nobody up: one thread of the
store asks the server. What is not awaited (``queue``, ``session``, ``consumer``, ``reject``, ``renew``, ``rollback``,
``close``) asks it once, and the loop stands still for that long; ``put`` of a session does so when what was put before
has to go out. Messages that come while a receive is cancelled are given out by the next one; a session that has such
messages commits after that, or is rolled back.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, TypeVar

import repliq

__all__ = ["Consumer", "Each", "Queue", "Session", "Store", "open"]

_T = TypeVar("_T")


async def _in_thread(call: Callable[[], _T]) -> _T:
    """Runs a call that may take long, on a thread that ends with it."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_T] = loop.create_future()

    def run() -> None:
        _settle(loop, call, future)

    threading.Thread(target=run, name="repliq-aio", daemon=True).start()
    return await future


class _Desk:
    """One thread for calls that wait for a server, one after the other."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: queue.SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def run(self, call: Callable[[], _T]) -> asyncio.Future[_T]:
        """Has it called in its turn."""
        future: asyncio.Future[_T] = self._loop.create_future()
        self._calls.put((call, future))
        if self._thread is None:
            arguments = (self._loop, self._calls)
            self._thread = threading.Thread(target=_work, args=arguments, name="repliq-aio", daemon=True)
            self._thread.start()
        return future

    def close(self) -> None:
        """Ends the thread behind what was called before."""
        self._calls.put(None)


def _work(
    loop: asyncio.AbstractEventLoop,
    calls: queue.SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]] | None],
) -> None:
    while (next_one := calls.get()) is not None:
        if not _settle(loop, *next_one):
            return


def _settle(
    loop: asyncio.AbstractEventLoop, call: Callable[[], Any], future: asyncio.Future[Any]
) -> bool:
    """Calls on this thread and ends the future in its loop; false where the loop was closed meanwhile."""
    outcome: tuple[Any, BaseException | None]
    try:
        outcome = (call(), None)
    except BaseException as error:
        outcome = (None, error)
    try:
        loop.call_soon_threadsafe(_end, future, *outcome)
    except RuntimeError:
        return False
    return True


def _end(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


class _Taken:
    """Messages on their way from a server, and those that came when nobody waited for them any more."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._unseen: list[repliq.Message] = []

    def __bool__(self) -> bool:
        return bool(self._unseen)

    def clear(self) -> None:
        """They went back."""
        self._unseen.clear()

    async def take(
        self, desk: _Desk, call: Callable[[], list[repliq.Message]], most: int
    ) -> list[repliq.Message]:
        """What is there."""
        if self._unseen:
            found, self._unseen = self._unseen[:most], self._unseen[most:]
            return found
        came: list[repliq.Message] = []
        left = False

        def run() -> list[repliq.Message]:
            found = call()
            with self._lock:
                (self._unseen if left else came).extend(found)
            return found

        job = desk.run(run)
        try:
            return await asyncio.shield(job)
        except asyncio.CancelledError:
            job.add_done_callback(lambda done: done.cancelled() or done.exception())
            with self._lock:
                left = True
                self._unseen.extend(came)
            raise


class _Operations:
    """What is under way on the port of a store."""

    def __init__(self, remote: bool) -> None:
        self._loop = asyncio.get_running_loop()
        #: Where the store is at a server.
        self.desk = _Desk(self._loop) if remote else None
        self._port = repliq.Port()
        self._pending: dict[int, asyncio.Future[repliq.Result]] = {}
        self._last = 0
        self._loop.add_reader(self._port.fileno(), self._take)

    def _take(self) -> None:
        for event in self._port.drain(256, timeout=0):
            future = self._pending.pop(event.tag, None)
            if future is None or future.done():
                continue
            if event.error is not None:
                future.set_exception(event.error)
            elif event.result is not None:
                future.set_result(event.result)

    async def run(self, start: Callable[[repliq.Port, int], None]) -> repliq.Result:
        """Starts an operation, and waits for its end."""
        if asyncio.get_running_loop() is not self._loop:
            raise repliq.InvalidError("the store was opened in another event loop")
        self._last += 1
        tag = self._last
        future: asyncio.Future[repliq.Result] = self._loop.create_future()
        self._pending[tag] = future
        try:
            await self.call(lambda: start(self._port, tag))
        except BaseException:
            # One that is cancelled begins all the same.
            self._pending.pop(tag, None)
            raise
        try:
            return await future
        except asyncio.CancelledError:
            self._pending.pop(tag, None)
            try:
                self._port.cancel(tag)
            except repliq.Error:
                pass  # It ended meanwhile.
            raise

    def take(
        self, taken: _Taken, call: Callable[[], list[repliq.Message]], most: int
    ) -> Callable[[], Awaitable[list[repliq.Message]]]:
        """How to receive what is there."""

        async def take() -> list[repliq.Message]:
            return call() if self.desk is None else await taken.take(self.desk, call, most)

        return take

    async def call(self, call: Callable[[], _T]) -> _T:
        """Calls what may wait for a server, which holds up nobody else in the loop."""
        if self.desk is None:
            return call()
        return await self.desk.run(call)

    def close(self) -> None:
        """Ends everything: what is still under way raises ClosedError."""
        if self.desk is not None:
            self.desk.close()
        if not self._loop.is_closed():
            self._loop.remove_reader(self._port.fileno())
        self._port.close()
        for future in self._pending.values():
            if not future.done():
                future.set_exception(repliq.ClosedError("the store is closed"))
        self._pending.clear()


async def open(path: str | os.PathLike[str], **options: Any) -> Store:
    """Opens a store as ``repliq.open`` does, which has the options."""
    return Store(await _in_thread(lambda: repliq.open(path, **options)))


class Store:
    """An open store in an event loop."""

    def __init__(self, store: repliq.Store) -> None:
        #: The store itself, for what needs no waiting.
        self.store = store
        self._operations = _Operations(store.is_remote)

    def queue(self, name: str) -> Queue:
        """The queue of this name; created on first use."""
        return Queue(self.store.queue(name), self._operations)

    def session(self, **options: Any) -> Session:
        """Opens a session as ``repliq.Store.session`` does, which has the options."""
        return Session(self.store.session(**options), self._operations)

    async def resolve(self, id: Any) -> repliq.Outcome:
        """What became of a session's transaction; see ``repliq.Store.resolve``."""
        return await _in_thread(lambda: self.store.resolve(id))

    async def finish(self, id: Any, *, commit: bool) -> repliq.Result:
        """Ends a prepared transaction; see ``repliq.Store.finish``."""
        return await _in_thread(lambda: self.store.finish(id, commit=commit))

    async def prepared(self) -> list[dict[str, Any]]:
        """The prepared transactions; see ``repliq.Store.prepared``."""
        return await _in_thread(self.store.prepared)

    def consumer(self, name: str, queue: Queue, **options: Any) -> Consumer:
        """Opens a consumer as ``repliq.Store.consumer`` does, which has the options."""
        if dead := options.get("dead_letters"):
            options["dead_letters"] = dead.queue
        return Consumer(self.store.consumer(name, queue.queue, **options), self._operations)

    async def wait(
        self, tokens: Any, *, at: str = "", timeout: float | None = None
    ) -> None:
        """Waits until all transactions are at a place; see ``repliq.Store.wait``."""
        waiting = self._operations.run(
            lambda port, tag: self.store.watch(tokens, port, tag, at=at)
        )
        try:
            await asyncio.wait_for(waiting, timeout)
        except repliq.Error:
            raise
        except TimeoutError:
            place = at or "here"
            text = f"not every transaction has reached {place} in the time given"
            raise repliq.TimeoutError(text) from None

    async def close(self) -> None:
        """Makes everything durable and gives the directory free."""
        try:
            await _in_thread(self.store.close)
        finally:
            self._operations.close()

    async def __aenter__(self) -> Store:
        return self

    async def __aexit__(self, *args: object) -> None:
        await self.close()


class Queue:
    """A queue of a store."""

    def __init__(self, queue: repliq.Queue, operations: _Operations) -> None:
        #: The queue itself.
        self.queue = queue
        self._operations = operations

    async def put(self, payload: Any, **fields: Any) -> repliq.Result:
        """Puts a message at the store's level; see ``repliq.Queue.put`` for the fields."""
        if fields:
            payload = repliq.Message(payload, **fields)
        return await self.put_many((payload,))

    async def put_many(self, messages: Iterable[Any]) -> repliq.Result:
        """Puts messages as one transaction at the store's level."""
        return await self._operations.run(
            lambda port, tag: self.queue.put_start(messages, port, tag)
        )


class Session:
    """One transaction after the other; one task at a time."""

    def __init__(self, session: repliq.Session, operations: _Operations) -> None:
        self.session = session
        self._operations = operations
        self._taken = _Taken()

    async def id(self) -> repliq.TransactionId:
        """The identity of the open transaction; see ``repliq.Session.id``."""
        return await self._operations.call(self.session.id)

    def put(self, queue: Queue, payload: Any, **fields: Any) -> None:
        """Adds a message to the transaction; see ``repliq.Session.put``."""
        self.session.put(queue.queue, payload, **fields)

    def put_many(self, queue: Queue, messages: Iterable[Any]) -> None:
        """Adds messages to the transaction, all or none."""
        self.session.put_many(queue.queue, messages)

    async def receive(
        self, consumer: Consumer, max: int = 256, *, timeout: float | None = None
    ) -> list[repliq.Message]:
        """Receives into the transaction, waiting for the first message; none when the time is over."""
        take = self._operations.take(
            self._taken, lambda: self.session.receive(consumer.consumer, max, timeout=0), max
        )
        return await _receive(take, consumer, timeout)

    async def commit(self) -> repliq.Result:
        """Commits at the store's level."""

        def start(port: repliq.Port, tag: int) -> None:
            self._check_taken()
            self.session.commit_start(port, tag)

        return await self._operations.run(start)

    async def prepare(self, xid: Any = None) -> repliq.TransactionId:
        """Prepares the transaction for a coordinator outside; see ``repliq.Session.prepare``."""
        self._check_taken()
        return await _in_thread(lambda: self.session.prepare(xid))

    def _check_taken(self) -> None:
        if self._taken:
            text = "messages came when nobody waited for them any more: receive them, or roll back"
            raise repliq.RollbackOnlyError(text)

    def rollback(self) -> None:
        """Forgets what was put and gives back what was received."""
        self.session.rollback()
        self._taken.clear()

    def close(self) -> None:
        """Rolls back what was not committed."""
        self.session.close()

    async def __aenter__(self) -> Session:
        return self

    async def __aexit__(self, *args: object) -> None:
        await self._operations.call(self.close)


class Consumer:
    """A named, durable reader of a queue.

    ``async for`` waits for messages for ever; one is acknowledged when the next is asked for.
    """

    def __init__(self, consumer: repliq.Consumer, operations: _Operations) -> None:
        self.consumer = consumer
        self._operations = operations
        self._taken = _Taken()

    async def receive(
        self, max: int = 256, *, timeout: float | None = None
    ) -> list[repliq.Message]:
        """Receives at most ``max`` messages, waiting for the first; none when the time is over."""
        take = self._operations.take(
            self._taken, lambda: self.consumer.receive(max, timeout=0), max
        )
        return await _receive(take, self, timeout)

    async def ready(self) -> None:
        """Waits until a receive may give something."""
        await self._operations.run(self.consumer.watch)

    async def ack(self, messages: Any) -> repliq.Result:
        """Acknowledges messages as a transaction of its own."""
        return await _in_thread(lambda: self.consumer.ack(messages))

    def reject(
        self, messages: Any, *, delay: float | None = None, reason: str = "", to_end: bool = False
    ) -> None:
        """Gives messages back: they come again, in order, before newer ones, or behind all, after so many seconds."""
        self.consumer.reject(messages, delay=delay, reason=reason, to_end=to_end)

    def renew(self, messages: Any) -> None:
        """Keeps messages for another lease from now on."""
        self.consumer.renew(messages)

    def each(self, *, timeout: float | None = None) -> Each:
        """An iterator that ends when nothing came for so long."""
        return Each(self, timeout)

    def close(self) -> None:
        """Ends the use; who waits in a receive gets ClosedError."""
        self.consumer.close()

    def __aiter__(self) -> Each:
        return self.each()

    async def __aenter__(self) -> Consumer:
        return self

    async def __aexit__(self, *args: object) -> None:
        await self._operations.call(self.close)


class Each(AsyncIterator[repliq.Message]):
    """The messages of a consumer one by one."""

    def __init__(self, consumer: Consumer, timeout: float | None) -> None:
        self._consumer = consumer
        self._timeout = timeout
        self._current: repliq.Message | None = None

    async def __anext__(self) -> repliq.Message:
        if self._current is not None:
            current, self._current = self._current, None
            await self._consumer.ack(current)
        found = await self._consumer.receive(1, timeout=self._timeout)
        if not found:
            raise StopAsyncIteration
        self._current = found[0]
        return found[0]


async def _receive(
    take: Callable[[], Awaitable[list[repliq.Message]]], consumer: Consumer, timeout: float | None
) -> list[repliq.Message]:
    loop = asyncio.get_running_loop()
    deadline = None if timeout is None else loop.time() + timeout
    while True:
        if found := await take():
            return found
        left = None if deadline is None else deadline - loop.time()
        if left is not None and left <= 0:
            return found
        try:
            await asyncio.wait_for(consumer.ready(), left)
        except repliq.Error:
            raise
        except TimeoutError:
            return await take()
