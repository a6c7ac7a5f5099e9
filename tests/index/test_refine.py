"""What is done with found passages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from bertcli.index.refine import Wanted, refined, rocchio
from bertcli.results import Hit

VECTORS = {"a": [1.0, 0.0], "b": [0.8, 0.6], "c": [0.0, 1.0]}
HITS = [
    Hit(1 - number / 10, text, document, line=number, id=number)
    for number, (text, document) in enumerate(["ax", "ay", "ax", "bx", "cy", "bz"])
]


def vectors_of(hits: Sequence[Hit]) -> np.ndarray:
    """Return the vectors of passages by their texts."""
    return np.array([VECTORS[hit.text] for hit in hits], np.float32).reshape(-1, 2)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Wanted(2), [0, 1]),
        (Wanted(9), [0, 1, 2, 3, 4, 5]),
        (Wanted(9, min_score=0.75), [0, 1, 2]),
        (Wanted(9, per_file=1), [0, 1, 5]),
        (Wanted(9, per_file=2), [0, 1, 2, 4, 5]),
        (Wanted(9, dedupe=0.95), [0, 3, 4]),
        (Wanted(9, dedupe=0.7), [0, 4]),
        (Wanted(2, but="x"), [1, 4]),
        (Wanted(2, dedupe=0.95, per_file=1), [0, 4]),
    ],
)
def test_what_is_kept(wanted: Wanted, found: list[int]) -> None:
    """Each bound by itself and together, always the best of what fits."""
    asked: list[int] = []

    def fetch(count: int) -> list[Hit]:
        asked.append(count)
        return HITS[:count]

    assert [hit.id for hit in refined(fetch, wanted, vectors_of)] == found
    assert asked == sorted(set(asked))


def test_more_is_asked_for_until_there_is_enough() -> None:
    """A file with a thousand near passages does not hide the second file."""
    many = [Hit(1.0, "a", "x", id=number) for number in range(1000)] + [Hit(0.1, "c", "y", id=7)]
    found = refined(lambda count: many[:count], Wanted(2, per_file=1), vectors_of)
    assert [hit.document for hit in found] == ["x", "y"]


def test_duplicates_are_told_where_they_stand() -> None:
    """The best of near-duplicates stands for the others."""
    best, *_ = refined(lambda count: HITS[:count], Wanted(9, dedupe=0.95), vectors_of)
    assert best.copies == ("y:1", "x:2")


def test_rocchio_by_hand() -> None:
    """(1, 0) + 0.75 (0, 1) - 0.15 (1, 0), of length one."""
    moved = rocchio(np.array([1.0, 0.0]), np.array([[0.0, 1.0]]), np.array([[1.0, 0.0]]))
    assert moved == pytest.approx(np.array([0.85, 0.75]) / np.hypot(0.85, 0.75))
