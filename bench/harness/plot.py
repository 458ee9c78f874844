"""One picture a question: a bar a contestant, the middle of its rounds, with every round as a point beside it."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("svg")
# The same figures give the same bytes, and words stay words.
matplotlib.rcParams.update({"svg.hashsalt": "bench", "svg.fonttype": "none"})

from matplotlib import pyplot  # noqa: E402

from .figures import Answer  # noqa: E402

OURS, FLOOR, PEER = "#1f6f8b", "#9a9a9a", "#d9a441"


def figure_of(answer: Answer) -> tuple[str, str]:
    """What is drawn: rates, or times where a question is about those."""
    if answer.verdicts and (figure := answer.verdicts[0].goal.figure).endswith("_ns"):
        return figure, f"nanoseconds of {figure.removesuffix('_ns')}"
    latency = any(verdict.goal.figure in ("p50_us", "over_floor", "tail") for verdict in answer.verdicts)
    if latency and all(answer.spread(name, "p50_us") for name in answer.contestants()):
        return "p50_us", "microseconds (p50)"
    return "rate_per_s", "messages a second"


def draw(answer: Answer, path: Path) -> None:
    figure, title = figure_of(answer)
    names = [name for name in answer.contestants() if answer.spread(name, figure)]
    height = 1.1 + 0.42 * max(len(names), 1)
    canvas, axes = pyplot.subplots(figsize=(7.5, height), layout="constrained")
    for at, name in enumerate(names):
        found = answer.spread(name, figure)
        assert found is not None, "names without figures were left out above"
        colour = OURS if name.startswith("us") else FLOOR if name.startswith("floor") else PEER
        axes.barh(at, found.middle, color=colour, height=0.62)
        points = [one[name][figure] for one in answer.rounds if figure in one.get(name, {})]
        axes.plot(points, [at] * len(points), "|", color="black", markersize=9, alpha=0.6)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel(title)
    axes.xaxis.set_major_formatter(matplotlib.ticker.EngFormatter())
    axes.set_title(f"{answer.title}{' (invalid run)' if answer.invalid else ''}", fontsize=10, loc="left")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    canvas.savefig(path, format="svg", metadata={"Date": None})
    pyplot.close(canvas)
