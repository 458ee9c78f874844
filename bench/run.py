#!/usr/bin/env python3
"""Measures us and the peers in alternation, in one run, and prints each question with its goals.

    bench/run.py [--dir D] [--question NAME,…] [--all] [--rounds N] [--share F] [--out D] [--list]

Exit status 1 where a goal was not held, or the machine was too disturbed to say. scripts/bench.sh builds what it needs and calls it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness import figures, machine, table  # noqa: E402
from harness.contestant import Contestant, Failed, Plan  # noqa: E402
from harness.figures import Answer  # noqa: E402
from harness.machine import Device  # noqa: E402
from harness.programs import Missing, find  # noqa: E402
from harness.questions import QUESTIONS, Question  # noqa: E402

#: A floor's turn: long enough to be right within a few per cent.
FLOOR_COPIES, FLOOR_SYNCS_S = 2_000_000, 0.15


def tell(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


class Floors:
    """The machine's own speed, taken in each round."""

    def __init__(self, room: Path, device: Device) -> None:
        def contestant(kind: str, level: str) -> Contestant:
            plan = Plan(f"machine-{kind}", "us", f"floor-{kind}", {"level": level})
            return Contestant(plan, find("us"), room, device)

        self._copy = contestant("copy", "process")
        self._sync = contestant("sync", "power")
        self._found: tuple[list[float], list[float]] = ([], [])

    def take(self) -> None:
        copies, syncs = self._found
        copies.append(self._copy.stint(FLOOR_COPIES, 1.0)["rate_per_s"])
        syncs.append(self._sync.stint(1_000_000, FLOOR_SYNCS_S)["rate_per_s"])

    def taken(self) -> tuple[float, float]:
        """Since the last call: copied frames and syncs a second."""
        copies, syncs = self._found
        found = (statistics.median(copies), statistics.median(syncs))
        self._found = ([], [])
        return found

    def close(self) -> None:
        self._copy.close()
        self._sync.close()


def ask(question: Question, floors: Floors, room: Path, device: Device, rounds: int, everybody: bool, share: float) -> Answer:
    """One question: everybody opens, then takes turns; who begins changes each round."""
    answer = Answer(question.name, question.title)
    begun = time.monotonic()
    there: dict[str, Contestant] = {}
    try:
        for plan in question.plans:
            if not plan.first and not everybody:
                continue
            try:
                there[plan.name] = Contestant(plan, find(plan.program), room, device)
                answer.versions[plan.name] = "" if plan.is_ours() else there[plan.name].version
            except (Missing, Failed, OSError) as error:
                answer.absent[plan.name] = str(error)
        for number in range(rounds):
            floors.take()
            names = list(there)
            turn = number % len(names) if names else 0
            one: figures.Round = {}
            for name in names[turn:] + names[:turn]:
                try:
                    one[name] = there[name].stint(int(question.messages * share), question.seconds * share)
                except Failed as error:
                    answer.absent[name] = str(error)
                    there.pop(name).close()
            # In the order of the question, whoever began.
            answer.rounds.append({name: one[name] for name in names if name in one})
            tell(f"{question.name}: round {number + 1} of {rounds}")
    finally:
        for contestant in there.values():
            contestant.close()
    for plan in question.plans:
        if plan.commits_to_disk() and (why := figures.unflushed(answer.rounds, plan.name, plan.together())):
            answer.absent[plan.name] = why
    answer.floors = floors.taken()
    answer.invalid = machine.invalid(*answer.floors)
    peers = [plan.name for plan in question.plans if not plan.is_ours()]
    answer.verdicts = [figures.judge(goal, answer.rounds, peers) for goal in question.goals]
    answer.seconds = time.monotonic() - begun
    return answer


def write(answers: list[Answer], out: Path, head: str) -> None:
    """What was found: as JSON, as Markdown, and a picture each."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_text(json.dumps([dataclasses.asdict(answer) for answer in answers], indent=1) + "\n")
    (out / "results.md").write_text(f"{head}\n\n" + "\n".join(table.markdown(answer) for answer in answers))
    try:
        from harness import plot
    except ImportError as error:
        tell(f"no pictures: {error}")
        return
    for answer in answers:
        if answer.rounds:
            plot.draw(answer, out / f"{answer.name}.svg")


def chosen(names: str | None, everything: bool) -> list[Question]:
    if names is None:
        return [question for question in QUESTIONS if everything or not question.late]
    known = {question.name: question for question in QUESTIONS}
    if unknown := [name for name in names.split(",") if name not in known]:
        raise SystemExit(f"bench: there is no question {unknown[0]!r}; --list prints them")
    return [known[name] for name in names.split(",")]


def summary(answers: list[Answer]) -> tuple[str, bool]:
    """How many goals hold, and whether all do. What was measured on a disturbed machine counts for nothing."""
    verdicts = [(answer, verdict) for answer in answers for verdict in answer.verdicts if not verdict.goal.aim]
    measured = [(answer, verdict) for answer, verdict in verdicts if verdict.held is not None]
    valid = [(answer, verdict) for answer, verdict in measured if not answer.invalid]
    missed = [f"{answer.name}: {verdict.goal.text()}" for answer, verdict in valid if not verdict.held]
    counts = f"{len(valid) - len(missed)} goals held, {len(missed)} not held, {len(measured) - len(valid)} invalid, "
    counts += f"{len(verdicts) - len(measured)} not measured"
    lines = [counts, *(f"  not held: {text}" for text in missed)]
    return "\n".join(lines), len(valid) == len(measured) and not missed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, default=Path("target/bench/room"), help="a directory on the disk to measure")
    parser.add_argument("--out", type=Path, default=Path("target/bench/out"), help="where the tables and pictures go")
    parser.add_argument("--question", help="only these, with commas between")
    parser.add_argument("--all", action="store_true", help="all peers and questions")
    parser.add_argument("--rounds", type=int, help="instead of the question's own number")
    parser.add_argument("--share", type=float, default=1.0, help="this share of each stint's messages and seconds")
    parser.add_argument("--list", action="store_true", help="print the questions and go")
    options = parser.parse_args()
    if options.list:
        for question in QUESTIONS:
            print(f"{question.name:20} {question.title}{' (make bench-all)' if question.late else ''}")
        return 0
    questions = chosen(options.question, options.all)
    room = options.dir.resolve()
    room.mkdir(parents=True, exist_ok=True)
    device = Device(room)
    head = f"{time.strftime('%Y-%m-%d %H:%M')}, {machine.describe()}, disk {device.name}"
    print(head)
    answers: list[Answer] = []
    floors = Floors(room, device)
    try:
        for question in questions:
            answer = ask(question, floors, room, device, options.rounds or question.rounds, options.all, options.share)
            answers.append(answer)
            print("\n" + table.text(answer), end="", flush=True)
            write(answers, options.out, head)
    finally:
        floors.close()
        shutil.rmtree(room, ignore_errors=True)
    text, good = summary(answers)
    print("\n" + text)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
