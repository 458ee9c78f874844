"""What status calls answer: dictionaries, with these keys."""

from __future__ import annotations

from typing import TypedDict


class BackupInfo(TypedDict):
    """What a backup or a restore did."""

    #: Epoch of the last transaction in it.
    epoch: int
    #: Sequence of the last transaction in it.
    sequence: int
    #: Files it consists of.
    files: int
    #: Files that were copied; the others were there already.
    files_copied: int
    #: Bytes of all its files.
    bytes: int
    #: Bytes that were copied.
    bytes_copied: int


class ListenerStatus(TypedDict):
    """What a listener has done."""

    #: Messages, or jobs, that were handled.
    done: int
    #: Calls of the handler that failed.
    failed: int
    #: Messages that were moved to the queue of dead letters.
    dead: int
    #: Keys that were set aside, and why.
    parked: list[tuple[bytes, str]]
    #: What ended the work and not the listener.
    ended: Exception | None


class Prepared(TypedDict):
    """A prepared transaction that waits, or one that was ended by hand."""

    #: The text of its identity.
    transaction: str
    #: What its coordinator calls it, in hexadecimal digits.
    xid: str
    #: Whose it is, at a server.
    user: str
    #: When it was prepared, in milliseconds since 1970.
    since_ms: int
    #: Messages it puts.
    messages: int
    #: Bytes it puts.
    bytes: int
    #: Messages it has received.
    held: int
    #: "prepared", "committed" or "rolled_back".
    state: str
    #: Where it is in the order of commits; None while it waits.
    token: str | None
    #: Who ended it; None while it waits.
    ended_by: str | None
    #: When; None while it waits.
    ended_ms: int | None


class TargetStatus(TypedDict):
    """A target of a replication as it is."""

    #: Its name.
    name: str
    #: Where it is.
    url: str
    #: What its link does: "connecting", "connected", "streaming", "failed", "stopped" or "closed".
    state: str
    #: Everything up to here is stored there, durably.
    position: str
    #: Messages of the root it has not confirmed.
    lag_messages: int
    #: Bytes of them.
    lag_bytes: int
    #: Age of the oldest of them in milliseconds.
    lag_ms: int
    #: What went wrong last.
    last_error: str | None
    #: The transaction it refuses, and why.
    refused: str | None
    #: How often it went back to an older state.
    rewinds: int
    #: Transactions that were set aside for it.
    skipped: int
    #: Gaps that were accepted.
    gaps: int
    #: Transactions it has that are in no history any more.
    orphans: int


class ReplicationStatus(TypedDict):
    """A replication as it is."""

    #: The name of the root queue.
    root: str
    #: Whether a job is open.
    job_open: bool
    #: The targets, those the store knows from before among them.
    targets: list[TargetStatus]
