"""An index folder: make it, add to it, search it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from bertcli.errors import IndexFolderError, UsageError
from bertcli.index import ann
from bertcli.index.choices import Kind
from bertcli.index.documents import Documents, Entry, NewDocument, Passage, Row, text_hash
from bertcli.index.failures import storage_failures
from bertcli.index.files import FileState, Source
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
from bertcli.index.query import Query, fuse
from bertcli.index.update import Embed, Prepared, Survey, chunk_texts
from bertcli.index.vectors import (
    ROW_TYPE,
    Nearest,
    Vectors,
    append_vectors,
    check_length,
    checked,
    checksums,
    create_vectors,
    nearest,
    open_vectors,
    read_blocks,
    read_rows,
)
from bertcli.index.where import Filter
from bertcli.results import Hit

# A kill loses at most this many embedded chunks, a few seconds of work; a commit costs some 10 ms.
COMMIT_CHUNKS = 512
FUSED_DEPTH = 100
"""How far down the two rankings of a hybrid search are fused."""
_DATA_FILE = re.compile(
    r"(?:documents|vectors|ann)-(\d+)(?:-\d+)?\.(?:sqlite(?:-wal|-shm)?|f32|faiss|json|tmp|json\.tmp)"
)


@dataclass(frozen=True, slots=True)
class IndexInfo:
    """What an index holds. `complete` is False when the last build or add did not get through:
    what it committed is there and is searched, `index add` with the same files goes on."""

    path: Path
    manifest: Manifest
    documents: int
    chunks: int
    size_bytes: int
    complete: bool
    files: int = 0
    skipped_files: int = 0
    unused_rows: int = 0
    ann: ann.Ann | None = None


class IndexFolder:
    """An open index.

    A new index is a whole one, only empty, from its first moment, so a killed build leaves what it
    had committed. One that overwrites another is written beside it, and takes its place when its
    first `add` is through.
    """

    def __init__(
        self, path: Path, manifest: Manifest, documents: Documents, lock: WriteLock | None = None
    ) -> None:
        self.path = path
        self.manifest = manifest
        self._documents = documents
        self._vectors = vectors_path(path, manifest)
        self._vector_file = open_vectors(self._vectors)
        self._lock = lock
        self._ann: ann.Loaded | None = None

    @classmethod
    def create(cls, path: Path, manifest: Manifest, *, overwrite: bool = False) -> IndexFolder:
        """Make an empty index for this model, in a new or empty folder unless `overwrite`."""
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

    def add(self, entries: Iterable[Entry]) -> int:
        """Add documents with their chunks and vectors; return how many.

        They are committed in batches: when the iterable raises, or the process dies, the batches
        before stay. Nothing of a batch is seen by readers before all of it is.
        """
        self.begin_writing()
        added = 0
        for batch in _batches(entries):
            self._commit(batch, complete=False)
            added += len(batch)
        self._commit([], complete=True)
        self._publish()
        self.settle()
        return added

    def remove(self, where: Filter) -> int:
        """Remove the documents that a condition holds for, all or none, and return how many."""
        self.begin_writing()
        with storage_failures(self.path), self._documents.writing():
            return self._documents.remove(where)

    def sources(self) -> dict[int, Source]:
        """Return the folders and files that the index was made from, by their ids."""
        with storage_failures(self.path):
            return self._documents.files.sources()

    def note_sources(self, sources: Iterable[Source]) -> dict[int, Source]:
        """Remember folders and files to make the index from, and return them by their ids."""
        self.begin_writing()
        with storage_failures(self.path), self._documents.writing():
            noted = {self._documents.files.note_source(source): source for source in sources}
            self._documents.mark(self._documents.committed_rows(), complete=False)
            return noted

    def known_files(self) -> dict[str, tuple[int, int, FileState]]:
        """Return id, source and state of every file that was indexed, by its path."""
        with storage_failures(self.path), self._documents.reading():
            return self._documents.files.known()

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

    def holds(self, document: NewDocument) -> bool:
        """Return whether this very text of this name and line is in, to go on with a killed run."""
        with storage_failures(self.path):
            return self._documents.holds(document)

    def search(
        self, queries: NDArray[np.floating], k: int, where: Filter | None = None
    ) -> list[list[Hit]]:
        """Return for each query `(q, d)` the `k` passages of largest inner product, best first.

        Only passages that `where` holds for are looked at. With unit vectors, and so with a model
        that normalises, the scores are cosines.
        """
        if k < 1:
            raise UsageError(f"cannot return {k} passages: -k must be at least 1")
        asked = checked(queries, len(queries), self.manifest.model.dimension)
        with storage_failures(self.path), self._documents.reading():
            committed = self._documents.committed_rows()
            found = self._nearest(asked, committed, k, self._live(committed, where))
            return [
                self._hits(rows, scores)
                for rows, scores in zip(found.rows.tolist(), found.scores.tolist(), strict=True)
            ]

    def find(
        self,
        query: Query,
        vector: NDArray[np.floating] | None,
        k: int,
        where: Filter | None = None,
    ) -> list[Hit]:
        """Return the `k` passages that fit a query best, none that holds what it keeps out.

        Only passages that `where` holds for are looked at.

        Without a `vector` (d,) by its words alone, with BM25 as score; else by words and meaning,
        two rankings that are fused by reciprocal rank, with the inner product as score.
        """
        depth = max(k, FUSED_DEPTH)
        with storage_failures(self.path), self._documents.reading():
            committed = self._documents.committed_rows()
            live = self._live(committed, where)
            if query.unwanted:
                live = np.ones(committed, bool) if live is None else live
                live[self._documents.holding(query.unwanted)] = False
            # Enough to spare for those that are kept out.
            matches = self._documents.matching(query.wanted, depth + _dead(live))
            worded = [(row, score) for row, score in matches if live is None or live[row]][:depth]
            if vector is None:
                best = worded[:k]
                return self._hits([row for row, _ in best], [score for _, score in best])
            dimension = self.manifest.model.dimension
            asked = checked(vector[None], 1, dimension)
            near = self._nearest(asked, committed, depth, live).rows[0].tolist()
            rows = fuse([near, [row for row, _ in worded]])[:k]
            cosines = read_rows(self._vector_file, rows, dimension) @ asked[0]
            return self._hits(rows, cosines.tolist())

    @property
    def documents(self) -> Documents:
        """The documents, for who looks after the index as a whole."""
        return self._documents

    def rows_in_file(self) -> int:
        """Return how many whole rows the vector file has, whether they count or not."""
        return os.fstat(self._vector_file.fileno()).st_size // self._row_bytes

    def vectors_of(self, rows: Sequence[int]) -> Vectors:
        """Return the vectors of rows `(len(rows), d)`; zeros where the file has no such row."""
        there = self.rows_in_file()
        vectors = np.zeros((len(rows), self.manifest.model.dimension), np.float32)
        known = [i for i, row in enumerate(rows) if row < there]
        if known:
            wanted = [rows[i] for i in known]
            vectors[known] = read_rows(self._vector_file, wanted, vectors.shape[1])
        return vectors

    def some_rows(self, count: int) -> list[int]:
        """Return the rows of at most `count` passages from all over the index."""
        with storage_failures(self.path), self._documents.reading():
            rows = [row.number for row in self._documents.checks()]
        return rows[:: max(1, len(rows) // count)][:count]

    def text_of(self, row: int) -> str:
        """Return the text of the passage with a row."""
        with storage_failures(self.path), self._documents.reading():
            return self._documents.passages([row])[0].text

    def vectors_of_hits(self, hits: Sequence[Hit]) -> Vectors:
        """Return the vectors of found passages `(len(hits), d)`."""
        with storage_failures(self.path), self._documents.reading():
            rows = self._documents.rows_of([hit.id or 0 for hit in hits])
            return self.vectors_of([-1 if row is None else row for row in rows])

    def everything(self) -> tuple[list[Hit], Vectors]:
        """Return every passage with its vector `(n, d)`, in the order of the rows."""
        with storage_failures(self.path), self._documents.reading():
            rows = [row.number for row in self._documents.checks()]
            return self._hits(rows, [1.0] * len(rows)), self.vectors_of(rows)

    def name_of_file(self, path: Path) -> str | None:
        """Return what the documents of a file are called; None where it is not in the index."""
        known = self.known_files().get(str(path.absolute()))
        return None if known is None else known[2].name

    def with_context(self, hits: Sequence[Hit], lines: int) -> list[Hit]:
        """Return found passages with so many lines of their files before and after each."""
        with storage_failures(self.path), self._documents.reading():
            rows = self._documents.rows_of([hit.id or 0 for hit in hits])
            passages = self._documents.passages([row for row in rows if row is not None])
        return [
            replace(hit, before=before, after=after)
            for hit, passage in zip(hits, passages, strict=True)
            for before, after in [_around(passage, lines)]
        ]

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

    @property
    def _row_bytes(self) -> int:
        return self.manifest.model.dimension * ROW_TYPE.itemsize

    def info(self) -> IndexInfo:
        """Return what the index holds and its size on disk."""
        with storage_failures(self.path):
            with self._documents.reading():
                counts = self._documents.counts()
                files, skipped = self._documents.files.counts()
                unused = self._documents.committed_rows() - counts.chunks
            sizes = list(_sizes(self.path))
        return IndexInfo(
            path=self.path,
            manifest=self.manifest,
            documents=counts.documents,
            chunks=counts.chunks,
            size_bytes=sum(sizes),
            complete=counts.complete,
            files=files,
            skipped_files=skipped,
            unused_rows=unused,
            ann=ann.described(self.path, self.manifest.generation),
        )

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
            raise IndexFolderError(
                f"{shown(path)} is an index already: `bertcli index add {shown(path)} "
                "FILES` adds to it, "
                "`--overwrite` makes it anew"
            )
        new = replace(manifest, generation=next_generation(path))
        if not exists:
            _remove_others(path, keep=new.generation)
        create_vectors(vectors_path(path, new))
        documents = Documents.create(documents_path(path, new))
        sync_folder(path)
        if not exists:
            write_manifest(path, new)
        return cls(path, new, documents, lock)

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
                self._lock = WriteLock.acquire(self.path)
                self._refuse_replaced()
                _remove_others(self.path, keep=self.manifest.generation)

    def _live(self, committed: int, where: Filter | None) -> NDArray[np.bool_] | None:
        """Return which rows may be found `(committed,)`; None when all of them may."""
        live = self._documents.live_rows(committed)
        if where is None:
            return live
        fitting = np.zeros(committed, bool)
        fitting[self._documents.where(where)] = True  # a chunk's row is never a dead one
        return fitting

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
        for document, chunks in one.documents:
            rows = []
            for text in chunk_texts(document, chunks):
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

    def _nearest(
        self, asked: Vectors, committed: int, k: int, live: NDArray[np.bool_] | None
    ) -> Nearest:
        there = self._approximate()
        if there is not None and there.ann.rows <= committed:
            return there.nearest(asked, self._vector_file, committed, k, live)
        blocks = read_blocks(self._vector_file, committed, self.manifest.model.dimension)
        return nearest(asked, blocks, k, live)

    def _approximate(self) -> ann.Loaded | None:
        """Return the approximate structure, opened once, and again where it was replaced."""
        described = ann.described(self.path, self.manifest.generation)
        if described is None:
            return None
        if self._ann is None or self._ann.ann != described:
            self._ann = ann.load(self.path, self.manifest.generation)
        return self._ann

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
        if kind is not None and kind is not self.manifest.ann:
            self.manifest = replace(self.manifest, ann=kind)
            write_manifest(self.path, self.manifest)
        self.settle()
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

    def _hits(self, rows: Sequence[int], scores: Sequence[float]) -> list[Hit]:
        return [
            Hit(
                score,
                passage.text,
                passage.document,
                passage.line,
                passage.columns,
                passage.chunk,
                passage.last_line,
                passage.heading,
                passage.page,
                passage.start,
                passage.end,
                passage.path,
            )
            for score, passage in zip(scores, self._documents.passages(rows), strict=True)
        ]


def _around(passage: Passage, lines: int) -> tuple[str, str]:
    """Return so many lines of a text before and after a passage, the rest of its own included."""
    text = passage.whole
    first, last = passage.start, passage.end - 1
    for _ in range(lines + 1):
        first = max(text.rfind("\n", 0, first), 0)
        found = text.find("\n", last + 1)
        last = len(text) if found < 0 else found
    before, after = text[first : passage.start], text[passage.end : last]
    return before.removeprefix("\n"), after


def _dead(live: NDArray[np.bool_] | None) -> int:
    return 0 if live is None else int((~live).sum())


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
    is_index = MANIFEST_NAME in names and any(name.endswith(".sqlite") for name in data)
    if not is_index and not names <= known:
        raise IndexFolderError(
            f"{shown(path)} holds other files and is not an index: choose a new or an empty folder"
        )


def documents_path(path: Path, manifest: Manifest) -> Path:
    """Return where the SQLite file of this generation is."""
    return path / f"documents-{manifest.generation}.sqlite"


def vectors_path(path: Path, manifest: Manifest) -> Path:
    """Return where the vectors of this generation are."""
    return path / f"vectors-{manifest.generation}.f32"


def _sizes(path: Path) -> Iterator[int]:
    for entry in path.iterdir():
        with suppress(FileNotFoundError):  # a writer that closes removes its log
            yield entry.stat().st_size


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
