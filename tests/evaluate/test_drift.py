"""How alike two precisions answer."""

from __future__ import annotations

import numpy as np
import pytest

from bertcli.evaluate.drift import measure_drift
from bertcli.results import (
    ClassifyResult,
    EmbedResult,
    Entity,
    Fill,
    FillMaskResult,
    LabelScore,
    MaskFills,
    NerResult,
    QaResult,
    Reading,
    Result,
    Span,
)

READ = Reading(3)


def values(full: list[Result], other: list[Result]) -> dict[str, float]:
    """Return the measures by name."""
    return {one.measure: one.value for one in measure_drift(full, other)}


def test_labels_agree() -> None:
    """The share of records with the same labels, whatever the scores."""
    one = [ClassifyResult((LabelScore(label, 0.9),), READ) for label in "aabb"]
    two = [ClassifyResult((LabelScore(label, 0.6),), READ) for label in "aaba"]
    assert values(one, two) == {"label agreement": 0.75}


def test_entities_agree() -> None:
    """F1 over all entities: 2 shared of 3 and 3."""

    def result(*spans: tuple[int, int, str]) -> NerResult:
        return NerResult(tuple(Entity(label, a, b, "", 0.9) for a, b, label in spans), READ)

    one = [result((0, 3, "PER"), (5, 9, "LOC")), result((0, 3, "PER"))]
    two = [result((0, 3, "PER"), (5, 9, "ORG")), result((0, 3, "PER"))]
    assert values(one, two)["entity F1"] == pytest.approx(2 * 2 / 6)
    assert values([result()], [result()])["entity F1"] == 1


def test_answers_agree() -> None:
    """Word overlap of the best answers; none is like none alone."""

    def result(*texts: str) -> QaResult:
        return QaResult("?", tuple(Span(text, 0, 1, 1, 0.5) for text in texts), 0.1, READ)

    one = [result("the red house"), result(), result(), result("a cat")]
    two = [result("red house"), result(), result("dog"), result("dog")]
    assert values(one, two)["answer F1"] == pytest.approx((1 + 1 + 0 + 0) / 4)


def test_vectors_agree() -> None:
    """Cosines whatever the lengths, and neighbours where there are enough texts."""
    one = np.eye(3, dtype=np.float32)
    two = np.array([[2, 0, 0], [0, 1, 1], [0, 0, 1]], np.float32)
    results = [[EmbedResult(row, READ) for row in rows] for rows in (one, two)]
    found = values(*results)  # type: ignore[arg-type]
    assert found["cosine, mean"] == pytest.approx((2 + 0.5**0.5) / 3)
    assert found["cosine, worst"] == pytest.approx(0.5**0.5)
    assert "recall@10" not in found
    rows = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    many: list[Result] = [EmbedResult(row, READ) for row in rows]
    assert values(many, many)["recall@10"] == 1
    other: list[Result] = [EmbedResult(row, READ) for row in rows[::-1]]
    assert values(many, other)["recall@10"] < 0.6


def test_words_agree() -> None:
    """The best word of each mask."""

    def result(*words: str) -> FillMaskResult:
        return FillMaskResult(
            tuple(MaskFills(0, 6, (Fill(word, 0.5, word),)) for word in words), READ
        )

    assert values([result("a", "b")], [result("a", "c")]) == {"first word": 0.5}


def test_a_bound_is_passed_or_not() -> None:
    """Agreement of 1 is enough for all, of 0 for none."""
    same: list[Result] = [ClassifyResult((LabelScore("a", 0.9),), READ)]
    other: list[Result] = [ClassifyResult((LabelScore("b", 0.9),), READ)]
    assert [one.passes for one in measure_drift(same, same)] == [True]
    assert [one.passes for one in measure_drift(same, other)] == [False]
    assert measure_drift([], []) == []
