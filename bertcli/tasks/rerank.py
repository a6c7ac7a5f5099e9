"""Passages in the order in which a cross-encoder reads them with the query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bertcli.engine.choices import Long
from bertcli.engine.encoder import Encoder, Logits, unreduced
from bertcli.engine.tokens import TextTokenizer
from bertcli.errors import RecordError
from bertcli.records import Record, sought_text
from bertcli.results import ClassifyResult, Hit, LabelScore
from bertcli.tasks.classify import Classify
from bertcli.tasks.probabilities import sigmoid, softmax
from bertcli.tasks.run import Plan, answers

RELEVANT = "relevant"


@dataclass(frozen=True, slots=True)
class CrossEncoder:
    """The probability that a passage, a record's second text, answers its first.

    A head of one output is its logit; of several, the one at `relevant` is taken against the
    others. A passage over the model's length counts by its best window.
    """

    encoder: Encoder
    tokenizer: TextTokenizer
    window: int
    relevant: int = -1

    def plan(self, records: Sequence[Record]) -> list[Plan | RecordError]:
        """Return the windows of every query with its passage."""
        return Classify(
            self.encoder, self.tokenizer, self.window, (RELEVANT,), long=Long.WINDOW
        ).plan(records)

    reduce = staticmethod(unreduced)

    def decode(self, record: Record, plan: Plan, outputs: Sequence[Logits]) -> ClassifyResult:
        """Return the probability from logits (labels,) per window."""
        logits = np.stack(list(outputs)).astype(np.float64)
        scores = (
            sigmoid(logits[:, 0]) if logits.shape[1] == 1 else softmax(logits)[:, self.relevant]
        )
        return ClassifyResult((LabelScore(RELEVANT, float(scores.max())),), plan.reading)


def reranked(task: CrossEncoder, query: str, hits: Sequence[Hit]) -> list[Hit]:
    """Return the passages by the cross-encoder's probability, best first.

    It reads what they are found by, with the headings above them. Raises RecordError where a pair
    cannot be read.
    """
    found_by = (sought_text(hit.text, hit.context) for hit in hits)
    pairs = (Record(i, query, second=text) for i, text in enumerate(found_by))
    scored = []
    for hit, answer in zip(hits, answers(task, pairs), strict=True):
        if not isinstance(answer.result, ClassifyResult):
            raise RecordError(answer.error or "the passage cannot be read with the query")
        scored.append(replace(hit, rerank_score=answer.result.labels[0].score))
    return sorted(scored, key=lambda hit: -(hit.rerank_score or 0.0))
