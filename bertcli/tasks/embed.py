"""Texts as vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bertcli.engine.choices import Long, Pooling
from bertcli.engine.encoder import Encoder, Logits
from bertcli.engine.pooling import Vector, normalised, pool, weighted_mean
from bertcli.engine.tokens import TextTokenizer, Tokens
from bertcli.engine.windows import frame_text, ranges
from bertcli.errors import CheckpointError, RecordError
from bertcli.records import Record
from bertcli.results import EmbedResult
from bertcli.tasks.run import LOOK_AHEAD_RECORDS, Plan, count_read


@dataclass(frozen=True, slots=True)
class Embed:
    """One vector per text: pooled per window, averaged over windows by their tokens.

    `window` is the model's length with special tokens; `prompt` is put before every text.
    """

    encoder: Encoder
    tokenizer: TextTokenizer
    window: int
    pooling: Pooling = Pooling.MEAN
    normalize: bool = True
    prompt: str = ""
    long: Long = Long.WINDOW

    def plan(self, records: Sequence[Record]) -> list[Plan | RecordError]:
        """Return every text's windows."""
        found = self.tokenizer.ids([self.prompt + record.text for record in records])
        return [self._plan_one(bare(ids)) for ids in found]

    def reduce(self, output: Logits) -> Logits:
        """Return hidden states (length, d) pooled to one vector (d,)."""
        return pool(output, self.pooling)

    def decode(self, record: Record, plan: Plan, outputs: Sequence[Logits]) -> EmbedResult:
        """Return the vector of a text from those of its windows, (d,) each."""
        vector = weighted_mean(list(outputs), [len(window) for window in plan.windows])
        return EmbedResult(normalised(vector) if self.normalize else vector, plan.reading)

    def vectors(self, texts: Sequence[str]) -> Vector:
        """Return the vectors of texts, (n, d); raises RecordError where one is refused.

        And CheckpointError where one is no finite numbers: a mean of them would be none either.
        """
        starts = range(0, len(texts), LOOK_AHEAD_RECORDS)
        return np.concatenate([self._some(texts[at : at + LOOK_AHEAD_RECORDS]) for at in starts])

    def _some(self, texts: Sequence[str]) -> Vector:
        records = [Record(number, text) for number, text in enumerate(texts)]
        plans = list[Plan]()
        for plan in self.plan(records):
            if isinstance(plan, RecordError):
                raise plan
            plans.append(plan)
        windows = [window for plan in plans for window in plan.windows]
        outputs = self.encoder.encode(windows, self.reduce)
        rows = [
            self.decode(record, plan, [next(outputs) for _ in plan.windows]).vector
            for record, plan in zip(records, plans, strict=True)
        ]
        vectors = np.stack(rows)
        if not np.isfinite(vectors).all():
            raise CheckpointError(
                "the model computes no finite numbers: its weights are damaged, as "
                "`bertcli models verify` tells"
            )
        return vectors

    def _plan_one(self, tokens: Tokens) -> Plan | RecordError:
        capacity = self.window - self.tokenizer.frame.single
        try:
            spans = ranges(len(tokens), capacity, self.long)
        except RecordError as error:
            return error
        frame = self.tokenizer.frame
        windows = tuple(frame_text(tokens.ids, start, end, frame) for start, end in spans)
        return Plan(windows, tokens, count_read(len(tokens), windows))


def bare(ids: np.ndarray) -> Tokens:
    """Return ids as tokens of which nobody will ask the offsets."""
    return Tokens(ids, np.empty((0, 2), np.int64), np.empty(0, np.int64))
