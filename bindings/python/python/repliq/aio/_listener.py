"""Listeners in an event loop: threads of the library wait, and the handler is awaited in the loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Awaitable, Callable
from typing import Any

import repliq

from ._operations import Operations, in_thread
from ._session import Session

#: How often a thread looks whether the loop it waits for is still there, in seconds.
_LOOK = 1.0


class Listener:
    """A consumer with a handler in the loop, made by ``consumer.listen(handler)``."""

    def __init__(self, listener: repliq.Listener, running: set[asyncio.Task[Any] | None]) -> None:
        #: The listener itself.
        self.listener = listener
        self._running = running

    async def close(self, *, timeout: float | None = None) -> None:
        """Ends the work after the calls under way, for which it waits, and closes the consumer.

        Raises:
            BusyError: called by the handler itself.
            TimeoutError: the handler did not return in the time given; the work ends when it does.
        """
        if asyncio.current_task() in self._running:
            raise repliq.BusyError("a listener cannot be closed by its own handler")
        await in_thread(lambda: self.listener.close(timeout=timeout))

    def status(self) -> repliq.ListenerStatus:
        """What it has done; see ``repliq.Listener.status``."""
        return self.listener.status()

    async def __aenter__(self) -> Listener:
        return self

    async def __aexit__(self, *_args: object) -> None:
        await self.close()


def call_in_loop(
    handler: Callable[[Session, Any], Awaitable[object]],
    operations: Operations,
    running: set[asyncio.Task[Any] | None],
) -> Callable[[repliq.Session, Any], None]:
    """The handler as a thread calls it, which waits until the loop has run it."""
    loop = operations.loop

    async def called(lent: Session, unit: Any) -> None:
        task = asyncio.current_task()
        running.add(task)
        try:
            await handler(lent, unit)
        finally:
            running.discard(task)

    def call(session: repliq.Session, unit: Any) -> None:
        one = called(Session(session, operations), unit)
        try:
            done = asyncio.run_coroutine_threadsafe(one, loop)
        except RuntimeError:
            one.close()
            raise repliq.ClosedError("the event loop of the handler was closed") from None
        while not concurrent.futures.wait([done], timeout=_LOOK).done:
            if loop.is_closed():
                raise repliq.ClosedError("the event loop of the handler was closed")
        done.result()

    return call
