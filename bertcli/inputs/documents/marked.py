"""Markdown and reStructuredText: the text as it stands, and where its headings are."""

from __future__ import annotations

import re
from itertools import pairwise

from bertcli.records import Document, Heading

_FRONT_MATTER = re.compile(
    r"\A---[ \t]*\r?\n.*?^(?:---|\.\.\.)[ \t]*\r?$", re.DOTALL | re.MULTILINE
)
_LINE_END = re.compile(r"\r\n?|\n")
SHORTEST_LINE = 4
"""So many signs make a title even of a longer line, as docutils has it, with a warning."""
_ADORNMENT = re.compile(r"^([!-/:-@\[-`{-~])\1*[ \t]*\r?$")


def markdown(text: str) -> Document:
    """Return Markdown with its headings, as CommonMark finds them.

    A block of YAML at the very top is no heading, and neither is `# this` within code; one in a
    quotation or a list is not of what comes after it.
    """
    from markdown_it import MarkdownIt

    front = _FRONT_MATTER.match(text)
    skipped = front.end() if front else 0
    tokens = MarkdownIt("commonmark").disable("reference").parse(text[skipped:])
    starts = [found.end() for found in _LINE_END.finditer(text, skipped)]  # as CommonMark has them
    starts.insert(0, skipped)
    headings = [
        Heading(
            starts[token.map[0]],
            int(token.tag[1:]),
            " ".join(inline.content.split()),
        )
        for token, inline in pairwise(tokens)
        if token.type == "heading_open" and not token.level and token.map and inline.content.strip()
    ]
    return Document(text, tuple(headings))


def restructured(text: str) -> Document:
    """Return reStructuredText with its section titles: lines with a line of signs under them.

    A title's level is that of its signs, in the order in which they first come, as docutils has it.
    """
    lines = text.split("\n")
    starts = _line_starts(text)
    levels: dict[str, int] = {}
    headings = []
    for number in range(1, len(lines)):
        above, under = lines[number - 1], _ADORNMENT.match(lines[number])
        title = above.strip()
        if not under or not title or _ADORNMENT.match(title):
            continue
        over = number > 1 and _overlined(lines, number)
        short = len(lines[number].strip()) < min(len(title), SHORTEST_LINE)
        if short or (above[0].isspace() and not over):
            continue
        level = levels.setdefault(under[1] * (2 if over else 1), len(levels) + 1)
        headings.append(Heading(starts[number - 2 if over else number - 1], level, title))
    return Document(text, tuple(headings))


def _overlined(lines: list[str], number: int) -> bool:
    """Return whether the title above line `number` has the same line above it as below."""
    over = lines[number - 2].strip()
    return bool(_ADORNMENT.match(over)) and over == lines[number].strip()


def _line_starts(text: str) -> list[int]:
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    return starts
