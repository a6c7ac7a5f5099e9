"""Which folders and files an index was made from, and in which state it saw each."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

REMOVED = "removed"
"""What stands as the error of a file whose documents a person took out of the index."""


@dataclass(frozen=True, slots=True)
class Source:
    """A folder or a file that was given to be indexed: where it is, as it was named, and how.

    `include` and `exclude` are globs, `field` is the column of the text in files of rows.
    """

    path: str
    name: str
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    field: str = "text"


@dataclass(frozen=True, slots=True)
class FileState:
    """A file as it was when it was indexed.

    `path` is absolute, `name` what its documents are called. `mtime_ns` is None where the file was
    so new then that a later change might not show in it. `error` says why it has no documents.
    """

    path: str
    name: str
    size: int
    mtime_ns: int | None
    hash: bytes
    error: str | None = None


class Files:
    """The tables of sources and files; they are read and written in a block of `Documents`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def sources(self) -> dict[int, Source]:
        """Return the sources by their ids, in the order in which they were given."""
        rows = self._connection.execute(
            "SELECT id, path, name, include, exclude, field FROM sources ORDER BY id"
        )
        return {
            number: Source(
                path, name, tuple(json.loads(include)), tuple(json.loads(exclude)), field
            )
            for number, path, name, include, exclude, field in rows
        }

    def note_source(self, source: Source) -> int:
        """Remember a source, or how it is to be read from now on, and return its id.

        Files of it that a person had removed, or rows of which, and all where another column has
        the text now, are looked at as if they had changed. Of a source that is known already no
        file is left out that was taken before. One whose files would be called as those of another
        source gets its path as its name.
        """
        known = self.sources().values()
        if any(_mistakable(source, one) for one in known if one.path != source.path):
            source = replace(source, name=source.path)
        before = next((one for one in known if one.path == source.path), None)
        if before is not None:
            every = not before.include or not source.include
            include = () if every else (*before.include, *source.include)
            exclude = tuple(one for one in before.exclude if one in source.exclude)
            source = replace(source, include=tuple(dict.fromkeys(include)), exclude=exclude)
        inside = "(path = :path OR substr(path, 1, length(:folder)) = :folder)"
        values = {
            "path": source.path,
            "folder": source.path.rstrip("/") + "/",
            "field": source.field,
            "removed": REMOVED,
        }
        self._connection.execute(
            "UPDATE files SET size = -1, hash = x'', error = NULL WHERE "
            f"((error = :removed OR id IN (SELECT file FROM removed)) AND {inside}) OR source IN "
            "(SELECT id FROM sources WHERE path = :path AND field != :field)",
            values,
        )
        self._connection.execute(
            f"DELETE FROM removed WHERE file IN (SELECT id FROM files WHERE {inside})", values
        )
        (number,) = self._connection.execute(
            "INSERT INTO sources (path, name, include, exclude, field) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (path) DO UPDATE SET name = excluded.name, include = excluded.include, "
            "exclude = excluded.exclude, field = excluded.field RETURNING id",
            (
                source.path,
                source.name,
                json.dumps(source.include),
                json.dumps(source.exclude),
                source.field,
            ),
        ).fetchone()
        return int(number)

    def drop_sources(self, gone: Iterable[int]) -> None:
        """Forget sources, and what was known of their files; those with documents stay."""
        for number in gone:
            held = self._connection.execute(
                "SELECT 1 FROM documents JOIN files ON files.id = file WHERE source = ?", (number,)
            ).fetchone()
            if held is None:
                self._connection.execute("DELETE FROM sources WHERE id = ?", (number,))

    def known(self) -> dict[str, tuple[int, int, FileState]]:
        """Return id, source and state of every file, by its path."""
        rows = self._connection.execute(
            "SELECT id, source, path, name, size, mtime_ns, hash, error FROM files"
        )
        return {state[0]: (number, source, FileState(*state)) for number, source, *state in rows}

    def insert(self, source: int, state: FileState) -> int:
        """Remember a file and return its id."""
        cursor = self._connection.execute(
            "INSERT INTO files (source, path, name, size, mtime_ns, hash, error) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (source, *_values(state)),
        )
        return cursor.lastrowid or 0

    def change(self, number: int, source: int, state: FileState) -> None:
        """Remember a file in its new state, and under its new name."""
        self._connection.execute(
            "UPDATE files SET source = ?, path = ?, name = ?, size = ?, mtime_ns = ?, hash = ?, "
            "error = ? WHERE id = ?",
            (source, *_values(state), number),
        )
        self._connection.execute(
            "UPDATE documents SET name = ? WHERE file = ? AND name != ?1", (state.name, number)
        )

    def forget(self, numbers: Iterable[int]) -> None:
        """Forget files, whose documents are gone already."""
        self._connection.executemany(
            "DELETE FROM files WHERE id = ?", [(number,) for number in numbers]
        )

    def counts(self) -> tuple[int, int]:
        """Return how many files there are, and how many of them have no documents."""
        found = self._connection.execute("SELECT count(*), count(error) FROM files").fetchone()
        return int(found[0]), int(found[1])

    def skipped(self, most: int) -> list[str]:
        """Return which files have no documents and why, by name, at most so many."""
        rows = self._connection.execute(
            "SELECT name, error FROM files WHERE error IS NOT NULL ORDER BY name LIMIT ?", (most,)
        )
        return [f"{name}: {error}" if error == REMOVED else error for name, error in rows]


def _mistakable(source: Source, other: Source) -> bool:
    """Return whether files of two places may have the same name: `.`, said in two folders."""
    one, two = Path(os.path.normpath(source.name)), Path(os.path.normpath(other.name))
    if one.is_absolute() != two.is_absolute():
        return False
    pairs = ((one, source.path, two, other.path), (two, other.path, one, source.path))
    for inner, its_path, outer, place in pairs:
        rest = inner.relative_to(outer) if inner.is_relative_to(outer) else None
        if rest is not None and os.pardir not in rest.parts:
            return its_path != os.path.normpath(Path(place, rest))
    return False


def _values(state: FileState) -> tuple[object, ...]:
    return (state.path, state.name, state.size, state.mtime_ns, state.hash, state.error)
