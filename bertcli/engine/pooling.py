"""From the hidden states of a text's tokens to one vector."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bertcli.engine.choices import Pooling

Vector = NDArray[np.float32]


def pool(hidden: NDArray[np.float32], how: Pooling) -> Vector:
    """Return the vector (d,) of hidden states (length, d), special tokens included.

    >>> pool(np.array([[1, 4], [3, 2]], np.float32), Pooling.MEAN).tolist()
    [2.0, 3.0]
    """
    if how is Pooling.MEAN:
        return np.asarray(hidden.mean(axis=0))
    pooled: Vector = hidden[0].copy() if how is Pooling.CLS else hidden.max(axis=0)
    return pooled


def normalised(vector: Vector) -> Vector:
    """Return a vector of length one, so that a dot product is a cosine; zero stays zero."""
    length = float(np.linalg.norm(vector))
    return vector / np.float32(max(length, 1e-12))


def weighted_mean(parts: list[NDArray[np.float32]], weights: list[int]) -> NDArray[np.float32]:
    """Return the mean of arrays of one shape, each counted by its weight.

    >>> weighted_mean([np.array([1.0], np.float32), np.array([4.0], np.float32)], [2, 1]).tolist()
    [2.0]
    """
    if len(parts) == 1:
        return parts[0]
    mean: NDArray[np.float32] = np.average(np.stack(parts), axis=0, weights=weights)
    return mean.astype(np.float32)
