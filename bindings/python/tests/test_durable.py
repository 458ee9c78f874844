"""What is confirmed is durable: on a disk that waits, and on one that breaks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import repliq

GATE = Path(__file__).resolve().parents[2] / "c/tests/gate.c"

PROGRAM = """
import asyncio, faulthandler, os, sys, threading, time, repliq, repliq.aio
from concurrent.futures import Future
from pathlib import Path

# A call that waits for the gate before it should is told by where it stands.
faulthandler.dump_traceback_later(30, exit=True)
gate = Path(os.environ["REPLIQ_GATE"])
store = repliq.open(sys.argv[1])
queue, session = store.queue("orders"), store.session()
consumer = store.consumer("clerk", queue)
queue.put(b"first")
(first,) = consumer.receive(timeout=10)

def started():
    def commit():
        session.put(queue, b"5")
        return session.commit_async()
    ways = {
        "put_async": lambda: queue.put_async(b"1"),
        "put_many_async": lambda: queue.put_many_async([b"2", b"3"]),
        "store_put_async": lambda: store.put_async(queue, b"4"),
        "commit_async": commit,
    }
    made = {}
    for name, way in ways.items():
        try:
            made[name] = way()
        except repliq.Error as error:
            made[name] = Future()
            made[name].set_exception(error)
    return made

def threaded(call):
    future = Future()
    def run():
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)
    threading.Thread(target=run, daemon=True).start()
    return future

def in_a_loop():
    async def main():
        async with await repliq.aio.open(sys.argv[1] + "2") as other:
            opened.set()
            while not (gate / "waiting").exists():
                await asyncio.sleep(0.001)
            return await (await other.queue("orders")).put(b"6")
    return asyncio.run(main())

opened = threading.Event()
loop = threaded(in_a_loop)
opened.wait(20)
(gate / "shut").touch()
futures = started()
futures |= {"put": threaded(lambda: queue.put(b"7")), "ack": threaded(lambda: consumer.ack(first)), "aio": loop}
while not (gate / "waiting").exists():
    time.sleep(0.001)
for look in range(30):
    for name, future in futures.items():
        if future.done():
            print("early", name)
    time.sleep(0.01)
(gate / "shut").unlink()
for name, future in futures.items():
    print("done", name, future.result(30).level)
(gate / "broken").touch()
for name, future in started().items():
    try:
        future.result(30)
        print("stored", name)
    except repliq.Error as error:
        print("lost", name, error.code.name)
print("end", flush=True)
os._exit(0)
"""


def test_no_future_and_no_call_ends_before_its_commit_is_durable_and_none_on_a_broken_disk(tmp_path: Path) -> None:
    library, gate = tmp_path / "gate.so", tmp_path / "gate"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, GATE], check=True)
    gate.mkdir()
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", PROGRAM, tmp_path / "store"],
        capture_output=True, text=True, timeout=60,
        env={**os.environ, "LD_PRELOAD": str(library), "REPLIQ_GATE": str(gate)},
    )
    said = done.stdout.splitlines()
    assert done.returncode == 0 and said[-1] == "end", done.stdout + done.stderr
    kinds = ["put_async", "put_many_async", "store_put_async", "commit_async"]
    assert said[:-5] == [f"done {one} power" for one in [*kinds, "put", "ack", "aio"]], done.stdout
    lost = [line.split() for line in said[-5:-1]]
    assert [(one[0], one[1]) for one in lost] == [("lost", one) for one in kinds], done.stdout
    codes = {one[2] for one in lost}
    assert "OUTCOME_UNKNOWN" in codes and codes <= {"OUTCOME_UNKNOWN", "POISONED"}, done.stdout
    with repliq.open(tmp_path / "store") as store, store.snapshot() as snapshot:
        found = {one.payload for one in snapshot.browse(store.queue("orders"))}
        assert found >= {b"1", b"2", b"3", b"4", b"5", b"7"}
        assert store.consumer("clerk", store.queue("orders")).receive(timeout=5)[0].payload != b"first"
    with repliq.open(tmp_path / "store2") as store, store.snapshot() as snapshot:
        assert [one.payload for one in snapshot.browse(store.queue("orders"))] == [b"6"]
