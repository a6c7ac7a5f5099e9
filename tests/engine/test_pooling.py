"""Pooling, by hand."""

from __future__ import annotations

import numpy as np

from bertcli.engine.choices import Pooling
from bertcli.engine.pooling import normalised, pool, weighted_mean

HIDDEN = np.array([[1, 4], [3, -2], [5, 1]], np.float32)


def test_each_pooling() -> None:
    """The mean over tokens, the first token, the largest of each column."""
    assert pool(HIDDEN, Pooling.MEAN).tolist() == [3, 1]
    assert pool(HIDDEN, Pooling.CLS).tolist() == [1, 4]
    assert pool(HIDDEN, Pooling.MAX).tolist() == [5, 4]


def test_unit_length() -> None:
    """(3, 4) has the length five; zero has no direction and stays."""
    np.testing.assert_allclose(normalised(np.array([3, 4], np.float32)), [0.6, 0.8], rtol=1e-6)
    assert normalised(np.zeros(2, np.float32)).tolist() == [0, 0]


def test_weighted_means() -> None:
    """A window of three tokens counts three times one of one."""
    parts = [np.array([0, 4], np.float32), np.array([4, 0], np.float32)]
    assert weighted_mean(parts, [3, 1]).tolist() == [1, 3]
    assert weighted_mean(parts, [3, 1]).dtype == np.float32
