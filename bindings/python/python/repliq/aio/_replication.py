"""Replications in an event loop."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Callable, Generator
from typing import TYPE_CHECKING, Any, TypeVar

import repliq

from ._operations import Desk, in_thread
from ._queue import Queue

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from .._repliq import _Headers, _Key, _Level, _Messages, _Start

_T = TypeVar("_T")


class Replication:
    """A root queue that reaches every target, in order, once, job by job.

        async with aio.Replication(await store.queue("orders")) as replication:
            await replication.add("office", "repliq://till@office", password=password)
            async with replication.job():
                await replication.send(1, b"one pound of tea")

    It is awaited, or entered, to be opened. What is sent goes out in the order of the calls, also of several tasks.
    """

    def __init__(self, root: Queue, *, level: _Level | None = None) -> None:
        self._root = root
        self._level = level
        self._opened: repliq.Replication | None = None
        self._desk: Desk | None = None

    @property
    def replication(self) -> repliq.Replication:
        """The replication itself."""
        if self._opened is None:
            raise repliq.InvalidError("the replication is not open yet: await it, or enter it with async with")
        return self._opened

    async def _open(self) -> Replication:
        operations = self._root._operations
        if self._opened is None:
            self._opened = await operations.beside(
                lambda: repliq.Replication(self._root.queue, level=self._level)
            )
            self._desk = Desk(operations.loop)
        return self

    def __await__(self) -> Generator[Any, None, Replication]:
        return self._open().__await__()

    async def _in_turn(self, call: Callable[[repliq.Replication], _T]) -> _T:
        """Calls behind what was called before."""
        opened = self.replication
        self._root._operations.check()
        if self._desk is None:
            raise repliq.ClosedError("the replication is closed")
        return await self._desk.run(lambda: call(opened))

    async def _beside(self, call: Callable[[repliq.Replication], _T]) -> _T:
        opened = self.replication
        return await self._root._operations.beside(lambda: call(opened))

    async def add(
        self,
        name: str,
        url: str,
        *,
        password: str | Buffer | None = None,
        plain: bool = False,
        user: str | None = None,
        queue: str | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        server_name: str | None = None,
        kinds: list[int] | None = None,
        key_prefix: _Key | None = None,
        header_name: str | None = None,
        header_value: str | None = None,
        start: _Start | None = None,
        heartbeat: float = 5.0,
        connect_timeout: float = 10.0,
        reconnect_max: float = 30.0,
        reconnect: bool = True,
    ) -> None:
        """Adds a target and starts its link, connected or not; see ``repliq.Replication.add``."""
        await self._beside(
            lambda opened: opened.add(
                name,
                url,
                password=password,
                plain=plain,
                user=user,
                queue=queue,
                ca_file=ca_file,
                server_name=server_name,
                kinds=kinds,
                key_prefix=key_prefix,
                header_name=header_name,
                header_value=header_value,
                start=start,
                heartbeat=heartbeat,
                connect_timeout=connect_timeout,
                reconnect_max=reconnect_max,
                reconnect=reconnect,
            )
        )

    async def remove(self, name: str) -> None:
        """Ends a target for good: messages only it waited for may go."""
        await self._beside(lambda opened: opened.remove(name))

    async def skip(self, name: str) -> None:
        """Sets the transaction aside that a target refuses, for this target only."""
        await self._beside(lambda opened: opened.skip(name))

    async def accept_gap(self, name: str) -> None:
        """Lets a target go on that is behind what is still kept."""
        await self._beside(lambda opened: opened.accept_gap(name))

    async def send(
        self,
        kind: int,
        payload: Buffer,
        *,
        key: _Key | None = None,
        headers: _Headers | None = None,
        expires: float | None = None,
        deliver_at: float | None = None,
        priority: int = 0,
        producer: str | None = None,
        producer_sequence: int = 0,
    ) -> repliq.Result:
        """Sends a message into the open job, or as a transaction of its own; see ``repliq.Replication.send``."""
        return await self._in_turn(
            lambda opened: opened.send(
                kind,
                payload,
                key=key,
                headers=headers,
                expires=expires,
                deliver_at=deliver_at,
                priority=priority,
                producer=producer,
                producer_sequence=producer_sequence,
            )
        )

    async def send_many(self, messages: _Messages) -> repliq.Result:
        """Sends messages, all or none."""
        return await self._in_turn(lambda opened: opened.send_many(messages))

    @contextlib.asynccontextmanager
    async def job(self) -> AsyncIterator[Replication]:
        """``async with replication.job():`` is one transaction; an exception gives it up."""
        await self.start_job()
        try:
            yield self
        except BaseException:
            await self.abort_job()
            raise
        await self.end_job()

    async def start_job(self) -> None:
        """Begins a job: what is sent from now on is one transaction, invisible until its end."""
        await self._in_turn(lambda opened: opened.start_job())

    async def end_job(self) -> repliq.Result:
        """Commits the job. Every target gets it as a whole."""
        return await self._in_turn(lambda opened: opened.end_job())

    async def abort_job(self) -> None:
        """Gives the job up: nothing sent since its start is left."""
        await self._in_turn(lambda opened: opened.abort_job())

    async def push(self) -> None:
        """Sees to it that everything committed goes out now. It does so by itself."""
        await self._beside(lambda opened: opened.push())

    async def status(self) -> repliq.ReplicationStatus:
        """Root, targets and whether a job is open."""
        return await self._beside(lambda opened: opened.status())

    async def target(self, name: str) -> repliq.TargetStatus:
        """A target as it is; see ``repliq.Replication.target``."""
        return await self._beside(lambda opened: opened.target(name))

    @property
    def token(self) -> repliq.Token | None:
        """The token of what was committed last."""
        return self.replication.token

    @property
    def root(self) -> Queue:
        """The root queue."""
        return self._root

    async def stop(self, *, timeout: float | None = None) -> None:
        """Waits until every target has everything, and ends the links.

        Raises:
            TimeoutError: the rest goes out when the root is replicated again.
        """
        await self._beside(lambda opened: opened.stop(timeout=timeout))

    async def close(self) -> None:
        """Ends the links at once; an open job is rolled back."""
        if self._opened is not None:
            await in_thread(self._opened.close)
        if self._desk is not None:
            self._desk.close()
            self._desk = None

    async def __aenter__(self) -> Replication:
        return await self._open()

    async def __aexit__(self, *_args: object) -> None:
        await self.close()
