#!/usr/bin/env python3
"""Builds the tests of the core and runs their programs, a few beside each other: many of them wait, for a child, a
socket or a disk, and leave the processors to the others.

Usage: scripts/beside.py [NAME...]      all programs, or those of these names (engine, kill, lib, bin, doc ...)

What a program prints comes in one piece when it has ended, as cargo would show it, with how long it took and how much
of a processor it used. Ends with 1 where one of them failed.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Two run beside each other: one lane begins with those that compute all the time, the other with those that wait most,
# until they meet. Each program runs as many tests at a time as there are processors.
COMPUTE = ["engine", "planted", "encryption", "abi", "window"]
WAIT = ["net", "power", "sessions", "serve", "kill", "examples", "cli"]
# These count what a process does, and have the machine to themselves.
ALONE = ["idle", "soak"]
# The words of `make test`: shown output is what brings the SKIPPED lines of passing tests into the log.
WORDS = ["--show-output"]


def built():
    """The programs of the tests by name, as cargo built them."""
    command = ["cargo", "test", "--locked", "--no-run", "--message-format=json-render-diagnostics"]
    begun = time.monotonic()
    said = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if said.returncode != 0:
        sys.exit(said.returncode)
    print(f"built in {time.monotonic() - begun:.0f} s", flush=True)
    programs = {}
    for line in said.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["profile"]["test"]:
            target = message["target"]
            name = target["name"] if target["kind"] == ["test"] else target["kind"][0]
            programs[name] = [message["executable"], *WORDS]
    programs["doc"] = ["cargo", "test", "--locked", "--doc", "--", *WORDS]
    return programs


def surroundings():
    """What cargo's wrapper would tell the programs: which compiler a cargo that they start is to take, also below a folder
    that names another one."""
    sysroot = subprocess.run(["rustc", "--print", "sysroot"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return os.environ | {"RUSTUP_TOOLCHAIN": os.environ.get("RUSTUP_TOOLCHAIN") or sysroot.stdout.strip()}


class Run:
    """The programs that are still to be run, and what became of the others."""

    def __init__(self, programs):
        self.programs = programs
        self.environment = surroundings()
        self.lock = threading.Lock()
        self.failed = []

    def one(self, name):
        """Runs a program and prints what it said."""
        begun = time.monotonic()
        # A file, since whoever a test left behind would keep a pipe open.
        with tempfile.TemporaryFile() as out:
            child = subprocess.Popen(
                self.programs[name],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
            _, status, used = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            took = time.monotonic() - begun
            out.seek(0)
            said = out.read()
        with self.lock:
            print(f"     Running {name}", flush=True)
            sys.stdout.buffer.write(said)
            cpu = used.ru_utime + used.ru_stime
            print(f"{name}: {took:.0f} s, {cpu:.0f} s of a processor, status {child.returncode}\n", flush=True)
            if child.returncode != 0:
                self.failed.append(name)

    def lane(self, names, end):
        """Runs one program after the other, from this end of the list, until there is none."""
        while True:
            with self.lock:
                if not names:
                    return
                name = names.pop(end)
            self.one(name)


def main():
    """Runs them all."""
    programs = built()
    wanted = sys.argv[1:] or list(programs)
    unknown = [name for name in wanted if name not in programs]
    if unknown:
        sys.exit(f"beside: there is no {', '.join(unknown)}; there are {', '.join(programs)}")
    place = {name: at - len(COMPUTE) for at, name in enumerate(COMPUTE)} | {name: at + 1 for at, name in enumerate(WAIT)}
    together = sorted((name for name in wanted if name not in ALONE), key=lambda name: place.get(name, 0))
    run = Run(programs)
    lanes = [threading.Thread(target=run.lane, args=(together, end)) for end in (0, -1)]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()
    run.lane([name for name in wanted if name in ALONE], 0)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"all: {used.ru_utime + used.ru_stime:.0f} s of a processor", flush=True)
    if run.failed:
        sys.exit(f"failed: {', '.join(run.failed)}")


if __name__ == "__main__":
    main()
