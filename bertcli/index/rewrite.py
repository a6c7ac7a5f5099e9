"""Writing an index anew from its own content: compact, copy, repair, rebuild.

Each writes a new generation of the data files and replaces the manifest last, so that a kill leaves
the old index as it was, and readers have one or the other.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

from bertcli.errors import IndexFolderError
from bertcli.index.content import NewDocument, Row
from bertcli.index.documents import Documents
from bertcli.index.failures import storage_failures
from bertcli.index.folder import IndexFolder, next_generation
from bertcli.index.lock import LOCK_NAME, WriteLock
from bertcli.index.manifest import Manifest, read_manifest, sync_folder, write_manifest
from bertcli.index.places import shown
from bertcli.index.reader import vectors_path
from bertcli.index.update import Cut, Embed, chunk_texts
from bertcli.index.upkeep import Upkeep
from bertcli.index.vectors import append_vectors, checked, checksums, create_vectors, read_rows

BATCH = 2048

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a repair did: how many passages got a new vector, how many documents were cut anew, how
    many texts were not as recorded, how many documents were lost with their texts, and of how many
    columns, headings or places were lost."""

    embedded: int
    cut: int
    changed_texts: int
    lost: int
    lost_columns: int


def compact(index: IndexFolder) -> None:
    """Drop the vectors that no passage has, and the room that removed documents took."""
    index.begin_writing()
    manifest = replace(index.manifest, generation=next_generation(index.path))
    with (
        storage_failures(index.path),
        _removed_on_failure(index.path, manifest.generation),
    ):
        _packed(index, index.path, manifest).close()
        index.become(manifest)


def copy(index: IndexFolder, target: Path) -> None:
    """Write the index into a new or empty folder."""
    with storage_failures(target):
        target.mkdir(parents=True, exist_ok=True)
        if any(target.iterdir()):
            raise IndexFolderError(f"{shown(target)} is not empty: choose a new folder")
        lock = WriteLock.acquire(target)
        try:
            manifest = replace(index.manifest, generation=1)
            with _removed_on_failure(target, 1):
                _packed(index, target, manifest).close()
                write_manifest(target, manifest)
        except BaseException:
            (target / LOCK_NAME).unlink(missing_ok=True)
            raise
        finally:
            lock.release()
    with IndexFolder.open(target) as made:
        made.begin_writing()
        made.settle()


def repair(index: IndexFolder, cut: Cut, embed: Embed) -> Repaired:
    """Write everything anew that is not as it was recorded: passages, vectors, full-text table."""
    index.begin_writing()
    manifest = replace(index.manifest, generation=next_generation(index.path))
    with storage_failures(index.path), _removed_on_failure(index.path, manifest.generation):
        with suppress(sqlite3.DatabaseError):  # what is left of the damage is told below
            index.documents.connection.execute("REINDEX")
        documents = index.snapshot(index.path, manifest)
        try:
            with documents.writing():
                upkeep = Upkeep(documents)
                lost = upkeep.drop_lost()
                lost_columns = upkeep.drop_unreadable()
                uncut, changed = upkeep.drop_misfits()
                kept = _pack(index, documents, index.path, manifest)
                upkeep.refill_words()
                bad = _bad_rows(documents, index.path, manifest)
                for rows in _batches(bad, 256):
                    _embed_again(documents, index.path, manifest, rows, embed)
                count = kept
                for batch in _batches(((one, upkeep.document(one)) for one in uncut), 64):
                    count += _insert(documents, index.path, manifest, batch, cut, embed, count)
                documents.mark(count, documents.is_complete())
        finally:
            documents.close()
        index.become(manifest)
    return Repaired(len(bad) + count - kept, len(uncut), changed, lost, lost_columns)


