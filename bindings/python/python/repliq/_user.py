"""Users of a server."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class User:
    """A user of a server, and what it may do: ``verbs`` on the ``queues``, each with commas between.

    Verbs are replicate, publish, browse, consume and admin; queues are names, or patterns with ``*``.
    """

    name: str
    password: str | bytes = dataclasses.field(repr=False)
    verbs: str = "replicate"
    queues: str = "*"
