"""What is under way in an event loop: operations on a port, and calls on threads beside the loop."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Awaitable, Callable, Coroutine, Generator
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

import repliq

_T = TypeVar("_T")


class Closing(Protocol):
    """What can be closed."""

    async def close(self) -> None: ...


_Closing = TypeVar("_Closing", bound=Closing)


class Opening(Generic[_Closing]):
    """Something that is being opened: to be awaited, or entered with ``async with``, which closes it at the end."""

    def __init__(self, call: Callable[[], Coroutine[Any, Any, _Closing]]) -> None:
        self._call = call
        self._opened: _Closing | None = None

    def __await__(self) -> Generator[Any, None, _Closing]:
        return self._call().__await__()

    async def __aenter__(self) -> _Closing:
        self._opened = await self._call()
        return self._opened

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._opened is not None:
            await self._opened.close()


async def in_thread(call: Callable[[], _T]) -> _T:
    """Runs a call that may take long, on a thread that ends with it."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_T] = loop.create_future()

    def run() -> None:
        _settle(loop, call, future)

    threading.Thread(target=run, name="repliq-aio", daemon=True).start()
    return await future


class Desk:
    """One thread for calls that wait for a server or a disk, one after the other."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: queue.SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    def run(self, call: Callable[[], _T]) -> asyncio.Future[_T]:
        """Has it called in its turn."""
        future: asyncio.Future[_T] = self._loop.create_future()
        if self._closed:
            # Its store is closed, where nothing waits any more.
            _settle(self._loop, call, future)
            return future
        self._calls.put((call, future))
        if self._thread is None:
            arguments = (self._loop, self._calls)
            self._thread = threading.Thread(target=_work, args=arguments, name="repliq-aio", daemon=True)
            self._thread.start()
        return future

    def close(self) -> None:
        """Ends the thread behind what was called before."""
        self._closed = True
        self._calls.put(None)

    def __del__(self) -> None:
        self._calls.put(None)


def _work(
    loop: asyncio.AbstractEventLoop,
    calls: queue.SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]] | None],
) -> None:
    while (next_one := calls.get()) is not None:
        if not _settle(loop, *next_one):
            return
        # What it holds must not live until the next call.
        del next_one


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


class Taken:
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
        self, desk: Desk, call: Callable[[], list[repliq.Message]], most: int
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


class Operations:
    """What is under way on the port of a store."""

    def __init__(self, remote: bool) -> None:
        self.loop = asyncio.get_running_loop()
        #: Where the store is at a server.
        self.desk = Desk(self.loop) if remote else None
        self._port = repliq.Port()
        self._pending: dict[int, asyncio.Future[repliq.Result]] = {}
        self._last = 0
        self.loop.add_reader(self._port.fileno(), self._take)

    def _take(self) -> None:
        for event in self._port.drain(256, timeout=0):
            future = self._pending.pop(event.tag, None)
            if future is None or future.done():
                continue
            if event.error is not None:
                future.set_exception(event.error)
            elif event.result is not None:
                future.set_result(event.result)

    def check(self) -> None:
        """Refuses another loop."""
        if asyncio.get_running_loop() is not self.loop:
            raise repliq.InvalidError("the store was opened in another event loop")

    async def run(self, start: Callable[[repliq.Port, int], None]) -> repliq.Result:
        """Starts an operation, and waits for its end."""
        self.check()
        self._last += 1
        tag = self._last
        future: asyncio.Future[repliq.Result] = self.loop.create_future()
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
        self, taken: Taken, call: Callable[[], list[repliq.Message]], most: int
    ) -> Callable[[], Awaitable[list[repliq.Message]]]:
        """How to receive what is there."""

        async def take() -> list[repliq.Message]:
            return call() if self.desk is None else await taken.take(self.desk, call, most)

        return take

    async def call(self, call: Callable[[], _T]) -> _T:
        """Calls what waits for nobody but a server, which holds up nobody else in the loop."""
        if self.desk is None:
            return call()
        return await self.desk.run(call)

    async def beside(self, call: Callable[[], _T]) -> _T:
        """Calls what may wait for the disk, too."""
        self.check()
        return await in_thread(call)

    def close(self) -> None:
        """Ends everything: what is still under way raises ClosedError."""
        if self.desk is not None:
            self.desk.close()
        if not self.loop.is_closed():
            self.loop.remove_reader(self._port.fileno())
        self._port.close()
        for future in self._pending.values():
            if not future.done():
                future.set_exception(repliq.ClosedError("the store is closed"))
        self._pending.clear()
