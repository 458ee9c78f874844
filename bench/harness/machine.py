"""The machine under a run: what its disk has done, what it is called, and whether it was fit to measure on."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

#: Below these the machine is disturbed, and what was measured on it says nothing.
COPIES_MIN = 15e6
SYNCS_MIN = 500.0


@dataclass(frozen=True)
class Written:
    """What a device has done since some moment."""

    flushes: int
    bytes: int

    def since(self, before: Written) -> Written:
        return Written(self.flushes - before.flushes, self.bytes - before.bytes)


def parse_stat(text: str) -> Written:
    """A line of /sys/block/*/stat: the 7th number counts sectors of 512 bytes written, the 16th flushes."""
    words = text.split()
    if len(words) < 16:
        raise ValueError(f"the kernel counts no flushes: {len(words)} numbers instead of 17")
    return Written(flushes=int(words[15]), bytes=int(words[6]) * 512)


class Device:
    """The disk below a directory. Its counters count everybody: other work on the machine adds to them."""

    def __init__(self, directory: Path) -> None:
        number = os.stat(directory).st_dev
        path = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").resolve()
        if (path / "partition").exists():
            # Flushes are counted for the whole disk.
            path = path.parent
        self.name = path.name
        self._stat = path / "stat"

    def read(self) -> Written:
        return parse_stat(self._stat.read_text())


def describe() -> str:
    """Processor, cores and kernel, for the head of a table."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return f"{os.cpu_count()} cores, {model}, Linux {platform.release()}"


def invalid(copies_per_s: float, syncs_per_s: float) -> str | None:
    """Why a run on such a machine does not count, if it does not."""
    if copies_per_s < COPIES_MIN:
        return f"{copies_per_s / 1e6:.1f} M copied frames a second, {COPIES_MIN / 1e6:.0f} M are needed"
    if syncs_per_s < SYNCS_MIN:
        return f"{syncs_per_s:.0f} syncs a second, {SYNCS_MIN:.0f} are needed"
    return None
