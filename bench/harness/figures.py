"""Figures of a question: stints, rounds, ratios taken within a round, and goals held against them."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

#: What one contestant said of one stint, with what was counted outside.
Stint = dict[str, float]
#: Of one round, by contestant.
Round = dict[str, Stint]


@dataclass(frozen=True)
class Goal:
    """`figure` of `ours` over that of `theirs` (or by itself), compared with a bound.

    `theirs` is a contestant, `best` or `median` of all peers, or nothing.
    """

    ours: str
    theirs: str | None
    sense: str
    bound: float
    figure: str = "rate_per_s"
    #: What counts is how much more ours is, not how many times.
    more: bool = field(default=False, kw_only=True)
    #: What is only aimed at misses nothing when it is missed.
    aim: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        if self.sense not in (">=", "<="):
            raise ValueError(f"{self.sense!r} is neither >= nor <=")

    def text(self) -> str:
        theirs = {"best": "best peer", "median": "median peer"}.get(self.theirs or "", self.theirs)
        over = f" {'-' if self.more else '/'} {theirs}" if theirs else ""
        named = "" if self.figure == "rate_per_s" else f", {self.figure}"
        return f"{self.ours}{over}{named}"


@dataclass(frozen=True)
class Spread:
    """The middle of some figures, and their ends."""

    middle: float
    least: float
    most: float

    @staticmethod
    def of(values: list[float]) -> Spread | None:
        if not values:
            return None
        return Spread(statistics.median(values), min(values), max(values))


@dataclass(frozen=True)
class Verdict:
    goal: Goal
    ratio: Spread | None
    #: Yes, no, or nothing where it was not measured.
    held: bool | None


def complete(stint: Stint) -> Stint:
    """Adds what follows from what was said: rates, and what a commit cost the device."""
    seconds = max(stint["seconds"], 1e-9)
    commits = max(stint.get("commits", 0.0), 1.0)
    more = {"rate_per_s": stint["messages"] / seconds, "commits_per_s": stint.get("commits", 0.0) / seconds}
    if "flushes" in stint:
        more["flushes_per_commit"] = stint["flushes"] / commits
        more["bytes_per_commit"] = stint["bytes"] / commits
    if stint.get("floor_p50_us"):
        more["over_floor"] = stint["p50_us"] / stint["floor_p50_us"]
    if stint.get("p50_us") and stint.get("p9999_us"):
        more["tail"] = stint["p9999_us"] / stint["p50_us"]
    return {**stint, **more}


def _theirs(goal: Goal, one: Round, peers: list[str]) -> float | None:
    values = [one[peer][goal.figure] for peer in peers if goal.figure in one.get(peer, {})]
    if goal.theirs == "median":
        return statistics.median(values) if values else None
    if goal.theirs == "best":
        best = max if goal.sense == ">=" else min
        return best(values) if values else None
    return one.get(goal.theirs or "", {}).get(goal.figure)


def ratios(goal: Goal, rounds: list[Round], peers: list[str]) -> list[float]:
    """One a round in which both sides were measured."""
    found = []
    for one in rounds:
        ours = one.get(goal.ours, {}).get(goal.figure)
        theirs = 1.0 if goal.theirs is None else _theirs(goal, one, peers)
        if ours is not None and theirs:
            found.append(ours - theirs if goal.more else ours / theirs)
    return found


def judge(goal: Goal, rounds: list[Round], peers: list[str]) -> Verdict:
    """A goal holds when the middle of its ratios does; `floor` of the device's counts when the least of them does.

    Other work on the machine can only add to what the device counts, so the least count is nearest to the truth.
    """
    spread = Spread.of(ratios(goal, rounds, peers))
    if spread is None:
        return Verdict(goal, None, None)
    value = spread.least if goal.figure in ("flushes_per_commit", "bytes_per_commit") else spread.middle
    return Verdict(goal, spread, value >= goal.bound if goal.sense == ">=" else value <= goal.bound)


@dataclass
class Answer:
    """A question, measured."""

    name: str
    title: str
    rounds: list[Round] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    #: Contestants that are not here, did not run, or did not keep what they acknowledged: why.
    absent: dict[str, str] = field(default_factory=dict)
    #: Floors of the moment: copied frames and syncs a second.
    floors: tuple[float, float] = (0.0, 0.0)
    invalid: str | None = None
    seconds: float = 0.0

    def spread(self, contestant: str, figure: str) -> Spread | None:
        return Spread.of([one[contestant][figure] for one in self.rounds if figure in one.get(contestant, {})])

    def contestants(self) -> list[str]:
        """In the order in which they first appeared."""
        return list(dict.fromkeys(name for one in self.rounds for name in one))


def unflushed(rounds: list[Round], contestant: str, together: int) -> str | None:
    """Why a contestant cannot have kept what it acknowledged: at most `together` commits can share one flush."""
    counts = [one[contestant]["flushes_per_commit"] for one in rounds if "flushes_per_commit" in one.get(contestant, {})]
    needed = 0.9 / together
    if not counts or min(counts) >= needed:
        return None
    return f"{min(counts):.4f} flushes a commit, {needed:.4f} are needed by {together} that wait: not durable"
