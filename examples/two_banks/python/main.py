"""The tutorial of prepared transactions: money moves between two banks, each with a store of its own, and none is lost or
made, wherever the program is stopped.

Usage: main.py [NAME [TRANSFERS [step]]]

A bank is a store with a book of one page: its balance, and the number of the transfer that led to it. A transfer is a
transaction in each bank. Both are prepared, then the page of the coordinator's book says what becomes of them, and then
they end as it says. The stores are the directories NAME.east, NAME.west and NAME.notes. With `step` the program waits for
Enter after each step: kill it at any, and run it again.
"""

import contextlib
import sys

import repliq

name = sys.argv[1] if len(sys.argv) > 1 else "banks"
transfers = int(sys.argv[2]) if len(sys.argv) > 2 else 10
by_steps = len(sys.argv) > 3


def step(number: int, what: str) -> None:
    print(number, what, flush=True)
    if by_steps:
        sys.stdin.readline()


class Book:
    """A store with a queue of one message, and the session that has taken it."""

    def __init__(self, directory: str, ends: contextlib.ExitStack) -> None:
        self.store = ends.enter_context(repliq.open(directory))
        self.page = self.store.queue("page")
        self.reader = ends.enter_context(self.store.consumer("reader", self.page))
        # At its end what was taken last goes back.
        self.session = ends.enter_context(self.store.session())

    def take(self, first: str) -> str:
        """What stands on the page; on a new one ``first``, which is written."""
        while not (taken := self.session.receive(self.reader, 1, timeout=0)):
            self.put(first)
            self.session.commit()
        return bytes(taken[0].payload).decode()

    def balance(self) -> tuple[int, int]:
        """The balance, and the number of the last transfer."""
        balance, number = self.take("1000 0").split()
        return int(balance), int(number)

    def put(self, text: str) -> None:
        """Writes what takes the place of what was taken."""
        self.session.put(self.page, text.encode())

    def write(self, text: str) -> None:
        """Turns the page, durably."""
        self.put(text)
        self.session.commit()
        self.take("")

    def finish(self, id: str, commit: bool) -> None:
        """Ends a transaction that may be prepared."""
        # It never was, or the end of it was a day ago.
        with contextlib.suppress(repliq.NoSuchNameError):
            self.store.finish(id, commit=commit)


with contextlib.ExitStack() as ends:
    east, west, notes = (Book(f"{name}.{of}", ends) for of in ("east", "west", "notes"))

    # ANCHOR: recover
    # What the last run left: both transfers end as the note says.
    what, *ids = notes.take("nothing").split()
    for bank, id in zip((east, west), ids):
        bank.finish(id, what == "commit")
    # ANCHOR_END: recover

    while True:
        (has, done), (gets, _) = east.balance(), west.balance()
        if done >= transfers:
            print(f"east {has}, west {gets}, together {has + gets}")
            break
        number = done + 1
        step(number, "taken")

        # ANCHOR: transfer
        amount = number * 7 % 100 * (-1 if number % 2 == 0 else 1)
        east.put(f"{has - amount} {number}")
        west.put(f"{gets + amount} {number}")
        of_east, of_west = east.session.id(), west.session.id()

        # From here on somebody knows what may have to be rolled back.
        notes.write(f"rollback {of_east.text} {of_west.text}")
        step(number, "noted")
        xid = f"transfer {number}"
        east.session.prepare(xid)
        step(number, "prepared in the east")
        west.session.prepare(xid)
        step(number, "prepared in the west")

        # Both can be committed, whatever happens. This one commit decides.
        notes.write(f"commit {of_east.text} {of_west.text}")
        step(number, "decided")
        east.store.finish(of_east, commit=True)
        step(number, "committed in the east")
        west.store.finish(of_west, commit=True)
        step(number, "committed")
        # ANCHOR_END: transfer
