"""An index folder: make it, add to it, bring it up to date."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from bertcli.errors import BertcliError, IndexFolderError
from bertcli.index import ann
from bertcli.index.choices import Kind
from bertcli.index.content import Entry, NewDocument, Row, text_hash
from bertcli.index.documents import Documents
from bertcli.index.failures import storage_failures
from bertcli.index.files import Source
from bertcli.index.lock import LOCK_NAME, WriteLock
from bertcli.index.manifest import (
    Manifest,
    ModelIdentity,
    read_manifest,
    refuse_other_model,
    sync_folder,
    write_manifest,
)
from bertcli.index.places import MANIFEST_NAME, shown
from bertcli.index.reader import IndexReader, documents_path, vectors_path
from bertcli.index.update import Embed, Prepared, Survey, chunk_texts
from bertcli.index.vectors import (
    Vectors,
    append_vectors,
    check_length,
    checked,
    checksums,
    create_vectors,
    open_vectors,
    read_rows,
)
from bertcli.index.where import Filter

# A kill loses at most this many embedded chunks, a few seconds of work; a commit costs some 10 ms.
COMMIT_CHUNKS = 512
_DATA_FILE = re.compile(
    r"(?:documents|vectors|ann)-(\d+)(?:-\d+)?\.(?:sqlite(?:-wal|-shm|-journal)?|f32|faiss|json|tmp|json\.tmp)"
)


class IndexFolder(IndexReader):
    """An open index.

    A new index is a whole one, only empty, from its first moment, so a killed build leaves what it
    had committed. One that overwrites another is written beside it, and takes its place when its
    first `add` is through.
    """

    def __init__(
        self, path: Path, manifest: Manifest, documents: Documents, lock: WriteLock | None = None
    ) -> None:
        super().__init__(path, manifest, documents)
        self._lock = lock

    @classmethod
    def create(cls, path: Path, manifest: Manifest, *, overwrite: bool = False) -> IndexFolder:
        """Make an empty index for this model, in a new or empty folder unless `overwrite`.

        One that a build of the same, with the same settings, left unfinished is opened, to go on
        with it; one that never held anything is replaced at once.
        """
        with storage_failures(path):
            path.mkdir(parents=True, exist_ok=True)
            _refuse_foreign(path)
            lock = WriteLock.acquire(path)
        try:
            with storage_failures(path):
                return cls._create_locked(path, manifest, lock, overwrite)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def open(
        cls, path: Path, model: ModelIdentity | None = None, *, whole: bool = True
    ) -> IndexFolder:
        """Open an index; with `model` given, refuse one that another model made.

        Without `whole` vectors may be missing: to look for damage, and to mend it.
        """
        manifest = read_manifest(path)
        if model is not None:
            refuse_other_model(path, manifest.model, model)
        try:
            return cls._open(path, manifest, whole)
        except IndexFolderError:
            # It may have been overwritten between the two reads.
            if read_manifest(path).generation == manifest.generation:
                raise
            return cls.open(path, model, whole=whole)

    def add(self, entries: Iterable[Entry], last: bool = True) -> int:
        """Add documents with their chunks and vectors; return how many.

        The run is through with the `last` of them.

        They are committed in batches: when the iterable raises, or the process dies, the batches
        before stay. Nothing of a batch is seen by readers before all of it is.
        """
        self.begin_writing()
        added = 0
        for batch in _batches(entries):
            self._commit(batch, complete=False)
            added += len(batch)
        self._commit([], complete=last)
        self._publish()
        self.settle()
        return added

    def expect(self) -> None:
        """Begin a run of records, some of which may be in already: see `missing`."""
        self.begin_writing()
        with storage_failures(self.path):
            self._documents.expect()

    def missing(
        self, documents: Iterable[NewDocument], passing: Container[str] = ()
    ) -> tuple[list[NewDocument], int]:
        """Return the documents that are not in yet, and how many others were renewed.

        One that was in when `expect` was called, under the same name and with the same text, has
        the line and the columns now that it is given here; its passages and vectors stay. What has
        a `passing` name, such as stdin, must have the same line too.
        """
        new, renewed = list[NewDocument](), 0
        with storage_failures(self.path), self._documents.writing():
            for document in documents:
                differs = self._documents.renew(document, document.name not in passing)
                if differs is None:
                    new.append(document)
                renewed += differs is True
        return new, renewed

    def remove(self, where: Filter, files: bool = False) -> int:
        """Remove the documents that a condition holds for, all or none, and return how many.

        With `files` a file of rows that has none left stays out as a whole.
        """
        self.begin_writing()
        with storage_failures(self.path), self._documents.writing():
            removed = self._documents.remove(where, files)
            sources = self._documents.files.sources().items()
            gone = [number for number, one in sources if not Path(one.path).exists()]
            self._documents.files.drop_sources(gone)
            return removed

    def note_sources(self, sources: Iterable[Source]) -> dict[int, Source]:
        """Remember folders and files to make the index from, and return them by their ids."""
        self.begin_writing()
        with storage_failures(self.path), self._documents.writing():
            numbers = [self._documents.files.note_source(source) for source in sources]
            every = self._documents.files.sources()
            noted = {number: every[number] for number in numbers}
            self._documents.mark(self._documents.committed_rows(), complete=False)
            return noted

    def stage(self, texts: Mapping[bytes, str], embed: Embed) -> None:
        """Have vectors made for the texts that have none, and keep them for `switch`.

        Nobody sees them until then; after a kill they are there to go on with.
        """
        self.begin_writing()
        with storage_failures(self.path), self._documents.reading():
            known = self._documents.embedded(texts)
        missing = [one for one in texts if one not in known]
        if not missing:
            return
        vectors = embed([texts[one] for one in missing])
        vectors = checked(vectors, len(missing), self.manifest.model.dimension)
        with storage_failures(self.path), self._documents.writing():
            rows = self._append(vectors)
            self._documents.stage(zip(rows, missing, strict=True))
            self._documents.mark(rows[-1].number + 1, complete=False)

    def switch(self, changes: Survey, prepared: Iterable[Prepared]) -> None:
        """Make the index what a survey found, all at once: readers see it before, or after.

        `prepared` are the files that the survey has to be read.
        """
        self.begin_writing()
        with storage_failures(self.path), self._documents.writing():
            gone = [*changes.deleted, *(one.number for one in changes.changed if one.number)]
            for file in gone:
                self._documents.remove_documents(self._documents.of_file(file))
            self._documents.files.forget(changes.deleted)
            for one in changes.moved + changes.renewed:
                self._documents.files.change(one.number or 0, one.source, one.state)
            copies: dict[int, int] = {}
            rows_of: dict[bytes, Row] = {}
            first = self._documents.committed_rows()
            for file_read in prepared:
                self._insert_file(file_read, first, copies, rows_of)
            if copies:
                dimension = self.manifest.model.dimension
                originals = read_rows(self._vector_file, list(copies.values()), dimension)
                append_vectors(self._vectors, first, originals)
            self._documents.mark(first + len(copies), complete=True)
        self._publish()
        self.settle()

    def snapshot(self, folder: Path, manifest: Manifest) -> Documents:
        """Write the documents as they are now under the name of another generation; open them."""
        path = documents_path(folder, manifest)
        self._documents.write_copy(path)
        return Documents.open(path)

    def become(self, manifest: Manifest) -> None:
        """Make another generation, complete on disk, the one that counts."""
        self._documents.close()
        self._vector_file.close()
        write_manifest(self.path, manifest)
        _remove_others(self.path, keep=manifest.generation)
        self.manifest = manifest
        self._vectors = vectors_path(self.path, manifest)
        self._documents = Documents.open(documents_path(self.path, manifest))
        self._vector_file = open_vectors(self._vectors)
        self._ann = None
        self.settle()

    def close(self) -> None:
        """Close the files and let others write."""
        with storage_failures(self.path):
            self._documents.close()
        self._vector_file.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @classmethod
    def _create_locked(
        cls, path: Path, manifest: Manifest, lock: WriteLock, overwrite: bool
    ) -> IndexFolder:
        exists = (path / MANIFEST_NAME).exists()
        if exists and not overwrite:
            index = cls.open(path)
            if index.manifest.is_like(manifest) and not index._documents.is_built():
                index._become_writer(lock)
                return index
            with index:
                index._refuse_filled()
        if not exists:
            _refuse_headless(path)
        new = replace(manifest, generation=next_generation(path))
        create_vectors(vectors_path(path, new))
        documents = Documents.create(documents_path(path, new))
        sync_folder(path)
        if not (exists and overwrite):
            write_manifest(path, new)
            _remove_others(path, keep=new.generation)
        return cls(path, new, documents, lock)

    def _refuse_filled(self) -> None:
        """Raise where there is something in the index, which is not to be built over."""
        if not self._documents.is_empty():
            raise IndexFolderError(
                f"{shown(self.path)} is an index already: `bertcli index add {shown(self.path)} "
                "FILES` adds to it, `--overwrite` makes it anew"
            )

    @classmethod
    def _open(cls, path: Path, manifest: Manifest, whole: bool) -> IndexFolder:
        with storage_failures(path):
            documents = Documents.open(documents_path(path, manifest))
            try:
                if not whole and not vectors_path(path, manifest).exists():
                    create_vectors(vectors_path(path, manifest))
                index = cls(path, manifest, documents)
            except BaseException:
                documents.close()
                raise
            try:
                if whole:
                    index._check()
            except BaseException:
                index.close()
                raise
            return index

    def _check(self) -> None:
        """Raise when committed vectors are missing, which is damage that costs nothing to see."""
        committed = self._documents.committed_rows()
        check_length(self._vector_file, committed, self.manifest.model.dimension)

    def begin_writing(self) -> None:
        """Become the one writer, if this is not so already; raises where there is another."""
        with storage_failures(self.path):
            if self._lock is None:
                self._become_writer(WriteLock.acquire(self.path))

    def _become_writer(self, lock: WriteLock) -> None:
        self._lock = lock
        self._refuse_replaced()
        _remove_others(self.path, keep=self.manifest.generation)

    def _refuse_replaced(self) -> None:
        if read_manifest(self.path).generation != self.manifest.generation:
            raise IndexFolderError(
                f"index {shown(self.path)} was made anew by another bertcli in the "
                "meantime: try again"
            )

    def _commit(self, entries: Sequence[Entry], *, complete: bool) -> None:
        dimension = self.manifest.model.dimension
        vectors = [checked(e.vectors, len(e.chunks), dimension) for e in entries]
        with storage_failures(self.path), self._documents.writing():
            rows = self._append(np.concatenate(vectors)) if vectors else []
            at = 0
            for entry in entries:
                its_rows = rows[at : at + len(entry.chunks)]
                self._documents.insert(entry.document, entry.chunks, its_rows, None)
                at += len(entry.chunks)
            self._documents.mark(self._documents.committed_rows() + at, complete)

    def _append(self, vectors: Vectors) -> list[Row]:
        """Write vectors behind the committed ones, and return their rows; they do not count yet."""
        first = self._documents.committed_rows()
        append_vectors(self._vectors, first, vectors)
        return [Row(first + i, crc) for i, crc in enumerate(checksums(vectors))]

    def _insert_file(
        self, one: Prepared, first: int, copies: dict[int, int], rows_of: dict[bytes, Row]
    ) -> None:
        """Insert a file with its documents; `copies` gets the rows to be written from others.

        `rows_of` has the row of each text that was inserted.
        """
        files, found = self._documents.files, one.found
        number = found.number
        if number is None:
            number = files.insert(found.source, found.state)
        else:
            files.change(number, found.source, found.state)
        removed = self._documents.removed_rows(number)
        for document, chunks in one.documents:
            if removed and removed[document.row_hash] > 0:
                removed[document.row_hash] -= 1
                continue
            rows = []
            for text in chunk_texts([(document, chunks)]):
                rows.append(self._row_for(text_hash(text), first, copies, rows_of))
                if rows[-1] is None:
                    raise IndexFolderError(f"{self.path}: a text has no vector: try again")
            self._documents.insert(document, chunks, [row for row in rows if row], number)

    def _row_for(
        self, of_text: bytes, first: int, copies: dict[int, int], rows_of: dict[bytes, Row]
    ) -> Row | None:
        """Return a row with the vector of a text: an unused one, else a copy of one in use."""
        row = self._documents.take(of_text)
        if row is not None:
            rows_of.setdefault(of_text, row)
            return row
        original = rows_of.get(of_text) or self._documents.like(of_text)
        if original is None:
            return None
        copy = Row(first + len(copies), original.crc)
        copies[copy.number] = copies.get(original.number, original.number)
        return copy

    def settle(self) -> ann.Ann | None:
        """Bring the approximate structure up to what is committed, where the index needs one."""
        self.begin_writing()
        with storage_failures(self.path), self._documents.reading():
            committed = self._documents.committed_rows()
            generation, dimension = self.manifest.generation, self.manifest.model.dimension
            wanted = self.manifest.ann
            return ann.settle(
                self.path, generation, wanted, self._vector_file, committed, dimension
            )

    def tune(self, recall: float, kind: Kind | None = None) -> list[ann.Trial]:
        """Make approximate search find this share of the ten nearest; return what was measured.

        With a `kind` that is what the index uses from now on.
        """
        self.begin_writing()
        before = self.manifest
        self.manifest = replace(before, ann=kind or before.ann)
        try:
            self.settle()
        except BertcliError:
            self.manifest = before
            raise
        if self.manifest != before:
            write_manifest(self.path, self.manifest)
        there = self._approximate()
        if there is None:
            return []
        with storage_failures(self.path), self._documents.reading():
            committed = self._documents.committed_rows()
            generation, dimension = self.manifest.generation, self.manifest.model.dimension
            return ann.tune(
                self.path, generation, there, self._vector_file, committed, dimension, recall
            )

    def _publish(self) -> None:
        """Make this generation the one that counts, and drop the one it replaces."""
        with storage_failures(self.path):
            with suppress(IndexFolderError):  # a damaged manifest is about to be replaced
                if read_manifest(self.path).generation == self.manifest.generation:
                    return
            write_manifest(self.path, self.manifest)
            _remove_others(self.path, keep=self.manifest.generation)


def _batches(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Yield entries in batches that are worth a commit."""
    batch: list[Entry] = []
    weight = 0
    for entry in entries:
        batch.append(entry)
        weight += max(1, len(entry.chunks))
        if weight >= COMMIT_CHUNKS:
            yield batch
            batch, weight = [], 0
    if batch:
        yield batch


