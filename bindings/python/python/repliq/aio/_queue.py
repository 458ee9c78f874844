"""Queues in an event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import repliq

from ._operations import Operations

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from .._repliq import _Headers, _Key, _Messages


class Queue:
    """A queue of a store: a value. The store must be open when it is used."""

    def __init__(self, queue: repliq.Queue, operations: Operations) -> None:
        #: The queue itself.
        self.queue = queue
        self._operations = operations

    @property
    def number(self) -> int:
        """What the store calls it."""
        return self.queue.number

    @property
    def name(self) -> str:
        """What you call it."""
        return self.queue.name

    async def put(
        self,
        payload: Buffer | repliq.Message,
        *,
        kind: int = 0,
        key: _Key | None = None,
        headers: _Headers | None = None,
        expires: float | None = None,
        deliver_at: float | None = None,
        priority: int = 0,
        producer: str | None = None,
        producer_sequence: int = 0,
    ) -> repliq.Result:
        """Puts a message as a transaction of its own, at the store's level; see ``repliq.Queue.put``."""
        message = message_of(
            payload, kind, key, headers, expires, deliver_at, priority, producer, producer_sequence
        )
        return await self.put_many((message,))

    async def put_many(self, messages: _Messages) -> repliq.Result:
        """Puts messages as one transaction at the store's level; see ``repliq.Queue.put_many``."""
        return await self._operations.run(
            lambda port, tag: self.queue.put_start(messages, port, tag)
        )

    async def pause(self) -> repliq.Result:
        """Refuses puts and receives with PausedError until ``resume``."""
        return await self._operations.beside(self.queue.pause)

    async def resume(self) -> repliq.Result:
        """Accepts puts and receives again."""
        return await self._operations.beside(self.queue.resume)

    async def purge(self) -> repliq.Result:
        """Drops every message that is in it now; sequences go on."""
        return await self._operations.beside(self.queue.purge)

    async def redrive(self, *, max: int = 0, drop: bool = False) -> tuple[int, list[tuple[int, str]]]:
        """Puts its dead letters back where they came from, or drops them; see ``repliq.Queue.redrive``."""
        return await self._operations.beside(lambda: self.queue.redrive(max=max, drop=drop))

    async def delete(self) -> repliq.Result:
        """Deletes it with its messages and consumers."""
        return await self._operations.beside(self.queue.delete)

    def __eq__(self, other: object, /) -> bool:
        return isinstance(other, Queue) and self.queue == other.queue

    def __hash__(self) -> int:
        return hash(self.queue)

    def __repr__(self) -> str:
        return f"<repliq.aio.Queue {self.number}>"


def message_of(
    payload: Buffer | repliq.Message,
    kind: int,
    key: _Key | None,
    headers: _Headers | None,
    expires: float | None,
    deliver_at: float | None,
    priority: int,
    producer: str | None,
    producer_sequence: int,
) -> Buffer | repliq.Message:
    """What is put: the payload as it is where no field is given, which costs nothing."""
    texts = (key, headers, expires, deliver_at, producer)
    if kind == priority == producer_sequence == 0 and all(one is None for one in texts):
        return payload
    if isinstance(payload, repliq.Message):
        raise TypeError("the fields of a message are its own: none can be given beside it")
    return repliq.Message(
        payload,
        kind=kind,
        key=key,
        headers=headers,
        expires=expires,
        deliver_at=deliver_at,
        priority=priority,
        producer=producer,
        producer_sequence=producer_sequence,
    )
