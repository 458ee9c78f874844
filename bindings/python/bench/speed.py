"""What Python costs: calls into an open session, and other stores at equal durability.

Usage: speed.py FOLDER RUST       FOLDER is empty, RUST is the program python_rate; prints `name=value …` a line

A line ends in `held=yes` or `held=no`, by the bound that it names. Exit status 1 where one did not hold.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import diskcache
import lmdb
import persistqueue

import repliq
from repliq import _repliq

ROUNDS, CALLS, BATCH, MESSAGES = 200, 1000, 256, 256 * 200
PAYLOAD = bytes(100)
missed = False


def line(name: str, held: bool, **values: float | str) -> None:
    global missed
    missed = missed or not held
    shown = (f"{key}={value:.2f}" if isinstance(value, float) else f"{key}={value}" for key, value in values.items())
    print(f"name={name} {' '.join(shown)} held={'yes' if held else 'no'}", flush=True)


def least(call: Callable[[], object], after: Callable[[], object] = lambda: None) -> float:
    """Nanoseconds of a call, at best."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter_ns()
        for _ in range(CALLS):
            call()
        best = min(best, (time.perf_counter_ns() - began) / CALLS)
        after()
    return best


def calls(folder: Path, rust: dict[str, float]) -> None:
    """The boundary, without the disk."""
    with repliq.open(folder / "calls") as store, store.session() as session:
        queue = store.queue("orders")
        put = session.put
        empty = least(_repliq.nothing)
        single = least(lambda: put(queue, PAYLOAD), session.rollback) - least(lambda: None)
        nothing = least(lambda: _repliq.nothing()) - least(lambda: None)
        over = single - nothing
        line("put", over <= 150, python_ns=single, empty_call_ns=nothing, bare_ns=empty, over_ns=over, most=150.0)

        batch, best = [PAYLOAD] * BATCH, float("inf")
        for _ in range(ROUNDS):
            began = time.perf_counter_ns()
            for _ in range(4):
                session.put_many(queue, batch)
            best = min(best, (time.perf_counter_ns() - began) / (4 * BATCH))
            session.rollback()
        ratio = rust["put_many"] / best
        line("put_many", ratio >= 0.4, python_ns=best, rust_ns=rust["put_many"], ratio=ratio, least=0.4)

        for _ in range(MESSAGES // BATCH):
            queue.put_many(batch, level="process")
        queue.put(PAYLOAD)
        reader, best = store.consumer("reader", queue), float("inf")
        for _ in range(5):
            reader.seek(1)
            seen, began = 0, time.perf_counter_ns()
            while seen < MESSAGES:
                received = reader.receive(BATCH, timeout=0)
                seen += len(received)
                for one in received:
                    len(one.view)
            best = min(best, (time.perf_counter_ns() - began) / MESSAGES)
        ratio = rust["receive"] / best
        line("receive", ratio >= 0.4, python_ns=best, rust_ns=rust["receive"], ratio=ratio, least=0.4)


def rate(call: Callable[[], object], messages: int) -> float:
    """Messages in a second, for about a second and a half."""
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < 1.5:
        call()
        done += messages
    return done / (time.perf_counter() - began)


def stores(folder: Path) -> None:
    """Transactions that survive a power cut: one message, and 256."""
    batch = [PAYLOAD] * BATCH
    store = repliq.open(folder / "repliq")
    queue = store.queue("orders")

    environment = lmdb.open(str(folder / "lmdb"), map_size=1 << 30)
    at = [0]

    def put_lmdb(payloads: list[bytes]) -> None:
        with environment.begin(write=True) as transaction:
            for payload in payloads:
                at[0] += 1
                transaction.put(at[0].to_bytes(8, "big"), payload, append=True)

    persist = persistqueue.SQLiteQueue(str(folder / "persist"), auto_commit=True)
    persist._conn.execute("PRAGMA synchronous=FULL")
    persist._putter.execute("PRAGMA synchronous=FULL")

    cache = diskcache.Deque(directory=str(folder / "diskcache"))
    cache.cache.reset("sqlite_synchronous", 2)

    def many_diskcache() -> None:
        with cache.transact():
            cache.extend(batch)

    rows: list[tuple[str, Callable[[], object], Callable[[], object] | None]] = [
        ("lmdb", lambda: put_lmdb([PAYLOAD]), lambda: put_lmdb(batch)),
        ("persist_queue", lambda: persist.put(PAYLOAD), None),
        ("diskcache", lambda: cache.append(PAYLOAD), many_diskcache),
    ]
    for name, single, many in rows:
        # In turn, on the same disk.
        ours, theirs = rate(lambda: queue.put(PAYLOAD), 1), rate(single, 1)
        line(f"power_1_{name}", ours > theirs, repliq=ours, other=theirs, ratio=ours / theirs)
        if many is not None:
            ours, theirs = rate(lambda: queue.put_many(batch), BATCH), rate(many, BATCH)
            line(f"power_256_{name}", ours > theirs, repliq=ours, other=theirs, ratio=ours / theirs)
    store.close()


def main() -> int:
    folder = Path(sys.argv[1])
    done = subprocess.run([sys.argv[2], folder / "rust"], check=True, capture_output=True, text=True)
    rust = {name: float(ns) for name, ns in (row.split() for row in done.stdout.splitlines())}
    calls(folder, rust)
    stores(folder)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
