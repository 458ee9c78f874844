"""Stores in an event loop."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, Literal

import repliq

from ._consumer import Consumer
from ._operations import Opening, Operations, in_thread
from ._queue import Queue, message_of
from ._session import Session
from ._snapshot import Snapshot

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from .._repliq import _Headers, _Key, _Level, _Messages, _Start, _Tokens


def open(
    path: str | os.PathLike[str],
    *,
    password: str | Buffer | None = None,
    create: bool = True,
    read_only: bool = False,
    helper: bool = True,
    level: _Level = "power",
    horizon: _Level = "power",
    segment_bytes: int | None = None,
    segment_bytes_max: int | None = None,
    keep: float | None = None,
    keep_bytes: int | None = None,
    quota_bytes: int | None = None,
    user: str | None = None,
    ca_file: str | os.PathLike[str] | None = None,
    server_name: str | None = None,
    plain: bool = False,
    reconnect: bool = True,
    heartbeat: float = 5.0,
    connect_timeout: float = 10.0,
    reconnect_max: float = 30.0,
) -> Opening[Store]:
    """Opens the store in a directory, or at a server; see ``repliq.open``, which has the same options."""

    async def opened() -> Store:
        return Store(
            await in_thread(
                lambda: repliq.open(
                    path,
                    password=password,
                    create=create,
                    read_only=read_only,
                    helper=helper,
                    level=level,
                    horizon=horizon,
                    segment_bytes=segment_bytes,
                    segment_bytes_max=segment_bytes_max,
                    keep=keep,
                    keep_bytes=keep_bytes,
                    quota_bytes=quota_bytes,
                    user=user,
                    ca_file=ca_file,
                    server_name=server_name,
                    plain=plain,
                    reconnect=reconnect,
                    heartbeat=heartbeat,
                    connect_timeout=connect_timeout,
                    reconnect_max=reconnect_max,
                )
            )
        )

    return Opening(opened)


async def restore(
    backup: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    password: str | Buffer | None = None,
) -> repliq.BackupInfo:
    """Makes a store of a backup in a directory that is empty or missing; see ``repliq.restore``."""
    return await in_thread(lambda: repliq.restore(backup, path, password=password))


class Store:
    """An open store in an event loop."""

    def __init__(self, store: repliq.Store) -> None:
        #: The store itself.
        self.store = store
        self._operations = Operations(store.is_remote)

    @property
    def is_remote(self) -> bool:
        """Whether it is at a server, and was opened by a URL."""
        return self.store.is_remote

    async def queue(self, name: str) -> Queue:
        """The queue of this name, 1 to 255 bytes of UTF-8; created on first use."""
        return Queue(await self._operations.beside(lambda: self.store.queue(name)), self._operations)

    async def put(
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
    ) -> repliq.Result:
        """The same as ``queue.put``."""
        message = message_of(
            payload, kind, key, headers, expires, deliver_at, priority, producer, producer_sequence
        )
        return await queue.put_many((message,))

    async def put_many(self, queue: Queue, messages: _Messages) -> repliq.Result:
        """The same as ``queue.put_many``."""
        return await queue.put_many(messages)

    def session(
        self,
        *,
        level: _Level | None = None,
        name: str = "",
        takeover: bool = False,
        idle: float = 0.0,
        bytes_max: int = 0,
    ) -> Opening[Session]:
        """Opens a session: transactions over any queues of this store; see ``repliq.Store.session``."""

        async def opened() -> Session:
            session = await self._operations.beside(
                lambda: self.store.session(
                    level=level, name=name, takeover=takeover, idle=idle, bytes_max=bytes_max
                )
            )
            return Session(session, self._operations, level)

        return Opening(opened)

    async def resolve(self, id: repliq.TransactionId | str | Buffer) -> repliq.Outcome:
        """What became of a session's transaction; see ``repliq.Store.resolve``."""
        return await self._operations.beside(lambda: self.store.resolve(id))

    async def finish(self, id: repliq.TransactionId | str | Buffer, *, commit: bool) -> repliq.Result:
        """Commits a prepared transaction, or rolls it back, durably; see ``repliq.Store.finish``."""
        return await self._operations.beside(lambda: self.store.finish(id, commit=commit))

    async def prepared(self) -> list[repliq.Prepared]:
        """The prepared transactions; see ``repliq.Store.prepared``."""
        return await self._operations.beside(self.store.prepared)

    def consumer(
        self,
        name: str,
        queue: Queue,
        *,
        start: _Start | None = None,
        ack_level: _Level | None = None,
        shared: bool = False,
        keyed: bool = False,
        parallel: int = 0,
        per_key: int = 0,
        lease: float = 0.0,
        retry_delay: float = 0.0,
        retry_multiplier: int = 0,
        retry_delay_max: float = 0.0,
        max_deliveries: int = 0,
        dead_letters: Queue | None = None,
        after_dead_letter: Literal["skip", "block", "park"] = "skip",
        conflate: bool = False,
        key_versions: bool = False,
    ) -> Opening[Consumer]:
        """Opens the consumer of this name on a queue; see ``repliq.Store.consumer``, which has the same options."""

        async def opened() -> Consumer:
            consumer = await self._operations.beside(
                lambda: self.store.consumer(
                    name,
                    queue.queue,
                    start=start,
                    ack_level=ack_level,
                    shared=shared,
                    keyed=keyed,
                    parallel=parallel,
                    per_key=per_key,
                    lease=lease,
                    retry_delay=retry_delay,
                    retry_multiplier=retry_multiplier,
                    retry_delay_max=retry_delay_max,
                    max_deliveries=max_deliveries,
                    dead_letters=None if dead_letters is None else dead_letters.queue,
                    after_dead_letter=after_dead_letter,
                    conflate=conflate,
                    key_versions=key_versions,
                )
            )
            return Consumer(consumer, queue, self._operations)

        return Opening(opened)

    async def consumer_delete(self, name: str, queue: Queue) -> repliq.Result:
        """Deletes a consumer; messages only it waited for may go."""
        return await self._operations.beside(lambda: self.store.consumer_delete(name, queue.queue))

    def snapshot(self) -> Opening[Snapshot]:
        """Opens a look at all queues as they are now; it keeps the disk space of what it can see."""

        async def opened() -> Snapshot:
            return Snapshot(await self._operations.beside(self.store.snapshot), self._operations)

        return Opening(opened)

    async def wait(self, tokens: _Tokens, *, at: str = "", timeout: float | None = None) -> None:
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

    async def status(self) -> dict[str, Any]:
        """What it is and has."""
        return await self._operations.beside(self.store.status)

    async def backup(self, dest: str | os.PathLike[str]) -> repliq.BackupInfo:
        """Copies everything committed into a directory while others go on; see ``repliq.Store.backup``."""
        return await self._operations.beside(lambda: self.store.backup(dest))

    async def change_password(self, password: str | Buffer) -> None:
        """Gives an encrypted store another password; a crash leaves one of the two valid."""
        await self._operations.beside(lambda: self.store.change_password(password))

    async def close(self) -> None:
        """Makes everything durable and gives the directory free; what is used of it then raises ClosedError."""
        try:
            await in_thread(self.store.close)
        finally:
            self._operations.close()

    async def __aenter__(self) -> Store:
        return self

    async def __aexit__(self, *_args: object) -> None:
        await self.close()
