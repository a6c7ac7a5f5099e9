"""How well cosines order pairs of texts: Spearman's rank correlation with what people said."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bertcli.evaluate.intervals import Interval, bootstrap
from bertcli.records import ScoredPair
from bertcli.tasks.embed import Embed

BLOCK = 1_000
COSINE_DIGITS = 6


@dataclass(frozen=True, slots=True)
class EmbedScore:
    """The cosine of each pair and the score that people gave it, (n,) each."""

    cosines: NDArray[np.float64]
    gold: NDArray[np.float64]

    @property
    def spearman(self) -> float:
        """The rank correlation in -1…1; 0 where all scores are equal."""
        return self.spearman_of(np.arange(len(self.gold)))

    @property
    def spearman_interval(self) -> Interval:
        """The 95 % interval of the rank correlation."""
        return bootstrap(len(self.gold), self.spearman_of)

    def spearman_of(self, at: NDArray[np.int64]) -> float:
        """Return the rank correlation over the pairs of these numbers, with repetitions."""
        return _correlation(_ranks(self.cosines[at]), _ranks(self.gold[at]))

    @property
    def rank_distances(self) -> NDArray[np.float64]:
        """How far each pair's rank by cosine is from its rank by score, (n,)."""
        return np.asarray(np.abs(_ranks(self.cosines) - _ranks(self.gold)))

    @property
    def pearson(self) -> float:
        """The linear correlation in -1…1."""
        return _correlation(self.cosines, self.gold)


def measure_embed(task: Embed, pairs: Iterable[ScoredPair]) -> EmbedScore:
    """Return the cosines of pairs of texts beside their scores."""
    listed, unit = list(pairs), replace(task, normalize=True)
    first = unit.vectors([one.first for one in listed]).astype(np.float64)
    second = unit.vectors([one.second for one in listed])
    scores = np.array([one.score for one in listed], float)
    cosines = (first * second).sum(axis=1)
    return EmbedScore(cosines.round(COSINE_DIGITS), scores)  # what is the same text has the same


def recall_at_1(task: Embed, pairs: Sequence[ScoredPair]) -> float:
    """Return for how many pairs the second text is the nearest of all to the first, in 0…1.

    Nearest by cosine, as the loss and every index compare them. A text that stands in several
    pairs, as an answer to many questions, is right for each.
    """
    unit = replace(task, normalize=True)
    first = unit.vectors([one.first for one in pairs])
    second = unit.vectors([one.second for one in pairs])
    texts = np.unique([one.second for one in pairs], return_inverse=True)[1]
    right = 0
    for at in range(0, len(pairs), BLOCK):
        nearest = (first[at : at + BLOCK] @ second.T).argmax(axis=1)
        right += int((texts[nearest] == texts[at : at + BLOCK]).sum())
    return right / len(pairs)


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rank of each value, equal values sharing the mean of theirs."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(values), float)


def _correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])
