"""The registry tutorial: changes of a public registry are worked on by sixteen workers, those of one record in order,
and each is acknowledged by the commit of its work.

Usage: main.py [DIRECTORY [RECORDS [FILE...]]]

The files are those of the Debian package ieee-data: a record a line, its key in the second column; RECORDS is how many
are taken, 0 for all. Each becomes a notice in the queue `feed`, and some that must not matter are thrown in: notices that
come twice, versions that are out of date, and a few that nobody can read. A worker builds what a notice asks for in 10 ms
and puts it into the queue `replica`. Every second one of them dies in the middle of it, and for a while what they build
for is down. At the end the replica is what one worker alone would have made. Stop the program wherever you like and run
it again: it goes on.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator

import repliq

WORKERS = 16
BUILD = 0.010
DOWN = (0.5, 1.5)  # when what the workers build for is down, in seconds behind the start
FILES = [f"/usr/share/ieee-data/{name}.csv" for name in ("iab", "mam", "oui", "oui36")]

Notice = tuple[bytes, bytes]  # the key of a record; a version, a blank and the record


def records(file: str) -> list[Notice]:
    """The records of a file: quotes may hold commas and ends of lines, and the first line is the title."""
    with open(file, "rb") as opened:
        lines = opened.read().split(b"\n")
    found, record = [], b""
    for line in lines[:-1]:
        record += line
        if record.count(b'"') % 2 == 0:
            record = record.rstrip()
            found.append((record.split(b",")[1] if b"," in record else b"", record))
            record = b""
        else:
            record += b"\n"
    return found[1:]


def notices_of(records: list[Notice]) -> tuple[list[Notice], dict[bytes, bytes]]:
    """Notices of all records, with what must not matter thrown in; and what the replica is in the end."""
    notices: list[Notice] = []
    versions: Counter[bytes] = Counter()
    expected = {}
    for at, (key, record) in enumerate(records):
        versions[key] += 2
        payload = b"%d %s" % (versions[key], record)
        notices.append((key, payload))
        if at % 5 == 0:
            notices.append((key, payload))
        if at % 7 == 0:
            notices.append((key, b"%d out of date" % (versions[key] - 1)))
        if at % 400 == 399:
            notices.append((key, b"damaged"))
        expected[key] = payload
    return notices, expected


def version_of(payload: bytes) -> int | None:
    """The version at the beginning of a payload."""
    version, blank, _ = payload.partition(b" ")
    return int(version) if blank and version.isdigit() else None


# ANCHOR: feed
def feed_all(store: repliq.Store, queue: repliq.Queue, notices: list[Notice]) -> repliq.Token:
    """Puts all notices in one transaction; or none, where an earlier run did it, which the producer's numbers tell."""

    def message(at: int) -> repliq.Message:
        key, payload = notices[at]
        return repliq.Message(payload, key=key, producer="registry", producer_sequence=at + 1)

    try:
        # Where it is there already nothing is put, and this is the token of then.
        return queue.put(message(len(notices) - 1)).token
    except repliq.OutOfOrderError:
        with store.session() as session:
            session.put_many(queue, [message(at) for at in range(len(notices))])
            return session.commit().token


# ANCHOR_END: feed


