#!/usr/bin/env python3
"""The power cuts of T6 and single flipped bits, done to other stores and to this one, in one table.

    sudo python3 tests/peers/peers.py [--cuts 30] [--flips 200] [--seed 1] [SUBJECT...]

Subjects: append (a plain file, for comparison), sqlite, lmdb, redis, nats-always, nats-default, repliq. One whose program or module is missing is named and
left out. lmdb and repliq are Python modules (repliq: target/venv/bin/python after `make test-python`); redis-server
and nats-server are looked for in PATH.

A cut: a child puts messages of 100 bytes into a store on an ext4 file system in a file on a loop device, one durable
commit each, and says which were confirmed. At any instant, often after some ranges were written early, the file
system is shut down as if the power went; then it is mounted again, the store is opened by its own means, and all of it
is read. A flip: one bit of one file of a store of 2,000 messages that was closed in order.

Both count what was confirmed and is not there (lost), what came back with other bytes (wrong), what is missing without
a word (silent: the store opened and read to its end without an error), and stores that did not open (shut).
"""

import argparse
import ctypes
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

SHUTDOWN, NO_LOG_FLUSH = 0x8004587D, 2
LIBC = ctypes.CDLL(None, use_errno=True)
PATIENCE = 20


def payload(number):
    """The bytes of a message: its number, and what follows from it."""
    text = f"{number:08d}:"
    while len(text) < 100:
        text += hashlib.sha256(text.encode()).hexdigest()
    return text[:100].encode()


def number_of(data):
    """The number of a message, or None where a byte of it is another."""
    try:
        number = int(data[:8])
    except ValueError:
        return None
    return number if payload(number) == bytes(data) else None


class Told(Exception):
    """The store itself said that something is wrong."""


# ---- subjects: put(number) returns when it is durable, read() gives all payloads in order


