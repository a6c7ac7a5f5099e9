"""Long texts in windows."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertcli.engine.choices import Long
from bertcli.engine.tokens import Frame
from bertcli.engine.windows import cuts, frame_pair, frame_text, pair_windows, ranges
from bertcli.errors import RecordError

FRAME = Frame((101,), (102,), (103,))


@given(st.integers(0, 3000), st.integers(1, 600), st.floats(0, 0.9))
def test_cuts(tokens: int, capacity: int, overlap: float) -> None:
    """All tokens are covered, no window is over the capacity, and neighbours share tokens."""
    found = cuts(tokens, capacity, overlap)
    covered = {i for start, end in found for i in range(start, end)}
    assert covered == set(range(tokens))
    assert all(end - start <= capacity for start, end in found)
    if len(found) > 1:
        assert all(end - start == capacity for start, end in found), "no short remnant"
    shared = int(capacity * overlap)
    for (start, end), (following, _) in pairwise(found):
        assert start < following
        assert end - following >= min(shared, capacity - 1)


def test_a_text_that_fits_is_one_window() -> None:
    """Up to the capacity nothing is cut, one token more makes two windows."""
    assert cuts(0, 10) == [(0, 0)]
    assert cuts(10, 10) == [(0, 10)]
    assert cuts(11, 10) == [(0, 10), (1, 11)]


def test_what_long_means() -> None:
    """Window reads all, truncate the beginning, error nothing."""
    assert ranges(25, 10, Long.WINDOW)[-1] == (15, 25)
    assert ranges(25, 10, Long.TRUNCATE) == [(0, 10)]
    with pytest.raises(RecordError, match="25 tokens and the model reads 10"):
        ranges(25, 10, Long.ERROR)
    assert {tuple(ranges(10, 10, long)) for long in Long} == {((0, 10),)}


def test_the_frame_of_one_text() -> None:
    """Tokens 2 to 4 of a text stand at position 1, behind the first special token."""
    window = frame_text(np.arange(10), 2, 4, FRAME)
    assert window.ids.tolist() == [101, 2, 3, 103]
    assert window.types.tolist() == [0, 0, 0, 0]
    assert (window.start, window.end, window.first) == (2, 4, 1)


def test_the_frame_of_a_pair() -> None:
    """The second text has its own type, the final special token too."""
    window = frame_pair(np.array([7, 8]), np.arange(10), (4, 6), FRAME, 1)
    assert window.ids.tolist() == [101, 7, 8, 102, 4, 5, 103]
    assert window.types.tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert window.ids[window.first : window.first + 2].tolist() == [4, 5]


@given(st.integers(0, 60), st.integers(0, 60), st.integers(12, 40), st.sampled_from(Long))
def test_pairs_of_texts(first: int, second: int, window: int, long: Long) -> None:
    """No window is too long; read in windows, every token of both is seen; cut, one is full."""
    one, two = np.arange(first), 1000 + np.arange(second)
    room = window - FRAME.pair
    try:
        found = pair_windows(one, two, FRAME, 1, window, long)
    except RecordError as error:
        assert first + second > room
        assert long is Long.ERROR
        assert f"{first} and {second} tokens" in str(error)
        return
    seen = {int(token) for shown in found for token in shown.ids}
    for shown in found:
        assert len(shown) <= window
        inside = shown.ids[shown.first : shown.first + shown.end - shown.start]
        longer = two if second >= first else one
        np.testing.assert_array_equal(inside, longer[shown.start : shown.end])
        np.testing.assert_array_equal(shown.types[shown.ids >= 1000], 1)
    if long is Long.TRUNCATE:
        assert len(found) == 1
        assert len(found[0]) == min(window, first + second + FRAME.pair)
    else:
        assert seen >= {*one.tolist(), *two.tolist()}


def test_the_longer_of_two_texts_is_read_in_windows() -> None:
    """The shorter one stands whole beside each of them, in its own place."""
    long, short = np.arange(9), np.array([70, 71])
    found = pair_windows(long, short, FRAME, 1, 9, Long.WINDOW)
    assert [shown.ids.tolist() for shown in found] == [
        [101, *range(at, at + 4), 102, 70, 71, 103] for at in (0, 3, 5)
    ]
    found = pair_windows(short, long, FRAME, 1, 9, Long.WINDOW)
    assert found[0].ids.tolist() == [101, 70, 71, 102, 0, 1, 2, 3, 103]
    found = pair_windows(np.array([1, 2, 3, 4]), 10 * long[:6], FRAME, 1, 7, Long.WINDOW)
    assert [shown.ids.tolist() for shown in found] == [
        [101, *one, 102, *two, 103]
        for one in ([1, 2], [3, 4])
        for two in ([0, 10], [20, 30], [40, 50])
    ]
    (cut,) = pair_windows(long, long, FRAME, 1, 9, Long.TRUNCATE)
    assert cut.ids.tolist() == [101, 0, 1, 2, 102, 0, 1, 2, 103]
