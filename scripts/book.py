"""What mkdocs does not do by itself for the book; `mkdocs.yml` names this file.

The pages are written to be read on a code host, where a link can lead to any file of the tree. In the book the
tutorials get a page of their own, and links to other files become the names of these files. What would be rendered
otherwise than there is a warning, and so an error.
"""

from __future__ import annotations

import logging
import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File

LOG = logging.getLogger("mkdocs.plugins.book")
ROOT = Path(__file__).resolve().parents[1]
# Pages from elsewhere in the tree, and what they are called in the book.
ELSEWHERE = {"examples/README.md": "TUTORIALS.md"}
# A link, but none in a line of code.
LINK = re.compile(r"\[((?:[^\[\]]|`[^`]*`)+)\]\(([^()\s]+)\)")


def on_files(files, config):
    for path, name in ELSEWHERE.items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / path)))
    return files


def rewritten(link: re.Match, page: str) -> str:
    """The link as it is in the book."""
    text, target = link.groups()
    path, _, anchor = target.partition("#")
    if "://" in target or not path:
        return link.group(0)
    here = {name: path for path, name in ELSEWHERE.items()}.get(page, f"docs/{page}")
    there = posixpath.normpath(posixpath.join(posixpath.dirname(here), path))
    name = ELSEWHERE.get(there, there.removeprefix("docs/") if there.startswith("docs/") else None)
    if name is None:
        return text if text.strip("`") == there else f"{text} (`{there}`)"
    return f"[{text}]({name}{'#' + anchor if anchor else ''})"


def on_page_markdown(markdown, page, config, files):
    lines, fenced = [], False
    for line in markdown.split("\n"):
        if line.startswith("```"):
            fenced = not fenced
        if not fenced and not line.startswith("    "):
            line = LINK.sub(lambda link: rewritten(link, page.file.src_uri), line)
        lines.append(line)
    return "\n".join(lines)


def on_page_content(html, page, config, files):
    """Looks for Markdown that was left as it is, because this renderer wants it otherwise than a code host."""
    text = re.sub(r"<(pre|code)\b.*?</\1>", "", html, flags=re.DOTALL)
    for left, what in [
        (r"^\s*(?:[-*]|\d+\.) ", "a list without an empty line above it"),
        (r"^\s*\|.*\|\s*$", "a table without an empty line above it"),
        (r"^#+ ", "a heading without an empty line above it"),
        (r"```", "a fence that is not at the beginning of its line"),
        (r"\]\(", "a link in two lines"),
        (r"\*\*", "an emphasis that does not end"),
    ]:
        for found in re.finditer(left, text, flags=re.MULTILINE):
            near = text[max(0, found.start() - 60) : found.end() + 40]
            LOG.warning("%s: %s: %r", page.file.src_uri, what, near)
    # In a table a code host wants the backslash and does not show it.
    return re.sub(r"<td.*?</td>", lambda cell: cell.group(0).replace("\\|", "|"), html, flags=re.DOTALL)
