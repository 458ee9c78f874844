"""Consumers in an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal

import repliq

from ._operations import Opening, Operations, Taken
from ._queue import Queue

if TYPE_CHECKING:
    from .._repliq import _Sequences
    from ._listener import Listener
    from ._session import Session


class Consumer:
    """A named, durable reader of a queue.

    ``async for`` waits for messages for ever; one is acknowledged when the next is asked for.
    """

    def __init__(self, consumer: repliq.Consumer, queue: Queue, operations: Operations) -> None:
        #: The consumer itself.
        self.consumer = consumer
        self._queue = queue
        self._operations = operations
        self._taken = Taken()

    @property
    def name(self) -> str:
        """Its name."""
        return self.consumer.name

    @property
    def queue(self) -> Queue:
        """The queue it reads."""
        return self._queue

    async def receive(
        self, max: int = 256, *, timeout: float | None = None
    ) -> list[repliq.Message]:
        """Receives at most ``max`` messages, waiting for the first; none when the time is over.

        Each comes again unless it is acknowledged.
        """
        take = self._operations.take(
            self._taken, lambda: self.consumer.receive(max, timeout=0), max
        )
        return await receive(take, self, timeout)

    async def ready(self) -> None:
        """Waits until a receive may give something, or would fail."""
        await self._operations.run(self.consumer.watch)

    async def ack(self, messages: _Sequences) -> repliq.Result:
        """Acknowledges messages, or their sequences, in any order, as a transaction of its own."""
        return await self._operations.beside(lambda: self.consumer.ack(messages))

    async def reject(
        self,
        messages: _Sequences,
        *,
        delay: float | None = None,
        reason: str = "",
        to_end: bool = False,
    ) -> None:
        """Gives messages back: they come again, in order, before newer ones, or behind all; see
        ``repliq.Consumer.reject``."""
        await self._operations.call(
            lambda: self.consumer.reject(messages, delay=delay, reason=reason, to_end=to_end)
        )

    async def renew(self, messages: _Sequences) -> None:
        """Keeps messages for another lease from now on."""
        await self._operations.call(lambda: self.consumer.renew(messages))

    async def seek(self, sequence: int) -> repliq.Result:
        """Goes on with this sequence: what is before counts as acknowledged, from it on nothing does."""
        return await self._operations.beside(lambda: self.consumer.seek(sequence))

    def each(self, *, timeout: float | None = None) -> Each:
        """An iterator that ends when nothing came for so long."""
        return Each(self, timeout)

    def listen(
        self,
        handler: Callable[[Session, Any], Awaitable[object]],
        *,
        job: bool = False,
        policy: Literal["block", "park", "dead_letter"] = "block",
        dead_letter_after: int = 0,
        dead_letter_queue: str | None = None,
        retry: float = 0.1,
        retry_max: float = 10.0,
        threads: int = 1,
    ) -> Opening[Listener]:
        """Awaits ``handler(session, message)`` in the loop for each message, or for so many at a time as it has
        ``threads``; see ``repliq.Consumer.listen``.

        The session has ``put`` and ``put_many``; when the handler returns, it is committed with the acknowledgement.
        """
        from ._listener import Listener, call_in_loop

        async def opened() -> Listener:
            running: set[asyncio.Task[Any] | None] = set()
            listener = await self._operations.beside(
                lambda: self.consumer.listen(
                    call_in_loop(handler, self._operations, running),
                    job=job,
                    policy=policy,
                    dead_letter_after=dead_letter_after,
                    dead_letter_queue=dead_letter_queue,
                    retry=retry,
                    retry_max=retry_max,
                    threads=threads,
                )
            )
            return Listener(listener, running)

        return Opening(opened)

    async def close(self) -> None:
        """Ends the use; who waits in a receive gets ClosedError. What was not acknowledged comes again."""
        # Not behind a receive at the desk, which it ends.
        if self._operations.desk is None:
            self.consumer.close()
        else:
            await self._operations.beside(self.consumer.close)

    def __aiter__(self) -> Each:
        return self.each()

    async def __aenter__(self) -> Consumer:
        return self

    async def __aexit__(self, *_args: object) -> None:
        await self.close()


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


async def receive(
    take: Callable[[], Awaitable[list[repliq.Message]]], consumer: Consumer, timeout: float | None
) -> list[repliq.Message]:
    """Takes what is there, or waits for it."""
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
