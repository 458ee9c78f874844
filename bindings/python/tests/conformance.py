"""The scripts of tests/conformance through the public API of Python; their language is described there.

Usage: conformance.py [-e] [-r tcp|unix] FOLDER SCRIPT...

FOLDER is empty and is used for the stores; -e prints errors; with -r every store is used at a server
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import sys
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import repliq


class Wrong(Exception):
    """The script is wrong, or something else came than it says."""


class Step:
    """A line of a script, taken apart. Texts are bytes decoded as UTF-8, where they are that."""

    def __init__(self, line: str) -> None:
        self.words: list[str] = []
        self.fields: list[tuple[str, str]] = []
        self.code = ""
        self.index: int | None = None
        failing, at = False, 0
        while at < len(line):
            if line[at] == " ":
                at += 1
                continue
            word, name, quotes = "", None, False
            while at < len(line) and line[at] != " ":
                if line[at] == '"':
                    text, at = quoted(line, at + 1)
                    word, quotes = word + text, True
                elif line[at] == "=" and name is None and not quotes:
                    name, word, at = word, "", at + 1
                else:
                    word, at = word + line[at], at + 1
            if name is not None:
                self.fields.append((name, word))
            elif failing and not self.code:
                self.code = word
            elif failing:
                self.index = int(word)
            elif word == "!" and not quotes:
                failing = True
            else:
                self.words.append(word)

    def word(self, at: int) -> str:
        if at >= len(self.words):
            raise Wrong(f"word {at} is missing")
        return self.words[at]

    def number(self, at: int) -> int:
        return int(self.word(at))

    def seconds(self, at: int) -> float:
        return self.number(at) / 1000

    def field(self, name: str, default: str | None = None) -> str | None:
        return dict(self.fields).get(name, default)


def quoted(line: str, at: int) -> tuple[str, int]:
    """Reads a quoted text from behind its first quote on."""
    text = ""
    while at < len(line) and line[at] != '"':
        if line[at] != "\\":
            text, at = text + line[at], at + 1
            continue
        escaped = line[at + 1 : at + 2]
        if escaped == "x":
            # A byte: what is no UTF-8 stays a lone surrogate, as Python keeps it in names of files.
            raw = bytes([int(line[at + 2 : at + 4], 16)])
            text, at = text + raw.decode("utf-8", "surrogateescape"), at + 4
            continue
        text, at = text + {"n": "\n", "0": "\0"}.get(escaped, escaped), at + 2
    if at >= len(line):
        raise Wrong("a quote is not closed")
    at += 1
    if times := re.compile(r"\*(\d+)").match(line, at):
        text, at = text * int(times[1]), times.end()
    return text, at


def raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def messages(step: Step, first: int) -> list[repliq.Message]:
    """The messages of a step, one a text, all with the same fields."""
    given: dict[str, Any] = {"headers": []}
    for name, value in step.fields:
        if name in ("kind", "producer_sequence", "priority"):
            given[name] = int(value)
        elif name == "key":
            given["key"] = raw(value)
        elif name == "producer":
            given["producer"] = value
        elif name == "deliver_at_ms":
            given["deliver_at"] = int(value) / 1000
        elif name == "expires":
            given["expires"] = time.time() + int(value) / 1000
        elif name.startswith("header."):
            given["headers"].append((name[7:], raw(value)))
        elif name not in ("level", "token"):
            raise Wrong(f"no field {name}")
    return [repliq.Message(raw(text), **given) for text in step.words[first:]]


class World:
    """What a script has open."""

    def __init__(self, folder: Path, way: str = "") -> None:
        self.folder = folder
        #: How every store is used at a server: "tcp" or "unix"; empty where they are in their directories.
        self.way = way
        #: The directories and servers behind the stores that the run serves itself.
        self.own: dict[str, tuple[repliq.Server, repliq.Store]] = {}
        self.sockets = 0
        self.socket_of: dict[str, Path] = {}
        self.ids: dict[str, repliq.TransactionId] = {}
        self.named: dict[type, dict[str, Any]] = {}
        self.tokens: dict[str, repliq.Token] = {}
        self.ports: dict[str, dict[int, Future[repliq.Result]]] = {}
        self.watched: dict[str, repliq.Port] = {}
        self.found: list[repliq.Message] = []
        #: What a target said in its status, as a refusal.
        self.said = ""

    def get(self, kind: type, name: str) -> Any:
        try:
            return self.named[kind][name]
        except KeyError:
            raise Wrong(f"{name} is not open") from None

    def set(self, name: str, made: Any) -> None:
        self.named.setdefault(type(made), {})[name] = made

    def run(self, step: Step) -> None:
        verb = getattr(self, "do_" + step.word(0), None)
        if verb is None:
            raise Wrong(f"no verb {step.word(0)}")
        verb(step)

    def close(self) -> None:
        for kind in (repliq.Server, repliq.Replication, repliq.Session, repliq.Consumer, repliq.Store):
            for one in self.named.get(kind, {}).values():
                one.close()
        for name in list(self.own):
            self.closed(name)

    def store(self, step: Step, at: int) -> repliq.Store:
        return self.get(repliq.Store, step.word(at))

    def queue(self, step: Step, at: int) -> repliq.Queue:
        return self.get(repliq.Queue, step.word(at))

    def session(self, step: Step) -> repliq.Session:
        return self.get(repliq.Session, step.word(1))

    def keep(self, step: Step, result: repliq.Result) -> None:
        name = step.field("token")
        if name is not None:
            self.tokens[name] = result.token

    def do_open(self, step: Step) -> None:
        size = step.field("segment_bytes")
        path = self.folder / step.word(2) if step.word(2) else ""
        store = repliq.open(
            path,
            create=step.field("create") != "no",
            read_only=step.field("read_only") == "yes",
            level=step.field("level", "power"),
            horizon=step.field("horizon", "power"),
            segment_bytes=None if size is None else int(size),
            password=step.field("password"),
        )
        self.set(step.word(1), self.serve(step.word(1), store) if self.way else store)

    def serve(self, name: str, store: repliq.Store) -> repliq.Store:
        """Serves a store to this run, and gives what its URL opens."""
        self.sockets += 1
        socket = self.folder / f"socket.{self.sockets}"
        listen = f"unix:{socket}" if self.way == "unix" else "127.0.0.1:0"
        user = repliq.User("script", "secret", "replicate,publish,browse,consume,admin", "*")
        server = repliq.Server(store, plain=True, listen=[listen], users=[user])
        self.own[name] = (server, store)
        at = f"+unix://script@{socket}" if self.way == "unix" else f"://script@{server.addresses[0]}"
        return repliq.open("repliq" + at, password="secret", plain=True)

    def closed(self, name: str) -> None:
        """Ends the server that the run has of its own for this store, and the store behind it."""
        for one in self.own.pop(name, ()):
            one.close()

    def do_local(self, step: Step) -> None:
        """What follows is for a directory, and so is this run; another one ends before it gets here."""

    def do_connect(self, step: Step) -> None:
        url = step.word(2)
        if step.word(0) == "connect":
            socket = self.socket_of.get(url)
            url = "repliq://" + self.address(url) if socket is None else f"repliq+unix://{socket}"
        password = step.field("password")
        store = repliq.open(
            url,
            user=step.field("user"),
            password=None if password is None else raw(password),
            plain=step.field("ca") is None,
            ca_file=step.field("ca"),
            reconnect_max=0.2,
        )
        self.set(step.word(1), store)

    do_connect_at = do_connect

    def do_backup(self, step: Step) -> None:
        self.store(step, 1).backup(self.folder / step.word(2))

    def do_restore(self, step: Step) -> None:
        place = self.folder / step.word(2)
        repliq.restore(self.folder / step.word(1), place, password=step.field("password"))

    def do_told(self, step: Step) -> None:
        """Waits until a target of the replication stands for this code, and tells what it says."""
        end = time.monotonic() + 20
        while True:
            status = self.replication(step).status()
            for target in status["targets"]:
                if (target["last_error"] or "").startswith(step.word(2) + ": "):
                    self.said = target["last_error"]
                    return
            if time.monotonic() >= end:
                raise Wrong(f"no target says {step.word(2)} in {status}")
            time.sleep(0.005)

    def do_password(self, step: Step) -> None:
        self.store(step, 1).change_password(raw(step.word(2)))

    def do_close(self, step: Step) -> None:
        found = [of[step.word(1)] for of in self.named.values() if step.word(1) in of]
        if not found:
            raise Wrong(f"{step.word(1)} is not open")
        for one in found:
            if not isinstance(one, repliq.Queue):
                one.close()
            if isinstance(one, repliq.Store):
                self.closed(step.word(1))

    def do_queue(self, step: Step) -> None:
        self.set(step.word(2), self.store(step, 1).queue(step.word(3)))

    def do_pause(self, step: Step) -> None:
        self.queue(step, 2).pause()

    def do_resume(self, step: Step) -> None:
        self.queue(step, 2).resume()

    def do_purge(self, step: Step) -> None:
        self.queue(step, 2).purge()

    def do_redrive(self, step: Step) -> None:
        of = {"max": int(step.field("max", "0")), "drop": step.field("drop") == "yes"}
        done, refused = self.queue(step, 2).redrive(**of)
        if [done, len(refused)] != [int(word) for word in step.words[3:5]]:
            raise Wrong(f"{done} were redriven and {len(refused)} refused: {refused}")

    def do_delete(self, step: Step) -> None:
        self.queue(step, 2).delete()

    def do_put(self, step: Step) -> None:
        all_of, level = messages(step, 3), step.field("level")
        to = self.queue(step, 2)
        done = to.put(all_of[0], level=level) if len(all_of) == 1 else to.put_many(all_of, level=level)
        self.keep(step, done)

    def do_put_start(self, step: Step) -> None:
        all_of, to = messages(step, 5), self.queue(step, 2)
        future = to.put_async(all_of[0]) if len(all_of) == 1 else to.put_many_async(all_of)
        self.pending(step, 3)[step.number(4)] = future

    def pending(self, step: Step, at: int) -> dict[int, Future[repliq.Result]]:
        if step.word(at) not in self.ports:
            raise Wrong(f"{step.word(at)} is not open")
        return self.ports[step.word(at)]

    def do_session(self, step: Step) -> None:
        made = self.store(step, 2).session(
            name=step.field("name", "") or "",
            takeover=step.field("takeover") == "yes",
            idle=int(step.field("idle_ms", "0") or "0") / 1000,
            bytes_max=int(step.field("bytes_max", "0") or "0"),
        )
        self.set(step.word(1), made)

    def do_id(self, step: Step) -> None:
        self.ids[step.word(2)] = self.session(step).id()

    def do_parse_id(self, step: Step) -> None:
        self.ids[step.word(1)] = repliq.TransactionId.parse(raw(step.word(2)))

    def identity(self, step: Step, at: int) -> repliq.TransactionId:
        if step.word(at) not in self.ids:
            raise Wrong(f"{step.word(at)} is not open")
        return self.ids[step.word(at)]

    def do_round_trip_id(self, step: Step) -> None:
        one = self.identity(step, 1)
        again = repliq.TransactionId.parse(one.text)
        if again != one or repliq.TransactionId.parse(bytes(one)) != one or hash(again) != hash(one):
            raise Wrong("the round trip gave another identity")

    def do_resolve(self, step: Step) -> None:
        found = self.store(step, 1).resolve(self.identity(step, 2))
        if found.state != step.word(3):
            raise Wrong(f"the outcome is {found.state}")
        if (found.token is None) == (found.state == "committed"):
            raise Wrong("a token goes with a commit and with nothing else")
        name = step.field("token")
        if name is not None and found.token is not None:
            self.tokens[name] = found.token

    def do_prepare(self, step: Step) -> None:
        self.ids[step.word(3)] = self.session(step).prepare(raw(step.word(2)))

    def do_finish(self, step: Step) -> None:
        self.keep(step, self.store(step, 1).finish(self.identity(step, 2), commit=step.word(3) == "commit"))

    def do_prepared(self, step: Step) -> None:
        found = self.store(step, 1).prepared()
        if len(found) != step.number(2):
            raise Wrong(f"{len(found)} are prepared: {found}")
        text = json.dumps(found, separators=(",", ":"))
        for wanted in step.words[3:]:
            if wanted not in text:
                raise Wrong(f"{text} does not say so")

    def do_session_put(self, step: Step) -> None:
        all_of, to = messages(step, 3), self.queue(step, 2)
        if len(all_of) == 1:
            self.session(step).put(to, all_of[0])
        else:
            self.session(step).put_many(to, all_of)

    def do_commit(self, step: Step) -> None:
        self.keep(step, self.session(step).commit())

    def do_commit_start(self, step: Step) -> None:
        self.pending(step, 2)[step.number(3)] = self.session(step).commit_async()

    def do_rollback(self, step: Step) -> None:
        self.session(step).rollback()

    def consumer(self, name: str) -> repliq.Consumer:
        return self.get(repliq.Consumer, name)

    def do_consumer(self, step: Step) -> None:
        start = step.field("from", "oldest")
        begin = int(start) if start.isdigit() else start
        times = {"lease_ms": "lease", "retry_delay_ms": "retry_delay", "retry_delay_ms_max": "retry_delay_max"}
        options: dict[str, Any] = {}
        for name, value in step.fields:
            if name in ("shared", "keyed", "conflate", "key_versions"):
                options[name] = value == "yes"
            elif name in times:
                options[times[name]] = int(value) / 1000
            elif name == "after":
                options["after_dead_letter"] = value
            elif name == "dead_letters":
                options[name] = self.get(repliq.Queue, value)
            elif name != "from":
                options[name] = int(value)
        made = self.store(step, 2).consumer(
            step.word(4), self.queue(step, 3), start=begin, **options
        )
        self.set(step.word(1), made)

    def do_consumer_delete(self, step: Step) -> None:
        self.store(step, 1).consumer_delete(step.word(3), self.queue(step, 2))

    def do_ack(self, step: Step) -> None:
        self.consumer(step.word(1)).ack([int(word) for word in step.words[2:]])

    def do_reject(self, step: Step) -> None:
        delay = step.field("delay_ms")
        self.consumer(step.word(1)).reject(
            [int(word) for word in step.words[2:]],
            delay=None if delay is None else int(delay) / 1000,
            reason=step.field("reason") or "",
            to_end=step.field("to_end") == "yes",
        )

    def do_renew(self, step: Step) -> None:
        self.consumer(step.word(1)).renew([int(word) for word in step.words[2:]])

    def do_seek(self, step: Step) -> None:
        self.consumer(step.word(1)).seek(step.number(2))

    def do_snapshot(self, step: Step) -> None:
        self.set(step.word(1), self.store(step, 2).snapshot())

    def do_receive(self, step: Step) -> None:
        consumer = self.consumer(step.word(1))
        read = lambda left, _: consumer.receive(left, timeout=step.seconds(3))  # noqa: E731
        self.read(read, step.number(2), step.words[4:])

    def do_session_receive(self, step: Step) -> None:
        session, consumer = self.session(step), self.consumer(step.word(2))
        read = lambda left, _: session.receive(consumer, left, timeout=step.seconds(4))  # noqa: E731
        self.read(read, step.number(3), step.words[5:])

    def do_browse(self, step: Step) -> None:
        snapshot, of, first = self.get(repliq.Snapshot, step.word(1)), self.queue(step, 2), step.number(3)

        def read(left: int, last: int) -> list[repliq.Message]:
            return snapshot.browse(of, start=last + 1 if last else first, max=left)

        self.read(read, step.number(4), step.words[5:])

    def read(self, call: Any, most: int, wanted: list[str]) -> None:
        found: list[repliq.Message] = []
        while True:
            more = call(most - len(found), found[-1].sequence if found else 0)
            found += more
            if not more or len(found) >= max(len(wanted), 1):
                break
        if [one.payload for one in found] != [raw(text) for text in wanted]:
            raise Wrong("got " + " ".join(f'"{one.payload[:100]!r}"' for one in found))
        if any(bytes(one.view) != one.payload for one in found):
            raise Wrong("a view shows something else than the payload")
        self.found = found

    def do_check(self, step: Step) -> None:
        if step.number(1) >= len(self.found):
            raise Wrong(f"no message {step.word(1)}")
        one = self.found[step.number(1)]
        for name, value in step.fields:
            if name in (
                "kind", "producer", "producer_sequence", "sequence", "deliveries", "priority"
            ):
                found = str(getattr(one, name))
            elif name == "deliver_at_ms":
                found = str(round((one.deliver_at or 0) * 1000))
            elif name == "key":
                found = one.key.decode("utf-8", "surrogateescape")
            elif name == "queue":
                found = value if one.queue == self.get(repliq.Queue, value).number else "another"
            elif name.startswith("header."):
                found = one.header(name[7:], b"(none)").decode("utf-8", "surrogateescape")
            else:
                raise Wrong(f"no field {name}")
            if found != value:
                raise Wrong(f"{name} is {found}")

    def do_port(self, step: Step) -> None:
        self.ports[step.word(1)] = {}

    def do_watch(self, step: Step) -> None:
        self.pending(step, 2)
        port = self.watched.setdefault(step.word(2), repliq.Port())
        self.consumer(step.word(1)).watch(port, step.number(3))

    def drain_watched(self, step: Step, port: repliq.Port) -> None:
        """Of a port on which consumers are watched."""
        wanted = sorted(int(word) for word in step.words[3:])
        ended: list[int] = []
        while len(ended) < len(wanted):
            events = port.drain(len(wanted) - len(ended), timeout=step.seconds(2))
            if not events:
                break
            for event in events:
                if event.error is not None:
                    raise event.error
                ended.append(event.tag)
        if sorted(ended) != wanted:
            raise Wrong(f"ended: {ended}")

    def do_drain(self, step: Step) -> None:
        pending = self.pending(step, 1)
        if port := self.watched.get(step.word(1)):
            return self.drain_watched(step, port)
        for word in step.words[3:]:
            try:
                pending.pop(int(word)).result(step.seconds(2))
            except (KeyError, TimeoutError):
                raise Wrong(f"operation {word} did not end") from None
        if ended := [tag for tag, future in pending.items() if future.done()]:
            raise Wrong(f"operation {ended[0]} ended, too")

    def token_list(self, step: Step, at: int) -> list[repliq.Token]:
        for word in step.words[at:]:
            if word not in self.tokens:
                raise Wrong(f"{word} is not open")
        return [self.tokens[word] for word in step.words[at:]]

    def do_wait(self, step: Step) -> None:
        tokens = self.token_list(step, 4)
        self.store(step, 1).wait(tokens, at=step.word(2), timeout=step.seconds(3))

    def do_parse(self, step: Step) -> None:
        self.tokens[step.word(1)] = repliq.Token.parse(raw(step.word(2)))

    def do_round_trip(self, step: Step) -> None:
        one = self.token_list(step, 1)[0]
        again = repliq.Token.parse(one.text)
        if again != one or repliq.Token.parse(bytes(one)) != one or hash(again) != hash(one):
            raise Wrong("the round trip gave another token")

    def do_same(self, step: Step) -> None:
        one, other = self.token_list(step, 1)
        if (one == other) != (step.word(0) == "same"):
            raise Wrong(f"the tokens are not {step.word(0)}")

    do_differ = do_same

    def do_join(self, step: Step) -> None:
        left = len(repliq.Token.join(self.token_list(step, 2)))
        if left != step.number(1):
            raise Wrong(f"{left} tokens are left")

    def do_status(self, step: Step) -> None:
        of = next(
            (self.named[kind][step.word(1)]
             for kind in (repliq.Server, repliq.Replication, repliq.Store)
             if step.word(1) in self.named.get(kind, {})),
            None,
        )
        if of is None:
            raise Wrong(f"{step.word(1)} is not open")
        end = time.monotonic() + int(step.field("within", "0")) / 1000
        while True:
            # The texts of the scripts are written with and without a blank behind a colon.
            text = json.dumps(of.status(), ensure_ascii=False)
            texts = text + json.dumps(of.status(), ensure_ascii=False, separators=(",", ":"))
            missing = [word for word in step.words[2:] if word not in texts]
            if not missing:
                return
            if time.monotonic() >= end:
                raise Wrong(f"no {missing[0]} in {text}")
            time.sleep(0.005)

    def address(self, name: str) -> str:
        return self.get(repliq.Server, name).addresses[0]

    def do_server(self, step: Step) -> None:
        at = step.field("at")
        user = repliq.User(
            step.field("user", ""),
            raw(step.field("password", "")),
            step.field("verbs", "replicate"),
            step.field("queues", "*"),
        )
        socket = step.field("socket")
        path = None if socket is None else self.folder / socket
        where = "127.0.0.1:0" if path is None else f"unix:{path}"
        listen = [where if at is None else self.address(at)]
        self.set(step.word(1), repliq.Server(self.store(step, 2), plain=True, listen=listen, users=[user]))
        if path is not None:
            self.socket_of[step.word(1)] = path

    def do_replication(self, step: Step) -> None:
        if self.queue(step, 3) is None:
            raise Wrong("no queue")
        self.set(step.word(1), repliq.Replication(self.queue(step, 3)))

    def replication(self, step: Step) -> repliq.Replication:
        return self.get(repliq.Replication, step.word(1))

    def do_target(self, step: Step) -> None:
        self.add(step, "repliq://" + self.address(step.word(3)))

    def do_target_at(self, step: Step) -> None:
        self.add(step, step.word(3))

    def add(self, step: Step, url: str) -> None:
        password = step.field("password")
        self.replication(step).add(
            step.word(2),
            url,
            password=None if password is None else raw(password),
            plain=step.field("ca") is None,
            ca_file=step.field("ca"),
            user=step.field("user"),
            queue=step.field("queue"),
            reconnect_max=0.2,
        )

    def do_send(self, step: Step) -> None:
        self.keep(step, self.replication(step).send(step.number(2), raw(step.word(3))))

    def do_start_job(self, step: Step) -> None:
        self.replication(step).start_job()

    def do_end_job(self, step: Step) -> None:
        self.keep(step, self.replication(step).end_job())

    def do_abort_job(self, step: Step) -> None:
        self.replication(step).abort_job()

    def do_stop(self, step: Step) -> None:
        self.replication(step).stop(timeout=step.seconds(2))

    def do_talk(self, step: Step) -> None:
        """Says something to a server and reads until it hangs up."""
        host, port = self.address(step.word(1)).split(":")
        try:
            with socket.create_connection((host, int(port)), timeout=20) as to:
                to.sendall(raw(step.word(2)))
                while to.recv(512):
                    pass
        except ConnectionResetError:
            pass
        except OSError as error:
            raise Wrong(f"{host}:{port} does not listen, or does not hang up") from error

    def do_copy(self, step: Step) -> None:
        shutil.copytree(self.folder / step.word(1), self.folder / step.word(2))

    def do_file(self, step: Step) -> None:
        path = self.folder / step.word(1)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw(step.word(2)))

    def do_sleep(self, step: Step) -> None:
        time.sleep(step.seconds(1))


def holds(world: World, line: str, place: str, print_errors: bool) -> str | None:
    """Runs one step; nothing where it holds, otherwise why not."""
    try:
        step = Step(line)
        world.run(step)
        if print_errors and world.said:
            print(f"refused {place} {world.said}")
        world.said = ""
    except Wrong as wrong:
        return str(wrong)
    except repliq.Error as error:
        asked = step.code == error.code.name
        if asked and step.index in (None, error.message_index):
            if print_errors:
                print(f"refused {place} {step.code}: {error}")
            return None
        return f"{error.code.name}: {error}"
    return f"succeeded, not {step.code}" if step.code else None


def run(script: Path, folder: Path, print_errors: bool, way: str = "") -> tuple[int, str | None]:
    """The number of steps, and the failure where there was one."""
    folder.mkdir()
    world, steps = World(folder, way), 0
    try:
        lines = script.read_bytes().decode("utf-8", "surrogateescape").split("\n")
        for at, line in enumerate(lines, 1):
            if line.startswith("#") or not line.strip():
                continue
            steps += 1
            if way and line.split()[0] == "local":
                break
            if why := holds(world, line, f"{script.name}:{at}", print_errors):
                return steps, f"{script}:{at}: {why}"
    finally:
        world.close()
    return steps, None


def main(arguments: list[str]) -> int:
    print_errors = arguments[:1] == ["-e"]
    arguments = arguments[print_errors:]
    way = ""
    if arguments[:1] == ["-r"]:
        way, arguments = arguments[1], arguments[2:]
    if len(arguments) < 2:
        print("usage: conformance.py [-e] [-r tcp|unix] FOLDER SCRIPT...", file=sys.stderr)
        return 2
    steps = failed = 0
    scripts = [Path(one) for one in arguments[1:]]
    for at, script in enumerate(scripts):
        count, why = run(script, Path(arguments[0]) / str(at), print_errors, way)
        steps += count
        if why:
            failed += 1
            print(f"FAILED {why}")
    print(f"conformance python{way and ' over ' + way}: {len(scripts)} scripts, {steps} steps")
    print(f"{len(scripts) - failed} passed, {failed} failed, 0 skipped")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
