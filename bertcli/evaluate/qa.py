"""How well questions are answered: exact match and F1 by SQuAD's definitions.

Rajpurkar et al. 2016, section 4, and 2018 for questions without an answer.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bertcli.evaluate.intervals import Interval, mean_interval
from bertcli.records import AnsweredQuestion, Record
from bertcli.results import QaResult
from bertcli.tasks.qa import Qa
from bertcli.tasks.run import answers as answered

ARTICLES = re.compile(r"\b(a|an|the)\b")
NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalized(answer: str) -> str:
    """Return an answer in lower case, without punctuation, articles and spare spaces.

    >>> normalized("The  Eiffel-Tower!")
    'eiffeltower'
    """
    return " ".join(ARTICLES.sub(" ", answer.lower().translate(NO_PUNCTUATION)).split())


def overlap_f1(answer: str, gold: str) -> float:
    """Return the F1 of the words that two answers have in common, in 0…1.

    >>> round(overlap_f1("the red house", "a house"), 2)
    0.67
    """
    words, wanted = normalized(answer).split(), normalized(gold).split()
    if not words or not wanted:
        return float(words == wanted)
    same = (Counter(words) & Counter(wanted)).total()
    return 2 * same / (len(words) + len(wanted))


@dataclass(frozen=True, slots=True)
class QaScore:
    """For each question: exact match and F1 of its best answer, and the probability of none.

    `given` are the answers, and `exact` and `f1` (n,) theirs, as if they were always given;
    `no_answer` (n,) in 0…1; `unanswerable` (n,) where the data say that the context has none.
    """

    given: tuple[str, ...]
    exact: NDArray[np.float64]
    f1: NDArray[np.float64]
    no_answer: NDArray[np.float64]
    unanswerable: NDArray[np.bool_]

    def at(self, threshold: float) -> tuple[float, float]:
        """Return exact match and F1 when no answer is given above a `no_answer` probability."""
        if not len(self.f1):
            return 0.0, 0.0
        exact = self._refused_above(threshold, self.exact)
        return float(exact.mean()), float(self.f1_at(threshold).mean())

    def f1_at(self, threshold: float) -> NDArray[np.float64]:
        """Return the F1 of each question at a threshold, (n,)."""
        return self._refused_above(threshold, self.f1)

    def given_at(self, threshold: float) -> list[str | None]:
        """Return the answers that are given at a threshold, None where there is none."""
        pairs = zip(self.given, self.no_answer, strict=True)
        return [given if none <= threshold else None for given, none in pairs]

    def f1_interval(self, threshold: float) -> Interval:
        """Return the 95 % interval of the F1 at a threshold."""
        return mean_interval(self.f1_at(threshold))

    @property
    def best_threshold(self) -> float:
        """The threshold with the highest F1; 1, which always answers, where it is as good."""
        order = np.argsort(-self.no_answer, kind="stable")
        gain = np.where(self.unanswerable, 1.0, -self.f1)[order]
        bounds = np.concatenate([self.no_answer[order], [0.0]])
        # Equal probabilities are refused together or not at all.
        totals = np.where(bounds[:-1] > bounds[1:], np.cumsum(gain), -np.inf)
        if totals.max(initial=0.0) <= 0:
            return 1.0
        last = int(totals.argmax())
        return float((bounds[last] + bounds[last + 1]) / 2)

    def _refused_above(self, threshold: float, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        refused = self.no_answer > threshold
        answered = np.where(self.unanswerable, 0.0, scores)
        return np.where(refused, self.unanswerable.astype(float), answered)


def score_answers(
    answers: Sequence[str], golds: Sequence[Sequence[str]], no_answer: Sequence[float]
) -> QaScore:
    """Return the scores of answers against the gold answers of each question, none or several."""
    pairs = list(zip(answers, golds, strict=True))
    exact = [
        max((normalized(a) == normalized(g) for g in gold), default=False) for a, gold in pairs
    ]
    f1 = [max((overlap_f1(a, g) for g in gold), default=0.0) for a, gold in pairs]
    return QaScore(
        tuple(answers),
        np.array(exact, float),
        np.array(f1, float),
        np.array(no_answer, float),
        np.array([not gold for gold in golds], bool),
    )


def measure_qa(task: Qa, questions: Iterable[AnsweredQuestion]) -> QaScore:
    """Return the scores of a task's best answers; one that it cannot give counts as wrong."""
    asked = list(questions)
    records = (
        Record(i, one.context or " ", place=one.place, question=one.question)
        for i, one in enumerate(asked)
    )
    best, none = [], []
    for answer in answered(replace(task, threshold=1.0, top_k=1), records):
        found = answer.result if isinstance(answer.result, QaResult) else None
        best.append(found.answers[0].text if found and found.answers else "")
        none.append(found.no_answer if found else 1.0)
    return score_answers(best, [[text for text, _ in one.answers] for one in asked], none)
