"""The replication tutorial: one root queue, two servers, jobs that arrive whole or not at all.

Usage: main.py [DIRECTORY [ADDRESS ADDRESS]]

The servers are hello_world of any language. Neither has to run when this starts: what is sent is on this disk, and
goes out as soon as a server is there.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from repliq.socketpro import (
    CConnectionContext,
    CReplication,
    CScopeUQueue,
    QueueConfigure,
    ReplicationSetting,
)

sys.path.append(str(Path(__file__).resolve().parents[2] / "hello_world/python"))
from my_struct import CMyStruct  # noqa: E402

ID_SAY_HELLO, ID_SLEEP, ID_ECHO = 0x2002, 0x2003, 0x2004


def at(address: str, user: str, password: str) -> CConnectionContext:
    """Where a server is, from HOST:PORT."""
    host, _, port = address.rpartition(":")
    return CConnectionContext(host, int(port), user, password)


def names(first: str, last: str) -> CScopeUQueue:
    return CScopeUQueue().SaveString(first).SaveString(last)


# ANCHOR: run
def run(rep: CReplication, targets: dict[str, CConnectionContext]) -> bool:
    """The tutorial: every answer is looked at, for false means that nothing was stored."""
    return (
        rep.Start(targets, "hw_root_queue_name")
        # ANCHOR: job
        # A job: both requests or neither.
        and rep.StartJob()
        and rep.Send(ID_SAY_HELLO, names("David", "Young"))
        and rep.Send(ID_ECHO, CMyStruct().SaveTo(CScopeUQueue()))
        and rep.EndJob()
        # ANCHOR_END: job
        # Outside a job each request is a transaction of its own.
        and rep.Send(ID_SAY_HELLO, names("Jack", "Smith"))
        and rep.Send(ID_SLEEP, CScopeUQueue().SaveInt(5))
        # A job that is given up leaves nothing, here or at any server.
        and rep.StartJob()
        and rep.Send(ID_SAY_HELLO, names("Nobody", "Here"))
        and rep.AbortJob()
    )
# ANCHOR_END: run


def main() -> int:
    arguments = sys.argv[1:] + ["sp_test/", "127.0.0.1:20901", "127.0.0.1:20902"][len(sys.argv) - 1 :]
    # ANCHOR: start
    QueueConfigure.SetMessageQueuePassword("MyQPassword")
    QueueConfigure.SetWorkDirectory(arguments[0])
    targets = {
        "Tolocal": at(arguments[1], "replication", "p4localhost"),
        "ToLinux": at(arguments[2], "remote_rep", "PassOne"),
    }
    # ANCHOR_END: start
    with CReplication(ReplicationSetting()) as rep:
        if not run(rep, targets):
            print(f"replication: {rep.LastError()}", file=sys.stderr)
            return 1
        # Everything is on this disk now; this waits until it is on the servers' disks.
        end = time.monotonic() + 60
        while rep.SourceQueue.MessageCount > 0:
            if time.monotonic() > end:
                for target in rep.TargetQueues:
                    lack = f"lacks {target.MessageCount} requests: {target.LastError}"
                    print(f"replication: {target.QueueName} {lack}", file=sys.stderr)
                return 1
            time.sleep(0.01)
    print("everybody has it", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
