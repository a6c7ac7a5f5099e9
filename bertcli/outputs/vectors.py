"""Vectors as one numpy array `(n, d)` float32, row i for record i."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bertcli.errors import OutputError, UsageError
from bertcli.outputs.sink import GuardedStream, Sink
from bertcli.results import Answer, EmbedResult

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HEADER_BYTES = 128


@dataclass(slots=True)
class Shape:
    """How many rows of how many numbers have been seen; no width while only errors came."""

    rows: int = 0
    width: int | None = None


def write_npy(answers: Iterable[Answer], sink: Sink) -> None:
    """Write one row per record; a failed record is a row of NaN.

    A file gets its rows as they come and its header last; a pipe or a compressed file, which
    cannot be rewound, gets everything at the end.

    Raises:
        UsageError: the results are not vectors.
    """
    shape = Shape()
    if isinstance(sink, GuardedStream) and sink.rewindable:
        sink.write(npy_header(0, 0))
        for rows in _rows(answers, shape):
            sink.write(rows)
        sink.rewrite(npy_header(shape.rows, shape.width or 0))
        return
    held = list(_rows(answers, shape))
    sink.write(npy_header(shape.rows, shape.width or 0))
    for rows in held:
        sink.write(rows)


def npy_header(rows: int, width: int) -> bytes:
    """Return the 128 bytes in front of a float32 array `(rows, width)`.

    Format 1.0 of https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
    """
    said = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {width}), }}"
    start = b"\x93NUMPY\x01\x00" + (HEADER_BYTES - 10).to_bytes(2, "little")
    return start + said.encode().ljust(HEADER_BYTES - 11) + b"\n"


def _rows(answers: Iterable[Answer], shape: Shape) -> Iterator[bytes]:
    """Yield the bytes of the rows, counting them; early failures come with the first vector."""
    import numpy as np

    late = 0
    for answer in answers:
        shape.rows += 1
        if answer.result is None and shape.width is None:
            late += 1
        elif answer.result is None:
            yield np.full(shape.width or 0, np.nan, "<f4").tobytes()
        else:
            vector = _vector(answer, shape)
            yield np.full((late, vector.size), np.nan, "<f4").tobytes() + vector.tobytes()
            late = 0


def _vector(answer: Answer, shape: Shape) -> NDArray[np.float32]:
    """Return an answer's vector `(d,)`, of the same width as those before."""
    if not isinstance(answer.result, EmbedResult):
        raise UsageError("npy is a format for embed only; choose another with -f, such as jsonl")
    vector = answer.result.vector.astype("<f4")
    if shape.width not in (None, vector.size):
        raise OutputError(
            f"{answer.record.place} has {vector.size} numbers where the others have {shape.width}; "
            "npy needs the same number in every row, so write -f jsonl instead"
        )
    shape.width = vector.size
    return vector
