"""Batches under a token budget."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertcli.engine.batching import Batch, pad, plan
from bertcli.engine.encoder import encode_in_batches
from bertcli.engine.families import Head
from bertcli.engine.windows import Window

LENGTHS = st.lists(st.integers(1, 600), max_size=60)


def window(*ids: int, masks: tuple[int, ...] = ()) -> Window:
    """Return a window of these ids, with types that tell them apart."""
    return Window(np.array(ids), np.array(ids) % 2, 0, len(ids), 0, masks)


@given(LENGTHS, st.integers(1, 2000))
def test_plans(lengths: list[int], budget: int) -> None:
    """Every window is in one batch; a batch over the budget has one window only."""
    batches = plan(lengths, budget)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        padded = len(batch) * max(lengths[i] for i in batch)
        assert padded <= budget or len(batch) == 1
    longest = [max(lengths[i] for i in batch) for batch in batches]
    assert longest == sorted(longest), "batches go from short to long"


@given(LENGTHS, st.integers(1, 2000))
def test_no_two_neighbours_would_fit_together(lengths: list[int], budget: int) -> None:
    """A batch is only closed because its next window did not fit."""
    for left, right in zip(plan(lengths, budget), plan(lengths, budget)[1:], strict=False):
        assert (len(left) + 1) * lengths[right[0]] > budget


def test_padding_is_on_the_right() -> None:
    """By hand: two windows of three and of one token, padded with 9."""
    batch = pad([window(3, 4, 5, masks=(1, 2)), window(7, masks=(0,))], 9)
    assert batch.ids.tolist() == [[3, 4, 5], [7, 9, 9]]
    assert batch.types.tolist() == [[1, 0, 1], [1, 0, 0]]
    assert batch.mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch.positions.tolist() == [[0, 1], [0, 2], [1, 0]]
    assert batch.lengths == (3, 1)


@pytest.mark.parametrize("head", [Head.BASE, Head.SEQUENCE, Head.MASKED_LM])
@given(lengths=LENGTHS.filter(lambda found: sum(found) < 4000), budget=st.integers(1, 2000))
def test_results_come_back_in_order(head: Head, lengths: list[int], budget: int) -> None:
    """Each window gets its own rows, whatever it was batched with, and none of the padding."""
    windows = [window(*range(1, n + 1), masks=(0, n - 1)) for n in lengths]

    def run(batch: object) -> np.ndarray:
        """Answer each token with its id and its window's length."""
        ids, mask = batch.ids, batch.mask  # type: ignore[attr-defined]
        rows = np.stack([ids, np.repeat(mask.sum(1)[:, None], ids.shape[1], 1)], -1)
        if head is Head.SEQUENCE:
            return rows[:, 0].astype(np.float32)
        at = batch.positions  # type: ignore[attr-defined]
        return (rows[at[:, 0], at[:, 1]] if head is Head.MASKED_LM else rows).astype(np.float32)

    found = encode_in_batches(run, windows, head, 0, budget)
    every = [[[i, n] for i in range(1, n + 1)] for n in lengths]
    expected = {
        Head.BASE: every,
        Head.SEQUENCE: [rows[0] for rows in every],
        Head.MASKED_LM: [[rows[0], rows[-1]] for rows in every],
    }[head]
    assert [one.tolist() for one in found] == expected


def test_the_same_window_is_computed_once() -> None:
    """What the model sees decides: ids, types and masks."""
    asked: list[int] = []

    def run(batch: object) -> np.ndarray:
        """Count the windows, and answer each token with its id."""
        asked.append(len(batch.ids))  # type: ignore[attr-defined]
        return batch.ids[:, :, None].astype(np.float32)  # type: ignore[attr-defined]

    one, other = window(1, 2, 3), window(4, 5)
    typed = replace(one, types=np.array([0, 1, 0]))
    found = encode_in_batches(run, [one, other, one, typed, other], Head.TOKEN, 0, 100)
    assert sum(asked) == 3
    assert [array[0, 0] for array in found] == [1, 4, 1, 1, 4]


def test_a_pool_has_the_batches_at_once_and_leaves_those_that_nobody_waits_for() -> None:
    """The first array is there as soon as its batch is; what has not begun then is left."""
    asked, go_on = [], Event()

    def run(batch: Batch) -> np.ndarray:
        asked.append(batch.lengths)
        assert go_on.wait(60)
        return batch.ids[..., None].astype(np.float32)

    with ThreadPoolExecutor(1) as pool:
        windows = [window(*range(n)) for n in (1, 2, 3)]
        found = encode_in_batches(run, windows, Head.TOKEN, None, 3, pool=pool)
        del found
        go_on.set()
    assert asked == [(3,)], "the one that had begun, which is the longest"
    with ThreadPoolExecutor(1) as pool:
        again = encode_in_batches(run, windows, Head.TOKEN, None, 3, pool=pool)
        assert [len(one) for one in again] == [1, 2, 3]
