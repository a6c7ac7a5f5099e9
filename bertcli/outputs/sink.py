"""Where bytes go: stdout, or a file that appears under its name only when it is complete."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol, cast

from bertcli.errors import OutputError
from bertcli.outputs.formats import compression_of, is_stdout
from bertcli.results import Result

DEVICES = ("/dev/fd/", "/dev/std", "/proc/")
ABANDONED_SECONDS = 2.0
"""How old an unlocked temporary file must be: one that was just opened is about to be locked."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the answers go and how they should look there.

    `live` flushes after every record and shows a table record by record. `terminal`, `width` and
    `color` describe stdout; a table uses the latter two wherever it goes. `digest` is told of all
    bytes that go to stdout, or to a device or pipe. `types` are Arrow's of the records' own
    columns, where they are known. Where there may be no answers at all, `like` is a result with
    the columns that a file gets then.
    """

    path: str | None = None
    live: bool = False
    terminal: bool = False
    width: int = 80
    color: bool = False
    digest: Digest | None = None
    types: Mapping[str, Any] | None = None
    like: Result | None = None

    @property
    def on_screen(self) -> bool:
        """Whether they go to a terminal."""
        return self.terminal and self.name == "stdout"

    @property
    def name(self) -> str:
        """The words for it in a message."""
        return "stdout" if self.path is None or is_stdout(self.path) else self.path


class Digest(Protocol):
    """What counts or hashes bytes that pass."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Take some bytes."""
        ...


class Sink(Protocol):
    """What a writer needs of a stream of bytes."""

    def write(self, data: bytes, /) -> int:
        """Take all of the data."""
        ...

    def flush(self) -> object:
        """Hand on what is held back."""
        ...


class GuardedStream:
    """A stream of bytes whose failures come out as an OutputError that says what to do.

    A closed pipe stays a BrokenPipeError. Failures of whoever produces the bytes are not touched.
    """

    def __init__(
        self,
        stream: IO[bytes],
        name: str,
        rewindable: bool = False,
        digest: Digest | None = None,
    ) -> None:
        self.rewindable = rewindable
        self._digest = digest
        self._stream = stream
        self._name = name

    @property
    def closed(self) -> bool:
        """Whether nothing can be written any more."""
        return self._stream.closed

    def write(self, data: bytes, /) -> int:
        """Write all of the data, also where the stream takes it in pieces."""
        rest = memoryview(data).cast("B")
        if self._digest is not None:
            self._digest.update(rest)
        with explained(self._name):
            while rest:
                rest = rest[self._stream.write(rest) or 0 :]
        return memoryview(data).nbytes

    def flush(self) -> None:
        """Hand everything to the system."""
        with explained(self._name):
            self._stream.flush()

    def close(self) -> None:
        """Do nothing: whoever opened the stream closes it."""

    def rewrite(self, data: bytes) -> None:
        """Put other bytes at the very beginning of the file."""
        with explained(self._name):
            self._stream.seek(0)
            self._stream.write(data)
            self._stream.seek(0, os.SEEK_END)


@contextmanager
def open_sink(destination: Destination) -> Iterator[Sink]:
    """Open stdout or the file of a destination for bytes.

    A file appears under its name when everything went well; otherwise an older file stays as it
    was. A name that ends in .gz or .xz is compressed.

    Raises:
        OutputError: it cannot be opened, or, while writing, the disk is full.
    """
    if destination.path is None or is_stdout(destination.path):
        with _open_stdout(destination.digest) as guarded:
            yield guarded
        return
    opened = _open_file(destination.path, destination.digest)
    with opened as guarded, _compressed(guarded, destination.path) as sink:
        yield sink


@contextmanager
def _open_stdout(digest: Digest | None) -> Iterator[GuardedStream]:
    """Open stdout for bytes, whatever the locale."""
    sys.stdout.flush()
    guarded = GuardedStream(sys.stdout.buffer, "stdout", digest=digest)
    yield guarded
    guarded.flush()


def _open_file(path: str, digest: Digest | None) -> AbstractContextManager[GuardedStream]:
    """Open a file atomically; a device or a named pipe directly."""
    if is_device(path):
        return _open_device(path, digest)
    check_writable(path)
    return _open_atomically(Path(os.path.realpath(path)), path)


