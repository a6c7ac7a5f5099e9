"""Which files to read, and how to open each: paths, globs, folders, stdin, .gz and .xz."""

from __future__ import annotations

import glob
import io
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bertcli.errors import DataError, UsageError
from bertcli.inputs.formats import Compression, InputFormat, compression_of, format_of

STDIN = "-"
STDIN_NAME = "stdin"
FILE_NAME = re.compile(r"\S+\.\w+")
BUFFER_BYTES = 1 << 16
SHOWN_LETTERS = 200
MAGIC: dict[bytes, Compression] = {b"\x1f\x8b": "gz", b"\xfd7zXZ\0": "xz"}


@dataclass(frozen=True, slots=True)
class InputOptions:
    """What the user asked to be read: texts on the command line, inputs (`-i`), else stdin."""

    texts: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    field: str = "text"
    whole_file: bool = False
    input_format: InputFormat | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """One file to read, or stdin where `path` is None."""

    path: str | None
    format: InputFormat = InputFormat.TXT
    compression: Compression | None = None

    @property
    def name(self) -> str:
        """The name for messages and places, always printable as UTF-8."""
        path = STDIN_NAME if self.path is None else self.path
        return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def find_sources(inputs: Sequence[str], input_format: InputFormat | None = None) -> list[Source]:
    """Return the files behind files, globs, folders and `-`, in the order given.

    A glob's files and a folder's files are sorted. A folder gives its files with a known suffix,
    at any depth, without hidden ones. Raises `DataError` for what is missing, empty or may not be
    read.
    """
    if inputs.count(STDIN) > 1:
        raise UsageError("-i - was given twice, but stdin can be read only once; give it once")
    return [source for one in inputs for source in _sources(one, input_format)]


def stdin_among(inputs: Sequence[str]) -> BinaryIO | None:
    """Return this process's stdin where `-` is among the inputs."""
    return sys.stdin.buffer if STDIN in inputs and sys.stdin is not None else None


@contextmanager
def open_source(source: Source, stdin: BinaryIO | None = None) -> Iterator[io.BufferedReader]:
    """Open a source as decompressed bytes; what fails while it is read becomes a `DataError`.

    `stdin` must not have been read from before: its file descriptor is read directly.
    """
    try:
        with _opened(source, stdin) as stream:
            yield stream
    except _damage_errors() as error:
        reason = str(error).rstrip(".") or "cut short"
        kind = source.compression or "compressed"
        raise DataError(f"{source.name}: the {kind} file is damaged ({reason})") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"{source.name}: cannot be read ({reason})") from error


def _sources(one: str, input_format: InputFormat | None) -> list[Source]:
    if one == STDIN:
        return [Source(None, input_format or InputFormat.TXT)]
    paths = _paths(one)
    for path in paths:
        if not os.access(path, os.R_OK):
            raise DataError(f"{_printable(path)}: may not be read; check its permissions")
    return [
        Source(path, input_format or format_of(path) or InputFormat.TXT, compression_of(path))
        for path in paths
    ]


def _paths(one: str) -> list[str]:
    mode = _mode(one)
    if mode is not None:
        return _folder_paths(one) if stat.S_ISDIR(mode) else [one]
    if any(letter in one for letter in "*?["):
        return _glob_paths(one)
    expected = "expected a file, a folder, a glob or - for stdin"
    hint = "" if FILE_NAME.fullmatch(one) else "; text itself goes without -i"
    raise DataError(f"{_printable(one)}: no such file; {expected}{hint}")


def _mode(path: str) -> int | None:
    """Return the kind of what stands at a path; None where there is nothing or can be nothing."""
    try:
        return Path(path).stat().st_mode if path else None
    except (OSError, ValueError):  # also a text given by mistake, too long for a name
        return None


def _glob_paths(pattern: str) -> list[str]:
    # Path.glob takes no absolute pattern and does not pass over hidden files.
    found = glob.iglob(pattern, recursive=True)  # noqa: PTH207
    paths = sorted(path for path in found if Path(path).is_file())
    if not paths:
        raise DataError(f"{_printable(pattern)}: no file matches; check the pattern and the folder")
    return paths


def _folder_paths(folder: str) -> list[str]:
    paths = []
    for parent, folders, files in os.walk(folder, onerror=_raise_unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        known = (name for name in files if not name.startswith(".") and format_of(name))
        found = (Path(parent, name) for name in known)
        paths += [str(path) for path in found if path.is_file()]  # no pipe, no link to nowhere
    if not paths:
        suffixes = "txt, md, log, jsonl, json, csv, tsv or parquet"
        raise DataError(
            f"{_printable(folder)}: no file to read in this folder, expected {suffixes}"
        )
    return sorted(paths)


def _raise_unreadable(error: OSError) -> None:
    raise DataError(f"{_printable(str(error.filename))}: cannot be listed ({error.strerror})")


def _printable(path: str) -> str:
    """Return a path for a message, shortened if it is rather a text given by mistake."""
    name = Source(path).name
    return name if len(name) <= SHOWN_LETTERS else name[: SHOWN_LETTERS - 1] + "…"


@contextmanager
def _opened(source: Source, stdin: BinaryIO | None) -> Iterator[io.BufferedReader]:
    with _raw(source, stdin) as raw:
        compression = _magic(raw) if source.path is None else source.compression
        yield _decompressed(raw, compression)


def _raw(source: Source, stdin: BinaryIO | None) -> io.BufferedReader:
    if source.path is None:
        return _own_stdin(stdin)
    return io.BufferedReader(io.FileIO(source.path), BUFFER_BYTES)


def _own_stdin(stdin: BinaryIO | None) -> io.BufferedReader:
    """Return a reader of stdin that nobody else holds.

    A thread that waits in `sys.stdin.buffer` when the program ends makes the interpreter abort:
    it wants that buffer's lock to close it. A buffer of our own on the same descriptor is free.
    """
    if stdin is None:
        raise UsageError("there is no stdin to read; give a text, or a file with -i")
    if isinstance(stdin, io.BufferedReader) and isinstance(stdin.raw, io.FileIO):
        return io.BufferedReader(io.FileIO(stdin.fileno(), closefd=False), BUFFER_BYTES)
    return io.BufferedReader(_Borrowed(stdin))


class _Borrowed(io.RawIOBase):
    """A stream that is read here and stays open for its owner."""

    def __init__(self, stream: BinaryIO) -> None:
        self._read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read what is there, at most as much as fits, and return how many bytes came."""
        data = self._read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _magic(stream: io.BufferedReader) -> Compression | None:
    """Return how the bytes that wait in a pipe are compressed, by their first bytes."""
    head = stream.peek(8)
    return next((kind for magic, kind in MAGIC.items() if head.startswith(magic)), None)


def _decompressed(raw: io.BufferedReader, compression: Compression | None) -> io.BufferedReader:
    if compression == "gz":
        import gzip

        return io.BufferedReader(gzip.GzipFile(fileobj=raw))
    if compression == "xz":
        import lzma

        return io.BufferedReader(lzma.LZMAFile(raw))
    return raw


def _damage_errors() -> tuple[type[Exception], ...]:
    """Return what the decompressors raise; imported only once something has gone wrong."""
    import gzip
    import lzma
    import zlib

    return (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError)
