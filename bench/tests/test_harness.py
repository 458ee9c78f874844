"""The bench itself: its arithmetic, its tables and pictures, and a contest of programs that only pretend."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import run  # noqa: E402
from harness import figures, machine, plot, programs, questions, table  # noqa: E402
from harness.contestant import Contestant, Failed, Plan  # noqa: E402
from harness.figures import Answer, Goal  # noqa: E402
from harness.programs import Program  # noqa: E402

PRETENDER = """
import sys, time
rate, flushes = float(sys.argv[1]), sys.argv[2]
print("ready 1.0", flush=True)
for line in sys.stdin:
    _, messages, seconds = line.split()
    print("begin", flush=True)
    if flushes == "ends":
        sys.exit("nothing works")
    print('{"messages":%s,"commits":%s,"seconds":%f,"p50_us":2.0,"p9999_us":8.0}'
          % (messages, messages, int(messages) / rate), flush=True)
"""


class Quiet:
    """A device that counts a flush at each look."""

    name = "none"

    def __init__(self) -> None:
        self.looks = 0

    def read(self) -> machine.Written:
        self.looks += 1
        return machine.Written(self.looks, 4096 * self.looks)


def pretender(rate: float, behaviour: str = "works") -> Program:
    return Program([sys.executable, "-c", PRETENDER, str(rate), behaviour])


def rounds(**rates: list[float]) -> list[figures.Round]:
    count = len(next(iter(rates.values())))
    return [{name: {"rate_per_s": values[at]} for name, values in rates.items()} for at in range(count)]


def test_a_ratio_is_taken_within_a_round_and_its_middle_counts() -> None:
    found = rounds(us=[10.0, 100.0, 30.0], peer=[10.0, 50.0, 10.0])
    verdict = figures.judge(Goal("us", "peer", ">=", 2.0), found, ["peer"])
    assert verdict.ratio == figures.Spread(2.0, 1.0, 3.0)
    assert verdict.held is True
    assert figures.judge(Goal("us", "peer", ">=", 2.1), found, ["peer"]).held is False
    assert figures.judge(Goal("us", "peer", "<=", 2.0), found, ["peer"]).held is True


def test_the_best_and_the_middle_peer_are_those_of_each_round() -> None:
    found = rounds(us=[10.0, 10.0], slow=[1.0, 2.0], middle=[5.0, 5.0], fast=[20.0, 10.0])
    peers = ["slow", "middle", "fast"]
    assert figures.ratios(Goal("us", "best", ">=", 1), found, peers) == [0.5, 1.0]
    assert figures.ratios(Goal("us", "median", ">=", 1), found, peers) == [2.0, 2.0]
    assert figures.ratios(Goal("us", "best", "<=", 1), found, peers) == [10.0, 5.0]


def test_what_was_not_measured_is_neither_held_nor_missed() -> None:
    verdict = figures.judge(Goal("us", "peer", ">=", 1), rounds(us=[1.0]), ["peer"])
    assert (verdict.ratio, verdict.held) == (None, None)


def test_the_least_count_of_flushes_is_nearest_to_the_truth() -> None:
    found = [{"us": {"flushes_per_commit": value}} for value in (0.5, 0.07, 0.9)]
    assert figures.judge(Goal("us", None, "<=", 0.08, "flushes_per_commit"), found, []).held is True


def test_a_goal_of_another_sense_is_refused() -> None:
    with pytest.raises(ValueError):
        Goal("us", None, ">", 1)


def test_rates_and_costs_follow_from_what_was_said() -> None:
    stint = {"messages": 100, "commits": 10, "seconds": 2.0, "flushes": 5, "bytes": 40960}
    stint |= {"p50_us": 10.0, "p9999_us": 50.0, "floor_p50_us": 8.0}
    full = figures.complete(stint)
    assert (full["rate_per_s"], full["flushes_per_commit"], full["bytes_per_commit"]) == (50.0, 0.5, 4096.0)
    assert (full["over_floor"], full["tail"]) == (1.25, 5.0)


def test_who_flushes_too_seldom_is_not_durable() -> None:
    found = [{"peer": {"flushes_per_commit": value}} for value in (0.5, 0.05)]
    assert figures.unflushed(found, "peer", 16) is not None
    assert figures.unflushed(found, "peer", 64) is None
    assert figures.unflushed(found, "nobody", 1) is None


def test_the_kernels_line_is_read() -> None:
    line = "35273 6875 3662754 35947 7873 27223 3656040 16732 0 13008 53689 3922 101 184296 984 272 25"
    assert machine.parse_stat(line) == machine.Written(flushes=272, bytes=3656040 * 512)
    with pytest.raises(ValueError):
        machine.parse_stat("1 2 3 4 5 6 7 8 9 10 11")


def test_a_disturbed_machine_makes_a_run_invalid() -> None:
    assert machine.invalid(15e6, 500) is None
    assert "copied" in (machine.invalid(14.9e6, 500) or "")
    assert "syncs" in (machine.invalid(15e6, 499) or "")


def test_numbers_have_three_digits() -> None:
    assert [table.number(one) for one in (0.01234, 1.0, 999.4, 1234.0, 24.7e6)] == ["0.0123", "1", "999", "1.23k", "24.7M"]


def answered() -> Answer:
    answer = Answer("process", "One message a commit", rounds(**{"floor-copy": [20e6, 22e6], "us": [1e6, 3e6], "peer": [1e6, 1e6]}))
    answer.floors = (20e6, 900.0)
    answer.versions = {"peer": "1.2"}
    answer.absent = {"other": "was not built"}
    answer.verdicts = [figures.judge(Goal("us", "peer", ">=", bound), answer.rounds, ["peer"]) for bound in (2.0, 2.5)]
    return answer


def test_a_table_names_figures_goals_and_who_is_absent() -> None:
    text = table.text(answered())
    assert "peer 1.2" in text and "2M [1M-3M]" in text
    assert "held" in text and "NOT HELD" in text and "other: was not built" in text
    marked = table.markdown(answered())
    assert "| us / peer | >= 2.5 | 2 [1-3] | NOT HELD |" in marked
    spoilt = answered()
    spoilt.invalid = "too slow"
    assert "NOT HELD (invalid run)" in table.text(spoilt)


def test_a_disturbed_run_counts_for_nothing() -> None:
    assert run.summary([answered()]) == ("1 goals held, 1 not held, 0 invalid, 0 not measured\n  not held: process: us / peer", False)
    spoilt = answered()
    spoilt.invalid = "too slow"
    assert run.summary([spoilt]) == ("0 goals held, 0 not held, 2 invalid, 0 not measured", False)
    good = answered()
    good.verdicts.pop()
    assert run.summary([good]) == ("1 goals held, 0 not held, 0 invalid, 0 not measured", True)


def test_a_picture_is_an_svg_with_every_contestant(tmp_path: Path) -> None:
    path = tmp_path / "one.svg"
    plot.draw(answered(), path)
    words = "".join(xml.fromstring(path.read_text()).itertext())
    assert all(name in words for name in ("floor-copy", "us", "peer", "messages a second"))


def test_questions_have_names_of_their_own_and_goals_about_who_takes_part() -> None:
    names = [question.name for question in questions.QUESTIONS]
    assert len(set(names)) == len(names)
    for question in questions.QUESTIONS:
        there = [plan.name for plan in question.plans]
        assert len(set(there)) == len(there), question.name
        for goal in question.goals:
            assert goal.ours in there, f"{question.name}: {goal.ours}"
            assert goal.theirs in (None, "best", "median", *there), f"{question.name}: {goal.theirs}"


def test_a_contest_takes_turns_and_names_who_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"us": pretender(20e6), "fast": pretender(5e6), "broken": pretender(1.0, "ends")}

    def find(name: str) -> Program:
        if name not in there:
            raise programs.Missing("was not built")
        return there[name]

    monkeypatch.setattr(run, "find", find)
    plans = [Plan(name, name, "put", {"window": 4096}) for name in ("us", "fast", "broken", "nobody")]
    question = questions.Question("pretended", "Nothing", plans, [Goal("us", "fast", ">=", 3.9)], messages=1000)
    device = Quiet()
    floors = run.Floors(tmp_path, device)
    answer = run.ask(question, floors, tmp_path, device, 3, True, 1.0)
    floors.close()
    assert [list(one) for one in answer.rounds] == [["us", "fast"]] * 3
    assert answer.verdicts[0].held is True
    assert "nothing works" in answer.absent["broken"] and answer.absent["nobody"] == "was not built"
    assert answer.invalid is None
    run.write([answer], tmp_path / "out", "a head")
    assert json.loads((tmp_path / "out/results.json").read_text())[0]["name"] == "pretended"
    assert (tmp_path / "out/pretended.svg").exists()


def test_a_contestant_that_says_something_else_is_refused(tmp_path: Path) -> None:
    program = Program([sys.executable, "-c", "print('hello')"])
    with pytest.raises(Failed, match="hello"):
        Contestant(Plan("rude", "rude", "put"), program, tmp_path, Quiet())  # type: ignore[arg-type]
    assert not (tmp_path / "rude").exists()


def test_a_program_that_prints_figures_and_ends_becomes_a_contestant(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\necho put 3.5\necho get 4\n")
    program.chmod(0o755)
    wrapped = Contestant(Plan("calls", "calls", "calls"), programs.wrapped(program), tmp_path, Quiet())  # type: ignore[arg-type]
    stint = wrapped.stint(1, 1.0)
    wrapped.close()
    assert (stint["put_ns"], stint["get_ns"]) == (3.5, 4.0)
    found = [{"c": {"put_ns": 12.0}, "rust": {"put_ns": 5.0}}]
    verdict = figures.judge(Goal("c", "rust", "<=", 10, "put_ns", more=True), found, [])
    assert verdict.ratio == figures.Spread(7.0, 7.0, 7.0) and verdict.held is True


def test_an_unknown_question_is_refused() -> None:
    with pytest.raises(SystemExit, match="no question"):
        run.chosen("nothing", False)


OURS = programs.ROOT / "target" / "debug" / "examples" / "contest"
WORKLOADS = [
    ("put", {}),
    ("put", {"level": "process", "threads": 2, "batch": 10, "queues": 3}),
    ("put", {"window": 8, "backlog": 1000}),
    ("put", {"encrypted": 1, "targets": 1}),
    ("transaction", {"batch": 10}),
    ("paired", {}),
    ("paced", {"level": "process", "rate": 1000}),
    ("drain", {}),
    ("scan", {}),
    ("open", {"backlog": 1000}),
    ("open", {"backlog": 1000, "killed": 1}),
    ("replicate", {"window": 8, "targets": 2}),
    ("replicate", {}),
    ("transform", {"threads": 2, "batch": 10}),
    ("produce", {"batch": 10}),
    ("workers", {"threads": 4, "keys": 1000, "build_ms": 1}),
    ("wake", {}),
    ("drain", {"keys": 1000, "keyed": 1}),
    ("drain", {"keys": 1000, "shared": 1, "keyed": 1}),
    ("waiting", {"backlog": 2000, "keys": 2000}),
    ("waiting", {"backlog": 2000, "keys": 2000, "delayed": 1}),
    ("floor-sync", {}),
    ("floor-copy", {"level": "process"}),
    ("floor-read", {}),
    ("floor-write", {}),
]


SERVED = [
    ("transform", {"threads": 2, "batch": 10}),
    ("produce", {"threads": 2, "batch": 10}),
    ("workers", {"threads": 2, "keys": 1000, "build_ms": 1}),
    ("wake", {}),
]


@pytest.mark.skipif(not OURS.exists(), reason="cargo test builds it")
@pytest.mark.parametrize(("workload", "options"), SERVED)
def test_our_side_takes_two_turns_at_a_server_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workload: str, options: dict[str, str | int]
) -> None:
    monkeypatch.setattr(programs, "us", lambda: [str(OURS)])
    plan = Plan("us", "us-served", workload, options)
    ours = Contestant(plan, programs.find("us-served"), tmp_path, Quiet())  # type: ignore[arg-type]
    try:
        for _ in range(2):
            assert ours.stint(200, 0.2)["rate_per_s"] > 0
    finally:
        ours.close()
    assert not (tmp_path / "us").exists()


@pytest.mark.skipif(not OURS.exists(), reason="cargo test builds it")
@pytest.mark.parametrize(("workload", "options"), WORKLOADS)
def test_our_side_takes_two_turns_in_every_workload(tmp_path: Path, workload: str, options: dict[str, str | int]) -> None:
    ours = Contestant(Plan("us", "us", workload, options), Program([str(OURS)]), tmp_path, Quiet())  # type: ignore[arg-type]
    try:
        for _ in range(2):
            assert ours.stint(200, 0.2)["rate_per_s"] > 0
    finally:
        ours.close()
    assert not (tmp_path / "us").exists()
