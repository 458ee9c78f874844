"""What the tests share."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from served import Served

import repliq

# Who is started in the background of a shell ignores Ctrl-C, and Python leaves it at that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def store(tmp_path: Path):
    with repliq.open(tmp_path / "store") as made:
        yield made


@pytest.fixture
def queue(store: repliq.Store) -> repliq.Queue:
    return store.queue("orders")


@pytest.fixture
def served(tmp_path: Path):
    """A server of its own, with plain TCP and a socket."""
    made = Served(tmp_path, "--plain")
    yield made
    made.kill()


@pytest.fixture
def python(tmp_path: Path):
    """Runs a program in an interpreter of its own, and gives what it printed; it must end well.

    On the standard error it says nothing but `says`, at the end of a traceback.
    """

    def run(program: str, *arguments: str, code: int = 0, says: str = "") -> str:
        done = subprocess.run(
            [sys.executable, "-X", "faulthandler", "-c", program, str(tmp_path / "store"), *arguments],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        assert done.stderr.strip().split("\n")[-1] == says, done.stderr
        return done.stdout

    return run
