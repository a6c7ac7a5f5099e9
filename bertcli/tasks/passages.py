"""Answers to a question from several passages that were found for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bertcli.errors import RecordError
from bertcli.records import Record
from bertcli.results import FoundAnswer, FoundAnswers, Hit, QaResult, Reading
from bertcli.tasks.qa import Qa
from bertcli.tasks.run import answers

LEAST = 1e-9


@dataclass(frozen=True, slots=True)
class Relevance:
    """What a passage's cosine with a question says about whether it answers it, beside reading it.

    The odds that reading gives are taken `exp(weight · (cosine - middle))` times, as in a logistic
    model of both in which the logit of reading has the weight 1.
    """

    weight: float = 0.0
    middle: float = 0.0

    def probability(self, no_answer: float, cosine: float) -> float:
        """Return how probable it is, in 0…1, that a passage answers the question.

        >>> round(Relevance(10, 0.45).probability(0.5, 0.65), 3), Relevance().probability(0.2, 0.9)
        (0.881, 0.8)
        """
        logit = math.log(max(1 - no_answer, LEAST)) - math.log(max(no_answer, LEAST))
        return 1 / (1 + math.exp(-(logit + self.weight * (cosine - self.middle))))


BUILT_IN = Relevance(17.0, 0.5)
"""Of the built-in embeddings: chosen among twenty for answers and refusals together, on the two
collections of `benchmarks/asking.py`. The cosines of another model have another scale, and do not
count."""

Passage = tuple[Hit, QaResult]


def answer_from_passages(
    task: Qa, question: str, hits: Sequence[Hit], relevance: Relevance = Relevance()
) -> FoundAnswers:
    """Read every passage and return the best answers over all of them, at most `top_k`.

    A passage gives none whose probability of no answer exceeds the task's threshold. Raises
    RecordError where the question cannot be read at all.
    """
    passages = read_passages(replace(task, threshold=1.0), question, hits)
    return best_answers(passages, question, task.top_k, task.threshold, relevance)


def read_passages(task: Qa, question: str, hits: Sequence[Hit]) -> list[Passage]:
    """Return every passage with what the task finds in it."""
    read: list[Passage] = []
    records = (Record(i, hit.text, question=question) for i, hit in enumerate(hits))
    for hit, answer in zip(hits, answers(task, records), strict=True):
        if not isinstance(answer.result, QaResult):
            raise RecordError(answer.error or "the question cannot be read")
        read.append((hit, answer.result))
    return read


def best_answers(
    passages: Sequence[Passage], question: str, top_k: int, threshold: float, relevance: Relevance
) -> FoundAnswers:
    """Return the best answers in passages that were read.

    The best is the likeliest answer of the passage that most probably has one; others are ranked by
    that probability of their passage, times how likely they are beside its likeliest. The same
    answer from several passages is told once, from the best.
    """
    best: dict[str, tuple[float, FoundAnswer]] = {}
    none = 1.0
    for hit, result in passages:
        probable = relevance.probability(result.no_answer, hit.score)
        none = min(none, 1 - probable)
        if 1 - probable > threshold:
            continue
        share = 1.0
        for span in result.answers:  # best first, which is not by their scores
            share = min(share, span.score / max(result.answers[0].score, LEAST))
            line = None if hit.line is None else hit.line + span.line - 1
            if line is not None and hit.last_line is not None:
                line = min(line, hit.last_line)  # a row's text may have more lines than its file
            page = hit.page_of(span.start)
            place = (hit.document, line, hit.score, hit.text, page)
            rank = probable * share
            key = " ".join(span.text.lower().split())
            if key not in best or best[key][0] < rank:
                best[key] = rank, FoundAnswer(span.text, span.score, *place)
    ranked = sorted(best.values(), key=lambda one: -one[0])[:top_k]
    read = [result.reading for _, result in passages]
    reading = Reading(
        sum(one.tokens for one in read),
        sum(one.windows for one in read),
        sum(one.cut_tokens for one in read),
    )
    return FoundAnswers(question, tuple(one for _, one in ranked), none, reading)
