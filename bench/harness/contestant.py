"""A contestant: a program that is started once, and takes a turn whenever it is asked to.

What is said between it and us stands in bench/peers/rust/src/contest.rs.
"""

from __future__ import annotations

import json
import os
import selectors
import shutil
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from .figures import Stint, complete
from .machine import Device
from .programs import Program, Running

#: Workloads whose commits are over when they are on the disk.
COMMITTING = ("put", "transaction", "multi", "replicate", "paired", "transform", "produce", "workers", "wake")
#: Longest silence of a contestant, above the seconds of its stint.
PATIENCE_S = 240.0


class Failed(Exception):
    """A contestant did not start, or not finish; the text says why."""


@dataclass(frozen=True)
class Plan:
    """Who takes part in a question, and how."""

    name: str
    program: str
    workload: str
    options: dict[str, str | int] = field(default_factory=dict)
    #: One of the few that `make bench` runs; `make bench-all` runs the rest, too.
    first: bool = True
    #: All files below its directory are synced all the time.
    writeback: bool = False
    #: Stints of its own length, where it is much slower than others.
    messages: int | None = None

    def is_ours(self) -> bool:
        return self.program in ("us", "us-served")

    def level(self) -> str:
        return str(self.options.get("level", "power"))

    def together(self) -> int:
        """Commits that can share one flush."""
        return int(self.options.get("threads", 1)) * int(self.options.get("window", 1))

    def commits_to_disk(self) -> bool:
        return self.level() == "power" and self.workload in COMMITTING


class Writeback:
    """Syncs every file below a directory, over and over, while it is entered."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._over.wait(0.02):
            for path in self._directory.rglob("*"):
                try:
                    handle = os.open(path, os.O_RDONLY)
                except OSError:
                    continue  # It went while we looked.
                try:
                    os.fdatasync(handle)
                except OSError:
                    pass
                finally:
                    os.close(handle)

    def __enter__(self) -> Writeback:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


class Contestant:
    """An open one."""

    def __init__(self, plan: Plan, program: Program, room: Path, device: Device) -> None:
        self.plan = plan
        self.version = ""
        self._device = device
        self._room = room / plan.name.replace(" ", "-").replace("/", "-")
        shutil.rmtree(self._room, ignore_errors=True)
        self._room.mkdir(parents=True)
        self._errors = self._room.with_suffix(".log")
        self._running: Running | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._buffer = b""
        try:
            self._start(program)
        except BaseException:
            self.close()
            raise

    def _start(self, program: Program) -> None:
        options: dict[str, str | int] = {"dir": str(self._room), **self.plan.options}
        if program.serve is not None:
            self._running = program.serve(self._room, self.plan.options, self._errors)
            options["port"] = self._running.port
        words = [*program.command, self.plan.workload]
        for name, value in options.items():
            words += [f"--{name}", str(value)]
        with self._errors.open("ab") as errors:
            self._process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
            )
        line = self._line(PATIENCE_S)
        word, _, version = line.partition(" ")
        if word != "ready":
            raise Failed(f"said {line!r} instead of ready")
        self.version = version.split(":")[0].strip()

    def _why(self) -> str:
        lines = self._errors.read_text(errors="replace").strip().splitlines() if self._errors.exists() else []
        return lines[-1][:300] if lines else "it said nothing"

    def _line(self, patience_s: float) -> str:
        assert self._process is not None and self._process.stdout is not None
        until = time.monotonic() + patience_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if not selector.select(max(until - time.monotonic(), 0.0)):
                    raise Failed(f"silent for {patience_s:.0f} s: {self._why()}")
                some = os.read(self._process.stdout.fileno(), 65536)
                if not some:
                    raise Failed(f"ended: {self._why()}")
                self._buffer += some
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode(errors="replace")

    def stint(self, messages: int, seconds: float) -> Stint:
        """One turn."""
        assert self._process is not None and self._process.stdin is not None
        try:
            self._process.stdin.write(f"go {self.plan.messages or messages} {seconds}\n".encode())
            self._process.stdin.flush()
        except OSError as error:
            raise Failed(f"ended: {self._why()}") from error
        if (line := self._line(PATIENCE_S)) != "begin":
            raise Failed(f"said {line!r} instead of begin")
        before = self._device.read()
        if self.plan.writeback:
            with Writeback(self._room):
                line = self._line(PATIENCE_S + seconds)
        else:
            line = self._line(PATIENCE_S + seconds)
        done = self._device.read().since(before)
        try:
            said = json.loads(line)
        except ValueError as error:
            raise Failed(f"said {line!r} instead of figures") from error
        if said.get("messages", 0) <= 0:
            raise Failed("did nothing in its turn")
        return complete({**said, "flushes": done.flushes, "bytes": done.bytes})

    def close(self) -> None:
        """Ends its process and its server, and removes what it wrote."""
        if self._process is not None:
            if self._process.stdin is not None:
                try:
                    self._process.stdin.close()
                except OSError:
                    pass  # It ended before.
            end(self._process, 20.0)
        if self._running is not None:
            self._running.stop()
        shutil.rmtree(self._room, ignore_errors=True)


def end(process: subprocess.Popen[bytes], patience_s: float) -> None:
    """Waits for a process that should end by itself, and ends its group when it does not."""
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
