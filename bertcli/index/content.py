"""What an index holds: documents, chunks and rows of vectors, as they are handed in and out."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from bertcli.index.chunks import Chunk
from bertcli.index.vectors import Vectors
from bertcli.index.words import storable
from bertcli.records import Document, Heading, encodable, sought_text


@dataclass(frozen=True, slots=True)
class NewDocument:
    """A text to be indexed: the file or label it came from, how it is divided, and its columns.

    `line` is set where the document is one row of a file, None where it is the whole of it.
    """

    name: str
    text: str
    line: int | None = None
    columns: Mapping[str, object] = field(default_factory=dict)
    headings: tuple[Heading, ...] = ()
    pages: tuple[int, ...] = ()

    @classmethod
    def of(cls, name: str, document: Document) -> NewDocument:
        """Return a document under the name that it is found by, as UTF-8 can hold it."""
        d = document
        headings = tuple(replace(one, title=storable(one.title)) for one in d.headings)
        return cls(name, storable(d.text), d.line, d.columns, headings, d.pages)

    @property
    def document(self) -> Document:
        """The document without its name."""
        return Document(self.text, self.headings, self.pages, self.line, self.columns)

    @property
    def row_hash(self) -> bytes:
        """What tells a row of a file from others."""
        return row_hash(self.text, self.columns)


@dataclass(frozen=True, slots=True)
class Entry:
    """A document with its chunks and their vectors `(len(chunks), d)` float32."""

    document: NewDocument
    chunks: Sequence[Chunk]
    vectors: Vectors


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the vector file: its number, and the checksum of its bytes."""

    number: int
    crc: int


@dataclass(frozen=True, slots=True)
class Counts:
    """How much an index holds; `complete` is False while a run adds, and after one that died."""

    documents: int
    chunks: int
    complete: bool


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk as it is read back: its text, where it stands, and its document's columns.

    `start` and `end` are its characters in its document, whose text is `whole`; `line` to
    `last_line` are lines of the file; `page_starts` are the characters of its text with which the
    pages after its first begin.
    """

    chunk: int
    start: int
    end: int
    document: str
    line: int
    last_line: int
    heading: str | None
    page: int | None
    page_starts: tuple[int, ...]
    columns: Mapping[str, object]
    whole: str
    path: str | None = None
    context: str | None = None

    @property
    def text(self) -> str:
        """The text of the chunk."""
        return self.whole[self.start : self.end]

    @property
    def sought(self) -> str:
        """What the chunk is found by."""
        return sought_text(self.text, self.context)


@dataclass(frozen=True, slots=True)
class Stored:
    """A document as it is read back, with the path of its file and its outline as JSON."""

    name: str
    line: int | None
    columns: Mapping[str, object]
    text: str
    path: str | None
    outline: str | None


def text_hash(text: str) -> bytes:
    """Return what tells a text from every other: the first 16 bytes of its SHA-256."""
    return hashlib.sha256(storable(text).encode()).digest()[:16]


def row_hash(text: str, columns: Mapping[str, object]) -> bytes:
    """Return what tells a row of a file from others: its text and its columns, not its place."""
    return text_hash(f"{columns_json(columns)}\n{text}")


def outline_json(document: NewDocument) -> str | None:
    """Return headings and pages as JSON, to cut the text anew one day; None without any."""
    if not document.headings and not document.pages:
        return None
    headings = [[one.start, one.level, one.title] for one in document.headings]
    return json.dumps({"headings": headings, "pages": document.pages})


def columns_json(columns: Mapping[str, object]) -> str:
    """Return the columns as JSON that SQLite's own functions can read (they refuse NaN).

    Only half surrogates, which UTF-8 cannot hold, are escaped.
    """
    written = json.dumps(_json_value(columns), ensure_ascii=False, default=str, allow_nan=False)
    return encodable(written)


def _json_value(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _json_value(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(inner) for inner in value]
    return value


def outlined(outline: str | None) -> tuple[tuple[Heading, ...], tuple[int, ...]]:
    """Return headings and pages from their JSON."""
    if outline is None:
        return (), ()
    content = json.loads(outline)
    return tuple(Heading(*one) for one in content["headings"]), tuple(content["pages"])


def is_outline(outline: str) -> bool:
    """Tell whether an outline is one that can be read."""
    try:
        headings, pages = outlined(outline)
    except (ValueError, TypeError, KeyError):
        return False
    numbers = [*pages, *(number for one in headings for number in (one.start, one.level))]
    return all(type(one) is int for one in numbers)
