"""Sessions in an event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import repliq

from ._consumer import Consumer, receive
from ._operations import Operations, Taken
from ._queue import Queue, message_of

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from .._repliq import _Headers, _Key, _Level, _Messages


class Session:
    """One transaction after the other; one task at a time, others get BusyError.

    At the end of an ``async with`` it rolls back what was not committed.
    """

    def __init__(
        self, session: repliq.Session, operations: Operations, level: _Level | None = None
    ) -> None:
        #: The session itself.
        self.session = session
        self._operations = operations
        self._level = level
        self._taken = Taken()

    async def id(self) -> repliq.TransactionId:
        """The identity of the open transaction; see ``repliq.Session.id``."""
        return await self._operations.beside(self.session.id)

    def put(
        self,
        queue: Queue,
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
    ) -> None:
        """Adds a message to the transaction, at once; see ``repliq.Session.put``."""
        message = message_of(
            payload, kind, key, headers, expires, deliver_at, priority, producer, producer_sequence
        )
        self.session.put(queue.queue, message)

    def put_many(self, queue: Queue, messages: _Messages) -> None:
        """Adds messages to the transaction, all or none, at once."""
        self.session.put_many(queue.queue, messages)

    async def receive(
        self, consumer: Consumer, max: int = 256, *, timeout: float | None = None
    ) -> list[repliq.Message]:
        """Receives into the transaction, waiting for the first message; none when the time is over.

        The commit acknowledges them.
        """
        take = self._operations.take(
            self._taken, lambda: self.session.receive(consumer.consumer, max, timeout=0), max
        )
        return await receive(take, consumer, timeout)

    async def commit(self) -> repliq.Result:
        """Commits, and begins the next transaction; see ``repliq.Session.commit``."""
        if self._level is not None:
            # What is started on a port has the store's level.
            self._check_taken()
            return await self._operations.beside(self.session.commit)

        def start(port: repliq.Port, tag: int) -> None:
            self._check_taken()
            self.session.commit_start(port, tag)

        return await self._operations.run(start)

    async def prepare(self, xid: str | Buffer | None = None) -> repliq.TransactionId:
        """Prepares the transaction for a coordinator outside; see ``repliq.Session.prepare``."""
        self._check_taken()
        return await self._operations.beside(lambda: self.session.prepare(xid))

    def _check_taken(self) -> None:
        if self._taken:
            text = "messages came when nobody waited for them any more: receive them, or roll back"
            raise repliq.RollbackOnlyError(text)

    async def rollback(self) -> None:
        """Forgets what was put and gives back what was received."""
        await self._operations.call(self.session.rollback)
        self._taken.clear()

    async def close(self) -> None:
        """Rolls back what was not committed."""
        await self._operations.call(self.session.close)

    async def __aenter__(self) -> Session:
        return self

    async def __aexit__(self, *_args: object) -> None:
        await self.close()
