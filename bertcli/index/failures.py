"""What the disk and SQLite complain of, in the user's words."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bertcli.errors import (
    NO_ROOM,
    BertcliError,
    IndexDamagedError,
    IndexFolderError,
    OutputError,
)
from bertcli.index.places import shown

# What SQLite says when the disk, a quota or a file size limit stops it, beside SQLITE_FULL.
FULL = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE})
FAILED_WRITES = FULL | {sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_TRUNCATE}


MUCH = 1 << 30
"""With so many bytes free what SQLite calls a full disk may be a damaged page, or a quota."""


@contextmanager
def storage_failures(folder: Path) -> Iterator[None]:
    """Turn failures of files and of SQLite inside the block into one line about this folder."""
    try:
        yield
    except sqlite3.Error as error:
        raise _from_sqlite(folder, error) from error
    except OSError as error:
        raise _from_system(folder, error) from error


def damaged(folder: Path, what: str) -> IndexDamagedError:
    """Return the error for an index whose files contradict each other or themselves."""
    message = (
        f"index {shown(folder)} is damaged ({what}): `bertcli index repair {shown(folder)}` mends "
        f"what its texts can mend; else {_instead(folder)}"
    )
    return IndexDamagedError(message, what)


def destroyed(folder: Path, what: str) -> IndexDamagedError:
    """Return the error for an index that lacks what all else is mended from."""
    message = f"index {shown(folder)} is damaged ({what}): {_instead(folder)}"
    return IndexDamagedError(message, what)


@contextmanager
def beyond_repair(folder: Path) -> Iterator[None]:
    """Within the block, which is a repair, say of damage that it cannot be mended."""
    try:
        yield
    except IndexDamagedError as error:
        message = f"index {shown(folder)} cannot be repaired ({error.what}): {_instead(folder)}"
        raise IndexFolderError(message) from error


def _instead(folder: Path) -> str:
    return (
        "restore it from a backup, or make it anew with "
        f"`bertcli index build {shown(folder)} --overwrite FILES`"
    )


def _from_sqlite(folder: Path, error: sqlite3.Error) -> BertcliError:
    detailed = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    code = detailed & 0xFF  # the low byte is the kind, the rest says more
    if detailed in FAILED_WRITES:
        room = detailed == sqlite3.SQLITE_FULL and shutil.disk_usage(folder).free > MUCH
        told = f"{error}; or, where there is room, its documents are damaged" if room else error
        return _disk_full(folder, told)
    if code == sqlite3.SQLITE_BUSY:
        return IndexFolderError(
            f"index {shown(folder)} is in use by another program: try again later"
        )
    if code == sqlite3.SQLITE_READONLY:
        files = (folder, *folder.glob("documents-*"))
        if all(os.access(one, os.W_OK) for one in files):  # so there was no room to open it
            return _disk_full(folder, error)
        return _unwritable(folder, error)
    if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):
        return IndexFolderError(f"index {shown(folder)} cannot be read or written ({error})")
    if code == sqlite3.SQLITE_TOOBIG:
        return IndexFolderError(
            f"index {shown(folder)}: a text is over 1 GB: split it before indexing"
        )
    return (destroyed if code == sqlite3.SQLITE_NOTADB else damaged)(folder, str(error))


def _from_system(folder: Path, error: OSError) -> BertcliError:
    reason = error.strerror or str(error)
    if error.errno in NO_ROOM:
        return _disk_full(folder, reason)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return _unwritable(folder, reason)
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return IndexFolderError(
            f"{shown(folder)} is a file, an index is a folder: choose another name"
        )
    return IndexFolderError(
        f"index {shown(folder)} cannot be read or written in {folder} ({reason}): choose another "
        "place, such as ./my-index"
    )


def _disk_full(folder: Path, reason: object) -> OutputError:
    limited = resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY
    way = "raise ulimit -f, or free some space," if limited else "free some space"
    return OutputError(
        f"index {shown(folder)}: no room to write ({reason}): {way} and run the command again, "
        "what was committed is safe"
    )


def _unwritable(folder: Path, reason: object) -> OutputError:
    return OutputError(
        f"index {shown(folder)} cannot be opened for this ({reason}): check its "
        "permissions, or choose "
        "a folder that you own"
    )
