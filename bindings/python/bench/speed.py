"""What Python costs: calls into an open session, and other stores at equal durability.

Usage: speed.py FOLDER RUST       FOLDER is empty, RUST is the program rate; prints `name=value …` a line

Both sides of a line take turns, and the line shows the median of each side. `over_ns` and `ratio` are the median of
what the rounds compare, `spread` is its least and most; of the stores, `ratio` compares the medians of the calls and
`of_total` all their time. A line ends in `held=yes` or `held=no`, by the bound that it names. Exit status 1 where one
did not hold.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import diskcache
import lmdb
import persistqueue

import repliq
from repliq import _repliq

# A transaction that is put stays below 1 MiB, above which it goes to files.
CALLS, BATCH, PUTS, MESSAGES = 5000, 256, 20, 256 * 200
PAYLOAD = bytes(100)
missed = False


def line(name: str, held: bool, **values: float | str) -> None:
    global missed
    missed = missed or not held
    shown = (f"{key}={value:.2f}" if isinstance(value, float) else f"{key}={value}" for key, value in values.items())
    print(f"name={name} {' '.join(shown)} held={'yes' if held else 'no'}", flush=True)


def spread(of: list[float]) -> str:
    return f"{min(of):.2f}-{max(of):.2f}"


class Rust:
    """The same calls in Rust, one at a time."""

    def __init__(self, program: str, folder: Path) -> None:
        self.child = subprocess.Popen(
            [program, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def nanoseconds(self, call: str, batches: int) -> float:
        assert self.child.stdin and self.child.stdout
        self.child.stdin.write(f"{call} {batches}\n")
        self.child.stdin.flush()
        return float(self.child.stdout.readline())

    def close(self) -> None:
        self.child.communicate()
        assert self.child.returncode == 0


def timed(body: Callable[[], object], calls: int) -> float:
    began = time.perf_counter_ns()
    body()
    return (time.perf_counter_ns() - began) / calls


def single(session: repliq.Session, queue: repliq.Queue) -> None:
    """A put of one message, over a call of the extension module that does nothing."""
    put, nothing, turns = session.put, _repliq.nothing, range(CALLS)

    def puts() -> None:
        for _ in turns:
            put(queue, PAYLOAD)

    def empties() -> None:
        for _ in turns:
            nothing()

    ours, empty = [], []
    for _ in range(200):
        empty.append(timed(empties, CALLS))
        ours.append(timed(puts, CALLS))
        session.rollback()
    over = [one - other for one, other in zip(ours, empty)]
    line("put", median(over) <= 150, python_ns=median(ours), empty_ns=median(empty),
         over_ns=median(over), spread=spread(over), most=150.0)


def against(name: str, rust: Rust, batches: int, call: Callable[[], float], rounds: int) -> None:
    """A rate over Rust's."""
    ours, theirs = [], []
    for _ in range(rounds):
        theirs.append(rust.nanoseconds(name, batches))
        ours.append(call())
    ratios = [one / other for one, other in zip(theirs, ours)]
    line(name, median(ratios) >= 0.4, python_ns=median(ours), rust_ns=median(theirs),
         ratio=median(ratios), spread=spread(ratios), least=0.4)


def calls(folder: Path, rust: Rust) -> None:
    """The boundary, without the disk."""
    with repliq.open(folder / "calls") as store, store.session() as session:
        queue, batch = store.queue("orders"), [PAYLOAD] * BATCH
        single(session, queue)

        def puts() -> None:
            for _ in range(PUTS):
                session.put_many(queue, batch)

        def put_many() -> float:
            taken = timed(puts, PUTS * BATCH)
            session.rollback()
            return taken

        against("put_many", rust, PUTS, put_many, 100)
        for _ in range(MESSAGES // BATCH):
            queue.put_many(batch, level="process")
        queue.put(PAYLOAD)
        reader = store.consumer("reader", queue)

        def reads() -> None:
            seen = 0
            while seen < MESSAGES:
                received = reader.receive(BATCH, timeout=0)
                seen += len(received)
                for one in received:
                    len(one.view)

        def receive() -> float:
            reader.seek(1)
            return timed(reads, MESSAGES)

        against("receive", rust, MESSAGES // BATCH, receive, 30)
        reader.close()


def ahead(name: str, ours: Callable[[], object], theirs: Callable[[], object]) -> None:
    """What a transaction takes, call by call in turn: a disk drifts."""
    ours_us, theirs_us, end = [], [], time.monotonic() + 8
    while time.monotonic() < end or len(ours_us) < 100:
        ours_us.append(timed(ours, 1) / 1000)
        theirs_us.append(timed(theirs, 1) / 1000)
    ratio, total = median(theirs_us) / median(ours_us), sum(theirs_us) / sum(ours_us)
    line(name, ratio > 1, repliq_us=median(ours_us), other_us=median(theirs_us), calls=str(len(ours_us)),
         ratio=ratio, of_total=total, above=1.0)


def stores(folder: Path) -> None:
    """Transactions that survive a power cut: one message, and 256."""
    batch = [PAYLOAD] * BATCH
    store = repliq.open(folder / "repliq")
    queue = store.queue("orders")

    environment = lmdb.open(str(folder / "lmdb"), map_size=1 << 31)
    at = [0]

    def put_lmdb(payloads: list[bytes]) -> None:
        with environment.begin(write=True) as transaction:
            for payload in payloads:
                at[0] += 1
                transaction.put(at[0].to_bytes(8, "big"), payload, append=True)

    persist = persistqueue.SQLiteQueue(str(folder / "persist"), auto_commit=True)
    for connection in (persist._conn, persist._putter):
        connection.execute("PRAGMA synchronous=FULL")

    cache = diskcache.Deque(directory=str(folder / "diskcache"))
    cache.cache.reset("sqlite_synchronous", 2)

    def many_diskcache() -> None:
        with cache.transact():
            cache.extend(batch)

    def one() -> None:
        queue.put(PAYLOAD)

    def many() -> None:
        queue.put_many(batch)

    ahead("power_1_lmdb", one, lambda: put_lmdb([PAYLOAD]))
    ahead("power_1_persist_queue", one, lambda: persist.put(PAYLOAD))
    ahead("power_1_diskcache", one, lambda: cache.append(PAYLOAD))
    ahead("power_256_lmdb", many, lambda: put_lmdb(batch))
    ahead("power_256_diskcache", many, many_diskcache)
    store.close()


def main() -> int:
    folder = Path(sys.argv[1])
    rust = Rust(sys.argv[2], folder / "rust")
    calls(folder, rust)
    rust.close()
    stores(folder)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
