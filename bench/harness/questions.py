"""Every question that is asked of this library's speed: who takes part, and what is to be reached.

A new question is one entry of QUESTIONS.
"""

from __future__ import annotations

from dataclasses import dataclass

from .contestant import Plan
from .figures import Goal


@dataclass(frozen=True)
class Question:
    name: str
    title: str
    plans: list[Plan]
    goals: list[Goal]
    #: A stint ends at so many messages or seconds, whichever comes first.
    messages: int = 1_000_000
    seconds: float = 1.0
    rounds: int = 5
    #: Too long for `make bench`.
    late: bool = False


def us(name: str = "us", workload: str = "put", **options: str | int) -> Plan:
    return Plan(name, "us", workload, dict(options))


def peer(program: str, workload: str = "put", name: str = "", first: bool = True, **options: str | int) -> Plan:
    return Plan(name or program, program, workload, dict(options), first)


def floor(kind: str, **options: str | int) -> Plan:
    return Plan(f"floor-{kind}", "us", f"floor-{kind}", dict(options))


def at_least(ours: str, theirs: str | None, bound: float, figure: str = "rate_per_s", aim: bool = False) -> Goal:
    return Goal(ours, theirs, ">=", bound, figure, aim=aim)


def at_most(ours: str, theirs: str | None, bound: float, figure: str, aim: bool = False) -> Goal:
    return Goal(ours, theirs, "<=", bound, figure, aim=aim)


def _process() -> list[Question]:
    level = "process"
    alone = us(level=level)
    return [
        Question(
            "process",
            "One message of 100 bytes a commit, no power cut survived, one thread",
            [
                floor("copy", level=level),
                alone,
                peer("chronicle", level=level),
                peer("lmdb", level=level),
                peer("aeron", level=level, window=65536),
                peer("sqlite", level=level, first=False),
                peer("redb", level=level, first=False),
                peer("rocksdb", level=level, first=False),
                peer("berkeleydb", level=level, first=False),
                peer("raft-engine", level=level, first=False),
            ],
            [
                at_least("us", "floor-copy", 0.5),
                at_least("us", "chronicle", 5),
                at_least("us", "lmdb", 2),
                at_least("us", "aeron", 1.5),
            ],
            rounds=9,
        ),
        Question(
            "process-writeback",
            "The same while everything written is synced all the time",
            [
                Plan("us", "us", "put", {"level": level}, writeback=True),
                Plan("chronicle", "chronicle", "put", {"level": level}, writeback=True),
            ],
            [at_least("us", "chronicle", 1.5)],
            messages=20_000_000,
            seconds=3.0,
        ),
        Question(
            "process-shapes",
            "The same by several threads, into 1,000 queues, in batches",
            [
                alone,
                us("us 2 threads", level=level, threads=2),
                us("us 4 threads", level=level, threads=4),
                us("us 1000 queues", level=level, queues=1000),
                us("us batch", level=level, batch=256),
                us("us batch 2 threads", level=level, batch=256, threads=2),
                us("us batch 4 threads", level=level, batch=256, threads=4),
            ],
            [
                at_least("us 2 threads", "us", 0.4),
                at_least("us 4 threads", "us", 0.4),
                at_least("us 1000 queues", "us", 0.7),
                at_least("us batch", "us", 1.3),
                at_least("us batch 2 threads", "us batch", 0.7),
                at_least("us batch 4 threads", "us batch", 0.7),
            ],
            rounds=9,
        ),
        Question(
            "process-tail",
            "The same at 200,000 a second for a minute, each time counted from when it was due",
            [
                us(workload="paced", level=level, rate=200_000),
                peer("chronicle", "paced", level=level, rate=200_000),
            ],
            [at_most("us", None, 50, "tail"), at_most("us", "chronicle", 0.5, "p9999_us")],
            messages=100_000_000,
            seconds=60.0,
            rounds=1,
        ),
    ]


