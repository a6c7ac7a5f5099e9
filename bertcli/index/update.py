"""Bringing an index up to date with the files that it was made from.

First `survey` tells what changed, by size and time of change, then by content. `prepare` reads and
cuts what is new and has vectors made for the texts that have none; they are committed as they come,
so a killed run goes on where it was, but nobody sees them. `IndexFolder.switch` then makes all
changes count at once.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

from bertcli.errors import DataError, IndexFolderError
from bertcli.index.chunks import Chunk
from bertcli.index.content import NewDocument, text_hash
from bertcli.index.files import REMOVED, FileState, Source
from bertcli.index.vectors import Vectors

if TYPE_CHECKING:
    from bertcli.index.folder import IndexFolder

RACY_NS = 2_000_000_000
"""A file changed this short before it is read may change again without its time showing it."""
READ_BYTES = 1 << 20
STAGED_TEXTS = 512
MISNAMED = "its name is not UTF-8, rename it"
AGAIN = "pip install"
"""In the error of a file: what was missing may be there now, so that it is read again."""
KEPT_BYTES = 64 << 20
"""What is prepared stands in memory up to this size, beyond it in a temporary file."""

Known = Mapping[str, tuple[int, int, FileState]]
"""Id, source and state of every file that an index has seen, by its path."""
ListFiles = Callable[[Source], Iterable[tuple[Path, str]]]
"""Tells the files of a source, each with the name that its documents get."""
Read = Callable[[Path, str, str], Iterable[NewDocument]]
"""Reads a file, of a name, with the text in a field, as documents; raises DataError."""
Cut = Callable[[Sequence[NewDocument]], Sequence[Sequence[Chunk]]]
"""Cuts documents into chunks."""
Embed = Callable[[Sequence[str]], Vectors]
"""Makes the vectors (n, d) of texts."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file to index: its source, its state, and its number in the index if it is known there.

    `indexed` where the index has documents of it, from when it was read before.
    """

    source: int
    state: FileState
    number: int | None = None
    indexed: bool = False


@dataclass(frozen=True, slots=True)
class Survey:
    """What became of the files of an index since it last saw them.

    `renewed` have the same content and only another name or time of change, or were removed, and
    are known again by what they have become; `deleted` are numbers of files. Of the renewed and the
    unchanged `unread` gave no text before, and are not tried again.
    """

    added: tuple[Found, ...]
    changed: tuple[Found, ...]
    moved: tuple[Found, ...]
    renewed: tuple[Found, ...]
    deleted: tuple[int, ...]
    unchanged: int
    unread: int

    @property
    def to_read(self) -> tuple[Found, ...]:
        """The files that must be read."""
        return self.changed + self.added

    def __bool__(self) -> bool:
        """Return whether anything is to be done."""
        return bool(self.to_read or self.moved or self.renewed or self.deleted)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A file that was read: its documents with their chunks; none where it had an error.

    `stays` where it could not be read, so that what the index has of it is the best there is.
    """

    found: Found
    documents: tuple[tuple[NewDocument, tuple[Chunk, ...]], ...] = ()
    stays: bool = False


def survey(
    known: Known,
    sources: Mapping[int, Source],
    files_of: ListFiles,
    unlisted: Collection[Path] = (),
) -> Survey:
    """Return what changed in the files of these sources; files of other sources stay as they are.

    A file of the same size and time of change is taken to be the same; else its content decides.
    A new file with the content and the suffix of one that is gone is that one, moved. Files in
    folders that turn out to be `unlisted` while files are listed are not taken to be gone.
    """
    added, changed, renewed = list[Found](), list[Found](), list[Found]()
    seen: set[str] = set()
    unchanged = unread = 0
    for number, source in sources.items():
        for path, name in files_of(source):
            full = _spelled(path)
            if full in seen:
                continue
            seen.add(full)
            before = known.get(full)
            if before is None:
                added.append(Found(number, _state(path, full, name)))
                continue
            file, old_source, old = before
            now = _changed(path, full, name, old)
            if _is_to_read(old, now):
                state = now or _state(path, full, name)
                changed.append(Found(number, state, file, indexed=old.error is None))
                continue
            unread += old.error not in (None, REMOVED)
            if now is None:
                unchanged += 1
            else:
                same = (now.hash, now.name) == (old.hash, old.name)
                state = replace(now, error=old.error)
                renewed.append(Found(old_source if same else number, state, file))
    gone = {
        path: file
        for path, (file, source_number, _) in known.items()
        if source_number in sources
        and path not in seen
        and not any(Path(path).is_relative_to(folder) for folder in unlisted)
    }
    moved, added = _moves(added, gone, known)
    left = set(gone.values()) - {one.number for one in moved}
    return Survey(
        tuple(added),
        tuple(changed),
        tuple(moved),
        tuple(renewed),
        tuple(sorted(left)),
        unchanged,
        unread,
    )


def is_held(path: Path, name: str, known: Known) -> bool:
    """Return whether an index need not read a file: it has seen it as it is, and keeps it.

    Nor does it one that it cannot name.
    """
    full = _spelled(path)
    if full != str(path.absolute()):
        return True
    if full not in known:
        return False
    old = known[full][2]
    return old.error != REMOVED and not _is_to_read(old, _changed(path, full, name, old))


