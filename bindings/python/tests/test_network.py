"""Replications, servers and log lines."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

import pytest
from served import Served
from test_signals import PATIENCE, interrupted

import repliq


@pytest.fixture
def office(tmp_path: Path):
    users = [repliq.User("till", "secret")]
    with repliq.open(tmp_path / "office") as store:
        with repliq.Server(store, plain=True, listen=["127.0.0.1:0"], users=users) as server:
            yield store, f"repliq://till@{server.addresses[0]}"


def browse(store: repliq.Store, name: str) -> list[tuple[int, bytes]]:
    with store.snapshot() as snapshot:
        return [(one.kind, one.payload) for one in snapshot.browse(store.queue(name))]


def test_the_first_program_of_the_design(store: repliq.Store, office: tuple[repliq.Store, str]) -> None:
    there, url = office
    root = store.queue("hw_root_queue_name")
    with repliq.Replication(root) as rep:
        rep.add("Tolocal", url, password="secret", plain=True)
        with rep.job():
            assert rep.send(0x2002, b"hello").token.is_empty
            rep.send(0x2004, b"echo")
        assert rep.token is not None and not rep.token.is_empty
        store.wait(rep.token, at="target:*", timeout=20)
        with pytest.raises(ZeroDivisionError), rep.job():
            rep.send(0x2002, b"given up")
            raise ZeroDivisionError
        rep.send_many([repliq.Message(b"last", kind=1)])
        rep.push()
        assert rep.status()["root"] == "hw_root_queue_name" and not rep.status()["job_open"]
        rep.stop(timeout=20)
    assert browse(there, "hw_root_queue_name") == [(0x2002, b"hello"), (0x2004, b"echo"), (1, b"last")]


def test_a_target_gets_what_it_selects(store: repliq.Store, office: tuple[repliq.Store, str]) -> None:
    there, url = office
    with repliq.Replication(store.queue("root")) as rep:
        options = {"password": "secret", "plain": True}
        rep.add("a", url + "/kinds", kinds=[2], **options)
        rep.add("b", url, queue="keys", key_prefix="tea", **options)
        rep.add("c", url, queue="headers", header_name="to", header_value="c", **options)
        rep.send(1, b"1", key="tea/green")
        rep.send(2, b"2", headers={"to": "c"})
        rep.send(3, b"3", headers=[("to", "d")])
        assert rep.target("a")["url"] == url + "/kinds"
        assert [one["name"] for one in rep.status()["targets"]] == ["a", "b", "c"]
        assert set(rep.target("a")) == set(repliq.TargetStatus.__annotations__)
        assert set(rep.status()) == set(repliq.ReplicationStatus.__annotations__)
        with pytest.raises(repliq.NoSuchNameError):
            rep.target("nobody")
        rep.stop(timeout=20)
    assert browse(there, "kinds") == [(2, b"2")]
    assert browse(there, "keys") == [(1, b"1")]
    assert browse(there, "headers") == [(2, b"2")]


def test_a_stop_in_vain_says_timeout_and_nothing_is_lost(store: repliq.Store) -> None:
    rep = repliq.Replication(store.queue("root"))
    rep.add("away", "repliq://nobody@127.0.0.1:9", plain=True, password="x")
    rep.send(1, b"1")
    with pytest.raises(TimeoutError):
        rep.stop(timeout=0.1)
    with pytest.raises(repliq.ClosedError):
        rep.send(1, b"2")
    assert browse(store, "root") == [(1, b"1")]


def test_log_lines_come_through_logging(
    store: repliq.Store, caplog: pytest.LogCaptureFixture
) -> None:
    def serve() -> None:
        repliq.Server(store, plain=True, listen=["127.0.0.1:0"]).close()

    with caplog.at_level(logging.DEBUG):
        serve()
        time.sleep(0.2)
        assert caplog.records == []
        repliq.log_set(logging.INFO)
        serve()
        end = time.monotonic() + 20
        while not caplog.records and time.monotonic() < end:
            time.sleep(0.01)
        repliq.log_set(None)
        line = caplog.records[0]
        assert (line.levelname, line.name) == ("INFO", "repliq.server")
        assert line.message.startswith("plain TCP is allowed at 127.0.0.1:")
        time.sleep(0.1)
        caplog.clear()
        serve()
        time.sleep(0.2)
        assert caplog.records == []


def test_reg_03_who_waits_at_a_server_asks_once(tmp_path: Path) -> None:
    users = [repliq.User("ann", "secret", "publish,browse,consume,admin", "*")]
    with (
        repliq.open(tmp_path / "office") as own,
        repliq.Server(own, plain=True, listen=["127.0.0.1:0"], users=users) as server,
        repliq.open(f"repliq://ann@{server.addresses[0]}", password="secret", plain=True) as store,
    ):
        def requests() -> int:
            return sum(one["requests"] for one in server.status()["connections"])

        orders = store.queue("orders")
        clerk, other, session = store.consumer("clerk", orders), store.consumer("other", orders), store.session()
        slow = own.queue("slow")
        own.consumer("slow", slow).close()
        token = slow.put(b"1").token
        before = requests()
        got: list[bytes] = []
        threads = [
            threading.Thread(target=lambda: got.append(clerk.receive(timeout=None)[0].payload)),
            threading.Thread(target=lambda: got.append(session.receive(other, timeout=60)[0].payload)),
        ]
        for thread in threads:
            thread.start()
        with pytest.raises(repliq.TimeoutError):
            store.wait(token, at="consumer:slow", timeout=1.5)
        assert requests() - before <= 3
        own.queue("orders").put(b"x")
        for thread in threads:
            thread.join(20)
        assert got == [b"x", b"x"]
        session.close()


def test_ctrl_c_leaves_a_wait_at_a_server_and_the_transaction_as_it_was(served: Served) -> None:
    with served.open() as store:
        orders = store.queue("orders")
        clerk, session = store.consumer("clerk", orders), store.session()
        session.put(orders, b"mine")
        calls = {
            "Consumer.receive": lambda: clerk.receive(timeout=None),
            "Session.receive": lambda: session.receive(clerk, timeout=None),
            "Store.wait": lambda: store.wait(orders.put(b"other"), at="consumer:clerk", timeout=None),
        }
        took = {name: interrupted(name, call) for name, call in calls.items()}
        assert max(took.values()) < PATIENCE, took
        session.commit()
        assert [(one.payload, one.deliveries) for one in clerk.receive(timeout=10)] == [(b"other", 1), (b"mine", 1)]


def test_a_close_from_another_thread_ends_a_wait_at_a_server(served: Served) -> None:
    for all_of_it in (False, True):
        store = served.open()
        clerk = store.consumer("clerk", store.queue("orders"))
        ended: list[BaseException] = []

        def wait() -> None:
            try:
                clerk.receive(timeout=None)
            except repliq.Error as error:
                ended.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.1)
        (store if all_of_it else clerk).close()
        thread.join(20)
        assert [type(one) for one in ended] == [repliq.ClosedError]
        store.close()
