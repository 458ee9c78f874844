"""A job of a replication as a ``with``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ._repliq import Replication


@contextlib.contextmanager
def job(replication: Replication) -> Iterator[Replication]:
    """Begins a job, and commits it at the end; an exception gives it up."""
    replication.start_job()
    try:
        yield replication
    except BaseException:
        replication.abort_job()
        raise
    replication.end_job()