def prepare(
    index: IndexFolder,
    files: Iterable[Found],
    fields: Mapping[int, str],
    read: Read,
    cut: Cut,
    embed: Embed,
    failed: Callable[[str], None],
) -> Iterator[Prepared]:
    """Yield each file with its chunks, all of whose texts have a vector in the index by then.

    What is wrong with a file is handed to `failed`, and the file comes without documents; of one
    that was read before those of then stay.
    """
    waiting: list[Prepared] = []
    texts: dict[bytes, str] = {}
    for found in files:
        one = _cut_file(found, fields[found.source], read, cut, failed)
        waiting.append(one)
        texts |= {text_hash(text): text for text in chunk_texts(one.documents)}
        if len(texts) >= STAGED_TEXTS:
            index.stage(texts, embed)
            yield from waiting
            waiting, texts = [], {}
    index.stage(texts, embed)
    yield from waiting


@contextmanager
def kept(
    changes: Survey, prepared: Iterable[Prepared], folder: Path
) -> Iterator[tuple[Survey, Iterator[Prepared]]]:
    """Prepare everything, and only then give it back one by one.

    With it comes what of the survey can be done: all but the files that stay as they were.
    """
    stay: set[Found] = set()
    with tempfile.SpooledTemporaryFile(KEPT_BYTES, dir=str(folder)) as store:
        count = 0
        for one in prepared:
            if one.stays:
                stay.add(one.found)
                continue
            pickle.dump(one, store)
            count += 1
        store.seek(0)
        changed = tuple(found for found in changes.changed if found not in stay)
        yield replace(changes, changed=changed), _loaded(store, count)


def chunk_texts(documents: Iterable[tuple[NewDocument, Iterable[Chunk]]]) -> list[str]:
    """Return what each chunk of documents is found by: what has a vector, and a hash."""
    return [chunk.sought(document.text) for document, chunks in documents for chunk in chunks]


def _loaded(store: IO[bytes], count: int) -> Iterator[Prepared]:
    for _ in range(count):
        yield pickle.load(store)  # written by this very process


def _cut_file(
    found: Found, field: str, read: Read, cut: Cut, failed: Callable[[str], None]
) -> Prepared:
    state = found.state
    try:
        if state.error is not None:
            raise DataError(f"{state.name}: cannot be read ({state.error})")
        documents = list(read(Path(state.path), state.name, field))
        problem = "" if documents else f"{state.name}: has no text"
    except DataError as error:
        emptied = not state.size and state.error is None
        if found.indexed and not emptied:
            failed(f"{error}; what the index has of it stays")
            return Prepared(found, stays=True)
        problem = str(error)
    if problem:
        failed(problem)
        return Prepared(replace(found, state=replace(state, error=problem)))
    chunks = cut(documents)
    both = zip(documents, chunks, strict=True)
    return Prepared(found, tuple((document, tuple(its)) for document, its in both if its))


def _moves(
    added: Sequence[Found],
    gone: Mapping[str, int],
    known: Known,
) -> tuple[list[Found], list[Found]]:
    """Return the files that only changed their place, and those that are new."""
    by_content: dict[tuple[bytes, str], list[str]] = {}
    for path in gone:
        state = known[path][2]
        if state.error in (None, REMOVED):
            by_content.setdefault((state.hash, Path(path).suffix), []).append(path)
    moved, new = list[Found](), list[Found]()
    for found in added:
        candidates = by_content.get((found.state.hash, Path(found.state.path).suffix))
        if candidates:
            before = candidates.pop()
            state = replace(found.state, error=known[before][2].error)
            moved.append(replace(found, state=state, number=gone[before]))
        else:
            new.append(found)
    return moved, new


def _changed(path: Path, full: str, name: str, old: FileState) -> FileState | None:
    """Return the state of a known file, or None where it is the same as before."""
    stat = path.stat()
    same = stat.st_size == old.size and stat.st_mtime_ns == old.mtime_ns
    return None if same and name == old.name else _state(path, full, name)


def _is_to_read(old: FileState, now: FileState | None) -> bool:
    """Tell whether a known file has to be read, for its content changed, or it is tried again.

    It is the same as before where `now` is None.
    """
    if AGAIN in (old.error or ""):
        return True
    if now is None or old.error == REMOVED:
        return False
    is_tried_again = old.error is not None and (old.mtime_ns is not None or now.error is not None)
    return is_tried_again or now.hash != old.hash


def _spelled(path: Path) -> str:
    r"""Return an absolute path as text that can be stored: bytes that are not UTF-8 as `\xe9`."""
    return os.fsencode(path.absolute()).decode("utf-8", "backslashreplace")


def _state(path: Path, full: str, name: str) -> FileState:
    try:
        began = time.time_ns()
        stat = path.stat()
        if full != str(path.absolute()):
            return FileState(full, name, stat.st_size, stat.st_mtime_ns, b"", MISNAMED)
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(READ_BYTES):
                digest.update(block)
    except FileNotFoundError as error:
        raise IndexFolderError(f"{name}: went away while it was read: try again") from error
    except OSError as error:
        # It is told, and recorded, when its text is asked for: see `_cut_file`.
        return FileState(full, name, 0, None, b"", error.strerror)
    settled = stat.st_mtime_ns < began - RACY_NS
    return FileState(
        full, name, stat.st_size, stat.st_mtime_ns if settled else None, digest.digest()
    )
