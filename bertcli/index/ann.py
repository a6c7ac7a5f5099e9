"""Approximate search over many vectors: a FAISS structure that can always be made anew.

It covers the first rows of the vector file; those that came later are searched exactly. What it
finds is scored again with the vectors themselves, so that scores are exact and only which rows are
looked at is approximate. Two files belong to it: `ann-G-N.faiss`, and `ann-G.json`, which names it
and is written last. Without them, or with damaged ones, search is exact.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from io import FileIO
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from bertcli.index.choices import Kind
from bertcli.index.vectors import Nearest, Vectors, nearest, read_blocks, read_rows

EXACT_ROWS = 100_000
"""Up to this many vectors exact search is quick enough: some 30 ms on two cores."""
TAIL_ROWS = 25_000
"""So many rows that came later are searched exactly before the structure takes them in."""
REGROWN = 2.0
"""Grown by this factor since it was made, a structure is made anew."""
RECALL = 0.97
"""What a build looks for, above the 0.95 that is promised: it is measured of few queries."""
CUT = 10
"""Recall is that of so many nearest."""
SPARE = 4
"""So many candidates for each result that is wanted are scored again with the vectors themselves:
eight bits a number do not tell near ones apart."""
LOOKED_AT = 4
"""IVF looks at so many rows at least for each candidate. The effort that finds 0.98 of ten found
0.67 to 0.88 of a hundred in three sets of made-up vectors, and 0.95 or more with this."""
SAMPLED = 256
"""Of so many queries the recall is measured; around 0.97 its standard error is some 0.003."""
FEW_ROWS = 10_000
"""A filter that leaves no more rows than this is searched exactly."""
TRAINED_ROWS_PER_LIST = 32
"""From so many rows each the middles of IVF's lists are learnt. FAISS takes up to 256, for which
learning takes eight times as long; what recall comes of it is measured in any case."""
HNSW_LINKS = 32
HNSW_BUILD = 80
"""Links of a row, as FAISS has them, and candidates looked at to choose them, twice as many."""


@dataclass(frozen=True, slots=True)
class Ann:
    """An approximate structure: its kind, file, how many rows it covers, how far it looks.

    `effort` is IVF's number of lists probed or HNSW's size of the candidate list. `recall` is the
    share of the ten nearest that it found of `sampled` vectors of the index itself, in 0…1;
    `trained_rows` is how many rows there were when its lists were chosen, `crc` the CRC-32 of the
    file, None where nobody noted it.
    """

    kind: Kind
    file: str
    file_bytes: int
    rows: int
    effort: int
    recall: float
    sampled: int
    trained_rows: int
    crc: int | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """One effort that was measured: recall@10 against exact search, and milliseconds a query."""

    effort: int
    recall: float
    milliseconds: float


@dataclass(frozen=True, slots=True)
class Loaded:
    """A structure that was opened, memory-mapped."""

    ann: Ann
    index: Any

    def nearest(
        self,
        queries: Vectors,
        file: FileIO,
        committed: int,
        k: int,
        live: NDArray[np.bool_] | None,
    ) -> Nearest:
        """Return the `k` live rows of largest inner product, as far as the effort finds them."""
        dimension = queries.shape[1]
        if live is not None and int(live.sum()) <= max(FEW_ROWS, SPARE * k):
            return nearest_of_rows(queries, file, np.flatnonzero(live), k)
        candidates = self.candidates(queries, SPARE * k, live)
        tail = read_blocks(file, committed, dimension, self.ann.rows)
        newer = nearest(queries, tail, k, live)
        rows, scores = [], []
        for number, query in enumerate(queries):
            mine = candidates[number]
            mine = mine[(mine >= 0) & (mine < self.ann.rows)]
            mine = np.concatenate([np.unique(mine), newer.rows[number]])
            exact = read_rows(file, mine.tolist(), dimension) @ query
            order = np.lexsort((mine, -exact))[:k]
            rows.append(mine[order])
            scores.append(exact[order])
        there = committed if live is None else int(live.sum())
        # Few lists, or a filter, must not hide a result that exists. Each query by itself: what is
        # measured with many at once is what one of them finds alone.
        if short := [number for number, one in enumerate(rows) if len(one) < min(k, there)]:
            all_rows = read_blocks(file, committed, dimension)
            found = nearest(queries[short], all_rows, k, live)
            for at, number in enumerate(short):
                rows[number], scores[number] = found.rows[at], found.scores[at]
        least = min(map(len, rows))
        return Nearest(
            np.stack([one[:least] for one in scores]), np.stack([one[:least] for one in rows])
        )

    def candidates(
        self, queries: Vectors, count: int, live: NDArray[np.bool_] | None = None
    ) -> NDArray[np.int64]:
        """Return rows that are probably among the nearest `(q, count)`, -1 where there are none."""
        import faiss

        effort, chosen = self.ann.effort, {}
        if self.ann.kind is not Kind.HNSW:
            lists = self.index.nlist
            enough = -(-LOOKED_AT * count * lists // max(1, self.ann.rows))
            effort = max(effort, min(lists, enough))
        if live is not None:
            covered = live[: self.ann.rows]
            # The nearest that a filter leaves lie further out: look at as many of them.
            effort = round(effort * len(covered) / max(1, int(covered.sum())))
            chosen["sel"] = faiss.IDSelectorBitmap(np.packbits(covered, bitorder="little"))
        if self.ann.kind is Kind.HNSW:
            how = faiss.SearchParametersHNSW(efSearch=max(effort, count), **chosen)
        else:
            how = faiss.SearchParametersIVF(nprobe=effort, **chosen)
        found: NDArray[np.int64] = self.index.search(queries, count, params=how)[1]
        return found


def keep_to_this_thread() -> None:
    """Let what FAISS computes on the calling thread stay there; other threads are as they were.

    A hybrid search takes a tenth less where FAISS does not share SQLite's processor.
    """
    import faiss

    faiss.omp_set_num_threads(1)


def nearest_of_rows(queries: Vectors, file: FileIO, rows: NDArray[np.int64], k: int) -> Nearest:
    """Return the `k` of these rows with the largest inner products, exactly."""
    vectors = read_rows(file, rows.tolist(), queries.shape[1])
    found = nearest(queries, iter([(0, vectors)]), k, None)
    return Nearest(found.scores, rows[found.rows])


def load(folder: Path, generation: int) -> Loaded | None:
    """Return the approximate structure of an index, None where there is none or it is damaged."""
    ann = described(folder, generation)
    if ann is None:
        return None
    path = folder / ann.file
    try:
        if path.stat().st_size != ann.file_bytes:
            return None
        import faiss

        flag = faiss.IO_FLAG_MMAP_IFC if ann.kind is Kind.HNSW else faiss.IO_FLAG_MMAP
        index = faiss.read_index(str(path), flag)
    except (OSError, RuntimeError):
        return None
    return Loaded(ann, index) if index.ntotal == ann.rows else None


def file_crc(path: Path) -> int:
    """Return the CRC-32 of a file."""
    found = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            found = crc32(block, found)
    return found


def damage(folder: Path, generation: int) -> str | None:
    """Return what is wrong with the file of the structure; None where nothing is, or is known."""
    ann = described(folder, generation)
    if ann is None or ann.crc is None:
        return None
    path = folder / ann.file
    if not path.exists():
        return f"{path.name} is missing: searches are exact meanwhile"
    return None if file_crc(path) == ann.crc else f"{path.name} is not what was written"


def described(folder: Path, generation: int) -> Ann | None:
    """Return what is said of the structure of an index; None where there is none."""
    try:
        content = json.loads((folder / _note(generation)).read_text(encoding="utf-8"))
        ann = Ann(**content | {"kind": Kind(content["kind"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return ann if ann.file == _name(generation, ann.rows) else None


def settle(
    folder: Path, generation: int, wanted: Kind, file: FileIO, committed: int, dimension: int
) -> Ann | None:
    """Bring the structure up to what the index holds, if it needs one, and return it.

    It is made where there is none, takes in rows that came later once they are many, and is made
    anew once it has grown much. Nothing is done where there is nothing to do.
    """
    kind = wanted
    if wanted is Kind.AUTO:
        kind = Kind.EXACT if committed <= EXACT_ROWS else Kind.IVF
    there = load(folder, generation)
    if kind is Kind.EXACT or not committed:
        remove(folder, generation)
        return None
    if there is None or there.ann.kind is not kind or committed > REGROWN * there.ann.trained_rows:
        return make(folder, generation, kind, file, committed, dimension, RECALL)
    if committed - there.ann.rows > TAIL_ROWS:
        return _extended(folder, generation, there.ann, file, committed, dimension)
    return there.ann


def make(
    folder: Path,
    generation: int,
    kind: Kind,
    file: FileIO,
    committed: int,
    dimension: int,
    recall: float,
) -> Ann:
    """Make a structure over all rows, with the least effort that reaches this recall@10."""
    index = _empty(kind, committed, dimension)
    index.train(_sample(file, committed, dimension, kind, _lists(committed)))
    for _, block in read_blocks(file, committed, dimension):
        index.add(np.ascontiguousarray(block))
    draft = Ann(kind, "", 0, committed, 1, 0.0, 0, committed)
    trials = measure(Loaded(draft, index), file, dimension, recall)
    best = trials[-1]
    sampled = min(SAMPLED, committed)
    ready = replace(draft, effort=best.effort, recall=best.recall, sampled=sampled)
    return _written(folder, generation, ready, index)


def tune(
    folder: Path,
    generation: int,
    there: Loaded,
    file: FileIO,
    committed: int,
    dimension: int,
    recall: float,
) -> list[Trial]:
    """Choose the least effort that reaches a recall@10, and return all that were measured."""
    trials = measure(there, file, dimension, recall)
    best = trials[-1]
    _note_down(
        folder,
        generation,
        replace(there.ann, effort=best.effort, recall=best.recall, sampled=min(SAMPLED, committed)),
    )
    return trials


def measure(there: Loaded, file: FileIO, dimension: int, recall: float) -> list[Trial]:
    """Return the efforts tried, from few to more, until one reaches the recall or all are tried.

    The queries are vectors of the index, halfway to another one, so that none finds just itself.
    """
    rng = np.random.default_rng(0)
    covered = there.ann.rows
    count = min(SAMPLED, covered)
    pairs = rng.choice(covered, (2, count))
    queries = read_rows(file, pairs[0].tolist(), dimension)
    queries = queries + 0.5 * read_rows(file, pairs[1].tolist(), dimension)
    queries /= np.maximum(np.linalg.norm(queries, axis=1, keepdims=True), 1e-12)
    truth = nearest(queries, read_blocks(file, covered, dimension), min(CUT, covered), None).rows
    trials: list[Trial] = []
    for effort in _efforts(there.ann.kind, covered):
        trying = Loaded(replace(there.ann, effort=effort), there.index)
        began = time.perf_counter()
        found = trying.nearest(queries, file, covered, truth.shape[1], None).rows
        milliseconds = (time.perf_counter() - began) * 1000 / count
        right = sum(len(np.intersect1d(*both)) for both in zip(truth, found, strict=True))
        trials.append(Trial(effort, right / truth.size, milliseconds))
        if trials[-1].recall >= recall:
            break
    return trials


def remove(folder: Path, generation: int) -> None:
    """Remove the structure of an index, if it has one."""
    (folder / _note(generation)).unlink(missing_ok=True)
    for path in folder.glob(f"ann-{generation}-*.faiss"):
        path.unlink(missing_ok=True)


def _empty(kind: Kind, committed: int, dimension: int) -> Any:
    """Return a structure without rows, whose vectors take eight bits a number."""
    import faiss

    product, eight_bits = faiss.METRIC_INNER_PRODUCT, faiss.ScalarQuantizer.QT_8bit
    if kind is Kind.HNSW:
        graph = faiss.IndexHNSWSQ(dimension, eight_bits, HNSW_LINKS, product)
        graph.hnsw.efConstruction = HNSW_BUILD
        return graph
    coarse = faiss.IndexFlatIP(dimension)
    lists = faiss.IndexIVFScalarQuantizer(coarse, dimension, _lists(committed), eight_bits, product)
    lists.cp.niter = 8
    lists.cp.spherical = True
    lists.cp.min_points_per_centroid = 1
    lists.cp.max_points_per_centroid = TRAINED_ROWS_PER_LIST
    return lists


def _lists(committed: int) -> int:
    """Return into how many lists IVF divides its rows: some 4 √n, as FAISS advises."""
    return max(1, min(committed, int(4 * committed**0.5)))


def _efforts(kind: Kind, committed: int) -> Iterator[int]:
    """Yield a power of two, one and a half times as much, the next power, and so on to the most."""
    effort = 16 if kind is Kind.HNSW else 2
    most = 4096 if kind is Kind.HNSW else _lists(committed)
    while effort < most:
        yield effort
        if effort * 3 // 2 < most:
            yield effort * 3 // 2
        effort *= 2
    yield most


def _sample(file: FileIO, committed: int, dimension: int, kind: Kind, lists: int) -> Vectors:
    """Return rows from all over the file to train on."""
    count = min(committed, 10_000 if kind is Kind.HNSW else lists * TRAINED_ROWS_PER_LIST)
    rows = np.random.default_rng(0).choice(committed, count, replace=False)
    rows.sort()
    return read_rows(file, rows.tolist(), dimension)


def _extended(
    folder: Path, generation: int, ann: Ann, file: FileIO, committed: int, dimension: int
) -> Ann:
    import faiss

    index = faiss.read_index(str(folder / ann.file))
    for _, block in read_blocks(file, committed, dimension, ann.rows):
        index.add(np.ascontiguousarray(block))
    return _written(folder, generation, replace(ann, rows=committed), index)


def _written(folder: Path, generation: int, ann: Ann, index: Any) -> Ann:
    """Write the structure and then the note that names it; what it replaces goes last."""
    import faiss

    for left in folder.glob("ann-*.tmp"):  # by a run that was killed
        left.unlink(missing_ok=True)
    path = folder / _name(generation, ann.rows)
    draft = path.with_suffix(".tmp")
    try:
        faiss.write_index(index, str(draft))
    except RuntimeError as error:  # FAISS does not say which
        draft.unlink(missing_ok=True)
        raise OSError(errno.ENOSPC, f"the {ann.kind} structure was not written") from error
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    draft.replace(path)
    done = replace(ann, file=path.name, file_bytes=path.stat().st_size, crc=file_crc(path))
    _note_down(folder, generation, done)
    for other in folder.glob("ann-*.faiss"):
        if other != path:
            other.unlink(missing_ok=True)
    return done


def _note_down(folder: Path, generation: int, ann: Ann) -> None:
    draft = folder / f"{_note(generation)}.tmp"
    draft.write_text(json.dumps(asdict(ann)), encoding="utf-8")
    draft.replace(folder / _note(generation))


def _name(generation: int, rows: int) -> str:
    return f"ann-{generation}-{rows}.faiss"


def _note(generation: int) -> str:
    return f"ann-{generation}.json"