def rebuild(index: IndexFolder, manifest: Manifest, cut: Cut, embed: Embed) -> None:
    """Cut and embed all stored texts with another model or other lengths."""
    index.begin_writing()
    new = replace(manifest, generation=next_generation(index.path))
    with storage_failures(index.path), _removed_on_failure(index.path, new.generation):
        documents = index.snapshot(index.path, new)
        try:
            create_vectors(vectors_path(index.path, new))
            with documents.writing():
                count = 0
                Upkeep(documents).drop_chunks()
                for batch in _batches(Upkeep(documents).each(), 64):
                    count += _insert(documents, index.path, new, batch, cut, embed, count)
                documents.mark(count, complete=index.is_complete)
        finally:
            documents.close()
        index.become(new)


@contextmanager
def _removed_on_failure(folder: Path, generation: int) -> Iterator[None]:
    """Remove the data files of a generation that did not come to be."""
    try:
        yield
    except BaseException:
        if not _counts(folder, generation):
            for path in folder.glob(f"*-{generation}.*"):
                path.unlink(missing_ok=True)
        raise


def _counts(folder: Path, generation: int) -> bool:
    """Tell whether a generation is the one that the manifest of a folder names."""
    try:
        return read_manifest(folder).generation == generation
    except IndexFolderError:  # no manifest, or none that can be read
        return False


def _insert(
    documents: Documents,
    folder: Path,
    manifest: Manifest,
    batch: Sequence[tuple[int, NewDocument]],
    cut: Cut,
    embed: Embed,
    first: int,
) -> int:
    """Cut and embed documents that have no passages, from this row on; return how many they get."""
    added = [one for _, one in batch]
    chunks = cut(added)
    texts = chunk_texts(zip(added, chunks, strict=True))
    if not texts:
        return 0
    vectors = checked(embed(texts), len(texts), manifest.model.dimension)
    append_vectors(vectors_path(folder, manifest), first, vectors)
    rows = [Row(first + i, crc) for i, crc in enumerate(checksums(vectors))]
    at = 0
    for (number, one), its in zip(batch, chunks, strict=True):
        documents.insert_chunks(number, one.text, its, rows[at : at + len(its)])
        at += len(its)
    return len(texts)


def _packed(index: IndexFolder, folder: Path, manifest: Manifest) -> Documents:
    """Write both data files without unused rows, and return the documents, open."""
    documents = index.snapshot(folder, manifest)
    try:
        with documents.writing():
            _pack(index, documents, folder, manifest)
    except BaseException:
        documents.close()
        raise
    return documents


def _pack(index: IndexFolder, documents: Documents, folder: Path, manifest: Manifest) -> int:
    """Write the vectors of the passages that documents have, and return how many."""
    rows = Upkeep(documents).pack_rows()
    with vectors_path(folder, manifest).open("wb") as file:
        for batch in _batches(rows, BATCH):
            file.write(index.vectors_of(batch).tobytes())
        file.flush()
        os.fsync(file.fileno())
    sync_folder(folder)
    return len(rows)


def _bad_rows(documents: Documents, folder: Path, manifest: Manifest) -> list[int]:
    """Return the rows whose bytes are not those that were recorded."""
    bad = list[int]()
    with vectors_path(folder, manifest).open("rb", buffering=0) as file:
        for batch in _batches(documents.checks(), BATCH):
            vectors = read_rows(file, [row.number for row in batch], manifest.model.dimension)
            found = checksums(vectors)
            bad += [row.number for row, crc in zip(batch, found, strict=True) if row.crc != crc]
    return bad


def _embed_again(
    documents: Documents, folder: Path, manifest: Manifest, rows: Sequence[int], embed: Embed
) -> None:
    texts = [passage.sought for passage in documents.passages(rows)]
    vectors = checked(embed(texts), len(rows), manifest.model.dimension)
    with vectors_path(folder, manifest).open("r+b") as file:
        for row, vector, crc in zip(rows, vectors, checksums(vectors), strict=True):
            file.seek(row * vector.nbytes)
            file.write(vector.tobytes())
            Upkeep(documents).note_crc(Row(row, crc))
        file.flush()
        os.fsync(file.fileno())


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    left = iter(items)
    while batch := list(islice(left, size)):
        yield batch
