"""repliq for asyncio: the same nouns and verbs, to be awaited.

    async with aio.open("shop") as store:
        orders = await store.queue("orders")
        await orders.put(b"one pound of tea")
        async with store.consumer("clerk", orders) as clerk:
            async for order in clerk.each(timeout=1):
                print(order.payload)

Commits and waits end on one port, whose descriptor the loop watches: a thousand of them in flight need no thread each.
Whatever else may take its time (a server that is asked, a disk) runs on a thread beside the loop, which it never holds
up. The one exception is ``put`` of a session: it stages and returns, and stands still only while a server does not
take in what was put before.

What is opened (a store, a session, a consumer, a snapshot, a listener, a replication, a server) is awaited, or entered
with ``async with``, which closes it at the end. A store belongs to the loop in which it was opened. A call that is
cancelled ends its waiting; what was started goes on, and a commit is one of these. Messages that come while a receive
is cancelled are given out by the next one; a session that has such messages commits after that, or is rolled back.

Options, errors, messages, tokens and results are those of ``repliq``. Each object has its twin there: ``store.store``,
``queue.queue`` and so on.
"""

from ._consumer import Consumer, Each
from ._listener import Listener
from ._operations import Opening
from ._queue import Queue
from ._replication import Replication
from ._server import Server
from ._session import Session
from ._snapshot import Snapshot
from ._store import Store, open, restore

__all__ = [
    "Consumer",
    "Each",
    "Listener",
    "Opening",
    "Queue",
    "Replication",
    "Server",
    "Session",
    "Snapshot",
    "Store",
    "open",
    "restore",
]
