"""Opening the SQLite file of an index, whoever made it and whatever may be done to its folder."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from bertcli.index.failures import FULL

UNWRITABLE = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN})


def create(path: Path) -> sqlite3.Connection:
    """Make a new file with write-ahead logging."""
    connection = connect(path, "mode=rwc")
    connection.execute("PRAGMA journal_mode = WAL")
    return connection


def open_existing(path: Path) -> sqlite3.Connection:
    """Open for writing, else for reading, else, with no writer about, as a file that cannot change.

    The last is for a read-only folder and for a full disk, where SQLite cannot make the two files
    of the log. It would not see a log that is there, so it is not used then.
    """
    modes = ["mode=rw", "mode=ro"]
    log = path.with_name(f"{path.name}-wal")
    if not log.exists() or log.stat().st_size == 0:
        modes.append("mode=ro&immutable=1")
    for mode in modes:
        try:
            return connect(path, mode)
        except sqlite3.OperationalError as error:
            if mode == modes[-1] or not (
                error.sqlite_errorcode & 0xFF in UNWRITABLE or error.sqlite_errorcode in FULL
            ):
                raise
    raise AssertionError("every mode returned or raised")


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """Connect in one of SQLite's URI modes."""
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
    connection.create_function("casefolded", 1, _casefolded, deterministic=True)
    connection.create_function("is_utf8", 1, _is_utf8, deterministic=True)


def _casefolded(value: object) -> str | None:
    """Return a value as text whose letters of every script have one case."""
    return None if value is None else str(value).casefold()


def _is_utf8(value: bytes | None) -> bool:
    """Tell whether bytes are a text, which SQLite does not make sure of."""
    try:
        (value or b"").decode()
    except UnicodeDecodeError:
        return False
    return True
