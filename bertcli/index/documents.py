"""Documents, chunks and the full-text table, in one SQLite file."""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bertcli.index.chunks import Chunk
from bertcli.index.failures import damaged
from bertcli.index.query import any_of
from bertcli.index.vectors import Vectors
from bertcli.index.where import Filter
from bertcli.index.words import TOKENIZER, full_text, storable

# Columns that nothing fills yet (size, mtime_ns, heading, page) are there for indexing folders of
# files, so that an index made today can be updated then. `text` stands last, so that reading the
# other columns never walks through a long text. A chunk's text is a slice of its document's.
# The full-text table keeps no copy of the text either; an entry is removed by handing in the same
# words again, see `words.full_text`. Its rowid is the chunk's id. `row` is apart from `id`, so that
# rows can be packed together later without touching the words.
SCHEMA = f"""
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE documents (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    line INTEGER,
    hash BLOB NOT NULL,
    size INTEGER,
    mtime_ns INTEGER,
    metadata TEXT NOT NULL,
    text TEXT NOT NULL
);
CREATE INDEX documents_by_name ON documents (name, line);
CREATE TABLE chunks (
    id INTEGER PRIMARY KEY,
    document INTEGER NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    row INTEGER NOT NULL UNIQUE,
    start INTEGER NOT NULL,
    "end" INTEGER NOT NULL,
    line INTEGER NOT NULL,
    heading TEXT,
    page INTEGER
);
CREATE INDEX chunks_by_document ON chunks (document);
CREATE VIRTUAL TABLE words USING fts5 (body, content='', tokenize='{TOKENIZER}');
INSERT INTO meta VALUES ('rows', 0), ('complete', 0);
"""


@dataclass(frozen=True, slots=True)
class NewDocument:
    """A text to be indexed: the file or label it came from, and its columns.

    `line` is set where the document is one row of a file, None where it is the whole of it.
    """

    name: str
    text: str
    line: int | None = None
    columns: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """A document with its chunks and their vectors `(len(chunks), d)` float32."""

    document: NewDocument
    chunks: Sequence[Chunk]
    vectors: Vectors


@dataclass(frozen=True, slots=True)
class Counts:
    """How much an index holds; `complete` is False while a run adds, and after one that died."""

    documents: int
    chunks: int
    complete: bool


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk as it is read back: its text, where it stands, and its document's columns."""

    text: str
    document: str
    line: int
    columns: Mapping[str, object]


