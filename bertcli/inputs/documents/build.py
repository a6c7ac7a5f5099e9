"""Putting the text of a document together, block by block."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bertcli.errors import DataError
from bertcli.records import Document, Heading

_EMPTY_LINES = re.compile(r"\n\s*\n")
MOST_LETTERS = 100_000_000
"""Longer documents are refused: a small file of a stranger can say the same any number of times."""
SAID_LETTERS = 120
"""As much as is told of what a library says of a damaged document."""


def table_row(cells: Sequence[str]) -> str:
    """Return a row of a table as Markdown has it, which `qa` reads right more often than tabs.

    It has no empty line. The only cell with a text stands alone: such tables lay out pages.
    """
    said = [_EMPTY_LINES.sub("\n", cell.strip()) for cell in cells]
    return f"| {' | '.join(said)} |" if sum(map(bool, said)) > 1 else "".join(cells)


def check_letters(count: int) -> None:
    """Raise DataError for a document with so many characters of text that it is not meant."""
    if count > MOST_LETTERS:
        raise DataError(f"has more than {MOST_LETTERS:,} characters of text: split it")


class DocumentBuilder:
    """A document that grows; blocks stand on lines of their own, with one empty line between."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._headings: list[Heading] = []
        self._pages: list[int] = []

    def block(self, text: str) -> int:
        """Add a paragraph, if there is anything in it, and return where it begins."""
        text = text.strip()
        if not text:
            return self._length
        if self._parts:
            self._add("\n\n")
        start = self._length
        self._add(text)
        return start

    def heading(self, title: str, level: int) -> None:
        """Add a paragraph that is a heading."""
        title = " ".join(title.split())
        if title:
            self._headings.append(Heading(self.block(title), level, title))

    def page(self) -> None:
        """Say that a new page begins with the next block."""
        self._pages.append(self._length + 2 if self._parts else 0)

    def append(self, other: Document) -> None:
        """Add a whole document with its headings."""
        if other.text.strip():
            shift = self.block(other.text) - (len(other.text) - len(other.text.lstrip()))
            self._headings += [
                Heading(one.start + shift, one.level, one.title) for one in other.headings
            ]

    def done(self) -> Document:
        """Return the document."""
        text = "".join(self._parts)
        pages = tuple(min(page, len(text)) for page in self._pages)
        return Document(text, tuple(self._headings), pages)

    def _add(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)
        check_letters(self._length)
