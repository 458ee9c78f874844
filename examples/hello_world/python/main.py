"""Tutorial one: a server that greets, sleeps and echoes.

Usage: main.py [DIRECTORY [ADDRESS]]

Requests arrive from any sender of the tutorial in the queue hw_root_queue_name, or Tolocal, and each is worked on
once it is durable here. The answer goes into the queue "replies" in the same transaction that acknowledges the
request, so it is there exactly once; what is printed may be printed twice when the server is killed in between.
"""

from __future__ import annotations

import sys
import time

import repliq
from my_struct import CMyStruct
from repliq.socketpro import CScopeUQueue

ID_SAY_HELLO, ID_SLEEP, ID_ECHO = 0x2002, 0x2003, 0x2004


def work(request: repliq.Message) -> str:
    """Does what a request asks; raises ValueError, as loading does, where it makes no sense."""
    arguments = CScopeUQueue(request.payload)
    if request.kind == ID_SAY_HELLO:
        first, last = arguments.LoadString() or "", arguments.LoadString() or ""
        if not first:
            raise ValueError("a greeting without a first name")
        reply = f"Hello {first} {last}"
    elif request.kind == ID_SLEEP:
        ms = arguments.LoadInt()
        if ms < 0:
            raise ValueError("a negative sleep")
        time.sleep(ms / 1000)
        reply = f"Sleep {ms}"
    elif request.kind == ID_ECHO:
        reply = CMyStruct.LoadFrom(arguments).Text()
    else:
        raise ValueError("an unknown request")
    if arguments.GetSize() > 0:
        raise ValueError("the payload is too long")
    return reply


# ANCHOR: listen
def listen(store: repliq.Store, queue: str) -> repliq.Listener:
    """Works on the requests of one queue, on a thread of its own."""
    replies = store.queue("replies")

    def handle(session: repliq.Session, request: repliq.Message) -> None:
        reply = work(request)
        print(reply, flush=True)
        session.put(replies, reply.encode())

    # What fails three times goes to the queue "errors", and those behind it go on.
    return store.consumer("hello_world", store.queue(queue)).listen(
        handle, policy="dead_letter", dead_letter_after=3, dead_letter_queue="errors", retry=0.01
    )
# ANCHOR_END: listen


def main() -> None:
    directory = sys.argv[1] if len(sys.argv) > 1 else "hello_world_store"
    address = sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1:20901"
    # ANCHOR: users
    users = [
        repliq.User("replication", "p4localhost", "replicate", "hw_root_queue_name,Tolocal"),
        repliq.User("remote_rep", "PassOne", "replicate", "hw_root_queue_name,Tolocal"),
    ]
    # ANCHOR_END: users
    with repliq.open(directory) as store:
        with listen(store, "hw_root_queue_name"), listen(store, "Tolocal"):
            with repliq.Server(store, listen=[address], plain=True, users=users):
                print(f"listening on {address}, press Enter to end", flush=True)
                # The end of the input ends the server, too.
                sys.stdin.readline()


if __name__ == "__main__":
    try:
        main()
    except repliq.Error as error:
        sys.exit(f"hello_world: {error}")
