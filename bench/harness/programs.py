"""Where the programs are, how their servers are started, and which settings are fair; docs/BENCHMARKS.md repeats those."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / "target" / "bench"
#: Longest that a server takes until it listens.
START_S = 60.0


class Missing(Exception):
    """A program is not on this machine; the text says why."""


@dataclass
class Running:
    """A private server on loopback."""

    process: subprocess.Popen[bytes]
    port: int
    #: Ends what the server left running.
    after: list[str] | None = None

    def stop(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(20.0)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        if self.after is not None:
            subprocess.run(self.after, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


Serve = Callable[[Path, dict[str, "str | int"], Path], Running]


@dataclass(frozen=True)
class Program:
    command: list[str]
    serve: Serve | None = None


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def start(
    words: list[str],
    port: int,
    errors: Path,
    environment: dict[str, str] | None = None,
    after: list[str] | None = None,
) -> Running:
    """Starts a server in a group of its own, and waits until it listens."""
    with errors.open("ab") as out:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
        )
    running = Running(process, port, after)
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return running
        except OSError:
            time.sleep(0.05)
    running.stop()
    raise Missing(f"{Path(words[0]).name} did not listen, see {errors}")


def power(options: dict[str, str | int]) -> bool:
    return options.get("level", "power") == "power"


def redis(room: Path, options: dict[str, str | int], errors: Path) -> Running:
    """`power`: appendfsync always. Otherwise everysec. No snapshots, no rewriting of the file."""
    program = shutil.which("redis-server")
    if program is None:
        raise Missing("redis-server is not installed")
    port = free_port()
    words = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(room), "--save", "", "--appendonly", "yes"]
    words += ["--appendfsync", "always" if power(options) else "everysec", "--auto-aof-rewrite-percentage", "0"]
    return start(words, port, errors)


def ours(room: Path, options: dict[str, str | int], errors: Path) -> Running:
    """A store of ours behind a server in a process of its own."""
    port = free_port()
    level = "power" if power(options) else "process"
    return start([*us(), "serve", "--dir", str(room), "--port", str(port), "--level", level], port, errors)


def us() -> list[str]:
    program = ROOT / "target" / "release" / "examples" / "contest"
    if not program.exists():
        raise Missing("our own side was not built")
    return [str(program)]


def nats(room: Path, options: dict[str, str | int], errors: Path) -> Running:
    """JetStream in files. `power`: sync_interval always. Otherwise its default of two minutes."""
    port = free_port()
    interval = "always" if power(options) else "2m"
    settings = room / "server.conf"
    settings.write_text(
        f'listen: "127.0.0.1:{port}"\njetstream {{ store_dir: "{room}/store", max_file_store: 64GB, sync_interval: {interval} }}\n'
    )
    return start([built("go/nats-server"), "--config", str(settings)], port, errors)


def rabbitmq(room: Path, options: dict[str, str | int], errors: Path) -> Running:
    """One node whose files, cookie and Erlang port mapper are its own; the mapper ends with it."""
    found = sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmq-server"))
    if not found:
        raise Missing("rabbitmq-server is not installed")
    port, distribution, mapper = free_port(), free_port(), free_port()
    settings = room / "rabbitmq.conf"
    settings.write_text(f"listeners.tcp.1 = 127.0.0.1:{port}\nloopback_users = none\n")
    (room / "plugins").write_text("[].\n")
    environment = {
        "HOME": str(room),
        "ERL_EPMD_PORT": str(mapper),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": f"bench-{port}@localhost",
        "RABBITMQ_CONFIG_FILE": str(settings),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(room / "plugins"),
        "RABBITMQ_MNESIA_BASE": str(room / "mnesia"),
        "RABBITMQ_LOG_BASE": str(room / "log"),
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
    }
    after = ["epmd", "-port", str(mapper), "-kill"]
    return start([str(found[-1])], port, errors, environment, after)


def java(name: str) -> list[str]:
    """The command of a class of bench/peers/java, with what Chronicle Queue and Aeron ask for."""
    classes = BUILT / "java" / "classes"
    paths = BUILT / "java" / "classpath"
    if not (classes / "contest" / f"{name}.class").exists() or not paths.exists():
        raise Missing(f"contest.{name} was not built")
    opens = ["java.base/jdk.internal.misc", "java.base/jdk.internal.ref", "java.base/sun.nio.ch", "java.base/java.lang"]
    opens += ["java.base/java.lang.reflect", "java.base/java.io", "java.base/java.util", "java.base/java.nio"]
    opens += ["jdk.compiler/com.sun.tools.javac", "jdk.compiler/com.sun.tools.javac.file", "jdk.unsupported/sun.misc"]
    flags = [word for one in opens for word in ("--add-opens", f"{one}=ALL-UNNAMED")]
    flags += ["--add-exports", "java.base/jdk.internal.ref=ALL-UNNAMED", "--add-exports", "java.base/jdk.internal.misc=ALL-UNNAMED"]
    flags += ["-XX:+UseSerialGC", "-Xmx2g", "-Dchronicle.analytics.disable=true", "-Daeron.dir.warn.if.exists=false"]
    return ["java", *flags, "-cp", f"{classes}:{paths.read_text().strip()}", f"contest.{name}"]


def jvm_server(name: str) -> Serve:
    def serve(room: Path, options: dict[str, str | int], errors: Path) -> Running:
        port = free_port()
        level = "power" if power(options) else "process"
        return start([*java(name), "--dir", str(room), "--port", str(port), "--level", level], port, errors)

    return serve


def built(path: str) -> str:
    program = BUILT / path
    if not program.exists():
        raise Missing(f"{program.name} was not built")
    return str(program)


def wrapped(program: Path) -> Program:
    if not program.exists():
        raise Missing(f"{program.name} was not built")
    return Program([sys.executable, str(ROOT / "bench" / "harness" / "wrapped.py"), str(program)])


def find(name: str) -> Program:
    """The program of this name, or why it is not here."""
    match name:
        case "us":
            return Program(us())
        case "us-served":
            return Program(us(), ours)
        case "calls-c":
            return wrapped(BUILT / "calls" / "call")
        case "calls-rust":
            return wrapped(ROOT / "target" / "release" / "examples" / "call")
        case "raft-engine" | "okaywal" | "redb":
            return Program([built(f"rust/release/{name}")])
        case "lmdb" | "sqlite" | "rocksdb" | "berkeleydb":
            return Program([built(f"c/{name}")])
        case "chronicle":
            return Program(java("Chronicle"))
        case "aeron":
            return Program(java("AeronRecorded"))
        case "redis":
            return Program([built("c/redis")], redis)
        case "redis-sessions":
            return Program([built("c/redis_sessions")], redis)
        case "kafka-sessions":
            return Program(java("KafkaTransforming"), jvm_server("KafkaServing"))
        case "artemis-sessions":
            return Program(java("ArtemisTransforming"), jvm_server("ArtemisServing"))
        case "nats":
            return Program([built("go/nats-contest")], nats)
        case "kafka":
            return Program(java("KafkaProducing"), jvm_server("KafkaServing"))
        case "rabbitmq":
            return Program(java("RabbitPublishing"), rabbitmq)
        case "artemis":
            return Program(java("ArtemisSending"), jvm_server("ArtemisServing"))
    raise Missing(f"there is no program {name!r}")