class Shop:
    """What the workers share."""

    def __init__(self, store: repliq.Store) -> None:
        self.store = store
        self.feed, self.replica, self.dead = (store.queue(name) for name in ("feed", "replica", "dead"))
        self.begun = time.monotonic()
        self.lock = threading.Lock()
        self.counts: Counter[str] = Counter()
        self.in_flight = 0
        self.kill = self.over = False
        # By key, the version that the replica has; what an earlier run has done counts.
        self.versions = {one.key: version_of(one.payload) or 0 for one in self.each(self.replica)}

    def count(self, what: str) -> None:
        with self.lock:
            self.counts[what] += 1

    # ANCHOR: consumer
    def consumer(self) -> repliq.Consumer:
        """A worker's consumer: it shares its place in the feed with the others, and one key is worked on at a time."""
        return self.store.consumer(
            "worker",
            self.feed,
            shared=True,
            keyed=True,
            retry_delay=0.05,
            retry_multiplier=2,
            retry_delay_max=0.5,
            max_deliveries=20,
            dead_letters=self.dead,
        )

    # ANCHOR_END: consumer

    def work(self) -> None:
        """Works until there is nothing more to do, or until it dies."""
        # What a worker has when it dies goes to the others, as its session and its consumer are closed.
        with self.consumer() as consumer, self.store.session() as session:
            while not self.over:
                for notice in session.receive(consumer, 1, timeout=0.1):
                    with self.lock:
                        self.in_flight += 1
                    lives = self.one(consumer, session, notice)
                    with self.lock:
                        self.in_flight -= 1
                    if not lives:
                        return

    def dies(self) -> bool:
        with self.lock:
            dies, self.kill = self.kill, False
            return dies

    # ANCHOR: work
    def one(self, consumer: repliq.Consumer, session: repliq.Session, notice: repliq.Message) -> bool:
        """Works on one notice; false where the worker dies in the middle of it."""
        version = version_of(notice.payload)
        if version is None:
            self.fail(consumer, session, notice, 0.001, "this is no notice")
            return True
        if version <= self.versions.get(notice.key, 0):
            # Already processed, or out of date: nothing to do, and so it is done.
            session.commit()
            self.count("known")
            return True
        time.sleep(BUILD)
        if self.dies():
            self.count("killed")
            return False
        if DOWN[0] <= time.monotonic() - self.begun < DOWN[1]:
            self.fail(consumer, session, notice, None, "the replica is down")
            return True
        session.put(self.replica, notice.payload, key=notice.key)
        # Nobody else looks at this key before the commit: until then it is this worker's.
        self.versions[notice.key] = version
        session.commit()
        self.count("done")
        return True

    def fail(
        self,
        consumer: repliq.Consumer,
        session: repliq.Session,
        notice: repliq.Message,
        delay: float | None,
        reason: str,
    ) -> None:
        """Gives a notice back, for later; after twenty times it is a dead letter, with the reason."""
        self.count("retried")
        consumer.reject(notice, delay=delay, reason=reason)
        session.rollback()

    # ANCHOR_END: work

    def run(self) -> None:
        """Works, and when the worker has died another takes its place."""
        try:
            while not self.over:
                self.work()
        except repliq.Error as error:
            print("a worker ends:", error, file=sys.stderr)
            self.counts["failed"] += 1

    def each(self, queue: repliq.Queue) -> Iterator[repliq.Message]:
        """All that is in a queue, in order."""
        with self.store.snapshot() as snapshot:
            start = 1
            while page := snapshot.browse(queue, start=start, max=1_000):
                yield from page
                start = page[-1].sequence + 1

    def wait(self, token: repliq.Token) -> None:
        """Kills a worker a second until all is done, and shows a line of the table, which only a terminal gets."""
        dead, turn, last, before = 0, 0, self.begun, 0
        with self.store.consumer("undertaker", self.dead) as undertaker:
            while not self.counts["failed"]:
                time.sleep(0.25)
                dead += len(undertaker.receive(1_000, timeout=0))
                now, counts = time.monotonic(), self.counts
                through = counts["done"] + counts["known"]
                if sys.stdout.isatty():
                    print(
                        f"\rdone {through:7}   {(through - before) / (now - last):6.0f}/s   in flight {self.in_flight:2}"
                        f"   retried {counts['retried']:5}   dead {dead:4}   killed {counts['killed']:3}",
                        end="",
                        flush=True,
                    )
                last, before, turn = now, through, turn + 1
                self.kill = self.kill or turn % 4 == 0
                try:
                    return self.store.wait(token, at="consumer:worker", timeout=0)
                except repliq.TimeoutError:
                    pass
        sys.exit(1)


def report(shop: Shop, notices: list[Notice], expected: dict[bytes, bytes]) -> None:
    """Says what was done, and looks whether the replica is what one worker alone would have made."""
    counts, seconds = shop.counts, time.monotonic() - shop.begun
    if sys.stdout.isatty():
        print()
    print(
        f"{counts['done']} built and {counts['known']} already processed in {seconds:.1f} s, "
        f"{counts['retried']} retried, {counts['killed']} workers killed"
    )
    replica: dict[bytes, bytes] = {}
    versions: dict[bytes, int] = {}
    wrong = 0
    for one in shop.each(shop.replica):
        version = version_of(one.payload) or 0
        wrong += version <= versions.get(one.key, 0)
        versions[one.key], replica[one.key] = version, one.payload
    dead = sum(1 for _ in shop.each(shop.dead))
    print(f"{len(notices)} notices of {len(replica)} records, {dead} dead letters")
    if wrong or replica != expected:
        sys.exit(f"the replica differs, and {wrong} came out of order")
    print("the replica is what one worker alone would have made")


def main() -> None:
    directory = sys.argv[1] if len(sys.argv) > 1 else "registry_store"
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    all_records = [record for file in sys.argv[3:] or FILES for record in records(file)]
    notices, expected = notices_of(all_records[: count or None])
    if not notices:
        sys.exit("there are no records in the files")
    with repliq.open(directory) as store:
        shop = Shop(store)
        with shop.consumer():
            token = feed_all(store, shop.feed, notices)
            workers = [threading.Thread(target=shop.run) for _ in range(WORKERS)]
            for worker in workers:
                worker.start()
            try:
                shop.wait(token)
            finally:
                shop.over = True
                for worker in workers:
                    worker.join()
        report(shop, notices, expected)


main()