def _durable() -> list[Question]:
    def one(name: str, size: int) -> Question:
        return Question(
            name,
            f"One message of {size} bytes a durable commit, one thread",
            [
                us("us paired", "paired", size=size),
                us(size=size),
                peer("raft-engine", size=size),
                peer("berkeleydb", size=size),
                peer("okaywal", size=size),
                peer("chronicle", size=size),
                peer("aeron", size=size, first=False),
                peer("sqlite", size=size, first=False),
                peer("lmdb", size=size, first=False),
                peer("redb", size=size, first=False),
                peer("rocksdb", size=size, first=False),
            ],
            [
                at_most("us paired", None, 1.10, "over_floor"),
                at_most("us paired", None, 1.05, "over_floor", aim=True),
                at_least("us", "best", 1.0),
                at_least("us", "median", 1.3),
            ],
            seconds=0.7,
        )

    def crowd(threads: int, syncs: float, aim: float) -> Question:
        slow = ("lmdb", "sqlite", "redb", "chronicle")
        return Question(
            f"power-{threads}",
            f"One message of 100 bytes a durable commit, {threads} threads",
            [
                us(threads=threads),
                peer("raft-engine", threads=threads),
                peer("berkeleydb", threads=threads),
                peer("rocksdb", threads=threads),
                peer("okaywal", threads=threads, first=False),
                *(peer(name, threads=threads, first=False) for name in slow),
            ],
            [
                at_least("us", "raft-engine", 1.5),
                at_least("us", "raft-engine", aim, aim=True),
                at_most("us", None, syncs, "flushes_per_commit"),
                at_least("us", "berkeleydb", 3),
                at_least("us", "rocksdb", 3),
                *(at_least("us", name, 10) for name in slow),
            ],
            seconds=0.7,
            rounds=9,
        )

    return [
        one("power", 100),
        one("power-1k", 1024),
        Question(
            "power-bytes",
            "What a durable commit costs the device",
            [us("us 100", size=100), us("us 1k", size=1024)],
            [
                at_most("us 100", None, 1.05, "flushes_per_commit"),
                at_most("us 100", None, 4813, "bytes_per_commit"),
                at_most("us 1k", None, 1.05, "flushes_per_commit"),
                at_most("us 1k", None, 6144, "bytes_per_commit"),
            ],
            # On average over so many; the first ones prepare segments.
            messages=2_000,
            seconds=20.0,
            rounds=3,
        ),
        crowd(16, 0.08, 1.8),
        crowd(64, 0.025, 2.0),
    ]


def _in_flight() -> list[Question]:
    return [
        Question(
            "window",
            "Durable commits of 100 bytes, 512 in flight",
            [us(window=512), peer("aeron", window=512)],
            [at_least("us", "aeron", 1.0), at_least("us", "aeron", 1.5, aim=True)],
        ),
        Question(
            "window-1k",
            "Durable commits of 1 KiB, 512 in flight",
            [floor("write", size=1024), us(window=512, size=1024), peer("aeron", window=512, size=1024)],
            [
                at_least("us", "floor-write", 0.6),
                at_least("us", "aeron", 1.0),
                at_least("us", "aeron", 1.5, aim=True),
            ],
        ),
        Question(
            "window-65536",
            "Durable commits of 100 bytes, 65,536 in flight",
            [us(window=65536), peer("aeron", window=65536)],
            [at_least("us", "aeron", 1.0)],
            messages=4_000_000,
        ),
    ]


def _transactions() -> list[Question]:
    def of(batch: int, okaywal: float, others: float, gate: float | None) -> Question:
        slow = ("sqlite", "lmdb", "raft-engine", "rocksdb")
        return Question(
            f"transaction-{batch}",
            f"Durable transactions of {batch:,} messages of 100 bytes",
            [
                floor("sync", batch=batch),
                us(workload="transaction", batch=batch),
                peer("okaywal", batch=batch),
                peer("raft-engine", batch=batch),
                peer("sqlite", batch=batch),
                peer("lmdb", batch=batch, first=False),
                peer("rocksdb", batch=batch, first=False),
                peer("redb", batch=batch, first=False),
                peer("berkeleydb", batch=batch, first=False),
            ],
            [
                *([at_least("us", "floor-sync", gate)] if gate else []),
                at_least("us", "okaywal", okaywal),
                *(at_least("us", name, others) for name in slow),
            ],
            messages=10_000_000,
            seconds=0.7,
        )

    return [of(100, 1.0, 1.5, 0.95), of(10_000, 1.2, 2.0, None)]


def _reading() -> list[Question]:
    def read(name: str, workload: str, title: str, goals: list[Goal]) -> Question:
        return Question(
            name,
            title,
            [
                floor("read"),
                us(workload=workload),
                peer("raft-engine", workload),
                peer("chronicle", workload),
                peer("lmdb", workload),
                peer("sqlite", workload, first=False),
                peer("rocksdb", workload, first=False),
                peer("redb", workload, first=False),
            ],
            goals,
            seconds=10.0,
        )

    drained = [at_least("us", "raft-engine", 2.0), at_least("us", "chronicle", 1.0)]
    return [
        read("drain", "drain", "A million messages taken, acknowledged durably every 10,000", drained),
        read("scan", "scan", "A million messages read, every checksum checked", [at_least("us", "floor-read", 0.5)]),
    ]


