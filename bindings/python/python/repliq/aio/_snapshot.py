"""Snapshots in an event loop."""

from __future__ import annotations

import repliq

from ._operations import Operations
from ._queue import Queue


class Snapshot:
    """A look at the queues of a store as they were, without taking anything."""

    def __init__(self, snapshot: repliq.Snapshot, operations: Operations) -> None:
        #: The snapshot itself.
        self.snapshot = snapshot
        self._operations = operations

    async def browse(self, queue: Queue, *, start: int = 1, max: int = 256) -> list[repliq.Message]:
        """At most ``max`` messages from a sequence on; none at the end. Go on with the last sequence plus 1."""
        return await self._operations.beside(
            lambda: self.snapshot.browse(queue.queue, start=start, max=max)
        )

    async def close(self) -> None:
        """Gives the disk space free that it keeps."""
        await self._operations.call(self.snapshot.close)

    async def __aenter__(self) -> Snapshot:
        return self

    async def __aexit__(self, *_args: object) -> None:
        await self.close()
