"""Bootstrap intervals."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bertcli.evaluate.intervals import Interval, bootstrap, paired_bootstrap


def mean_of(values: NDArray[np.float64]):
    """Return the score that is the mean of these values over a resample."""
    return lambda at: float(values[at].mean())


def test_the_interval_of_a_share_is_the_binomial_one() -> None:
    """Of 400 records half are right: 0.5 ± 1.96 · √(0.25 / 400) = 0.451 … 0.549."""
    values = np.arange(400) % 2 * 1.0
    found = bootstrap(400, mean_of(values))
    assert (found.low, found.high) == pytest.approx((0.451, 0.549), abs=0.006)


def test_parity_with_scipy() -> None:
    """scipy's percentile bootstrap gives the same bounds of a skewed mean."""
    from scipy.stats import bootstrap as oracle

    values = np.random.default_rng(3).exponential(size=200)
    theirs = oracle((values,), np.mean, method="percentile", n_resamples=4_000, rng=1)
    ours = bootstrap(200, mean_of(values))
    expected = (theirs.confidence_interval.low, theirs.confidence_interval.high)
    assert (ours.low, ours.high) == pytest.approx(expected, abs=0.02)


def test_an_interval_is_the_same_each_time() -> None:
    """The resamples are drawn anew, and in the same way."""
    values = np.random.default_rng(0).random(50)
    assert bootstrap(50, mean_of(values)) == bootstrap(50, mean_of(values))


def test_no_spread_is_no_width() -> None:
    """Where all records are alike the bounds are the score; without records they are 0."""
    assert bootstrap(9, mean_of(np.full(9, 0.25))) == Interval(0.25, 0.25)
    assert bootstrap(0, mean_of(np.zeros(0))) == Interval(0.0, 0.0)


def test_pairs_are_drawn_together() -> None:
    """A model that is better by 0.1 on every record is better for certain, however they vary."""
    values = np.random.default_rng(0).random(60)
    paired = paired_bootstrap(60, mean_of(values + 0.1), mean_of(values))
    assert (paired.low, paired.high) == pytest.approx((0.1, 0.1))
    same = paired_bootstrap(60, mean_of(values), mean_of(values[::-1].copy()))
    assert same.low < 0 < same.high
