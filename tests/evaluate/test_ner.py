"""Scores of taggers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_fscore_support

from bertcli.errors import RecordError
from bertcli.evaluate.classify import LabelCounts
from bertcli.evaluate.ner import NerScore, measure_ner
from bertcli.inputs.labelled import tagged_text
from bertcli.records import Place, Record, TaggedText
from bertcli.results import Entity, NerResult, Reading
from bertcli.tasks.run import Plan

Spans = tuple[tuple[int, int, str], ...]


@dataclass
class Knows:
    """A task that finds the spans it was told for each text."""

    found: dict[str, Spans]

    @property
    def encoder(self) -> Any:
        return self

    def encode(self, windows: Any, reduce: Any) -> Iterator[Any]:
        return iter(())

    def reduce(self, output: Any) -> Any:
        return output

    def plan(self, records: Any) -> list[Any]:
        read = Plan((), None, Reading(1))  # type: ignore[arg-type]
        return [read if one.text in self.found else RecordError("too long") for one in records]

    def decode(self, record: Record, plan: Plan, outputs: Any) -> NerResult:
        spans = self.found[record.text]
        return NerResult(
            tuple(Entity(k, a, b, record.text[a:b], 1.0) for a, b, k in spans), plan.reading, ()
        )


def measured(*rows: tuple[Spans, Spans], **how: Any) -> NerScore:
    """Return the score over texts of gold and found spans."""
    texts = [TaggedText(f"{i}" * 40, gold, Place("x", i)) for i, (gold, _) in enumerate(rows)]
    return measure_ner(
        Knows({f"{i}" * 40: found for i, (_, found) in enumerate(rows)}), texts, **how
    )


ROWS: tuple[tuple[Spans, Spans], ...] = (
    (((0, 3, "PER"), (5, 9, "LOC")), ((0, 3, "PER"), (5, 8, "LOC"))),
    (((0, 3, "PER"),), ((0, 3, "LOC"),)),
    ((), ()),
)


def test_exact_spans_by_hand() -> None:
    """A span counts when both ends and the label are right: one of three, and three were found."""
    score = measured(*ROWS)
    assert score.counts == [LabelCounts("LOC", 0, 2, 1), LabelCounts("PER", 1, 0, 1)]
    assert score.total == LabelCounts("all", 1, 2, 2)
    assert score.total.f1 == score.total.precision == score.total.recall == pytest.approx(1 / 3)


def test_overlapping_spans_by_hand() -> None:
    """A span that overlaps one of its label is found in part; neighbours that touch do not."""
    assert measured(*ROWS).partial == LabelCounts("partial", 2, 1, 1)
    touching = measured((((0, 3, "A"),), ((3, 5, "A"),)))
    assert touching.partial == LabelCounts("partial", 0, 1, 1)


def test_one_place_with_two_labels_is_two_spans() -> None:
    """Places are counted with their labels, and the same place in another text is another span."""
    score = measured((((0, 3, "A"), (0, 3, "B")), ((0, 3, "A"),)), ((), ((0, 3, "B"),)))
    assert score.total == LabelCounts("all", 1, 1, 1)


SPANS = st.frozensets(
    st.tuples(st.integers(0, 3), st.sampled_from("AB")).map(lambda s: (s[0], s[0] + 1, s[1])),
    max_size=4,
)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(SPANS, SPANS), min_size=1, max_size=8))
def test_parity_with_scikit_learn(rows: list[tuple[Any, Any]]) -> None:
    """Spans are the labels of one decision each: micro and by-label F1 are scikit-learn's."""
    places = [(at, at + 1, kind) for kind in "AB" for at in range(4)]
    gold, found = (
        np.array([[[place in one for place in places]] for one in side]).reshape(-1, 2, 4)
        for side in zip(*rows, strict=True)
    )
    score = NerScore(*(tuple(side) for side in zip(*rows, strict=True)))  # type: ignore[arg-type]
    for number, kind in enumerate("AB"):
        p, r, f, _ = precision_recall_fscore_support(
            gold[:, number].ravel(), found[:, number].ravel(), average="binary", zero_division=0
        )
        one = next((c for c in score.counts if c.label == kind), LabelCounts(kind, 0, 0, 0))
        assert (one.precision, one.recall, one.f1) == pytest.approx((p, r, f))
    p, r, f, _ = precision_recall_fscore_support(
        gold.ravel(), found.ravel(), average="binary", zero_division=0
    )
    total = score.total
    assert (total.precision, total.recall, total.f1) == pytest.approx((p, r, f))
    assert score.f1_of(np.arange(len(rows))) == pytest.approx(total.f1)


def test_f1_of_a_resample_counts_repetitions() -> None:
    """The first text twice: 2 hits, 2 false, 2 missed."""
    score = measured(*ROWS)
    assert score.f1_of(np.array([0, 0])) == pytest.approx(0.5)
    assert score.f1_of(np.array([2])) == 0
    assert 0 <= score.f1_interval.low < score.total.f1 < score.f1_interval.high <= 1


def test_labels_are_renamed_and_ignored() -> None:
    """Names are the data's to the tagger's; what is ignored counts on neither side."""
    rows = (((0, 3, "person"), (5, 9, "product")), ((0, 3, "PER"), (5, 9, "MISC")))
    score = measured(rows, names={"person": "PER"}, ignore=frozenset({"product", "MISC"}))
    assert score.total == LabelCounts("all", 1, 0, 0)
    renamed = measured(rows, names={"person": "PER", "product": "MISC"}, ignore=frozenset({"MISC"}))
    assert renamed.total == LabelCounts("all", 1, 0, 0)
    own = measured((rows[0], rows[0]), names={"person": "PER"})
    assert own.counts == [LabelCounts("PER", 1, 0, 0), LabelCounts("product", 1, 0, 0)]


def test_a_label_that_is_named_nothing_is_left_out() -> None:
    """`product=` leaves the file's spans of it out, as in training."""
    score = measured((((0, 3, "PER"), (5, 9, "product")), ((0, 3, "PER"),)), names={"product": ""})
    assert score.total == LabelCounts("all", 1, 0, 0)


def test_a_text_that_cannot_be_tagged_is_told_with_its_place() -> None:
    """It is not left out: the score would be of other texts than the file's."""
    with pytest.raises(RecordError, match="x:4: too long"):
        measure_ner(Knows({}), [TaggedText("text", (), Place("x", 4))])


def test_no_texts_have_no_scores() -> None:
    """Nothing is divided by nothing."""
    score = measured()
    assert (score.total.f1, score.partial.f1, score.counts) == (0, 0, [])
    assert score.f1_interval.high == 0


def test_precision_recall_and_f1_are_seqevals() -> None:
    """Over random tags, IOB1's careless ones too, the micro averages are those of seqeval."""
    from seqeval.metrics import f1_score, precision_score, recall_score

    rng = np.random.default_rng(0)
    tags = ["O", "O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    gold, found = (
        [list(rng.choice(tags, size=rng.integers(1, 12))) for _ in range(200)] for _ in range(2)
    )
    found = [(one * 12)[: len(right)] for one, right in zip(found, gold, strict=True)]
    spans = [
        [frozenset(tagged_text([("w", tag) for tag in row], Place()).spans) for row in rows]
        for rows in (gold, found)
    ]
    total = NerScore(tuple(spans[0]), tuple(spans[1])).total
    assert total.precision == pytest.approx(precision_score(gold, found))
    assert total.recall == pytest.approx(recall_score(gold, found))
    assert total.f1 == pytest.approx(f1_score(gold, found))
