"""A `repliq serve` of its own for a test: started, stopped, killed, started again at the same place."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import repliq

PROGRAM = Path(__file__).resolve().parents[3] / "target/debug/repliq"
PASSWORD = "a long password"
#: How a test logs in over TCP.
PLAIN: dict[str, Any] = {"password": PASSWORD, "plain": True, "heartbeat": 0.5, "reconnect_max": 0.1}


class Served:
    """A store with a server, which is another process."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.folder, self.words = folder, words
        self.socket = folder / "socket"
        secret = folder / "password"
        secret.write_text(PASSWORD + "\n")
        secret.chmod(0o600)
        for name, right in (("ann", "publish,browse,consume,admin:*"), ("cid", "consume:in")):
            add = ["user", "add", folder / "users", name, "--right", right, "--new-password-file", secret]
            subprocess.run([PROGRAM, *add], check=True, capture_output=True)
        self.address = "127.0.0.1:0"
        self.start()

    def start(self) -> None:
        """Begins to serve, at the same place as before."""
        where = ["--listen", self.address, "--listen", f"unix:{self.socket}"]
        self.process = subprocess.Popen(
            [PROGRAM, "serve", self.folder / "store", "--users-file", self.folder / "users", *where, *self.words],
            stdout=subprocess.PIPE, stderr=(self.folder / "log").open("a"), text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("listening on "), (line, (self.folder / "log").read_text())
        self.address = line.split()[2]

    def url(self, user: str = "ann") -> str:
        return f"repliq://{user}@{self.address}"

    def open(self, **options: Any) -> repliq.Store:
        return repliq.open(self.url(), **{**PLAIN, **options})

    def kill(self) -> None:
        """Ends it as a crash does."""
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """It lives and does nothing meanwhile."""
        os.kill(self.process.pid, signal.SIGSTOP)
        # A signal that was sent is not yet one that was heard.
        end = time.monotonic() + 20
        while Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "T":
            assert time.monotonic() < end
            time.sleep(0.001)
        try:
            yield
        finally:
            os.kill(self.process.pid, signal.SIGCONT)


def certify(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate of its own authority, for one name, and its key."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=office",
         "-addext", f"subjectAltName=DNS:{name}", "-addext", "basicConstraints=critical,CA:FALSE"],
        check=True, capture_output=True,
    )
    key.chmod(0o600)
    return certificate, key