def _opening() -> list[Question]:
    def opened(name: str, large: str, messages: int, late: bool) -> Question:
        return Question(
            name,
            f"Opening a store with a backlog of 10 MiB and of {large}, after a close and after kill -9",
            [
                us("us small", "open", size=1024, backlog=10_000),
                us("us small killed", "open", size=1024, backlog=10_000, killed=1),
                us("us large", "open", size=1024, backlog=messages),
                us("us large killed", "open", size=1024, backlog=messages, killed=1),
            ],
            # 20 ms, and the time to read two segments of 64 MiB at 1 GB/s.
            [
                *(
                    at_most(name, None, 20_000 + 134_000, "p50_us")
                    for name in ("us small", "us small killed", "us large", "us large killed")
                ),
                at_most("us large", None, 64, "resident_mib"),
                at_most("us large killed", None, 64, "resident_mib"),
            ],
            seconds=60.0,
            rounds=3,
            late=late,
        )

    return [opened("open", "1 GiB", 1_000_000, False), opened("open-10g", "10 GiB", 10_000_000, True)]


def _shapes() -> list[Question]:
    return [
        Question(
            "shapes",
            "Durable commits with a backlog of 1 GiB, many queues and targets, 512 in flight or 16 threads",
            [
                us("us", window=512),
                us("us backlog", window=512, backlog=1_000_000, backlog_size=1024),
                us("us 16 threads", threads=16),
                us("us 1000 queues", threads=16, queues=1000),
                us("us 1 target", threads=16, targets=1),
                us("us 16 targets", threads=16, targets=16),
            ],
            [
                at_least("us backlog", "us", 0.9),
                at_least("us 1000 queues", "us 16 threads", 0.9),
                at_least("us 16 targets", "us 1 target", 0.9),
            ],
        ),
        Question(
            "backlog-10g",
            "Durable commits with a backlog of 10 GiB, 512 in flight",
            [us("us", window=512), us("us backlog", window=512, backlog=10_000_000, backlog_size=1024)],
            [at_least("us backlog", "us", 0.9)],
            late=True,
        ),
        Question(
            "encrypted",
            "Encrypted against plain",
            [
                us("us power"),
                us("us power encrypted", encrypted=1),
                us("us batch", level="process", batch=256),
                us("us batch encrypted", level="process", batch=256, encrypted=1),
                us("us single", level="process"),
                us("us single encrypted", level="process", encrypted=1),
            ],
            [
                at_least("us power encrypted", "us power", 0.95),
                at_least("us batch encrypted", "us batch", 0.5),
                at_least("us single encrypted", "us single", 0.12),
            ],
            seconds=0.7,
        ),
    ]


def _replicated() -> list[Question]:
    return [
        Question(
            "replicate",
            "Messages of 100 bytes until a server has them, both ends durable, 512 in flight",
            [
                us("us local", window=512),
                us("us", "replicate", window=512),
                us("us 3 servers", "replicate", window=512, targets=3),
                peer("redis", window=512),
                peer("nats", window=512),
                peer("aeron", "remote", window=512),
                peer("kafka", window=512, first=False),
                peer("artemis", window=512, first=False),
                peer("rabbitmq", window=512, first=False),
            ],
            [
                at_least("us", "us local", 0.6),
                at_least("us 3 servers", "us", 0.8),
                at_least("us", "redis", 2),
                at_least("us", "aeron", 1.0),
                *(at_least("us", name, 5) for name in ("nats", "kafka", "artemis", "rabbitmq")),
            ],
        ),
        Question(
            "replicate-1k",
            "The same with 1 KiB",
            [
                us("us", "replicate", window=512, size=1024),
                peer("redis", window=512, size=1024),
                peer("nats", window=512, size=1024),
                peer("aeron", "remote", window=512, size=1024, first=False),
                peer("kafka", window=512, size=1024, first=False),
                peer("artemis", window=512, size=1024, first=False),
                peer("rabbitmq", window=512, size=1024, first=False),
            ],
            [
                at_least("us", "redis", 2),
                *(at_least("us", name, 5) for name in ("nats", "kafka", "artemis", "rabbitmq")),
            ],
        ),
        Question(
            "replicate-process",
            "The same with 100 bytes, neither end surviving a power cut",
            [
                us("us", "replicate", window=512, level="process"),
                peer("redis", window=512, level="process"),
                peer("nats", window=512, level="process"),
                peer("kafka", window=512, level="process", first=False),
                peer("artemis", window=512, level="process", first=False),
                peer("rabbitmq", window=512, level="process", first=False),
            ],
            [at_least("us", "redis", 1.5)],
        ),
        Question(
            "replicate-one",
            "The acknowledgement of one replicated message at idle",
            [
                floor("sync"),
                us("us", "replicate"),
                peer("redis"),
                peer("nats"),
                peer("aeron", "remote", first=False),
                peer("kafka", first=False),
                peer("artemis", first=False),
                peer("rabbitmq", first=False),
            ],
            # Two syncs and 20 %, and the round trip.
            [at_most("us", "floor-sync", 2.4, "p50_us"), at_most("us", "redis", 1.0, "p50_us")],
            seconds=0.7,
        ),
    ]


