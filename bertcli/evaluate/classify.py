"""How well texts are classified: accuracy, per-label precision, recall and F1, and calibration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bertcli.errors import DataError, RecordError
from bertcli.evaluate.intervals import Interval, mean_interval
from bertcli.records import LabelledText, Record
from bertcli.results import ClassifyResult
from bertcli.tasks.classify import LIKELY
from bertcli.tasks.run import Task, answers

BINS = 10


MOST_SCORES = 100_000_000
"""Texts times labels that are measured together: each takes ten bytes."""


@dataclass(frozen=True, slots=True)
class LabelCounts:
    """How often a label was given rightly, wrongly, or not given where it should have been."""

    label: str
    hits: int
    false: int
    missed: int

    @property
    def precision(self) -> float:
        """The share of its predictions that are right; 0 when it was never predicted."""
        return self.hits / max(self.hits + self.false, 1)

    @property
    def recall(self) -> float:
        """The share of its texts that were found; 0 when there are none."""
        return self.hits / max(self.hits + self.missed, 1)

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        return 2 * self.hits / max(2 * self.hits + self.false + self.missed, 1)

    @property
    def support(self) -> int:
        """How many texts have the label."""
        return self.hits + self.missed


@dataclass(frozen=True, slots=True)
class ClassifyScore:
    """Labels (k,), gold and predicted labels as 0 and 1 (n, k), and probabilities (n, k).

    `thresholds` are those from which a label is given, for labels that have one.
    """

    labels: tuple[str, ...]
    gold: NDArray[np.bool_]
    predicted: NDArray[np.bool_]
    probabilities: NDArray[np.float64]
    thresholds: Mapping[str, float] = field(default_factory=dict)

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether all labels of a text are right, (n,)."""
        return np.asarray((self.gold == self.predicted).all(axis=1))

    @property
    def given(self) -> list[frozenset[str]]:
        """The labels that each text was given."""
        return [frozenset(self.labels[i] for i in row.nonzero()[0]) for row in self.predicted]

    @property
    def accuracy(self) -> float:
        """The share of texts whose labels are all right."""
        return float(self.right.mean()) if len(self.right) else 0.0

    @property
    def accuracy_interval(self) -> Interval:
        """The 95 % interval of the accuracy."""
        return mean_interval(self.right)

    @property
    def counts(self) -> list[LabelCounts]:
        """The counts of each label."""
        gold, found = self.gold, self.predicted
        columns = ((gold & found).sum(0), (~gold & found).sum(0), (gold & ~found).sum(0))
        return [
            LabelCounts(label, int(hits), int(false), int(missed))
            for label, hits, false, missed in zip(self.labels, *columns, strict=True)
        ]

    @property
    def macro_f1(self) -> float:
        """The mean of the labels' F1, over those that occur or were predicted."""
        seen = [one.f1 for one in self.counts if one.hits + one.false + one.missed]
        return sum(seen) / max(len(seen), 1)

    @property
    def micro_f1(self) -> float:
        """F1 over the decisions about all labels together; the accuracy for one label a text."""
        hits = int((self.gold & self.predicted).sum())
        return 2 * hits / max(int(self.gold.sum()) + int(self.predicted.sum()), 1)

    @property
    def confusion(self) -> NDArray[np.int64]:
        """How many texts of each label (rows) were given each label (columns), one label a text."""
        table = np.zeros((len(self.labels),) * 2, np.int64)
        np.add.at(table, (self.gold.argmax(1), self.predicted.argmax(1)), 1)
        return table

    @property
    def answered(self) -> tuple[float, float | None]:
        """The share of texts whose best label reaches its threshold, and their accuracy.

        For one label a text. A label without a threshold is always given. Of none there is none.
        """
        least = np.array([self.thresholds.get(label, 0.0) for label in self.labels])
        best = self.probabilities.argmax(axis=1)
        sure = self.probabilities.max(axis=1) >= least[best]
        return float(sure.mean()), float(self.right[sure].mean()) if sure.any() else None

    @property
    def calibration_error(self) -> float:
        """The expected calibration error of the best label (Naeini et al. 2015), ten bins.

        The mean distance of the probability from the share of right answers.
        """
        if not len(self.gold):
            return 0.0
        best = self.probabilities.argmax(axis=1)
        sure = self.probabilities.max(axis=1)
        right = self.gold[np.arange(len(best)), best]
        bins = np.minimum((sure * BINS).astype(int), BINS - 1)
        gaps = [abs(float(sure[bins == b].sum() - right[bins == b].sum())) for b in range(BINS)]
        return sum(gaps) / len(best)


def measure_classify(
    task: Task,
    texts: Iterable[LabelledText],
    labels: Sequence[str],
    multi_label: bool = False,
    names: Mapping[str, str] | None = None,
    thresholds: Mapping[str, float] | None = None,
) -> ClassifyScore:
    """Return the scores of a classifier that gives every one of its labels a probability.

    With `multi_label` a label is given from its threshold on, or from 0.5; else the likeliest is.
    `names` says what a label of the data is called by the classifier. Raises RecordError for a text
    that cannot be classified, and DataError for more than MOST_SCORES.
    """
    texts = list(texts)
    known = {**dict.fromkeys([*labels, *_called(texts, names)])}
    check_size(len(texts), len(known), MOST_SCORES, "measure on fewer texts")
    probabilities = np.zeros((len(texts), len(known)))
    number = {label: i for i, label in enumerate(known)}
    records = (
        Record(i, text.text, place=text.place, second=text.second) for i, text in enumerate(texts)
    )
    for row, answer in zip(probabilities, answers(task, records), strict=True):
        if not isinstance(answer.result, ClassifyResult):
            raise RecordError(f"{answer.record.place}: {answer.error}")
        for one in answer.result.labels:
            row[number[one.label]] = one.score
    if multi_label:
        predicted = probabilities >= [(thresholds or {}).get(label, LIKELY) for label in known]
    else:
        predicted = np.arange(len(known)) == probabilities.argmax(axis=1)[:, None]
    gold = one_hot([[(names or {}).get(one, one) for one in t.labels] for t in texts], list(known))
    return ClassifyScore(tuple(known), gold, predicted, probabilities, thresholds or {})


def check_size(texts: int, labels: int, most: int, instead: str) -> None:
    """Raise DataError where every text with every label is more than can be held in memory."""
    if texts * labels > most:
        raise DataError(
            f"{texts:,} texts times {labels:,} labels are more than {most:,}, too many to hold in "
            f"memory: {instead}"
        )


def _called(texts: Iterable[LabelledText], names: Mapping[str, str] | None) -> list[str]:
    return sorted({(names or {}).get(label, label) for text in texts for label in text.labels})


def one_hot(chosen: Sequence[Sequence[str]], labels: Sequence[str]) -> NDArray[np.bool_]:
    """Return the labels of each text as a row of 0 and 1, (n, k); unknown labels are left out."""
    number = {label: i for i, label in enumerate(labels)}
    table = np.zeros((len(chosen), len(labels)), bool)
    for row, names in zip(table, chosen, strict=True):
        row[[number[name] for name in names if name in number]] = True
    return table
