"""How far answers at one precision are from those at another: what a task's users would notice."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from bertcli.evaluate.qa import overlap_f1
from bertcli.records import Record
from bertcli.results import (
    ClassifyResult,
    EmbedResult,
    FillMaskResult,
    NerResult,
    QaResult,
    Result,
)
from bertcli.tasks.fill_mask import PLACEHOLDER

NEIGHBOURS = 10
FEWEST_WORDS = 4


@dataclass(frozen=True, slots=True)
class Drift:
    """One measure of how alike two precisions answer, from 0 to 1, and the least that will do."""

    measure: str
    value: float
    bound: float
    count: int

    @property
    def passes(self) -> bool:
        """Whether it is within the bound."""
        return self.value >= self.bound


def measure_drift(full: Sequence[Result], other: Sequence[Result]) -> list[Drift]:
    """Return the measures of two lists of results for the same records, all of one task.

    The bounds are those below which a user would see other answers often: one label in fifty, one
    entity or answer in thirty, one neighbour in ten, one word in seven.
    """
    return list(MEASURES[type(full[0])](full, other)) if full else []


def masked_records(records: Sequence[Record]) -> Iterator[Record]:
    """Yield each text with one of its words masked, the same at every call; short ones not."""
    rng = random.Random(0)
    for record in records:
        words = record.text.split()
        if len(words) >= FEWEST_WORDS:
            words[rng.randrange(len(words))] = PLACEHOLDER
            yield Record(record.id, " ".join(words), record.columns, record.place)


def _labels(full: Sequence[Result], other: Sequence[Result]) -> Iterator[Drift]:
    one, two = (
        [[each.label for each in cast(ClassifyResult, result).labels] for result in results]
        for results in (full, other)
    )
    yield Drift("label agreement", _share(one, two), 0.98, len(one))


def _entities(full: Sequence[Result], other: Sequence[Result]) -> Iterator[Drift]:
    one, two = (
        [
            {(each.label, each.start, each.end) for each in cast(NerResult, result).entities}
            for result in results
        ]
        for results in (full, other)
    )
    hits = sum(len(a & b) for a, b in zip(one, two, strict=True))
    total = sum(map(len, one)) + sum(map(len, two))
    yield Drift("entity F1", 2 * hits / total if total else 1.0, 0.97, sum(map(len, one)))


def _answers(full: Sequence[Result], other: Sequence[Result]) -> Iterator[Drift]:
    one, two = (
        [(cast(QaResult, result).answers or (None,))[0] for result in results]
        for results in (full, other)
    )
    f1 = [
        float(a is b) if a is None or b is None else overlap_f1(a.text, b.text)
        for a, b in zip(one, two, strict=True)
    ]
    yield Drift("answer F1", float(np.mean(f1)), 0.97, len(f1))


def _vectors(full: Sequence[Result], other: Sequence[Result]) -> Iterator[Drift]:
    one, two = (
        _unit(np.stack([cast(EmbedResult, result).vector for result in results]))
        for results in (full, other)
    )
    cosines = (one * two).sum(axis=1)
    yield Drift("cosine, mean", float(cosines.mean()), 0.98, len(cosines))
    yield Drift("cosine, worst", float(cosines.min()), 0.95, len(cosines))
    if len(one) > NEIGHBOURS:
        pairs = zip(_neighbours(one), _neighbours(two), strict=True)
        shared = [len(a & b) for a, b in pairs]
        recall = float(np.mean(shared)) / NEIGHBOURS
        yield Drift(f"recall@{NEIGHBOURS}", recall, 0.9, len(one))


def _words(full: Sequence[Result], other: Sequence[Result]) -> Iterator[Drift]:
    one, two = (
        [mask.fills[0].token for result in results for mask in cast(FillMaskResult, result).masks]
        for results in (full, other)
    )
    yield Drift("first word", _share(one, two), 0.85, len(one))


MEASURES: dict[type, Callable[[Sequence[Result], Sequence[Result]], Iterator[Drift]]] = {
    ClassifyResult: _labels,
    NerResult: _entities,
    QaResult: _answers,
    EmbedResult: _vectors,
    FillMaskResult: _words,
}


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return vectors (n, d) with length one."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, np.float32(1e-12)))


def _neighbours(rows: NDArray[np.float32]) -> list[set[int]]:
    """Return the rows that are nearest to each row, itself left out."""
    scores = rows @ rows.T
    np.fill_diagonal(scores, -np.inf)
    return [set(row) for row in np.argsort(-scores, axis=1)[:, :NEIGHBOURS].tolist()]


def _share(one: Sequence[object], other: Sequence[object]) -> float:
    """Return how many of two lists' entries are the same."""
    return float(np.mean([a == b for a, b in zip(one, other, strict=True)]))
