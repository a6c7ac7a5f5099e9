"""Scores of classifiers."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from bertcli.errors import RecordError
from bertcli.evaluate.classify import ClassifyScore, LabelCounts, measure_classify, one_hot
from bertcli.records import LabelledText, Place, Record
from bertcli.results import ClassifyResult, LabelScore, Reading
from bertcli.tasks.run import Plan

ABC = ("a", "b", "c")


@dataclass
class ByFirstWord:
    """A task that gives each label the probability that the text itself tells: `a=0.7 b=0.3`."""

    encoder: Any = None

    def encode(self, windows: Any, reduce: Any) -> Iterator[Any]:
        return iter(())

    def reduce(self, output: Any) -> Any:
        return output

    def plan(self, records: Any) -> list[Any]:
        read = Plan((), None, Reading(1))  # type: ignore[arg-type]
        return [RecordError("no token") if one.text == "!" else read for one in records]

    def decode(self, record: Record, plan: Plan, outputs: Any) -> ClassifyResult:
        pairs = [part.split("=") for part in record.text.split()]
        ranked = sorted((LabelScore(a, float(b)) for a, b in pairs), key=lambda one: -one.score)
        return ClassifyResult(tuple(ranked), plan.reading)


def measured(*rows: tuple[str, str], multi: bool = False, names: Any = None) -> ClassifyScore:
    """Return the score over rows of probabilities and right labels, `"a=1 b=0", "a b"`."""
    task = ByFirstWord()
    task.encoder = task
    texts = [
        LabelledText(text, tuple(gold.split()), Place("x", i))
        for i, (text, gold) in enumerate(rows)
    ]
    return measure_classify(task, texts, ABC, multi, names)


def scored(gold: list[int], given: list[int]) -> ClassifyScore:
    """Return the score of one label a text, by number, each given for certain."""
    eye = np.eye(3, dtype=bool)
    return ClassifyScore(ABC, eye[gold], eye[given], eye[given].astype(float))


FOUR = (
    ("a=0.9 b=0.1 c=0", "a"),
    ("a=0.6 b=0.4 c=0", "b"),
    ("a=0.2 b=0.8 c=0", "b"),
    ("a=0.25 b=0.35 c=0.4", "b"),
)


def test_scores_by_hand() -> None:
    """Of an a and three b, a is found twice (once wrongly), b once and c once wrongly."""
    score = measured(*FOUR)
    assert score.labels == ABC
    assert score.right.tolist() == [True, False, True, False]
    assert score.accuracy == score.micro_f1 == 0.5
    a, b, c = score.counts
    assert (a.precision, a.recall, a.f1, a.support) == (0.5, 1.0, pytest.approx(2 / 3), 1)
    assert (b.precision, b.recall, b.f1, b.support) == (1.0, pytest.approx(1 / 3), 0.5, 3)
    assert c == LabelCounts("c", 0, 1, 0)
    assert score.macro_f1 == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert score.confusion.tolist() == [[1, 0, 0], [1, 1, 1], [0, 0, 0]]
    low, high = score.accuracy_interval.low, score.accuracy_interval.high
    assert (low, high) == (0.0, 1.0)


def test_calibration_by_hand() -> None:
    """Bins 0.9 (right), 0.8 (right), 0.6 (wrong), 0.4 (wrong): (0.1 + 0.2 + 0.6 + 0.4) / 4."""
    assert measured(*FOUR).calibration_error == pytest.approx(1.3 / 4)


def test_calibration_is_judged_within_bins() -> None:
    """In a bin 0.8 … 0.9, two at 0.85 of which one is right are off by 0.35, not by 0.15 and 0.85.

    A certain answer belongs to the last bin.
    """
    same = measured(("a=0.85 b=0.15 c=0", "a"), ("a=0.85 b=0.15 c=0", "b"))
    assert same.calibration_error == pytest.approx(0.35)
    assert measured(("a=1 b=0 c=0", "a")).calibration_error == 0
    assert measured(("a=1 b=0 c=0", "b")).calibration_error == 1


def test_several_labels_count_from_one_half() -> None:
    """Each label is decided by itself, a text is right when all are, and none may be right."""
    score = measured(
        ("a=0.5 b=0.9 c=0.49", "a b"),
        ("a=0.1 b=0.2 c=0.3", ""),
        ("a=0.7 b=0.7 c=0.7", "c"),
        multi=True,
    )
    assert score.predicted.tolist() == [[True, True, False], [False] * 3, [True] * 3]
    assert score.right.tolist() == [True, True, False]
    assert score.micro_f1 == pytest.approx(2 * 3 / (3 + 5))
    assert [one.hits for one in score.counts] == [1, 1, 1]
    assert [one.false for one in score.counts] == [1, 1, 0]


PAIRS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=20)


@settings(max_examples=30, deadline=None)
@given(PAIRS)
def test_parity_with_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    """Accuracy, precision, recall, F1 (by label, macro, micro), support and confusion are equal."""
    gold, given_ = map(list, zip(*pairs, strict=True))
    score = scored(gold, given_)
    p, r, f, n = metrics.precision_recall_fscore_support(
        gold, given_, labels=[0, 1, 2], zero_division=0
    )
    rows = [(one.precision, one.recall, one.f1, one.support) for one in score.counts]
    np.testing.assert_allclose(rows, np.transpose([p, r, f, n]))
    assert score.accuracy == pytest.approx(metrics.accuracy_score(gold, given_))
    assert score.macro_f1 == pytest.approx(metrics.f1_score(gold, given_, average="macro"))
    assert score.micro_f1 == pytest.approx(metrics.f1_score(gold, given_, average="micro"))
    expected = metrics.confusion_matrix(gold, given_, labels=[0, 1, 2])
    np.testing.assert_array_equal(score.confusion, expected)


TABLES = st.lists(
    st.tuples(
        st.lists(st.booleans(), min_size=3, max_size=3),
        st.lists(st.booleans(), min_size=3, max_size=3),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=30, deadline=None)
@given(TABLES)
def test_parity_with_scikit_learn_for_several_labels(tables: list[Any]) -> None:
    """Micro F1 and the share of texts that are all right are scikit-learn's."""
    gold, given_ = (np.array(one, bool) for one in zip(*tables, strict=True))
    score = ClassifyScore(ABC, gold, given_, given_.astype(float))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        micro = metrics.f1_score(gold, given_, average="micro", zero_division=0)
    assert score.micro_f1 == pytest.approx(micro)
    assert score.accuracy == pytest.approx(metrics.accuracy_score(gold, given_))


