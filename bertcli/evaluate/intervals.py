"""How sure a score is: the percentile bootstrap over records (Efron and Tibshirani 1993)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1_000
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """The bounds between which a score lies with 95 % confidence."""

    low: float
    high: float


def bootstrap(records: int, score: Callable[[NDArray[np.int64]], float]) -> Interval:
    """Return the interval of a score over resamples of the records.

    `score` takes the numbers of the records in a resample, (n,) with repetitions.
    """
    rng = np.random.default_rng(0)
    found = [score(rng.integers(0, records, records)) for _ in range(RESAMPLES)] if records else [0]
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(found, [tail, 100 - tail])
    return Interval(float(low), float(high))


def mean_interval(values: NDArray[Any]) -> Interval:
    """Return the interval of the mean of one number per record, (n,)."""
    return bootstrap(len(values), lambda at: float(values[at].mean()))


def mean_difference(one: NDArray[Any], other: NDArray[Any]) -> Interval:
    """Return the interval of how far two means over the same records are apart, (n,) each."""
    return paired_bootstrap(
        len(one), lambda at: float(one[at].mean()), lambda at: float(other[at].mean())
    )


def paired_bootstrap(
    records: int,
    one: Callable[[NDArray[np.int64]], float],
    other: Callable[[NDArray[np.int64]], float],
) -> Interval:
    """Return the interval of `one - other`, both over the same resamples of the records.

    Where it does not hold 0, one is better with 95 % confidence (Koehn 2004).
    """
    return bootstrap(records, lambda at: one(at) - other(at))
