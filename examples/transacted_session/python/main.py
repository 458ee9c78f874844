"""The session tutorial: money moves between two ledgers, and none is lost or made, wherever the program is stopped.

Usage: main.py [DIRECTORY [TRANSFERS [step]]]

A ledger is a queue that holds one message: its balance, and the number of the transfer that led to it. A transfer takes
both balances and puts both new ones and a line for the records, in one transaction. With `step` the program waits for
Enter after each step: kill it at any, and run it again.
"""

import sys

import repliq

directory = sys.argv[1] if len(sys.argv) > 1 else "bank"
transfers = int(sys.argv[2]) if len(sys.argv) > 2 else 10
by_steps = len(sys.argv) > 3


def step(number: int, what: str) -> None:
    print(number, what, flush=True)
    if by_steps:
        sys.stdin.readline()


def take(session: repliq.Session, ledger: repliq.Consumer) -> tuple[int, int] | None:
    """The balance that is next in a ledger, and its number; None before the accounts were opened."""
    taken = session.receive(ledger, 1, timeout=0)
    if not taken:
        return None
    balance, number = taken[0].payload.split()
    return int(balance), int(number)


with repliq.open(directory) as store:
    alice, bob = store.queue("ledger/alice"), store.queue("ledger/bob")
    records = store.queue("transfers")
    # ANCHOR: transfer
    with (
        store.consumer("teller", alice) as of_alice,
        store.consumer("teller", bob) as of_bob,
        store.session() as session,  # at its end the balances that were taken last go back
    ):
        while True:
            accounts = take(session, of_alice), take(session, of_bob)
            if None in accounts:
                # The first run: both accounts are opened, or none.
                session.put(alice, b"1000 0")
                session.put(bob, b"1000 0")
                session.commit()
                continue
            (has, done), (gets, _) = accounts
            if done >= transfers:
                print(f"alice {has}, bob {gets}, together {has + gets}")
                break
            number = done + 1
            step(number, "taken")

            amount = number * 7 % 100 * (-1 if number % 2 == 0 else 1)
            session.put(alice, f"{has - amount} {number}".encode())
            session.put(bob, f"{gets + amount} {number}".encode())
            session.put(records, f"{number} {amount}".encode())
            step(number, "put")

            # Both old balances are gone and all three messages are there, or nothing has happened.
            session.commit()
            step(number, "committed")
    # ANCHOR_END: transfer