def _sessions() -> list[Question]:
    def served(name: str, workload: str, title: str, late: bool) -> Question:
        def plan(program: str, name: str, messages: int | None = None) -> Plan:
            return Plan(name, program, workload, {"threads": 16, "batch": 100}, messages=messages)

        return Question(
            name,
            title,
            [
                plan("us-served", "us"),
                plan("redis-sessions", "redis", 160_000),
                plan("artemis-sessions", "artemis", 64_000),
                plan("kafka-sessions", "kafka", 64_000),
            ],
            [at_least("us", "artemis", 10), at_least("us", "kafka", 10), at_least("us", "redis", 2)],
            messages=480_000,
            late=late,
        )

    return [
        Question(
            "session",
            "Durable transactions that take 100 messages and put 100, one session",
            [us("us plain", "produce", batch=100), us("us", "transform", batch=100)],
            [at_least("us", "us plain", 0.8)],
            messages=400_000,
        ),
        served(
            "session-16", "transform", "Durable transactions that take 100 messages and put 100, 16 sessions over loopback", False
        ),
        served("session-16-put", "produce", "Durable transactions that put 100 messages, 16 sessions over loopback", True),
    ]


def _consumers() -> list[Question]:
    keyed = {"keys": 1_000_000}
    workers = {"threads": 16, "keys": 1_000_000, "build_ms": 10}
    return [
        Question(
            "workers",
            "16 workers that share a consumer by key, 10 ms a message, each committed durably; keys all differ",
            [Plan("us", "us", "workers", dict(workers)), Plan("us server", "us-served", "workers", dict(workers))],
            # Of 1,600 a second.
            [at_least("us", None, 1_440), at_least("us server", None, 1_440)],
            messages=5_000,
            seconds=2.0,
            rounds=3,
        ),
        Question(
            "keys",
            "A million messages with keys of their own taken, acknowledged durably every 10,000",
            [
                Plan("us", "us", "drain", dict(keyed)),
                Plan("us shared", "us", "drain", {**keyed, "shared": 1}),
                Plan("us keyed", "us", "drain", {**keyed, "keyed": 1}),
                Plan("us shared keyed", "us", "drain", {**keyed, "shared": 1, "keyed": 1}),
            ],
            [at_least("us keyed", "us", 0.8), at_least("us shared keyed", "us shared", 0.8)],
            seconds=10.0,
        ),
        Question(
            "waiting",
            "A million messages with keys of their own that a consumer has read and cannot give out yet",
            [
                us("us behind one", "waiting", backlog=1_000_000, keys=1_000_000),
                us("us delayed", "waiting", backlog=1_000_000, keys=1_000_000, delayed=1),
            ],
            [at_most(name, None, 64, "bytes_each") for name in ("us behind one", "us delayed")],
            seconds=60.0,
            rounds=3,
        ),
        Question(
            "wake",
            "From a durable put until a consumer that waits has the message, everybody idle for a millisecond before",
            [
                us("us here", "wake"),
                Plan("us", "us-served", "wake"),
                # NATS does not sync its acknowledgements.
                Plan("us lazy", "us-served", "wake", {"lazy": 1}),
                peer("redis-sessions", "wake", "redis"),
                peer("nats", "wake"),
            ],
            [
                at_most(ours, theirs, 1.0, figure)
                for ours, theirs in (("us", "redis"), ("us", "nats"), ("us lazy", "nats"))
                for figure in ("p50_us", "p99_us")
            ],
            messages=100_000,
        ),
    ]


def _calls() -> list[Question]:
    calls = ("session_put", "store_queue", "port_fd", "two_puts")
    return [
        Question(
            "calls",
            "A call of C over the same call of Rust, by one thread and by two with handles of their own",
            [Plan("us c", "calls-c", "calls"), Plan("us rust", "calls-rust", "calls")],
            [Goal("us c", "us rust", "<=", 10, f"{call}_ns", more=True) for call in calls],
        )
    ]


QUESTIONS: list[Question] = [
    *_process(),
    *_durable(),
    *_in_flight(),
    *_transactions(),
    *_reading(),
    *_opening(),
    *_shapes(),
    *_replicated(),
    *_sessions(),
    *_consumers(),
    *_calls(),
]
