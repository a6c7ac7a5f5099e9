"""Reading an open index: what it holds, and what fits a query."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bertcli.errors import UsageError
from bertcli.index import ann
from bertcli.index.content import Passage
from bertcli.index.documents import Documents
from bertcli.index.failures import storage_failures
from bertcli.index.files import FileState, Source
from bertcli.index.manifest import Manifest
from bertcli.index.query import Query, all_of, any_of, fuse
from bertcli.index.vectors import (
    ROW_TYPE,
    Nearest,
    Vectors,
    checked,
    nearest,
    open_vectors,
    read_blocks,
    read_rows,
)
from bertcli.index.where import OWN, Filter
from bertcli.records import own_id
from bertcli.results import Hit

FUSED_DEPTH = 100
"""How far down the two rankings of a hybrid search are fused."""
LEAST_WEIGHT = 1e-4
"""A passage with less BM25 has none but words that most passages have, which is no sign of it."""
FEW = 10
"""Of so few passages a word that half of them have is a sign; BM25 gives it no weight."""
SKIPPED_SHOWN = 100


@dataclass(frozen=True, slots=True)
class IndexInfo:
    """What an index holds. `complete` is False when the last build or add did not get through:
    what it committed is there and is searched, `index add` with the same files goes on. `skipped`
    tells the first SKIPPED_SHOWN files without documents, and why."""

    path: Path
    manifest: Manifest
    documents: int
    chunks: int
    size_bytes: int
    complete: bool
    files: int
    skipped_files: int
    skipped: tuple[str, ...]
    unused_rows: int
    ann: ann.Ann | None


class IndexReader:
    """An open index, as far as it is read.

    Each answer is of one committed state, whatever is written meanwhile.
    """

    def __init__(self, path: Path, manifest: Manifest, documents: Documents) -> None:
        self.path = path
        self.manifest = manifest
        self._documents = documents
        self._vectors = vectors_path(path, manifest)
        self._vector_file = open_vectors(self._vectors)
        self._ann: ann.Loaded | None = None
        self._fitting: tuple[object, NDArray[np.bool_]] | None = None

    def sources(self) -> dict[int, Source]:
        """Return the folders and files that the index was made from, by their ids."""
        with storage_failures(self.path):
            return self._documents.files.sources()

    def known_files(self) -> dict[str, tuple[int, int, FileState]]:
        """Return id, source and state of every file that was indexed, by its path."""
        with storage_failures(self.path), self._documents.reading():
            return self._documents.files.known()

    def unknown_columns(self, where: Filter) -> dict[str, str | None]:
        """Return the columns in a condition that no document has, each with one of its letters."""
        with storage_failures(self.path):
            known = self._documents.columns()
        others = OWN.keys() - where.columns  # between double quotes they are columns
        alike = {name.casefold(): name for name in (*sorted(known), *others)}
        return {name: alike.get(name.casefold()) for name in where.columns if name not in known}

    def search(
        self, queries: NDArray[np.floating], k: int, where: Filter | None = None
    ) -> list[list[Hit]]:
        """Return for each query `(q, d)` the `k` passages of largest inner product, best first.

        Only passages that `where` holds for are looked at. With unit vectors, and so with a model
        that normalises, the scores are cosines. To a vector of zeros nothing is near.
        """
        if k < 1:
            raise UsageError(f"cannot return {k} passages: -k must be at least 1")
        asked = checked(queries, len(queries), self.manifest.model.dimension)
        with storage_failures(self.path), self._documents.reading():
            committed = self._documents.committed_rows()
            found = self._nearest(asked, committed, k, self._live(committed, where))
            return [
                self._hits(rows, scores) if vector.any() else []
                for vector, rows, scores in zip(
                    asked, found.rows.tolist(), found.scores.tolist(), strict=True
                )
            ]

    def find(
        self,
        query: Query,
        vector: NDArray[np.floating] | None,
        k: int,
        where: Filter | None = None,
    ) -> list[Hit]:
        """Return the `k` passages that fit a query best, of those that hold what it needs.

        None holds what it keeps out.

        Only passages that `where` holds for are looked at.

        Without a `vector` (d,) by its words alone, with BM25 as score; else by words and meaning,
        two rankings that are fused by reciprocal rank, with the inner product as score. To a vector
        of zeros nothing is near.
        """
        depth = max(k, FUSED_DEPTH)  # what is asked for beyond comes after, and changes no order
        with storage_failures(self.path), self._documents.reading():
            committed = self._documents.committed_rows()
            live = self._live(committed, where)
            if query.narrows:
                live = self._narrowed(query, np.ones(committed, bool) if live is None else live)
            narrowed = where is not None or query.narrows
            worded_live = live if narrowed else None  # rows that were removed have no words
            if vector is None:
                best = self._documents.matching(query.wanted, depth, worded_live)[:k]
                return self._hits([row for row, _ in best], [score for _, score in best])
            dimension = self.manifest.model.dimension
            asked = checked(vector[None], 1, dimension)
            if self._approximate() is None:
                near = self._nearest(asked, committed, depth, live)
                worded = self._documents.matching(query.wanted, depth, worded_live)
            else:  # in a large index both halves at once take two thirds of the time
                from concurrent.futures import ThreadPoolExecutor  # 4 ms of a cold start

                with ThreadPoolExecutor(1, initializer=ann.keep_to_this_thread) as beside:
                    half = beside.submit(self._nearest, asked, committed, depth, live)
                    worded = self._documents.matching(query.wanted, depth, worded_live)
                near = half.result()
            rankings = [[row for row, _ in worded]]
            if vector.any():
                telling = [row for row, score in worded if score > LEAST_WEIGHT]
                if not telling and 2 * len(worded) <= committed <= FEW:
                    telling = [row for row, _ in worded]
                rankings = [near.rows[0].tolist(), telling]
            first = fuse([ranking[:FUSED_DEPTH] for ranking in rankings])
            rows = list(dict.fromkeys(first + fuse(rankings)))[:k]
            cosines = read_rows(self._vector_file, rows, dimension) @ asked[0]
            return self._hits(rows, cosines.tolist())

    def _narrowed(self, query: Query, live: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which of the rows have all that a query needs and nothing that it keeps out."""
        left = live.copy()
        if query.needed:
            having = np.zeros_like(left)
            having[self._documents.holding(all_of(query.needed))] = True
            left &= having
        if query.unwanted:
            left[self._documents.holding(any_of(query.unwanted))] = False
        return left

    @property
    def is_complete(self) -> bool:
        """Whether no build, add or update is at work, or was stopped before its end."""
        with storage_failures(self.path):
            return self._documents.is_complete()

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
        known = [i for i, row in enumerate(rows) if 0 <= row < there]
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
        """Return what the passage with a row is found by."""
        with storage_failures(self.path), self._documents.reading():
            return self._documents.passages([row])[0].sought

    def vectors_of_hits(self, hits: Sequence[Hit]) -> Vectors:
        """Return the vectors of found passages `(len(hits), d)`."""
        with storage_failures(self.path), self._documents.reading():
            return self.vectors_of(self._documents.rows_of(hit.id or 0 for hit in hits))

    def everything(self) -> tuple[list[Hit], Vectors]:
        """Return every passage with its vector `(n, d)`, in the order of the rows."""
        with storage_failures(self.path), self._documents.reading():
            rows = [row.number for row in self._documents.checks()]
            return self._hits(rows, [1.0] * len(rows)), self.vectors_of(rows)

    def shared_ids(self) -> frozenset[str]:
        """Return the ids in the documents' columns that do not tell them apart."""
        with storage_failures(self.path):
            return self._documents.shared_ids()

    def named(self, hits: Sequence[Hit], shared: Collection[str]) -> list[Hit]:
        """Return found passages with what a TREC run calls their documents.

        That is the `id` or `_id` of a row, unless it is a `shared` one; else the place.
        """
        with storage_failures(self.path), self._documents.reading():
            return [replace(hit, run_name=self._name_of(hit, shared)) for hit in hits]

    def _name_of(self, hit: Hit, shared: Collection[str]) -> str:
        own = own_id(hit.columns)
        return self._documents.place(hit.id or 0) if not own or own in shared else own

    def name_of_file(self, path: Path) -> str | None:
        """Return what the documents of a file are called; None where it is not in the index."""
        known = self.known_files()
        for place in (path.absolute(), path.resolve()):  # a linked file may be in by either
            if found := known.get(str(place)):
                return found[2].name
        return None

    def with_context(self, hits: Sequence[Hit], lines: int) -> list[Hit]:
        """Return found passages with so many lines of their files before and after each."""
        with storage_failures(self.path), self._documents.reading():
            rows = self._documents.rows_of(hit.id or 0 for hit in hits)
            passages = self._documents.passages(rows)
        around = (_around(passage, lines) for passage in passages)
        return [
            replace(hit, before=before, after=after)
            for hit, (before, after) in zip(hits, around, strict=True)
        ]

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Within the block everything read is of one committed state."""
        with storage_failures(self.path), self._documents.reading():
            yield

    @property
    def _row_bytes(self) -> int:
        return self.manifest.model.dimension * ROW_TYPE.itemsize

    def hashes(self) -> dict[str, str]:
        """Return what tells this index from another: the hash of its model and its documents."""
        model = self.manifest.model
        with storage_failures(self.path):
            content = self.documents.sha256()
        return {f"checkpoint {model.name}": model.weights_sha256, "index": content}

    def info(self) -> IndexInfo:
        """Return what the index holds and its size on disk."""
        with storage_failures(self.path):
            with self._documents.reading():
                counts = self._documents.counts()
                files, skipped_files = self._documents.files.counts()
                skipped = self._documents.files.skipped(SKIPPED_SHOWN)
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
            skipped_files=skipped_files,
            skipped=tuple(skipped),
            unused_rows=unused,
            ann=ann.described(self.path, self.manifest.generation),
        )

    def _live(self, committed: int, where: Filter | None) -> NDArray[np.bool_] | None:
        """Return which rows may be found `(committed,)`; None when all of them may.

        A filter is kept for the next query: at a million passages it takes most of a second.
        """
        live = self._documents.live_rows(committed)
        if where is None:
            return live
        asked = (where, committed, self._documents.version())
        if self._fitting is None or self._fitting[0] != asked:
            fitting = np.zeros(committed, bool)
            fitting[self._documents.where(where)] = True  # a chunk's row is never a dead one
            self._fitting = (asked, fitting)
        return self._fitting[1]

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

    def _hits(self, rows: Sequence[int], scores: Sequence[float]) -> list[Hit]:
        return [
            Hit(
                score,
                passage.text,
                document=passage.document,
                line=passage.line,
                columns=passage.columns,
                id=passage.chunk,
                last_line=passage.last_line,
                heading=passage.heading,
                page=passage.page,
                page_starts=passage.page_starts,
                start=passage.start,
                end=passage.end,
                path=passage.path,
                context=passage.context,
            )
            for score, passage in zip(scores, self._documents.passages(rows), strict=True)
        ]


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


def _around(passage: Passage, lines: int) -> tuple[str, str]:
    """Return so many lines of a text before and after a passage, the rest of its own included."""
    text = passage.whole
    first, last = passage.start, passage.end - 1
    for _ in range(lines + 1):
        if first == 0 and last == len(text):
            break
        first = max(text.rfind("\n", 0, first), 0)
        found = text.find("\n", last + 1)
        last = len(text) if found < 0 else found
    before, after = text[first : passage.start], text[passage.end : last]
    return before.removeprefix("\n"), after