class Append:
    """No store at all: what the kernel itself keeps of a file that grows. What is lost here, nobody can keep."""

    setting = "a plain file: write at its end, fdatasync"

    @staticmethod
    def version():
        return os.uname().release

    def __init__(self, path):
        os.makedirs(path, exist_ok=True)
        self.file = os.open(path + "/file", os.O_RDWR | os.O_CREAT | os.O_APPEND)
        self.folder = os.open(path, os.O_RDONLY)
        os.fsync(self.folder)

    def put(self, number):
        os.write(self.file, payload(number))
        os.fdatasync(self.file)

    def read(self):
        size = os.fstat(self.file).st_size
        return [os.pread(self.file, 100, at) for at in range(0, size // 100 * 100, 100)]

    def close(self):
        os.close(self.file)


class Sqlite:
    setting = "journal_mode=WAL, synchronous=FULL"

    @staticmethod
    def version():
        import sqlite3

        return sqlite3.sqlite_version

    def __init__(self, path):
        import sqlite3

        self.errors = sqlite3.Error
        os.makedirs(path, exist_ok=True)
        self.base = sqlite3.connect(path + "/db", isolation_level=None)
        try:
            self.base.execute("PRAGMA journal_mode=WAL")
            self.base.execute("PRAGMA synchronous=FULL")
            self.base.execute("CREATE TABLE IF NOT EXISTS m (n INTEGER PRIMARY KEY, data BLOB)")
        except self.errors as error:
            raise Told(error) from error

    def put(self, number):
        self.base.execute("INSERT INTO m (data) VALUES (?)", (payload(number),))

    def read(self):
        try:
            return [row[0] for row in self.base.execute("SELECT data FROM m ORDER BY n")]
        except self.errors as error:
            raise Told(error) from error

    def close(self):
        self.base.close()


class Lmdb:
    setting = "its default: synced at each commit"

    @staticmethod
    def version():
        import lmdb

        return ".".join(str(part) for part in lmdb.version())

    def __init__(self, path):
        import lmdb

        os.makedirs(path, exist_ok=True)
        self.errors = lmdb.Error
        try:
            self.base = lmdb.open(path, map_size=64 << 20)
        except self.errors as error:
            raise Told(error) from error

    def put(self, number):
        with self.base.begin(write=True) as transaction:
            transaction.put(number.to_bytes(8, "big"), payload(number))

    def read(self):
        try:
            with self.base.begin() as transaction:
                return [bytes(value) for _, value in transaction.cursor()]
        except self.errors as error:
            raise Told(error) from error

    def close(self):
        self.base.close()


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Served:
    """A store behind a server of its own on loopback."""

    def __init__(self, path):
        os.makedirs(path, exist_ok=True)
        self.port = free_port()
        self.server = subprocess.Popen(self.command(path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + PATIENCE
        while True:
            try:
                self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
                break
            except OSError:
                if self.server.poll() is not None or time.monotonic() > until:
                    self.server.kill()
                    raise Told("the server does not start") from None
                time.sleep(0.01)
        self.file = self.socket.makefile("rb")
        try:
            self.greet()
        except (OSError, KeyError, ValueError) as error:
            self.server.kill()
            raise Told(error) from error

    def close(self):
        self.socket.close()
        self.server.terminate()
        self.server.wait()


class Redis(Served):
    setting = "appendonly yes, appendfsync always, save ''"

    @staticmethod
    def version():
        return subprocess.run(["redis-server", "--version"], capture_output=True, text=True).stdout.split()[2]

    def command(self, path):
        options = f"--port {self.port} --bind 127.0.0.1 --dir {path} --appendonly yes --appendfsync always"
        return ["redis-server", *options.split(), "--save", ""]

    def ask(self, *words):
        parts = [word if isinstance(word, bytes) else word.encode() for word in words]
        request = b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
        self.socket.sendall(request)
        return self.answer()

    def answer(self):
        line = self.file.readline()
        if not line:
            raise OSError("the server went away")
        kind, rest = line[:1], line[1:].strip()
        if kind == b"-":
            raise ValueError(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        return [self.answer() for _ in range(int(rest))] if kind == b"*" else rest

    def greet(self):
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return self.ask("PING")
            except ValueError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.01)

    def put(self, number):
        self.ask("RPUSH", "m", payload(number))

    def read(self):
        return self.ask("LRANGE", "m", "0", "-1")


class Nats(Served):
    setting = "JetStream, file store, sync_interval: always"
    sync = "always"

    @staticmethod
    def version():
        return subprocess.run(["nats-server", "--version"], capture_output=True, text=True).stdout.split()[-1]

    def command(self, path):
        with open(path + ".conf", "w", encoding="utf-8") as file:
            sync = f"sync_interval: {self.sync}" if self.sync else ""
            file.write(f'listen: "127.0.0.1:{self.port}"\njetstream {{ store_dir: "{path}"\n {sync} }}\n')
        return ["nats-server", "-c", path + ".conf"]

    def greet(self):
        self.file.readline()
        self.socket.sendall(b'CONNECT {"verbose":false}\r\nSUB in 1\r\n')
        until = time.monotonic() + PATIENCE
        stream = {"name": "S", "subjects": ["m"], "storage": "file"}
        while True:
            answer = json.loads(self.ask("$JS.API.STREAM.CREATE.S", json.dumps(stream).encode()))
            if "error" not in answer:
                return
            if time.monotonic() > until:
                raise ValueError(answer)
            time.sleep(0.05)

    def ask(self, subject, data):
        self.socket.sendall(b"PUB %s in %d\r\n%s\r\n" % (subject.encode(), len(data), data))
        while True:
            line = self.file.readline()
            if not line:
                raise OSError("the server went away")
            if line.startswith(b"PING"):
                self.socket.sendall(b"PONG\r\n")
            elif line.startswith((b"MSG", b"HMSG")):
                words = line.split()
                body = self.file.read(int(words[-1]) + 2)[:-2]
                # A message with a head: nobody is there to answer.
                return b'{"error":"nobody"}' if line.startswith(b"HMSG") else body

    def put(self, number):
        answer = json.loads(self.ask("m", payload(number)))
        if "error" in answer:
            raise ValueError(answer)

    def read(self):
        import base64

        state = json.loads(self.ask("$JS.API.STREAM.INFO.S", b""))["state"]
        found = []
        for sequence in range(max(1, state["first_seq"]), state["last_seq"] + 1):
            answer = json.loads(self.ask("$JS.API.STREAM.MSG.GET.S", json.dumps({"seq": sequence}).encode()))
            if "message" in answer:
                found.append(base64.b64decode(answer["message"]["data"]))
            elif answer.get("error", {}).get("err_code") != 10037:
                raise Told(answer)
        return found


class NatsDefault(Nats):
    setting = "JetStream, file store, its default (sync_interval 2 m)"
    sync = ""


class Repliq:
    setting = "its default: level power"

    @staticmethod
    def version():
        import repliq

        return repliq.__version__

    def __init__(self, path):
        import repliq

        try:
            self.store = repliq.Store(path)
            self.queue = self.store.queue("m")
        except repliq.RepliqError as error:
            raise Told(error) from error
        self.errors = repliq.RepliqError

    def put(self, number):
        self.queue.put(payload(number))

    def read(self):
        found = []
        try:
            with self.store.snapshot() as snapshot:
                for message in snapshot.browse(self.queue):
                    found.append(bytes(message.payload))
        except self.errors as error:
            raise Told(error) from error
        return found

    def close(self):
        self.store.close()


SUBJECTS = {
    "append": Append,
    "sqlite": Sqlite,
    "lmdb": Lmdb,
    "redis": Redis,
    "nats-always": Nats,
    "nats-default": NatsDefault,
    "repliq": Repliq,
}


# ---- children


def work(subject, path, first):
    """Puts until the disk is gone, and says what was confirmed."""
    store = SUBJECTS[subject](path)
    number = first
    while True:
        store.put(number)
        os.write(1, b"%d\n" % number)
        number += 1


def fill(subject, path, count):
    store = SUBJECTS[subject](path)
    for number in range(count):
        store.put(number)
    store.close()


def read(subject, path):
    """What is there, as one line of JSON: numbers, None for other bytes; or what the store said."""
    try:
        store = SUBJECTS[subject](path)
    except Told as error:
        return print(json.dumps({"shut": str(error)}))
    try:
        found = [number_of(data) for data in store.read()]
        print(json.dumps({"found": found}))
    except (Told, OSError, ValueError) as error:
        print(json.dumps({"told": str(error)}))
    store.close()


def child(*words):
    return [sys.executable, os.path.abspath(__file__), "--child", *[str(word) for word in words]]


def end(process):
    """Ends a child and the server it may have started: they are one group."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def look(subject, path):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(child("read", subject, path), start_new_session=True, **pipes)
    try:
        out, errors = process.communicate(timeout=3 * PATIENCE)
    except subprocess.TimeoutExpired:
        return {"shut": "no end"}
    finally:
        end(process)
    lines = out.strip().splitlines()
    # A crash of the reader is a store that did not open.
    return json.loads(lines[-1]) if lines else {"shut": errors.strip()[-200:]}


# ---- the power cut


class Disk:
    def __init__(self, folder):
        self.image, self.mounted = folder + "/image", folder + "/mounted"
        os.makedirs(self.mounted)
        with open(self.image, "wb") as file:
            file.truncate(256 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", self.image], check=True)
        self.mount()

    def mount(self):
        subprocess.run(["mount", "-o", "loop", self.image, self.mounted], check=True)

    def write_some_early(self, chance):
        for folder, _, names in os.walk(self.mounted):
            for name in names:
                if chance.random() < 0.5:
                    continue
                try:
                    file = os.open(os.path.join(folder, name), os.O_RDONLY)
                except OSError:
                    continue
                at = chance.randrange(64) * 4096
                LIBC.sync_file_range(file, ctypes.c_int64(at), ctypes.c_int64(chance.randrange(1, 5) * 4096), 6)
                os.close(file)

    def cut(self):
        import fcntl

        root = os.open(self.mounted, os.O_RDONLY)
        fcntl.ioctl(root, SHUTDOWN, NO_LOG_FLUSH.to_bytes(4, "little"))
        os.close(root)

    def restart(self):
        # Those that were killed may take a moment to let go.
        until = time.monotonic() + PATIENCE
        while subprocess.run(["umount", self.mounted], capture_output=True, check=False).returncode != 0:
            assert time.monotonic() < until, f"{self.mounted} is busy"
            time.sleep(0.02)
        self.mount()

    def close(self):
        subprocess.run(["umount", "-l", self.mounted], check=False)


def power_cuts(subject, cuts, chance):
    counts = dict.fromkeys(["confirmed", "lost", "wrong", "shut", "bad cuts"], 0)
    for _ in range(cuts):
        folder = tempfile.mkdtemp(dir="/dev/shm")
        disk = Disk(folder)
        path = disk.mounted + "/store"
        process = subprocess.Popen(
            child("work", subject, path, 0), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
        confirmed = process.stdout.readline()
        time.sleep(0.02 + chance.random() * 0.15)
        if chance.random() < 0.5:
            disk.write_some_early(chance)
        # A sync that is under way while the file system is shut down may say that it was fine, for a plain file, too:
        # this is how a power cut is played here, and no store's fault. Who stands still hears no such answer.
        os.killpg(process.pid, signal.SIGSTOP)
        disk.cut()
        end(process)
        confirmed += process.stdout.read()
        # A line that was cut off was not heard.
        said = [int(line) for line in confirmed.split(b"\n")[:-1]]
        time.sleep(0.05)
        disk.restart()
        answer = look(subject, path)
        found = answer.get("found", [])
        lost = len(set(said) - set(found)) if "found" in answer else 0
        counts["confirmed"] += len(said)
        counts["lost"] += lost
        counts["wrong"] += found.count(None)
        counts["shut"] += "found" not in answer
        counts["bad cuts"] += lost > 0 or None in found or "found" not in answer
        disk.close()
        shutil.rmtree(folder, ignore_errors=True)
    return counts


# ---- the flipped bit


def flips(subject, count, chance):
    counts = dict.fromkeys(["harmless", "told", "shut", "wrong", "silent", "messages missing silently"], 0)
    folder = tempfile.mkdtemp(dir="/dev/shm")
    whole = folder + "/whole"
    subprocess.run(child("fill", subject, whole, 2000), check=True)
    files = [os.path.join(base, name) for base, _, names in os.walk(whole) for name in names]
    files = [(name, os.path.getsize(name)) for name in files if os.path.getsize(name) > 0]
    copy = folder + "/copy"
    shutil.copytree(whole, copy)
    untouched = look(subject, copy)
    assert untouched.get("found") == list(range(2000)), f"an untouched copy is not whole: {str(untouched)[:200]}"
    for _ in range(count):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(whole, copy)
        name, size = chance.choices(files, [size for _, size in files])[0]
        place = chance.randrange(size)
        with open(copy + name[len(whole) :], "r+b") as file:
            file.seek(place)
            byte = file.read(1)[0]
            file.seek(place)
            file.write(bytes([byte ^ 1 << chance.randrange(8)]))
        answer = look(subject, copy)
        if "shut" in answer or "told" in answer:
            counts["shut" if "shut" in answer else "told"] += 1
            continue
        missing = 2000 - len({number for number in answer["found"] if number is not None})
        wrong = answer["found"].count(None)
        counts["wrong"] += wrong > 0
        counts["silent"] += missing > wrong
        counts["messages missing silently"] += max(0, missing - wrong)
        counts["harmless"] += missing == 0 and wrong == 0
    shutil.rmtree(folder, ignore_errors=True)
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuts", type=int, default=30)
    parser.add_argument("--flips", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("subjects", nargs="*", default=[])
    options = parser.parse_args()
    # Mounts of our own, gone with this process.
    if os.environ.get("PEERS_APART") != "1":
        os.environ["PEERS_APART"] = "1"
        os.execvp("unshare", ["unshare", "--mount", sys.executable, *sys.argv])
    print(f"kernel {os.uname().release}, seed {options.seed}")
    for subject in options.subjects or SUBJECTS:
        try:
            version = SUBJECTS[subject].version()
        except (ImportError, OSError, AttributeError, IndexError) as error:
            print(f"{subject}: left out, {error}")
            continue
        print(f"{subject} {version}, {SUBJECTS[subject].setting}", flush=True)
        chance = random.Random(options.seed)
        if options.cuts:
            print(f"  {options.cuts} power cuts: {power_cuts(subject, options.cuts, chance)}", flush=True)
        if options.flips:
            print(f"  {options.flips} flipped bits: {flips(subject, options.flips, chance)}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        what, subject, path, *rest = sys.argv[2:]
        {"work": work, "fill": fill, "read": read}[what](subject, path, *[int(word) for word in rest])
    else:
        main()
