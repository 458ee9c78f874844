#!/usr/bin/env python3
"""Makes a contestant of a program that prints `NAME NUMBER` a line and ends: each turn runs it once.

    wrapped.py PROGRAM WORKLOAD --dir D …
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path


def turn(program: str, room: Path) -> dict[str, float]:
    shutil.rmtree(room, ignore_errors=True)
    text = subprocess.run([program, str(room)], check=True, capture_output=True, text=True).stdout
    found = {f"{name}_ns": float(value) for name, value in (line.split() for line in text.splitlines())}
    return {"messages": 1, "commits": 0, "seconds": 1, **found}


def main() -> None:
    program, room = sys.argv[1], Path(sys.argv[sys.argv.index("--dir") + 1]) / "room"
    print("ready", flush=True)
    for _ in sys.stdin:
        print("begin", flush=True)
        print(json.dumps(turn(program, room)), flush=True)


if __name__ == "__main__":
    main()