class Documents:
    """The open SQLite file. Reading goes on in `reading()`, writing in `writing()`.

    Write-ahead logging, because a reader then sees one committed state for as long as it reads, and
    neither side waits for the other, at any length of transaction; a killed writer's half
    transaction is simply not seen. Its price is two more files while someone writes, which the last
    one to close removes again, and that it needs a local disk.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    @classmethod
    def create(cls, path: Path) -> Documents:
        """Make the file with its empty tables."""
        connection = _connected(path, "mode=rwc")
        connection.execute("PRAGMA journal_mode = WAL")
        documents = cls(connection, path)
        with documents.writing():
            for statement in SCHEMA.split(";\n"):
                connection.execute(statement)
        return documents

    @classmethod
    def open(cls, path: Path) -> Documents:
        """Open the file for reading and, where the folder allows it, for writing."""
        if not path.exists():
            raise damaged(path.parent, f"{path.name} is missing")
        return cls(_opened(path), path)

    def close(self) -> None:
        """Close the file; the last to close folds the log back into it."""
        self._connection.close()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Within the block everything read is of one committed state."""
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Everything written within the block counts at its end, or not at all."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        finally:
            # Still open after a failure only; SQLite itself rolls back when the disk is full.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def committed_rows(self) -> int:
        """Return how many rows of the vector file count, dead ones among them."""
        return self._number("SELECT value FROM meta WHERE key = 'rows'")

    def counts(self) -> Counts:
        """Return how much there is."""
        return Counts(
            documents=self._number("SELECT count(*) FROM documents"),
            chunks=self._number("SELECT count(*) FROM chunks"),
            complete=self._number("SELECT value FROM meta WHERE key = 'complete'") == 1,
        )

    def live_rows(self, committed: int) -> NDArray[np.bool_] | None:
        """Return which vector rows belong to a chunk `(committed,)`; None when all of them do."""
        chunks, last = self._connection.execute("SELECT count(*), max(row) FROM chunks").fetchone()
        if chunks > committed or (last or 0) >= max(committed, 1):
            raise damaged(self._path.parent, f"chunks point past the {committed} vectors")
        if chunks == committed:
            return None
        live = np.zeros(committed, bool)
        rows = self._connection.execute("SELECT row FROM chunks")
        live[np.fromiter((row for (row,) in rows), np.int64, chunks)] = True
        return live

    def holds(self, document: NewDocument) -> bool:
        """Return whether this very text of this name and line is in already."""
        return (
            self._connection.execute(
                "SELECT 1 FROM documents WHERE name = ? AND line IS ? AND hash = ?",
                (storable(document.name), document.line, _hash(document.text)),
            ).fetchone()
            is not None
        )

    def insert(self, entries: Sequence[Entry], first_row: int) -> int:
        """Insert documents whose chunks take the rows from `first_row` on; return the next row."""
        row = first_row
        for entry in entries:
            document = self._insert_document(entry.document)
            self._insert_chunks(document, entry, row)
            row += len(entry.chunks)
        return row

    def remove(self, condition: Filter) -> int:
        """Remove the documents that a condition holds for, and return how many.

        The rows of their vectors stay in the file, dead.
        """
        found = self._connection.execute(
            "SELECT DISTINCT documents.id FROM documents JOIN chunks ON document = documents.id "
            f"WHERE {condition.sql}",
            condition.values,
        ).fetchall()
        for (document,) in found:
            text = self._document(document)[1]
            chunks = self._connection.execute(
                'SELECT id, start, "end" FROM chunks WHERE document = ?', (document,)
            )
            self._connection.executemany(
                "INSERT INTO words (words, rowid, body) VALUES ('delete', ?, ?)",
                [(chunk, full_text(text[start:end])) for chunk, start, end in chunks],
            )
            self._connection.execute("DELETE FROM documents WHERE id = ?", (document,))
        return len(found)

    def mark(self, rows: int, complete: bool) -> None:
        """Record how many vector rows count now, and whether the run is through."""
        self._connection.executemany(
            "UPDATE meta SET value = ? WHERE key = ?", [(rows, "rows"), (complete, "complete")]
        )

    def matching(self, phrases: Sequence[str], count: int) -> list[tuple[int, float]]:
        """Return the vector rows of the best chunks with any of the phrases, each with its BM25.

        Best first, the higher the better (Robertson and Zaragoza 2009, as FTS5 computes it).
        """
        if not phrases:
            return []
        return self._connection.execute(
            "SELECT row, -rank FROM (SELECT rowid, rank FROM words WHERE words MATCH ? "
            "ORDER BY rank LIMIT ?) JOIN chunks ON id = rowid ORDER BY rank, row",
            (any_of(phrases), count),
        ).fetchall()

    def where(self, condition: Filter) -> NDArray[np.int64]:
        """Return the vector rows of all chunks that a condition holds for."""
        found = self._connection.execute(
            "SELECT row FROM chunks JOIN documents ON documents.id = document "
            f"WHERE {condition.sql}",
            condition.values,
        )
        return np.fromiter((row for (row,) in found), np.int64)

    def holding(self, phrases: Sequence[str]) -> NDArray[np.int64]:
        """Return the vector rows of all chunks with any of the phrases."""
        found = self._connection.execute(
            "SELECT row FROM chunks WHERE id IN (SELECT rowid FROM words WHERE words MATCH ?)",
            (any_of(phrases),),
        )
        return np.fromiter((row for (row,) in found), np.int64)

    def passages(self, rows: Sequence[int]) -> list[Passage]:
        """Return the passages that belong to these vector rows, in the given order."""
        texts: dict[int, tuple[str, str, int | None, Mapping[str, object]]] = {}
        passages = []
        for row in rows:
            document, start, end, line = self._connection.execute(
                'SELECT document, start, "end", line FROM chunks WHERE row = ?', (row,)
            ).fetchone()
            if document not in texts:
                texts[document] = self._document(document)
            name, text, own_line, columns = texts[document]
            line = line if own_line is None else own_line
            passages.append(Passage(text[start:end], name, line, columns))
        return passages

    def _document(self, document: int) -> tuple[str, str, int | None, Mapping[str, object]]:
        found = self._connection.execute(
            "SELECT name, text, line, metadata FROM documents WHERE id = ?", (document,)
        ).fetchone()
        if found is None:
            raise damaged(self._path.parent, f"document {document} is missing")
        name, text, line, metadata = found
        try:
            return name, text, line, json.loads(metadata)
        except ValueError as error:
            raise damaged(self._path.parent, f"columns of document {document}") from error

    def _insert_document(self, document: NewDocument) -> int:
        cursor = self._connection.execute(
            "INSERT INTO documents (name, line, hash, metadata, text) VALUES (?, ?, ?, ?, ?)",
            (
                storable(document.name),
                document.line,
                _hash(document.text),
                _metadata(document.columns),
                storable(document.text),
            ),
        )
        return cursor.lastrowid or 0

    def _insert_chunks(self, document: int, entry: Entry, first_row: int) -> None:
        first = self._number("SELECT coalesce(max(id), 0) + 1 FROM chunks")
        text = storable(entry.document.text)
        self._connection.executemany(
            'INSERT INTO chunks (id, document, row, start, "end", line) VALUES (?, ?, ?, ?, ?, ?)',
            [
                (first + i, document, first_row + i, chunk.start, chunk.end, chunk.line)
                for i, chunk in enumerate(entry.chunks)
            ],
        )
        self._connection.executemany(
            "INSERT INTO words (rowid, body) VALUES (?, ?)",
            [
                (first + i, full_text(text[chunk.start : chunk.end]))
                for i, chunk in enumerate(entry.chunks)
            ],
        )

    def _number(self, query: str) -> int:
        found = self._connection.execute(query).fetchone()
        if found is None or type(found[0]) is not int:
            raise damaged(self._path.parent, f"{self._path.name} lacks its counts")
        return found[0]


