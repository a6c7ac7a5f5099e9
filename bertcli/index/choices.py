"""What may be chosen about an index; imported to print `--help`."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """How nearest vectors are found; `auto` is exact up to a size and IVF beyond."""

    AUTO = "auto"
    EXACT = "exact"
    IVF = "ivf"
    HNSW = "hnsw"
