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
        """Take the lock at once, or say who holds it."""
        import fcntl

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