def _connected(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?{mode}"
    connection = sqlite3.connect(uri, uri=True, timeout=10, isolation_level=None)
    try:
        _configure(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _configure(connection: sqlite3.Connection) -> None:
    # An index can come from anywhere: what its schema might call must not be trusted. FULL makes a
    # commit survive a power cut, not only a kill.
    for pragma in ("trusted_schema = OFF", "foreign_keys = ON", "synchronous = FULL"):
        connection.execute(f"PRAGMA {pragma}")
    # SQLite opens a file at the first look into it; failures belong here.
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()


def _opened(path: Path) -> sqlite3.Connection:
    """Open for writing, else for reading, else, with no writer about, as a file that cannot change.

    The last is for a read-only folder, where SQLite cannot make the two files of the log. It would
    not see a log that is there, so it is not used then.
    """
    modes = ["mode=rw", "mode=ro"]
    log = path.with_name(f"{path.name}-wal")
    if not log.exists() or log.stat().st_size == 0:
        modes.append("mode=ro&immutable=1")
    for mode in modes:
        try:
            return _connected(path, mode)
        except sqlite3.OperationalError as error:
            unwritable = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)
            if error.sqlite_errorcode & 0xFF not in unwritable or mode == modes[-1]:
                raise
    raise AssertionError("every mode returned or raised")


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _metadata(columns: Mapping[str, object]) -> str:
    """Return the columns as JSON that SQLite's own functions can read (they refuse NaN)."""
    return json.dumps(_json_value(columns), ensure_ascii=True, default=str, allow_nan=False)


def _json_value(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _json_value(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(inner) for inner in value]
    return value
