"""Answers kept while a run goes on, so that the same run can go on after it was killed."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import os
import resource
import sqlite3
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import cast

import numpy as np

from bertcli import results
from bertcli.errors import OutputError
from bertcli.records import BadRecord, Record, encodable
from bertcli.results import Answer, Result

TABLES = """
CREATE TABLE IF NOT EXISTS run (name TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS groups (number INTEGER PRIMARY KEY, records BLOB, answers BLOB);
"""
QUICK = 1  # zlib's level
KINDS = {
    one.__name__: one
    for one in vars(results).values()
    if isinstance(one, type) and dataclasses.is_dataclass(one)
}
TAG = "~"


class Journal:
    """What a run has answered so far, group by group of its records, in one SQLite file."""

    def __init__(self, database: sqlite3.Connection, name: str) -> None:
        self._database = database
        self._name = name

    def __len__(self) -> int:
        """Return how many groups are answered."""
        count: int = self._database.execute("SELECT count(*) FROM groups").fetchone()[0]
        return count

    def find(self, number: int, records: Sequence[Record | BadRecord]) -> list[Answer] | None:
        """Return the answers of a group, None where there are none yet.

        Raises OutputError where they are those of other records: the input has changed.
        """
        with _explained(self._name):
            found = self._database.execute(
                "SELECT records, answers FROM groups WHERE number = ?", (number,)
            ).fetchone()
        if found is None:
            return None
        digest, stored = found
        if digest != _digest(records):
            place = records[0].place
            raise OutputError(
                f"{place}: the input is not what it was when this run began, so that --resume "
                f"cannot go on; delete {self._name} to begin anew"
            )
        try:
            answers = json.loads(zlib.decompress(stored))
            return [
                Answer(record, cast(Result | None, unpacked(result)), error)
                for record, (result, error) in zip(records, answers, strict=True)
            ]
        except (zlib.error, ValueError, KeyError, TypeError) as error:
            raise OutputError(f"{self._name} is damaged; delete it to begin anew") from error

    def keep(
        self, number: int, records: Sequence[Record | BadRecord], answers: Sequence[Answer]
    ) -> None:
        """Store the answers of a group of records for good."""
        rows = [[packed(one.result), one.error] for one in answers]
        row = (number, _digest(records), zlib.compress(json.dumps(rows).encode(), QUICK))
        with _explained(self._name):
            self._database.execute("INSERT INTO groups VALUES (?, ?, ?)", row)
            self._database.commit()


def journal_of(output: str) -> Path:
    """Return the file beside an output in which its run is kept until it is complete."""
    target = Path(os.path.realpath(output))
    return target.with_name(f".{target.name}.bertcli-resume")


@contextmanager
def open_journal(output: str, run: Mapping[str, str]) -> Iterator[Journal]:
    """Open the journal of an output; it is removed when the block ends without an error.

    `run` is what must be the same for the run to go on. Raises OutputError where it is not, where
    another process writes the same output, and where the file is damaged or cannot be written.
    """
    path = journal_of(output)
    with _explained(str(path)):
        database = sqlite3.connect(path, timeout=0)
    try:
        with _explained(str(path)):
            database.execute("PRAGMA locking_mode = EXCLUSIVE")
            database.execute("PRAGMA trusted_schema = OFF")
            database.executescript(f"BEGIN IMMEDIATE; {TABLES} COMMIT;")
            _check(database, run, path)
        yield Journal(database, str(path))
    finally:
        database.close()
    for one in (path, path.with_name(f"{path.name}-journal")):  # SQLite's own, after a kill
        with suppress(OSError):
            one.unlink()


@contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise OutputError(_advice(Path(name), error)) from error


def packed(value: object) -> object:
    """Return a result as what JSON can hold, without losing a bit.

    >>> packed((1, None))
    {'~': 'tuple', 'of': [1, None]}
    """
    if isinstance(value, np.ndarray):
        data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode("ascii")
        return {TAG: "array", "of": data, "type": value.dtype.str, "shape": value.shape}
    if isinstance(value, np.generic):
        return packed(value.item())
    if dataclasses.is_dataclass(value):
        fields = [packed(getattr(value, field.name)) for field in dataclasses.fields(value)]
        return {TAG: type(value).__name__, "of": fields}
    if isinstance(value, tuple):
        return {TAG: "tuple", "of": [packed(one) for one in value]}
    if isinstance(value, Mapping):
        return {TAG: "dict", "of": [[packed(k), packed(v)] for k, v in value.items()]}
    return [packed(one) for one in value] if isinstance(value, list) else value


def unpacked(value: object) -> object:
    """Return what `packed` was given."""
    if isinstance(value, list):
        return [unpacked(one) for one in value]
    if not isinstance(value, dict):
        return value
    kind, inner = value[TAG], value["of"]
    if kind == "array":
        data = np.frombuffer(base64.b64decode(inner), np.dtype(value["type"]))
        return data.reshape(value["shape"]).copy()
    if kind == "dict":
        return {unpacked(key): unpacked(one) for key, one in inner}
    parts = [unpacked(one) for one in inner]
    return tuple(parts) if kind == "tuple" else KINDS[kind](*parts)


def _check(database: sqlite3.Connection, run: Mapping[str, str], path: Path) -> None:
    """Raise OutputError where the journal is of another run than this one."""
    # SQLite holds UTF-8, which a file's name need not be.
    run = {encodable(name): encodable(value) for name, value in run.items()}
    known = dict(database.execute("SELECT name, value FROM run"))
    if not known:
        database.executemany("INSERT INTO run VALUES (?, ?)", run.items())
        database.commit()
        return
    others = sorted(name for name in {*known, *run} if known.get(name) != run.get(name))
    if others:
        then, now = known.get(others[0], "nothing"), run.get(others[0], "nothing")
        raise OutputError(
            f"cannot resume: the stopped run had {others[0]} {then}, this one has {now}; give the "
            f"same command, or delete {path} to begin anew"
        )


def _digest(records: Sequence[Record | BadRecord]) -> bytes:
    """Return the SHA-256 of what was read of some records."""
    digest = hashlib.sha256()
    for one in records:
        digest.update(record_bytes(one))
    return digest.digest()


def record_bytes(record: Record | BadRecord) -> bytes:
    """Return everything that was read of a record as bytes, the same for the same record."""
    said = (
        (record.text, record.question, record.second)
        if isinstance(record, Record)
        else (record.error,)
    )
    return repr((said, sorted(record.columns.items(), key=str))).encode("utf-8", "surrogatepass")


def _advice(path: Path, error: sqlite3.Error) -> str:
    if "locked" in str(error):
        return f"another run with --resume writes the same output; wait for it ({path} is in use)"
    if resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY:
        return f"cannot write {path}: it may be larger than allowed here; see ulimit -f"
    if isinstance(error, sqlite3.OperationalError):
        return f"cannot write {path}: {error}; free some space or choose another place with -o"
    return f"{path} is damaged ({error}); delete it to begin anew"
