"""Logits as probabilities."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bertcli.tasks.probabilities import sigmoid, softmax

NUMBERS = st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=20)


def test_softmax_by_hand() -> None:
    """e⁰ : e^log 3 is one to three; large logits do not overflow."""
    np.testing.assert_allclose(softmax(np.array([0, np.log(3)])), [0.25, 0.75])
    assert softmax(np.array([1000.0, 1000.0], np.float32)).tolist() == [0.5, 0.5]
    assert softmax(np.zeros((0, 3))).shape == (0, 3)


def test_sigmoid_by_hand() -> None:
    """1 / (1 + e^-log 3) is three quarters; large logits do not overflow."""
    np.testing.assert_allclose(sigmoid(np.array([np.log(3), -1000, 1000])), [0.75, 0, 1])


@given(NUMBERS)
def test_softmax_sums_to_one_and_keeps_the_order(logits: list[float]) -> None:
    """A larger logit never has a smaller probability."""
    found = softmax(np.array(logits, np.float32))
    assert abs(found.sum() - 1) < 1e-9
    order = np.argsort(logits, kind="stable")
    assert (np.diff(found[order]) >= 0).all()
