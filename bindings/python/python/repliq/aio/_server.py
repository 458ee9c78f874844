"""Servers in an event loop."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable
from typing import Any

import repliq

from ._operations import in_thread
from ._store import Store


class Server:
    """A store that others can reach.

    It is awaited, or entered with ``async with``, to be opened; its connections are threads of the library.
    """

    def __init__(
        self,
        store: Store,
        *,
        listen: list[str] | None = None,
        plain: bool = False,
        certificate_file: str | os.PathLike[str] | None = None,
        key_file: str | os.PathLike[str] | None = None,
        users_file: str | os.PathLike[str] | None = None,
        users: Iterable[repliq.User] | None = None,
        heartbeat: float = 5.0,
        login: float = 5.0,
        failure_wait_max: float = 30.0,
        connections_max: int = 1024,
        strangers_max: int = 64,
        failures_max: int = 5,
        sessions_max: int = 16_384,
        transactions_max: int = 4_096,
        staged_bytes_max: int = 4_294_967_296,
        user_share: int = 50,
    ) -> None:
        self._opened: repliq.Server | None = None
        self._open = lambda: repliq.Server(
            store.store,
            listen=listen,
            plain=plain,
            certificate_file=certificate_file,
            key_file=key_file,
            users_file=users_file,
            users=users,
            heartbeat=heartbeat,
            login=login,
            failure_wait_max=failure_wait_max,
            connections_max=connections_max,
            strangers_max=strangers_max,
            failures_max=failures_max,
            sessions_max=sessions_max,
            transactions_max=transactions_max,
            staged_bytes_max=staged_bytes_max,
            user_share=user_share,
        )

    @property
    def server(self) -> repliq.Server:
        """The server itself."""
        if self._opened is None:
            raise repliq.InvalidError("the server is not open yet: await it, or enter it with async with")
        return self._opened

    def __await__(self) -> Generator[Any, None, Server]:
        return self.__aenter__().__await__()

    @property
    def addresses(self) -> list[str]:
        """Where it listens for TCP, with the ports it got."""
        return self.server.addresses

    async def status(self) -> dict[str, Any]:
        """Who is connected, and what came of strangers."""
        return await in_thread(self.server.status)

    async def reload(self) -> None:
        """Reads users, certificate and key again; users that changed are cut off at once."""
        await in_thread(self.server.reload)

    async def close(self) -> None:
        """Ends it, after at most 7 seconds for what was asked before."""
        if self._opened is not None:
            await in_thread(self._opened.close)

    async def __aenter__(self) -> Server:
        if self._opened is None:
            self._opened = await in_thread(self._open)
        return self

    async def __aexit__(self, *_args: object) -> None:
        await self.close()
