"""How well spans are found: exact matches of place and label, as seqeval counts them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bertcli.errors import RecordError
from bertcli.evaluate.classify import LabelCounts
from bertcli.evaluate.intervals import Interval, bootstrap
from bertcli.records import Record, TaggedText
from bertcli.results import NerResult
from bertcli.tasks.run import Task, answers


@dataclass(frozen=True)
class NerScore:
    """The gold and the predicted spans of every text: half-open characters and a label each."""

    gold: tuple[frozenset[tuple[int, int, str]], ...]
    predicted: tuple[frozenset[tuple[int, int, str]], ...]

    @property
    def counts(self) -> list[LabelCounts]:
        """The counts of each label."""
        labels = sorted({span[2] for spans in (*self.gold, *self.predicted) for span in spans})
        return [self._count(label) for label in labels]

    @property
    def total(self) -> LabelCounts:
        """The counts over all labels; its precision, recall and F1 are the micro averages."""
        hits, false, missed = self._per_text.sum(axis=0) if self.gold else (0, 0, 0)
        return LabelCounts("all", int(hits), int(false), int(missed))

    @property
    def f1_interval(self) -> Interval:
        """The 95 % interval of the F1 over all labels."""
        return bootstrap(len(self.gold), self.f1_of)

    def f1_of(self, at: NDArray[np.int64]) -> float:
        """Return the F1 over the texts of these numbers, with repetitions."""
        hits, false, missed = self._per_text[at].sum(axis=0)
        return float(2 * hits / max(2 * hits + false + missed, 1))

    @property
    def partial(self) -> LabelCounts:
        """The counts where a span that overlaps one of the same label counts as found."""
        hits = false = missed = 0
        for gold, found in zip(self.gold, self.predicted, strict=True):
            matched = sum(any(_overlap(one, other) for other in found) for one in gold)
            hits, missed = hits + matched, missed + len(gold) - matched
            false += sum(not any(_overlap(one, other) for other in gold) for one in found)
        return LabelCounts("partial", hits, false, missed)

    def _count(self, label: str) -> LabelCounts:
        pairs = [
            ({s for s in gold if s[2] == label}, {s for s in found if s[2] == label})
            for gold, found in zip(self.gold, self.predicted, strict=True)
        ]
        hits = sum(len(gold & found) for gold, found in pairs)
        false = sum(len(found - gold) for gold, found in pairs)
        return LabelCounts(label, hits, false, sum(len(gold - found) for gold, found in pairs))

    @cached_property
    def _per_text(self) -> NDArray[np.int64]:
        """Return hits, false and missed spans of each text, (n, 3)."""
        pairs = zip(self.gold, self.predicted, strict=True)
        rows = [(len(g & p), len(p - g), len(g - p)) for g, p in pairs]
        return np.array(rows, np.int64).reshape(-1, 3)


def measure_ner(
    task: Task,
    texts: Iterable[TaggedText],
    names: Mapping[str, str] | None = None,
    ignore: frozenset[str] = frozenset(),
) -> NerScore:
    """Return the scores of a tagger.

    `names` says what a label of the data is called by the tagger, nothing for one that is left
    out; a tagger that has the data's own name for it is as right. Spans with such a label, or with
    one in `ignore`, do not count on either side. Raises RecordError for a text that cannot be
    tagged.
    """
    names = names or {}
    same = {old: new for old, new in names.items() if old not in names.values()}
    texts = [text for text in texts if text.text]
    records = (Record(i, text.text, place=text.place) for i, text in enumerate(texts))
    gold, predicted = [], []
    for text, answer in zip(texts, answers(task, records), strict=True):
        if not isinstance(answer.result, NerResult):
            raise RecordError(f"{text.place}: {answer.error}")
        named = ((start, end, names.get(label, label)) for start, end, label in text.spans)
        entities = answer.result.entities
        found = ((one.start, one.end, same.get(one.label, one.label)) for one in entities)
        gold.append(frozenset(span for span in named if span[2] and span[2] not in ignore))
        predicted.append(frozenset(span for span in found if span[2] and span[2] not in ignore))
    return NerScore(tuple(gold), tuple(predicted))


def _overlap(one: tuple[int, int, str], other: tuple[int, int, str]) -> bool:
    return one[2] == other[2] and one[0] < other[1] and other[0] < one[1]