def is_device(path: str) -> bool:
    """Tell whether a path is something like /dev/null, a pipe or `>(…)`: nothing to rename over."""
    return path.startswith(DEVICES) or (Path(path).exists() and not Path(path).is_file())


def check_writable(path: str) -> None:
    """Raise OutputError where no file can be made at a path, or replaced there."""
    with explained(path):
        _refuse_unwritable(Path(os.path.realpath(path)))


def _refuse_unwritable(target: Path) -> None:
    """Raise the error that opening would, for what a rename would get past."""
    folder = target.parent
    folder.stat()
    if folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if target.exists() and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@contextmanager
def _open_device(path: str, digest: Digest | None) -> Iterator[GuardedStream]:
    """Open something like /dev/null; where a file is behind it, what the file has stays."""
    with explained(path):
        mode = "ab" if Path(path).is_file() else "wb"
        stream = cast(IO[bytes], Path(path).open(mode))  # noqa: SIM115
    guarded = GuardedStream(stream, path, digest=digest)
    try:
        yield guarded
        guarded.flush()
    finally:
        with suppress(OSError):
            stream.close()


@contextmanager
def _open_atomically(target: Path, path: str) -> Iterator[GuardedStream]:
    """Open a temporary file beside the target; rename it at the end or remove it.

    It is locked while it is written: what is not was left by a run that was killed, and is removed.
    """
    _remove_abandoned(target.parent)
    temporary = target.with_name(f".bertcli-{os.urandom(6).hex()}.tmp")
    with explained(path):
        stream = temporary.open("xb")
        with suppress(OSError):  # some network file systems have no locks
            fcntl.flock(stream, fcntl.LOCK_EX)  # somebody may be looking at it for a moment
    try:
        guarded = GuardedStream(stream, path, rewindable=True)
        yield guarded
        guarded.flush()
        with explained(path):
            _put_in_place(stream, temporary, target)
    finally:  # after the rename there is nothing left to remove
        with suppress(OSError):
            stream.close()
        with suppress(OSError):
            temporary.unlink()


def _remove_abandoned(folder: Path) -> None:
    """Remove the temporary files that no process has locked, after a while."""
    for path in folder.glob(".bertcli-*.tmp"):
        with suppress(OSError), path.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
                path.unlink()


def _put_in_place(stream: IO[bytes], temporary: Path, target: Path) -> None:
    """Move a complete file to its name, with the permissions of the one that it replaces."""
    os.fsync(stream.fileno())
    stream.close()
    if target.exists():
        temporary.chmod(stat.S_IMODE(target.stat().st_mode))
    temporary.replace(target)


def _compressed(guarded: GuardedStream, path: str) -> AbstractContextManager[Sink]:
    """Return the sink through which a path's suffix says to write."""
    stream = cast(IO[bytes], guarded)
    match compression_of(path):
        case ".gz":
            import gzip

            zipped = gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=stream, mtime=0)
            return cast(AbstractContextManager[Sink], zipped)
        case ".xz":
            import lzma

            return cast(AbstractContextManager[Sink], lzma.LZMAFile(stream, "wb"))
        case _:
            return nullcontext(guarded)


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Turn the system's refusal to write into words; a closed pipe passes."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write {name}: {_advice(name, error)}") from error


def _advice(name: str, error: OSError) -> str:
    """Return what is wrong and what to do about it."""
    folder = Path(os.path.realpath(name)).parent
    smaller = "" if name.endswith((".png", ".svg", ".pdf")) else ", or add .gz to the name"
    denied = f"no permission to write there ({error.strerror}); choose another place"
    known = {
        errno.ENOENT: f"the folder {folder} does not exist; make it first: mkdir -p '{folder}'",
        errno.ENOTDIR: f"{folder} is not a folder; choose another place",
        errno.EISDIR: f"it is a folder; name a file in it, such as {name}/answers.jsonl",
        errno.ENOSPC: "the disk is full; free some space or choose another place",
        errno.EDQUOT: "your disk quota is used up; free some space or choose another place",
        errno.EFBIG: f"the file is larger than allowed here; see ulimit -f{smaller}",
        errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
    }
    for code in (errno.EACCES, errno.EPERM, errno.EROFS):
        known[code] = denied
    return known.get(error.errno or 0, f"{error.strerror or error}; choose another place")
