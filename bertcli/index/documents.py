"""Documents, chunks and the full-text table, in one SQLite file."""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertcli.errors import BertcliError
from bertcli.index.chunks import Chunk
from bertcli.index.connection import connect, create, open_existing
from bertcli.index.failures import damaged
from bertcli.index.files import REMOVED, Files
from bertcli.index.keywords import matching
from bertcli.index.query import any_of
from bertcli.index.vectors import Vectors
from bertcli.index.where import Filter
from bertcli.index.words import TOKENIZER, full_text, storable
from bertcli.records import Document, Heading

REMOVED_TABLE = """
CREATE TABLE IF NOT EXISTS removed (
    file INTEGER NOT NULL REFERENCES files (id) ON DELETE CASCADE,
    hash BLOB NOT NULL,
    PRIMARY KEY (file, hash)
) WITHOUT ROWID
"""
"""Rows of files that a person took out of the index: they stay out when the file changes."""
# Texts have a table of their own, so that conditions on documents never walk through them. A
# chunk's text is a slice of its document's. The full-text table keeps no copy of the text either;
# an entry is removed by handing in the same words again, see `words.full_text`. Its rowid is the
# chunk's id. `row` is apart from `id`, so that rows can be packed together without touching the
# words. A row of vectors belongs to one chunk, or it is in `unused`, from where it is taken when
# its text comes back; `crc` is the checksum of its bytes, `hash` tells its text.
SCHEMA = f"""
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE sources (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    include TEXT NOT NULL,
    exclude TEXT NOT NULL,
    field TEXT NOT NULL
);
CREATE TABLE files (
    id INTEGER PRIMARY KEY,
    source INTEGER NOT NULL REFERENCES sources (id) ON DELETE CASCADE,
    path TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER,
    hash BLOB NOT NULL,
    error TEXT
);
CREATE TABLE documents (
    id INTEGER PRIMARY KEY,
    file INTEGER REFERENCES files (id),
    name TEXT NOT NULL,
    line INTEGER,
    hash BLOB NOT NULL,
    metadata TEXT NOT NULL,
    outline TEXT
);
CREATE TABLE texts (
    document INTEGER PRIMARY KEY REFERENCES documents (id) ON DELETE CASCADE,
    text TEXT NOT NULL
);
CREATE INDEX documents_by_name ON documents (name, line);
CREATE INDEX documents_by_file ON documents (file) WHERE file IS NOT NULL;
CREATE TABLE chunks (
    id INTEGER PRIMARY KEY,
    document INTEGER NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    row INTEGER NOT NULL UNIQUE,
    start INTEGER NOT NULL,
    "end" INTEGER NOT NULL,
    line INTEGER NOT NULL,
    heading TEXT,
    page INTEGER,
    hash BLOB NOT NULL,
    crc INTEGER NOT NULL
);
CREATE INDEX chunks_by_document ON chunks (document);
CREATE INDEX chunks_by_hash ON chunks (hash);
CREATE TABLE unused (row INTEGER PRIMARY KEY, hash BLOB NOT NULL, crc INTEGER NOT NULL);
CREATE INDEX unused_by_hash ON unused (hash);
CREATE VIRTUAL TABLE words USING fts5 (body, content='', tokenize='{TOKENIZER}');
{REMOVED_TABLE};
INSERT INTO meta VALUES ('rows', 0), ('complete', 0);
"""


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
        """Return a document under the name that it is found by."""
        d = document
        return cls(name, d.text, d.line, d.columns, d.headings, d.pages)

    @property
    def document(self) -> Document:
        """The document without its name."""
        return Document(self.text, self.headings, self.pages, self.line, self.columns)


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
    `last_line` are lines of the file.
    """

    chunk: int
    start: int
    end: int
    document: str
    line: int
    last_line: int
    heading: str | None
    page: int | None
    columns: Mapping[str, object]
    whole: str
    path: str | None = None

    @property
    def text(self) -> str:
        """The text of the chunk."""
        return self.whole[self.start : self.end]


@dataclass(frozen=True, slots=True)
class Stored:
    """A document as it is read back, with the path of its file."""

    name: str
    line: int | None
    columns: Mapping[str, object]
    text: str
    path: str | None


class Documents:
    """The open SQLite file. Reading goes on in `reading()`, writing in `writing()`.

    Write-ahead logging, because a reader then sees one committed state for as long as it reads, and
    neither side waits for the other, at any length of transaction; a killed writer's half
    transaction is simply not seen. Its price is two more files while someone writes, which the last
    one to close removes again, and that it needs a local disk.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.files = Files(connection)
        self.connection = connection
        self._path = path

    @classmethod
    def create(cls, path: Path) -> Documents:
        """Make the file with its empty tables."""
        documents = cls(create(path), path)
        with documents.writing():
            for statement in SCHEMA.split(";\n"):
                documents.connection.execute(statement)
        return documents

    @classmethod
    def open(cls, path: Path) -> Documents:
        """Open the file for reading and, where the folder allows it, for writing."""
        if not path.exists():
            raise damaged(path.parent, f"{path.name} is missing")
        return cls(open_existing(path), path)

    @classmethod
    def is_complete(cls, path: Path) -> bool:
        """Tell whether a file holds the documents of a build that came to its end."""
        try:
            documents = cls.open(path)
        except (sqlite3.Error, BertcliError, UnicodeDecodeError):
            return False
        try:
            return documents.counts().complete
        except sqlite3.Error:
            return False
        finally:
            documents.close()

    def add_missing_tables(self) -> None:
        """Make the tables that an index of an older bertcli lacks."""
        self.connection.execute(REMOVED_TABLE)

    def close(self) -> None:
        """Close the file; the last to close folds the log back into it."""
        self.connection.close()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Within the block, and blocks within it, everything read is of one committed state."""
        if self.connection.in_transaction:
            yield
            return
        self.connection.execute("BEGIN")
        try:
            yield
        finally:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Everything written within the block counts at its end, or not at all."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.connection.execute("COMMIT")
        finally:
            # Still open after a failure only; SQLite itself rolls back when the disk is full.
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")

    def committed_rows(self) -> int:
        """Return how many rows of the vector file count, dead ones among them."""
        return self.number("SELECT value FROM meta WHERE key = 'rows'")

    def counts(self) -> Counts:
        """Return how much there is."""
        return Counts(
            documents=self.number("SELECT count(*) FROM documents"),
            chunks=self.number("SELECT count(*) FROM chunks"),
            complete=self.number("SELECT value FROM meta WHERE key = 'complete'") == 1,
        )

    def sha256(self) -> str:
        """Return one hash for the names and the contents of all documents, in their order."""
        digest = hashlib.sha256()
        for row in self.connection.execute("SELECT name, line, hash FROM documents ORDER BY id"):
            digest.update(repr(row).encode())
        return digest.hexdigest()

    def live_rows(self, committed: int) -> NDArray[np.bool_] | None:
        """Return which vector rows belong to a chunk `(committed,)`; None when all of them do."""
        last = self.connection.execute("SELECT max(row) FROM chunks").fetchone()[0]
        if (last or 0) >= max(committed, 1):
            raise damaged(self._path.parent, f"chunks point past the {committed} vectors")
        dead = np.fromiter((row for (row,) in self.rows("SELECT row FROM unused")), np.int64)
        if not len(dead):
            return None
        live = np.ones(committed, bool)
        live[dead[dead < committed]] = False
        return live

    def holds(self, document: NewDocument) -> bool:
        """Return whether this very text of this name and line is in already."""
        return (
            self.connection.execute(
                "SELECT 1 FROM documents WHERE name = ? AND line IS ? AND hash = ?",
                (storable(document.name), document.line, text_hash(document.text)),
            ).fetchone()
            is not None
        )

    def insert(
        self, document: NewDocument, chunks: Sequence[Chunk], rows: Sequence[Row], file: int | None
    ) -> None:
        """Insert a document whose chunks have these rows of vectors."""
        cursor = self.connection.execute(
            "INSERT INTO documents (file, name, line, hash, metadata, outline) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (
                file,
                storable(document.name),
                document.line,
                text_hash(document.text),
                _metadata(document.columns),
                _outline(document),
            ),
        )
        number = cursor.lastrowid or 0
        self.connection.execute(
            "INSERT INTO texts VALUES (?, ?)", (number, storable(document.text))
        )
        self.insert_chunks(number, document.text, chunks, rows)

    def remove(self, condition: Filter) -> int:
        """Remove the documents that a condition holds for, and return how many.

        The rows of their vectors stay in the file, unused. A file that has nothing left in the
        index is not indexed again by an update, nor is a row that was removed.
        """
        found = self.connection.execute(
            "SELECT DISTINCT documents.id, documents.file FROM documents "
            f"JOIN chunks ON document = documents.id WHERE {condition.sql}",
            condition.values,
        ).fetchall()
        self.connection.executemany(
            "INSERT OR IGNORE INTO removed VALUES (?, ?)",
            [
                (file, self._row_hash(document))
                for document, file in found
                if file is not None and self.stored(document).line is not None
            ],
        )
        self.remove_documents([document for document, _ in found])
        self.connection.executemany(
            "UPDATE files SET error = ?2 WHERE id = ?1 AND NOT EXISTS "
            "(SELECT 1 FROM documents WHERE file = ?1)",
            [(file, REMOVED) for file in {file for _, file in found if file is not None}],
        )
        return len(found)

    def was_removed(self, file: int, document: NewDocument) -> bool:
        """Return whether a person took this very row of a file out of the index."""
        row = (file, _row_hash(document.text, _metadata(document.columns)))
        query = "SELECT 1 FROM removed WHERE file = ? AND hash = ?"
        return self.connection.execute(query, row).fetchone() is not None

    def remove_documents(self, documents: Iterable[int]) -> None:
        """Remove documents, their chunks and words; the rows of their vectors become unused."""
        for document in documents:
            text = self.stored(document).text
            chunks = self.rows('SELECT id, start, "end" FROM chunks WHERE document = ?', document)
            self.connection.executemany(
                "INSERT INTO words (words, rowid, body) VALUES ('delete', ?, ?)",
                [(chunk, full_text(text[start:end])) for chunk, start, end in chunks],
            )
            self.connection.execute(
                "INSERT INTO unused SELECT row, hash, crc FROM chunks WHERE document = ?",
                (document,),
            )
            self.connection.execute("DELETE FROM documents WHERE id = ?", (document,))

    def of_file(self, file: int) -> list[int]:
        """Return the documents of a file."""
        return [one for (one,) in self.rows("SELECT id FROM documents WHERE file = ?", file)]

    def embedded(self, hashes: Iterable[bytes]) -> set[bytes]:
        """Return which texts have a vector already, by their hashes."""
        query = (
            "SELECT 1 FROM chunks WHERE hash = ?1 UNION ALL SELECT 1 FROM unused WHERE hash = ?1"
        )
        return {one for one in set(hashes) if self.connection.execute(query, (one,)).fetchone()}

    def stage(self, rows: Iterable[tuple[Row, bytes]]) -> None:
        """Note rows that no chunk has yet, each with the hash of its text."""
        self.connection.executemany(
            "INSERT INTO unused VALUES (?, ?, ?)",
            [(row.number, of_text, row.crc) for row, of_text in rows],
        )

    def take(self, of_text: bytes) -> Row | None:
        """Return an unused row with the vector of a text, which is no longer unused then."""
        found = self.connection.execute(
            "DELETE FROM unused WHERE row = (SELECT row FROM unused WHERE hash = ? LIMIT 1) "
            "RETURNING row, crc",
            (of_text,),
        ).fetchone()
        return None if found is None else Row(*found)

    def like(self, of_text: bytes) -> Row | None:
        """Return a row in use by another chunk of the same text."""
        found = self.connection.execute(
            "SELECT row, crc FROM chunks WHERE hash = ? LIMIT 1", (of_text,)
        ).fetchone()
        return None if found is None else Row(*found)

    def mark(self, rows: int, complete: bool) -> None:
        """Record how many vector rows count now, and whether the run is through."""
        self.connection.executemany(
            "UPDATE meta SET value = ? WHERE key = ?", [(rows, "rows"), (complete, "complete")]
        )

    def matching(
        self, phrases: Sequence[str], count: int, thorough: bool = False
    ) -> list[tuple[int, float]]:
        """Return the vector rows of the best chunks with any of the phrases, each with its BM25."""
        return matching(self.connection, phrases, count, thorough)

    def where(self, condition: Filter) -> NDArray[np.int64]:
        """Return the vector rows of all chunks that a condition holds for."""
        found = self.connection.execute(
            "SELECT row FROM chunks JOIN documents ON documents.id = document "
            f"WHERE {condition.sql}",
            condition.values,
        )
        return np.fromiter((row for (row,) in found), np.int64)

    def holding(self, phrases: Sequence[str]) -> NDArray[np.int64]:
        """Return the vector rows of all chunks with any of the phrases."""
        found = self.connection.execute(
            "SELECT row FROM chunks WHERE id IN (SELECT rowid FROM words WHERE words MATCH ?)",
            (any_of(phrases),),
        )
        return np.fromiter((row for (row,) in found), np.int64)

    def passages(self, rows: Sequence[int]) -> list[Passage]:
        """Return the passages that belong to these vector rows, in the given order."""
        documents: dict[int, Stored] = {}
        passages = []
        for row in rows:
            found = self.connection.execute(
                'SELECT id, document, start, "end", line, heading, page FROM chunks WHERE row = ?',
                (row,),
            ).fetchone()
            if found is None:
                raise damaged(self._path.parent, f"no passage has row {row} of the vectors")
            chunk, document, start, end, line, heading, page = found
            if document not in documents:
                documents[document] = self.stored(document)
            stored = documents[document]
            first, last = stored.line, stored.line
            if first is None:
                first, last = line, line + stored.text.count("\n", start, end)
            passages.append(
                Passage(
                    chunk,
                    start,
                    end,
                    stored.name,
                    first,
                    last or first,
                    heading,
                    page,
                    stored.columns,
                    stored.text,
                    stored.path,
                )
            )
        return passages

    def rows_of(self, chunks: Sequence[int]) -> list[int | None]:
        """Return the vector rows of chunks by their ids; None for an id that there is not."""
        query = "SELECT row FROM chunks WHERE id = ?"
        found = (self.connection.execute(query, (chunk,)).fetchone() for chunk in chunks)
        return [None if one is None else one[0] for one in found]

    def insert_chunks(
        self, document: int, text: str, chunks: Sequence[Chunk], rows: Sequence[Row]
    ) -> None:
        """Insert the chunks of a document that is there, each with its row of vectors."""
        text = storable(text)
        first = self.number("SELECT coalesce(max(id), 0) + 1 FROM chunks")
        texts = [text[chunk.start : chunk.end] for chunk in chunks]
        self.connection.executemany(
            "INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    first + i,
                    document,
                    row.number,
                    chunk.start,
                    chunk.end,
                    chunk.line,
                    chunk.heading,
                    chunk.page,
                    text_hash(texts[i]),
                    row.crc,
                )
                for i, (chunk, row) in enumerate(zip(chunks, rows, strict=True))
            ],
        )
        self.connection.executemany(
            "INSERT INTO words (rowid, body) VALUES (?, ?)",
            [(first + i, full_text(one)) for i, one in enumerate(texts)],
        )

    def checks(self) -> Iterator[Row]:
        """Yield the row of every chunk with the checksum that its vector should have."""
        return (Row(*found) for found in self.rows("SELECT row, crc FROM chunks ORDER BY row"))

    def write_copy(self, path: Path) -> None:
        """Write everything as it is now into a new file, packed, also while others write here."""
        path.unlink(missing_ok=True)
        self.connection.execute("VACUUM INTO ?", (str(path),))
        connection = connect(path, "mode=rw")
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        finally:
            connection.close()

    def rows(self, query: str, *values: object) -> list[Any]:
        """Return what a query finds."""
        return self.connection.execute(query, values).fetchall()

    def stored(self, document: int) -> Stored:
        """Return a document as it stands in the tables."""
        found = self.connection.execute(
            "SELECT documents.name, line, metadata, text, path FROM documents "
            "JOIN texts ON texts.document = documents.id LEFT JOIN files ON files.id = file "
            "WHERE documents.id = ?",
            (document,),
        ).fetchone()
        if found is None:
            raise damaged(self._path.parent, f"document {document} is missing")
        name, line, metadata, text, path = found
        try:
            return Stored(name, line, json.loads(metadata), text, path)
        except ValueError as error:
            raise damaged(self._path.parent, f"columns of document {document}") from error

    def _row_hash(self, document: int) -> bytes:
        (metadata,) = self.connection.execute(
            "SELECT metadata FROM documents WHERE id = ?", (document,)
        ).fetchone()
        return _row_hash(self.stored(document).text, metadata)

    def number(self, query: str) -> int:
        """Return the one number that a query finds."""
        found = self.connection.execute(query).fetchone()
        if found is None or type(found[0]) is not int:
            raise damaged(self._path.parent, f"{self._path.name} lacks its counts")
        return found[0]


def text_hash(text: str) -> bytes:
    """Return what tells a text from every other: the first 16 bytes of its SHA-256."""
    return hashlib.sha256(storable(text).encode()).digest()[:16]


def _row_hash(text: str, metadata: str) -> bytes:
    """Return what tells a row of a file from others: its text and its columns, not its place."""
    return text_hash(f"{metadata}\n{text}")


def _outline(document: NewDocument) -> str | None:
    """Return headings and pages as JSON, to cut the text anew one day; None without any."""
    if not document.headings and not document.pages:
        return None
    headings = [[one.start, one.level, one.title] for one in document.headings]
    return json.dumps({"headings": headings, "pages": document.pages})


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