def test_names_say_what_a_label_is_called() -> None:
    """A label of the data counts as the classifier's own; two of them may become one."""
    names = {"POS": "a", "GOOD": "a"}
    score = measured(("a=1 b=0 c=0", "POS"), ("a=1 b=0 c=0", "GOOD"), names=names)
    assert score.accuracy == 1
    assert score.labels == ABC


def test_a_label_that_the_classifier_lacks_is_missed() -> None:
    """It is one more label, with nothing found, and counts in the macro F1."""
    score = measured(("a=1 b=0 c=0", "a"), ("a=1 b=0 c=0", "z"))
    assert score.labels == (*ABC, "z")
    assert score.counts[3] == LabelCounts("z", 0, 0, 1)
    assert score.macro_f1 == pytest.approx((2 / 3 + 0) / 2)


def test_a_text_that_cannot_be_classified_is_told_with_its_place() -> None:
    """It is not left out: the score would be of other texts than the file's."""
    with pytest.raises(RecordError, match="x:1: no token"):
        measured(("a=1 b=0 c=0", "a"), ("!", "a"))


def test_no_texts_have_no_scores() -> None:
    """Nothing is divided by nothing."""
    score = measured()
    assert (score.accuracy, score.macro_f1, score.micro_f1, score.calibration_error) == (0, 0, 0, 0)


def test_one_hot_leaves_out_what_is_not_known() -> None:
    """Rows of 0 and 1 in the order of the labels."""
    found = one_hot([["c", "a"], [], ["z"]], ABC)
    assert found.astype(int).tolist() == [[1, 0, 1], [0, 0, 0], [0, 0, 0]]
