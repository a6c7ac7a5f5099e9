"""One writer at a time."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from bertcli.errors import IndexFolderError
from bertcli.index.places import shown

LOCK_NAME = "write.lock"


@dataclass(frozen=True, slots=True)
class WriteLock:
    """The right to write to an index folder, given back by `release` or by the end of the process.

    The kernel drops the lock of a killed process, so a lock never has to be broken by hand. The
    file stays: removing it would let two writers lock two different files of the same name.
    """

    handle: int

    @classmethod
    def acquire(cls, folder: Path) -> WriteLock:
        """Take the lock at once, or say who holds it, or why nothing can be written there."""
        import fcntl

        _refuse_links(folder)
        handle = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(handle, 32).decode(errors="replace").strip()
            os.close(handle)
            raise IndexFolderError(
                f"index {shown(folder)} is being written by another bertcli (process "
                f"{holder or '?'}): "
                "wait until it is done; searching works meanwhile"
            ) from error
        except OSError:
            os.close(handle)
            raise
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        return cls(handle)

    def release(self) -> None:
        """Let others write."""
        os.close(self.handle)


def _refuse_links(folder: Path) -> None:
    """Raise IndexFolderError where a file of an index is a link.

    A folder that somebody sent would else have other files of the user written over.
    """
    with os.scandir(folder) as files:
        for file in files:
            if file.is_symlink():
                raise IndexFolderError(
                    f"index {shown(folder)}: {file.name} in it is a link, through which another "
                    "file would be written: put that file itself in its place"
                )
