"""The vector file: rows of float32, only ever appended, and exact search over them.

How many rows count is not written here but in the SQLite transaction that commits their chunks.
Rows past that number are what a killed run left: readers pass over them, the next writer cuts them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Literal
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from bertcli.errors import IndexFolderError
from bertcli.index.failures import damaged

Vectors = NDArray[np.float32]
ROW_TYPE = np.dtype("<f4")
BLOCK_BYTES = 64 << 20
"""So much of the file is compared at once: of 4 MB a search takes 1.23 of the time, of 512 MB 0.97,
and eight times the memory."""
FEW_ROWS = 1_000
"""Up to so many rows are read one by one; more are taken from the mapped file."""


@dataclass(frozen=True, slots=True)
class Nearest:
    """The rows nearest to each query, best first: scores `(q, k)` float32, rows `(q, k)` int64."""

    scores: Vectors
    rows: NDArray[np.int64]


def checked(vectors: NDArray[np.floating], count: int, dimension: int) -> Vectors:
    """Return vectors as `(count, dimension)` float32, or raise when they are anything else."""
    if vectors.shape != (count, dimension):
        raise IndexFolderError(
            f"vectors of shape {vectors.shape} do not fit this index, which takes "
            f"{(count, dimension)}: use the model that `bertcli index info` names"
        )
    rows = np.ascontiguousarray(vectors, dtype=ROW_TYPE)
    if not np.isfinite(rows).all():
        raise IndexFolderError(
            "the model gave a vector that is not finite: try `--precision fp32`, and "
            "`bertcli models verify` to check its weights"
        )
    return rows


def create_vectors(path: Path) -> None:
    """Make an empty vector file that survives a power cut."""
    with path.open("wb") as file:
        os.fsync(file.fileno())


def append_vectors(path: Path, committed: int, vectors: Vectors) -> None:
    """Write rows behind the committed ones, over whatever a killed run left, down to the disk."""
    end = committed * vectors.shape[1] * ROW_TYPE.itemsize
    with open_vectors(path, "r+b") as file:
        check_length(file, committed, vectors.shape[1])
        file.truncate(end)
        file.seek(end)
        left = vectors.data.cast("B") if vectors.size else memoryview(b"")
        while left:
            left = left[file.write(left) :]
        os.fsync(file.fileno())


def checksums(vectors: Vectors) -> list[int]:
    """Return the CRC-32 of each row's bytes."""
    return [crc32(row) for row in np.ascontiguousarray(vectors, ROW_TYPE)]


def read_rows(file: FileIO, rows: Sequence[int], dimension: int) -> Vectors:
    """Return single rows of the file, `(len(rows), dimension)`.

    A few are read one by one, so that no more of the file than them comes into memory.
    """
    if len(rows) > FEW_ROWS:
        stored = np.memmap(file, ROW_TYPE, "r", 0, (max(rows) + 1, dimension))
        return np.asarray(stored[np.asarray(rows)])
    row_bytes = dimension * ROW_TYPE.itemsize
    raw = b"".join(os.pread(file.fileno(), row_bytes, row * row_bytes) for row in rows)
    return np.frombuffer(raw, ROW_TYPE).reshape(-1, dimension).copy()


def open_vectors(path: Path, mode: Literal["rb", "r+b"] = "rb") -> FileIO:
    """Open the file; a reader keeps it open, and so keeps it when the index is made anew."""
    try:
        return FileIO(path, mode)
    except FileNotFoundError as error:
        raise damaged(path.parent, f"{path.name} is missing") from error


def check_length(file: FileIO, committed: int, dimension: int) -> None:
    """Raise when committed rows are missing from the file."""
    rows = os.fstat(file.fileno()).st_size // (dimension * ROW_TYPE.itemsize)
    if rows < committed:
        path = Path(str(file.name))
        raise damaged(path.parent, f"{path.name} holds {rows} of {committed} vectors")


def read_blocks(
    file: FileIO, committed: int, dimension: int, begin: int = 0
) -> Iterator[tuple[int, Vectors]]:
    """Yield the committed rows as memory-mapped blocks, each with the number of its first row.

    They start with row `begin`.

    Each block is mapped by itself, so the memory in use does not grow with the file.
    """
    check_length(file, committed, dimension)
    row_bytes = dimension * ROW_TYPE.itemsize
    step = max(1, BLOCK_BYTES // row_bytes)
    for first in range(begin, committed, step):
        shape = (min(step, committed - first), dimension)
        yield first, np.memmap(file, ROW_TYPE, "r", first * row_bytes, shape)


def nearest(
    queries: Vectors, blocks: Iterable[tuple[int, Vectors]], k: int, live: NDArray[np.bool_] | None
) -> Nearest:
    """Return the `k` rows with the largest inner products, exactly; fewer when there are fewer.

    `live` `(n,)` says which rows may be found, None that all may. Equal scores come in row order.
    """
    best = Nearest(np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64))
    for first, block in blocks:
        mask = None if live is None else live[first : first + len(block)]
        found = _nearest_in_block(queries, block, k, mask)
        best = _merged(best, Nearest(found.scores, found.rows + first), k)
    return best


def _nearest_in_block(
    queries: Vectors, block: Vectors, k: int, mask: NDArray[np.bool_] | None
) -> Nearest:
    # Imported when searching only: it costs 0.05 s. faiss.knn has no selector, so a block with
    # dead rows is searched as a copy of its live ones.
    import faiss

    alive = None if mask is None or mask.all() else np.flatnonzero(mask)
    rows = block if alive is None else block[alive]
    count = min(k, len(rows))
    if count == 0:
        return Nearest(
            np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
        )
    scores, found = faiss.knn(queries, rows, count, metric=faiss.METRIC_INNER_PRODUCT)
    return Nearest(scores, found if alive is None else alive[found])


def _merged(one: Nearest, other: Nearest, k: int) -> Nearest:
    scores = np.concatenate([one.scores, other.scores], axis=1)
    rows = np.concatenate([one.rows, other.rows], axis=1)
    order = np.lexsort((rows, -scores), axis=1)[:, :k]
    return Nearest(
        np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)
    )