def _refuse_foreign(path: Path) -> None:
    """Raise when the folder holds something that is neither an index nor a killed build's files."""
    names = {entry.name for entry in path.iterdir()}
    data = {name for name in names if _DATA_FILE.fullmatch(name)}
    known = data | {LOCK_NAME, f"{MANIFEST_NAME}.tmp"}
    is_index = MANIFEST_NAME in names and bool(data)
    if not is_index and not names <= known:
        raise IndexFolderError(
            f"{shown(path)} holds other files and is not an index: choose a new or an empty folder"
        )


def _refuse_headless(path: Path) -> None:
    """Raise where data files of a finished index lie, whose manifest alone is gone."""
    for entry in _generations(path):
        if entry.suffix == ".sqlite" and Documents.are_complete(entry):
            raise IndexFolderError(
                f"{shown(path)} has the data of an index ({entry.name}) and no {MANIFEST_NAME}: "
                "bring that back from a backup, or choose another folder; nothing was changed"
            )


def _generations(path: Path) -> dict[Path, int]:
    matches = [(entry, _DATA_FILE.fullmatch(entry.name)) for entry in path.iterdir()]
    return {entry: int(match.group(1)) for entry, match in matches if match}


def next_generation(path: Path) -> int:
    """Return a number that no data file of the folder has."""
    return max(_generations(path).values(), default=0) + 1


def _remove_others(path: Path, keep: int) -> None:
    """Remove the data files of every generation but one: replaced ones, or a killed run's."""
    for entry, generation in _generations(path).items():
        if generation != keep:
            entry.unlink(missing_ok=True)
