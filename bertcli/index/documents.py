"""Documents, chunks and the full-text table, in one SQLite file."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertcli.errors import BertcliError
from bertcli.index.chunks import Chunk
from bertcli.index.connection import connect, create, open_existing
from bertcli.index.content import (
    Counts,
    NewDocument,
    Passage,
    Row,
    Stored,
    columns_json,
    is_outline,
    outline_json,
    outlined,
    row_hash,
    text_hash,
)
from bertcli.index.failures import damaged, destroyed
from bertcli.index.files import REMOVED, Files
from bertcli.index.keywords import Keywords, Live, Match
from bertcli.index.schema import SCHEMA
from bertcli.index.where import Filter
from bertcli.index.words import full_text, storable
from bertcli.records import own_id, sought_text

KEEP_IDS = """
INSERT INTO meta SELECT 'ids', coalesce(max(id), 0) FROM chunks WHERE true
ON CONFLICT (key) DO UPDATE SET value = max(value, excluded.value)
"""
NEXT_ID = """
SELECT max(
    coalesce((SELECT max(id) FROM chunks), 0),
    coalesce((SELECT value FROM meta WHERE key = 'ids'), 0)
) + 1
"""
"""An id is not given again when its chunk is gone: somebody may have it noted, to remove by."""


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
        self._keywords = Keywords(connection)
        self._path = path
        self._expected = 0
        self._alike: dict[tuple[bytes, str], deque[int]] = {}

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
            raise destroyed(path.parent, f"{path.name} is missing")
        return cls(open_existing(path), path)

    @classmethod
    def are_complete(cls, path: Path) -> bool:
        """Tell whether a file holds the documents of a build that came to its end."""
        try:
            documents = cls.open(path)
        except (sqlite3.Error, BertcliError, UnicodeDecodeError):
            return False
        try:
            return documents.is_complete()
        except sqlite3.Error:
            return False
        finally:
            documents.close()

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

    def version(self) -> tuple[int, int]:
        """Return what stays the same while nobody, here or elsewhere, changes the file."""
        (others,) = self.connection.execute("PRAGMA data_version").fetchone()
        return others, self.connection.total_changes

    def committed_rows(self) -> int:
        """Return how many rows of the vector file count, dead ones among them."""
        return self.number("SELECT value FROM meta WHERE key = 'rows'")

    def counts(self) -> Counts:
        """Return how much there is."""
        return Counts(
            documents=self.number("SELECT count(*) FROM documents"),
            chunks=self.number("SELECT count(*) FROM chunks"),
            complete=self.is_complete(),
        )

    def is_empty(self) -> bool:
        """Tell whether nothing ever came in: no document, no vector, no file that was read."""
        read = self.number(f"SELECT count(*) FROM files WHERE error IS NULL OR error = '{REMOVED}'")
        return self.counts().documents == self.committed_rows() == read == 0

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

    def expect(self) -> None:
        """Begin to tell which of the records of a run are in already, each document once."""
        self.connection.execute("DROP TABLE IF EXISTS temp.found")
        self.connection.execute("CREATE TEMP TABLE found (id INTEGER PRIMARY KEY)")
        self._expected = self.number("SELECT coalesce(max(id), 0) FROM documents")
        self._alike = {}

    def renew(self, document: NewDocument, lasting: bool) -> bool | None:
        """Give a document that is in already the line and columns that it has now.

        Return whether they differ; None where no document of this name has this very text, of
        those that were in when `expect` was called and were not found since. It must be on the same
        line, unless the name is a `lasting` one, of something that may be changed and read again.
        One of a file is left as it is: an update looks after it.
        """
        there = self._on_its_line(document)
        if there is None and lasting:
            there = self._elsewhere(document)
        if there is None:
            return None
        number, line, file = there
        self.connection.execute("INSERT INTO temp.found VALUES (?)", (number,))
        columns = columns_json(document.columns)
        if file is not None or (line, self.stored(number).columns) == (
            document.line,
            json.loads(columns),
        ):
            return False
        self.connection.execute(
            "UPDATE documents SET line = ?, metadata = ? WHERE id = ?",
            (document.line, columns, number),
        )
        return True

    def _on_its_line(self, document: NewDocument) -> tuple[int, ...] | None:
        """Return id, line and file of one of the same text, name and line, not found yet."""
        found: tuple[int, ...] | None = self.connection.execute(
            "SELECT id, line, file FROM documents INDEXED BY documents_by_name WHERE hash = ? AND "
            "name = ? AND line IS ? AND id <= ? AND id NOT IN (SELECT id FROM temp.found) LIMIT 1",
            (
                text_hash(document.text),
                storable(document.name),
                document.line,
                self._expected,
            ),
        ).fetchone()
        return found

    def _elsewhere(self, document: NewDocument) -> tuple[int, ...] | None:
        """Return id, line and file of one of the same text and name, not found yet.

        Where several have them they are looked up once, so that many lines of few texts take no
        more time than many texts.
        """
        key = text_hash(document.text), storable(document.name)
        if key not in self._alike:
            same = self.rows(
                "SELECT id FROM documents INDEXED BY documents_by_hash "
                "WHERE hash = ? AND name = ? AND id <= ? ORDER BY id",
                *(*key, self._expected),
            )
            ids = deque(number for (number,) in same)
            if len(ids) > 1:
                self._alike[key] = ids
        else:
            ids = self._alike[key]
        while ids:
            query = (
                "SELECT id, line, file FROM documents WHERE id = ? "
                "AND id NOT IN (SELECT id FROM temp.found)"
            )
            found: tuple[int, ...] | None = self.connection.execute(
                query, (ids.popleft(),)
            ).fetchone()
            if found is not None:
                return found
        return None

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
                columns_json(document.columns),
                outline_json(document),
            ),
        )
        number = cursor.lastrowid or 0
        self.connection.execute(
            "INSERT INTO texts VALUES (?, ?)", (number, storable(document.text))
        )
        self.insert_chunks(number, document.text, chunks, rows)

    def remove(self, condition: Filter, files: bool = False) -> int:
        """Remove the documents that a condition holds for, and return how many.

        The rows of their vectors stay in the file, unused. A document that is a whole file is not
        indexed again by an update, nor is a row that was removed; with `files` nor is any other row
        of a file that has nothing left in the index.
        """
        found = self.connection.execute(
            "SELECT DISTINCT documents.id, documents.file, documents.line FROM documents "
            f"JOIN chunks ON document = documents.id WHERE {condition.sql}",
            condition.values,
        ).fetchall()
        self.connection.executemany(
            "INSERT INTO removed VALUES (?, ?, 1) "
            "ON CONFLICT (file, hash) DO UPDATE SET count = count + 1",
            [
                (file, self._row_hash(document))
                for document, file, line in found
                if file is not None and line is not None
            ],
        )
        self.remove_documents([document for document, *_ in found])
        self.connection.executemany(
            "UPDATE files SET error = ?2 WHERE id = ?1 AND NOT EXISTS "
            "(SELECT 1 FROM documents WHERE file = ?1)",
            [
                (file, REMOVED)
                for file in {file for _, file, line in found if files or line is None}
                if file is not None
            ],
        )
        return len(found)

    def removed_rows(self, file: int) -> Counter[bytes]:
        """Return how many rows of a file a person took out of the index, by their hashes."""
        return Counter(dict(self.rows("SELECT hash, count FROM removed WHERE file = ?", file)))

    def remove_documents(self, documents: Iterable[int]) -> None:
        """Remove documents, their chunks and words; the rows of their vectors become unused."""
        self.connection.execute(KEEP_IDS)
        for document in documents:
            text = self.stored(document).text
            self.connection.executemany(
                "INSERT INTO words (words, rowid, body) VALUES ('delete', ?, ?)",
                self.words_of(document, text),
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
        if complete:
            self.connection.execute("UPDATE meta SET value = 1 WHERE key = 'built'")

    def is_complete(self) -> bool:
        """Tell whether no run adds, and none died at it."""
        return self.number("SELECT value FROM meta WHERE key = 'complete'") == 1

    def is_built(self) -> bool:
        """Tell whether a run came to its end at some time."""
        return self.number("SELECT value FROM meta WHERE key = 'built'") == 1

    def matching(self, phrases: Sequence[str], depth: int, live: Live = None) -> list[Match]:
        """Return the vector rows of the best `depth` live chunks with any of the phrases."""
        return self._keywords.matching(phrases, depth, live, self.version())

    def where(self, condition: Filter) -> NDArray[np.int64]:
        """Return the vector rows of all chunks that a condition holds for.

        In this order of the tables it is asked once for a document, not for each of its chunks.
        """
        found = self.connection.execute(
            "SELECT row FROM documents CROSS JOIN chunks ON documents.id = document "
            f"WHERE {condition.sql}",
            condition.values,
        )
        return np.fromiter((row for (row,) in found), np.int64)

    def columns(self) -> set[str]:
        """Return the names of all columns that a document has."""
        keys = self.rows("SELECT DISTINCT CAST(key AS BLOB) FROM documents, json_each(metadata)")
        return {key.decode("utf-8", "replace") for (key,) in keys}

    def shared_ids(self) -> frozenset[str]:
        """Return the ids in their columns that several documents have."""
        seen, shared = set[str](), set[str]()
        for (metadata,) in self.rows("SELECT metadata FROM documents"):
            if own := own_id(json.loads(metadata)):
                (shared if own in seen else seen).add(own)
        return frozenset(shared)

    def place(self, chunk: int) -> str:
        """Return where the document of a chunk stands, with its number where others stand there."""
        document, name, line = self.connection.execute(
            "SELECT id, name, line FROM documents "
            "WHERE id = (SELECT document FROM chunks WHERE id = ?)",
            (chunk,),
        ).fetchone()
        there = self.connection.execute(
            "SELECT count(*) FROM documents WHERE name = ? AND line IS ?", (name, line)
        ).fetchone()[0]
        place = name if line is None else f"{name}:{line}"
        return place if there == 1 else f"{place}#{document}"

    def holding(self, expression: str) -> NDArray[np.int64]:
        """Return the vector rows of all chunks that fit an expression of the full-text table."""
        found = self.connection.execute(
            "SELECT row FROM chunks WHERE id IN (SELECT rowid FROM words WHERE words MATCH ?)",
            (expression,),
        )
        return np.fromiter((row for (row,) in found), np.int64)

    def passages(self, rows: Sequence[int]) -> list[Passage]:
        """Return the passages that belong to these vector rows, in the given order."""
        documents: dict[int, Stored] = {}
        passages = []
        for row in rows:
            found = self.connection.execute(
                'SELECT id, document, start, "end", line, heading, page, context '
                "FROM chunks WHERE row = ?",
                (row,),
            ).fetchone()
            if found is None:
                raise damaged(self._path.parent, f"no passage has row {row} of the vectors")
            chunk, document, start, end, line, heading, page, context = found
            if not _are_whole(start, end, line, page) or start > end:
                raise damaged(self._path.parent, f"the place of passage {chunk}")
            if document not in documents:
                documents[document] = self.stored(document)
            stored = documents[document]
            first, last = stored.line, stored.line
            if first is None:
                first, last = line, line + stored.text.count("\n", start, end)
            passages.append(
                Passage(
                    chunk=chunk,
                    start=start,
                    end=end,
                    document=stored.name,
                    line=first,
                    last_line=last or first,
                    heading=heading,
                    page=page,
                    page_starts=() if page is None else self._page_starts(stored, start, end),
                    columns=stored.columns,
                    whole=stored.text,
                    path=stored.path,
                    context=context,
                )
            )
        return passages

    def rows_of(self, chunks: Iterable[int]) -> list[int]:
        """Return the vector rows of chunks by their ids."""
        return [self.number("SELECT row FROM chunks WHERE id = ?", chunk) for chunk in chunks]

    def insert_chunks(
        self, document: int, text: str, chunks: Sequence[Chunk], rows: Sequence[Row]
    ) -> None:
        """Insert the chunks of a document that is there, each with its row of vectors."""
        text = storable(text)
        first = self.number(NEXT_ID)
        texts = [chunk.sought(text) for chunk in chunks]
        self.connection.executemany(
            "INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
                    chunk.context,
                )
                for i, (chunk, row) in enumerate(zip(chunks, rows, strict=True))
            ],
        )
        self.connection.executemany(
            "INSERT INTO words (rowid, body) VALUES (?, ?)",
            [(first + i, full_text(one)) for i, one in enumerate(texts)],
        )

    def words_of(self, document: int, text: str) -> list[tuple[int, str]]:
        """Return the chunks of a document, each with what the full-text table has of it."""
        query = 'SELECT id, start, "end", context FROM chunks WHERE document = ?'
        return [
            (chunk, full_text(sought_text(text[start:end], context)))
            for chunk, start, end, context in self.rows(query, document)
        ]

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
            "SELECT documents.name, line, metadata, text, path, outline FROM documents "
            "JOIN texts ON texts.document = documents.id LEFT JOIN files ON files.id = file "
            "WHERE documents.id = ?",
            (document,),
        ).fetchone()
        if found is None:
            raise damaged(self._path.parent, f"document {document} is missing")
        name, line, metadata, text, path, outline = found
        try:
            columns = json.loads(metadata)
        except (TypeError, ValueError) as error:
            raise damaged(self._path.parent, f"columns of document {document}") from error
        if not isinstance(columns, dict):
            raise damaged(self._path.parent, f"columns of document {document}")
        if not _are_whole(line):
            raise damaged(self._path.parent, f"the line of document {document}")
        if not isinstance(text, str):
            raise damaged(self._path.parent, f"the text of document {document}")
        return Stored(name, line, columns, text, path, outline)

    def _page_starts(self, stored: Stored, start: int, end: int) -> tuple[int, ...]:
        """Return the characters of a passage with which pages begin, but for its first."""
        if stored.outline is not None and not is_outline(stored.outline):
            raise damaged(self._path.parent, f"the pages of {stored.name}")
        _, pages = outlined(stored.outline)
        return tuple(one - start for one in pages if start < one < end)

    def _row_hash(self, document: int) -> bytes:
        stored = self.stored(document)
        return row_hash(stored.text, stored.columns)

    def number(self, query: str, *values: object) -> int:
        """Return the one number that a query finds."""
        found = self.connection.execute(query, values).fetchone()
        if found is None or type(found[0]) is not int:
            raise damaged(self._path.parent, f"{self._path.name} lacks its counts")
        return found[0]


def _are_whole(*values: object) -> bool:
    """Tell whether values are whole numbers or none, which SQLite's types do not make sure of."""
    return all(value is None or type(value) is int for value in values)
