"""Answers as text: for a terminal, and as Markdown for docs/BENCHMARKS.md."""

from __future__ import annotations

from .figures import Answer, Spread, Verdict


def number(value: float) -> str:
    """Three digits that count, with k and M."""
    for size, mark in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{mark}" if abs(value) < 1e9 else f"{value:.3g}"
    return f"{value:.3g}"


def spread(found: Spread | None) -> str:
    if found is None:
        return "-"
    if found.least == found.most:
        return number(found.middle)
    return f"{number(found.middle)} [{number(found.least)}-{number(found.most)}]"


def held(verdict: Verdict, answer: Answer) -> str:
    if verdict.held is None:
        return "not measured"
    word = "held" if verdict.held else "NOT HELD"
    if verdict.goal.aim and not verdict.held:
        word = "aim missed"
    return f"{word} (invalid run)" if answer.invalid else word


def bound(verdict: Verdict) -> str:
    return f"{verdict.goal.sense} {verdict.goal.bound:g}{' (aim)' if verdict.goal.aim else ''}"


_FIGURES = (
    ("rate_per_s", "a second"),
    ("p50_us", "p50 us"),
    ("p99_us", "p99 us"),
    ("p9999_us", "p99.99 us"),
    ("flushes_per_commit", "flushes a commit"),
    ("bytes_per_commit", "bytes a commit"),
    ("resident_mib", "MiB resident"),
    ("bytes_each", "bytes each"),
    ("session_put_ns", "session_put ns"),
    ("store_queue_ns", "store_queue ns"),
    ("port_fd_ns", "port_fd ns"),
    ("two_puts_ns", "two_puts ns"),
)


def rows(answer: Answer) -> list[list[str]]:
    """A title row, then one a contestant; columns that nobody has are left out."""
    names = answer.contestants()
    shown = _FIGURES[1:] if all(answer.spread(name, "two_puts_ns") for name in names) else _FIGURES
    columns = [one for one in shown if any(answer.spread(name, one[0]) for name in names)]
    out = [["contestant", *(title for _, title in columns)]]
    for name in names:
        version = answer.versions.get(name, "")
        label = f"{name} {version}".strip()
        out.append([label, *(spread(answer.spread(name, figure)) for figure, _ in columns)])
    return out


def goals(answer: Answer) -> list[list[str]]:
    out = [["goal", "bound", "middle [least-most]", "held"]]
    for verdict in answer.verdicts:
        out.append([verdict.goal.text(), bound(verdict), spread(verdict.ratio), held(verdict, answer)])
    return out


def aligned(table: list[list[str]]) -> str:
    widths = [max(len(row[at]) for row in table) for at in range(len(table[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in table]
    return "\n".join(f"  {line}" for line in lines)


def markdown_table(table: list[list[str]]) -> str:
    head, *body = [[cell.replace("|", "\\|") for cell in row] for row in table]
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)


def _notes(answer: Answer) -> list[str]:
    notes = [f"{name}: {why}" for name, why in answer.absent.items()]
    if answer.invalid:
        notes.append(f"INVALID: {answer.invalid}")
    return notes


def _floors(answer: Answer) -> str:
    copies, syncs = answer.floors
    return f"{len(answer.rounds)} rounds; floors: {number(copies)} copied frames/s, {number(syncs)} syncs/s"


def text(answer: Answer) -> str:
    parts = [f"== {answer.name}: {answer.title}", f"  {_floors(answer)}"]
    if answer.rounds:
        parts.append(aligned(rows(answer)))
    if answer.verdicts:
        parts.append(aligned(goals(answer)))
    parts.extend(f"  {note}" for note in _notes(answer))
    return "\n".join(parts) + "\n"


def markdown(answer: Answer) -> str:
    parts = [f"### {answer.name}", f"{answer.title}. {_floors(answer)}."]
    if answer.rounds:
        parts.append(markdown_table(rows(answer)))
    if answer.verdicts:
        parts.append(markdown_table(goals(answer)))
    parts.extend(f"* {note}" for note in _notes(answer))
    return "\n\n".join(parts) + "\n"
