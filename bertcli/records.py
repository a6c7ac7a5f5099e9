"""What goes in: one record per text, with where it came from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import quote

TEXT_NAME = "TEXT"
"""What a text of the command line is called, where others have the name of their file."""


def own_id(columns: Mapping[str, object]) -> str | None:
    """Return the id that a row has in its columns `id` or `_id`, None where it has none."""
    found = (columns.get(key) for key in ("id", "_id"))
    return next((str(one) for one in found if one not in (None, "")), None)


def one_word(name: object) -> str:
    """Return a name as TREC's files hold it, whose columns end at blanks: these as in a URL.

    >>> one_word("my notes.txt:3"), one_word("d%203"), one_word("")
    ('my%20notes.txt:3', 'd%203', '-')
    """
    return re.sub(r"\s", lambda blank: quote(blank[0]), str(name)) or "-"


def encodable(text: str) -> str:
    r"""Return the text with halves of surrogate pairs, which have no UTF-8, as `\udXXX`.

    >>> encodable("Ada \ud83d")
    'Ada \\ud83d'
    """
    return text.encode("utf-8", "backslashreplace").decode()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record stands: a file (None for text given on the command line) and its first line.

    `part` is what tells the record from the others there, where a line is not enough.

    >>> str(Place("reviews.csv", 7))
    'reviews.csv:7'
    >>> str(Place("squad.json", part="question 7"))
    'squad.json, question 7'
    """

    path: str | None = None
    line: int | None = None
    part: str | None = None

    def __str__(self) -> str:
        path = self.path or TEXT_NAME
        place = path if self.line is None else f"{path}:{self.line}"
        return place if self.part is None else f"{place}, {self.part}"


@dataclass(frozen=True, slots=True)
class Record:
    """One text to be answered.

    `id` counts from 0 in input order. `columns` are the fields the row came with, which the output
    repeats; plain text has none. `question` is set for question answering only, where `text` is
    the context, and `second` where pairs of texts are classified.
    """

    id: int
    text: str
    columns: Mapping[str, object] = field(default_factory=dict)
    place: Place = Place()
    question: str | None = None
    second: str | None = None

    @property
    def file(self) -> str | None:
        """The file whose whole text this is; None for a line, a row, or text given directly."""
        return self.place.path if self.place.line is None and not self.columns else None


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A row that could not become a record; it keeps its place and is answered by its error."""

    id: int
    error: str
    columns: Mapping[str, object] = field(default_factory=dict)
    place: Place = Place()


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A text, or a pair of them, and what a person called it: one label, several, or none."""

    text: str
    labels: tuple[str, ...]
    place: Place = Place()
    second: str | None = None


@dataclass(frozen=True, slots=True)
class TaggedText:
    """A text and the things that a person marked in it: half-open characters and a label each.

    Where every word has a line of its own, `places` has that of each span by its first character.
    """

    text: str
    spans: tuple[tuple[int, int, str], ...]
    place: Place = Place()
    places: Mapping[int, Place] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AnsweredQuestion:
    """A question, its context, and the answers that people found: text and first character.

    No answers where the context does not hold any. `group` is what a question shares with others
    about the same document.
    """

    question: str
    context: str
    answers: tuple[tuple[str, int], ...]
    group: str = ""
    place: Place = Place()


@dataclass(frozen=True, slots=True)
class ScoredPair:
    """Two texts and how alike people found them, the higher, the more; None where all are."""

    first: str
    second: str
    score: float | None = None
    place: Place = Place()


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of a document: where it begins, its level (1 the highest) and its words."""

    start: int
    level: int
    title: str


@dataclass(frozen=True, slots=True)
class Document:
    """The text of a file, or of one row of it, and how it is divided.

    `headings` stand in the order of the text; `pages` has the first character of each page, from
    page 1. `line` is set for a row, whose other columns are in `columns`.
    """

    text: str
    headings: tuple[Heading, ...] = ()
    pages: tuple[int, ...] = ()
    line: int | None = None
    columns: Mapping[str, object] = field(default_factory=dict)


class Pause(Enum):
    """Stands in a live stream where nothing more is waiting: answer what you have, then read on."""

    PAUSE = "pause"


PAUSE = Pause.PAUSE

Item = Record | BadRecord | Pause


def sought_text(text: str, context: str | None) -> str:
    """Return what a chunk is found by: its text, below the headings that it stands under.

    The section "Hotel" of a note on Rome is found as one of Rome.
    """
    return text if context is None else f"{context}\n{text}"
