"""What is done to the documents of an index as a whole: packing, checking, mending."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bertcli.index.content import NewDocument, Row, is_outline, outlined, text_hash
from bertcli.index.documents import Documents
from bertcli.index.schema import WORDS_TABLE
from bertcli.records import sought_text

NO_COLUMNS = (
    "typeof(metadata) != 'text' OR NOT (json_valid(metadata) AND json_type(metadata) = 'object')"
)
NO_LINE = "typeof(line) NOT IN ('integer', 'null')"
NO_PAGE = "typeof(page) NOT IN ('integer', 'null')"
NO_SPAN = "typeof(start) != 'integer' OR typeof(\"end\") != 'integer' OR start > \"end\""
WITH_TEXTS = "documents LEFT JOIN texts ON texts.document = documents.id"
NO_TEXT = "typeof(text) != 'text' OR NOT is_utf8(CAST(text AS BLOB))"
NO_DOCUMENT = "document NOT IN (SELECT id FROM documents)"


@dataclass(frozen=True, slots=True)
class Fit:
    """How a document fits what is recorded of it.

    It is the `same` where its text is the one that was indexed, `misplaced` passages are not where
    they were cut, and it is `covered` where nothing but white space is outside of its passages.
    """

    document: int
    same: bool
    misplaced: int
    covered: bool

    @property
    def is_cut(self) -> bool:
        """Whether the passages are those of the text."""
        return self.covered and not self.misplaced


class Upkeep:
    """Looks after open documents; within their `reading()` or `writing()`."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._connection = documents.connection
        self._rows = documents.rows
        self._number = documents.number

    def pack_rows(self) -> list[int]:
        """Number the rows of the chunks from 0, and return the old number of each."""
        rows = [row for (row,) in self._rows("SELECT row FROM chunks ORDER BY row")]
        # First below zero, so that no number is there twice on the way.
        self._connection.executemany(
            "UPDATE chunks SET row = ? WHERE row = ?", ((-1 - i, row) for i, row in enumerate(rows))
        )
        self._connection.execute("UPDATE chunks SET row = -1 - row")
        self._connection.execute("DELETE FROM unused")
        self._documents.mark(len(rows), self._documents.is_complete())
        return rows

    def drop_chunks(self) -> None:
        """Drop all chunks, words and rows; the documents stay."""
        self._connection.execute("INSERT INTO words (words) VALUES ('delete-all')")
        self._connection.execute("DELETE FROM chunks")
        self._connection.execute("DELETE FROM unused")

    def each(self) -> Iterator[tuple[int, NewDocument]]:
        """Yield every document with its number; the table must not shrink meanwhile."""
        last = 0
        while True:
            found = self._connection.execute(
                "SELECT id FROM documents WHERE id > ? ORDER BY id LIMIT 1", (last,)
            ).fetchone()
            if found is None:
                return
            if found[0] <= last:
                raise sqlite3.DatabaseError(f"document {found[0]} is found again and again")
            (last,) = found
            yield last, self.document(last)

    def document(self, number: int) -> NewDocument:
        """Return a document as it was handed in."""
        stored = self._documents.stored(number)
        headings, pages = outlined(stored.outline)
        return NewDocument(stored.name, stored.text, stored.line, stored.columns, headings, pages)

    def fits(self) -> Iterator[Fit]:
        """Yield of each document how its text and its passages fit what is recorded."""
        recorded = dict(self._rows("SELECT id, hash FROM documents"))
        for number, document in self.each():
            text = document.text
            chunks = self._rows(
                'SELECT start, "end", hash, context FROM chunks WHERE document = ?', number
            )
            yield Fit(
                number,
                same=recorded[number] == text_hash(text),
                misplaced=sum(
                    text_hash(sought_text(text[start:end], context)) != known
                    for start, end, known, context in chunks
                ),
                covered=_covers([(start, end) for start, end, *_ in chunks], text),
            )

    def drop_lost(self) -> int:
        """Drop documents that have no text any more, and what has no document; return how many.

        An update reads their files again; all files, where nobody knows whose they were.
        """
        lost = [one for (one,) in self._rows(f"SELECT id FROM {WITH_TEXTS} WHERE {NO_TEXT}")]
        self._read_again(lost)
        self._connection.executemany("DELETE FROM documents WHERE id = ?", [(one,) for one in lost])
        strays = self._number(f"SELECT count(DISTINCT document) FROM chunks WHERE {NO_DOCUMENT}")
        if strays:
            self._connection.execute("UPDATE files SET size = -1, hash = x'' WHERE error IS NULL")
        for table in ("texts", "chunks"):
            self._connection.execute(f"DELETE FROM {table} WHERE {NO_DOCUMENT}")
        return len(lost) + strays

    def drop_unreadable(self) -> int:
        """Drop what cannot be read of columns, outlines and places; return of how many documents.

        An update brings them back. Passages without a beginning and an end are empty from then on.
        """
        lost = {one for (one,) in self._rows(f"SELECT id FROM documents WHERE {NO_COLUMNS}")}
        lines = {one for (one,) in self._rows(f"SELECT id FROM documents WHERE {NO_LINE}")}
        pages = {one for (one,) in self._rows(f"SELECT document FROM chunks WHERE {NO_PAGE}")}
        outlines = self._rows("SELECT id, outline FROM documents WHERE outline IS NOT NULL")
        flat = {one for one, outline in outlines if not is_outline(outline)}
        for change, documents in (
            ("UPDATE documents SET metadata = '{}' WHERE id = ?", lost),
            ("UPDATE documents SET outline = NULL WHERE id = ?", flat),
            ("UPDATE documents SET line = NULL WHERE id = ?", lines),
            (f"UPDATE chunks SET page = NULL WHERE document = ? AND {NO_PAGE}", pages),
        ):
            self._connection.executemany(change, [(one,) for one in documents])
        self._read_again(lost | flat | lines | pages)
        self._connection.execute(f'UPDATE chunks SET start = 0, "end" = 0 WHERE {NO_SPAN}')
        return len(lost | flat | lines | pages)

    def drop_misfits(self) -> tuple[list[int], int]:
        """Drop the passages of documents that are not cut as their texts are; return these.

        With them comes how many texts are not those that were indexed: they get the hashes that
        they have now, and an update reads their files again.
        """
        fits = [one for one in self.fits() if not (one.same and one.is_cut)]
        changed = [one.document for one in fits if not one.same]
        uncut = [one.document for one in fits if not one.is_cut]
        self._connection.executemany(
            "UPDATE documents SET hash = ? WHERE id = ?",
            ((text_hash(self.document(one).text), one) for one in changed),
        )
        self._read_again(changed)
        self._connection.executemany(
            "DELETE FROM chunks WHERE document = ?", [(one,) for one in uncut]
        )
        return uncut, len(changed)

    def _read_again(self, documents: Iterable[int]) -> None:
        """Have the files of documents looked at as if they had changed, by the next update."""
        self._connection.executemany(
            "UPDATE files SET size = -1, hash = x'' "
            "WHERE id = (SELECT file FROM documents WHERE documents.id = ?)",
            [(one,) for one in documents],
        )

    def refill_words(self) -> None:
        """Fill the full-text table anew from the texts."""
        self._connection.execute("INSERT INTO words (words) VALUES ('delete-all')")
        self._fill("main.words")

    def _fill(self, table: str) -> None:
        """Fill an empty full-text table from the texts."""
        for number, document in self.each():
            self._connection.executemany(
                f"INSERT INTO {table} (rowid, body) VALUES (?, ?)",
                self._documents.words_of(number, document.text),
            )

    def note_crc(self, row: Row) -> None:
        """Record the checksum of a row that was written anew."""
        self._connection.execute("UPDATE chunks SET crc = ? WHERE row = ?", (row.crc, row.number))

    def structure_problems(self) -> Iterator[str]:
        """Yield what SQLite itself finds wrong with its file."""
        said = [line for (line,) in self._rows("PRAGMA integrity_check(10)")]
        if said != ["ok"]:
            yield f"SQLite: {'; '.join(said)}"
        for table, *_ in self._rows("PRAGMA foreign_key_check"):
            yield f"a row of {table} belongs to nothing"
            return

    def value_problems(self) -> Iterator[str]:
        """Yield where there is what nobody can read; texts and words cannot be looked at then."""
        for table, wrong, what in (
            (WITH_TEXTS, NO_TEXT, "documents have no text that can be read"),
            ("chunks", NO_DOCUMENT, "passages have lost their documents"),
            ("documents", NO_COLUMNS, "documents have columns that are no JSON object"),
            ("documents", NO_LINE, "documents have a line that is no number"),
            ("chunks", NO_PAGE, "passages have a page that is no number"),
            ("chunks", NO_SPAN, "passages have no beginning before their end"),
        ):
            if count := self._number(f"SELECT count(*) FROM {table} WHERE {wrong}"):
                yield f"{count} {what}"

    def row_problems(self, committed: int) -> Iterator[str]:
        """Yield where chunks and rows of vectors do not fit each other."""
        chunks = self._number("SELECT count(*) FROM chunks")
        unused = self._number("SELECT count(*) FROM unused")
        if chunks + unused != committed:
            yield f"{chunks} passages and {unused} unused vectors are not {committed} vectors"
        if strays := self._number(
            "SELECT count(*) FROM (SELECT row FROM chunks UNION ALL SELECT row FROM unused) "
            f"WHERE row NOT BETWEEN 0 AND {committed - 1}"
        ):
            yield f"{strays} passages point past the vectors"
        if twice := self._number(
            "SELECT count(*) FROM chunks WHERE row IN (SELECT row FROM unused)"
        ):
            yield f"{twice} vectors are in use and not in use"

    def text_problems(self) -> Iterator[str]:
        """Yield how many texts are not those that were indexed, or not as they were cut."""
        wrong = passages = uncovered = 0
        for one in self.fits():
            wrong += not one.same
            passages += one.misplaced
            uncovered += not one.covered
        if wrong:
            yield f"the texts of {wrong} documents are not those that were indexed"
        if passages:
            yield f"{passages} passages are not where they were cut from their texts"
        if uncovered:
            yield f"{uncovered} documents have text that is in no passage"

    def word_problems(self) -> Iterator[str]:
        """Yield where the full-text table does not have exactly the passages."""
        missing = self._number(
            "SELECT count(*) FROM chunks WHERE id NOT IN (SELECT id FROM words_docsize)"
        )
        extra = self._number(
            "SELECT count(*) FROM words_docsize WHERE id NOT IN (SELECT id FROM chunks)"
        )
        if missing or extra:
            yield f"the full-text table lacks {missing} passages and has {extra} that are gone"
        elif wrong := self._wrong_words():
            yield f"the full-text table has {wrong} words in other passages than the texts have"

    def _wrong_words(self) -> int:
        """Return how many words are not in as many passages, or as often, as in the texts."""
        tables = (("again", "temp"), ("words", "main"))
        self._connection.execute(WORDS_TABLE.replace(" words ", " temp.again "))
        try:
            self._fill("temp.again")
            for name, where in tables:
                self._connection.execute(
                    f"CREATE VIRTUAL TABLE temp.{name}_terms USING fts5vocab ({where}, {name}, row)"
                )
            both = ("again", "words"), ("words", "again")
            return sum(
                self._number(
                    f"SELECT count(*) FROM (SELECT * FROM temp.{one}_terms "
                    f"EXCEPT SELECT * FROM temp.{other}_terms)"
                )
                for one, other in both
            )
        finally:
            for name, _ in tables:
                self._connection.execute(f"DROP TABLE IF EXISTS temp.{name}_terms")
            self._connection.execute("DROP TABLE temp.again")


def _covers(spans: Iterable[tuple[int, int]], text: str) -> bool:
    """Return whether nothing but white space of a text is outside of half-open spans.

    >>> _covers([(0, 3), (4, 7)], "one two"), _covers([(4, 7)], "one two")
    (True, False)
    """
    at = 0
    for start, end in sorted(spans):
        if text[at:start].strip():
            return False
        at = max(at, end)
    return not text[at:].strip()
