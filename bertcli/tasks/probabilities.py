"""Logits as probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def softmax(logits: Array) -> NDArray[np.float64]:
    """Return probabilities over the last axis, computed in float64.

    >>> softmax(np.array([0.0, 0.0])).tolist()
    [0.5, 0.5]
    """
    wide = logits.astype(np.float64)
    powers = np.exp(wide - wide.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def sigmoid(logits: Array) -> NDArray[np.float64]:
    """Return each logit's own probability.

    >>> sigmoid(np.array([0.0])).tolist()
    [0.5]
    """
    wide = logits.astype(np.float64)
    return np.asarray(np.exp(-np.logaddexp(0.0, -wide)))
