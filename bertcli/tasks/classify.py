"""Labels for texts: from a fine-tuned head, or zero-shot from the labels' own names."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from bertcli.engine.choices import Long
from bertcli.engine.encoder import Encoder, Logits, unreduced
from bertcli.engine.pooling import weighted_mean
from bertcli.engine.tokens import TextTokenizer, Tokens
from bertcli.engine.windows import Window, frame_pair, pair_windows, ranges
from bertcli.errors import RecordError
from bertcli.records import Record
from bertcli.results import ClassifyResult, LabelScore, Reading
from bertcli.tasks.embed import Embed, bare
from bertcli.tasks.probabilities import sigmoid, softmax
from bertcli.tasks.run import Plan, count_read

TEMPERATURE = 0.05
"""Cosines are divided by this before the softmax of zero-shot labels; they differ by little."""
LIKELY = 0.5
"""From this probability on a text has a label, where it may have several."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which labels come out: at most `top_k` (None for all), each at `threshold` or above.

    `usual` where nobody asked for a number. Without a `threshold` each label has its own in
    `thresholds`, if it has one.
    """

    top_k: int | None = 1
    threshold: float | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)
    usual: bool = False

    def result(
        self, labels: Sequence[str], scores: NDArray[np.float64], reading: Reading
    ) -> ClassifyResult:
        """Return the chosen labels, best first; equal scores keep the labels' order."""
        order = np.argsort(-scores, kind="stable")[: self.top_k]
        ranked = [LabelScore(labels[i], float(scores[i])) for i in order]
        chosen = tuple(one for one in ranked if one.score >= self._lowest(one.label))
        return ClassifyResult(chosen, reading, several=self.top_k != 1)

    def of_several(self, labels: Sequence[str]) -> Choice:
        """Return the choice of a classifier of several labels a text: all those that are likely.

        From its own threshold on, or from 0.5; of a number that was asked for the best.
        """
        if not self.usual:
            return self
        thresholds = {**dict.fromkeys(labels, LIKELY), **self.thresholds}
        return replace(self, top_k=None, thresholds=thresholds)

    def _lowest(self, label: str) -> float:
        if self.threshold is not None:
            return self.threshold
        return self.thresholds.get(label, -math.inf)


@dataclass(frozen=True, slots=True)
class Classify:
    """A fine-tuned classifier of texts, or of pairs of them where records have a second text.

    Several windows are combined by the mean of their logits, weighted by their tokens; then comes
    the softmax or, with `multi_label`, each label's own sigmoid.
    """

    encoder: Encoder
    tokenizer: TextTokenizer
    window: int
    labels: Sequence[str]
    multi_label: bool = False
    choice: Choice = Choice()
    long: Long = Long.WINDOW

    def plan(self, records: Sequence[Record]) -> list[Plan | RecordError]:
        """Return the windows of every text, or pair of texts."""
        single = [record for record in records if record.second is None]
        reader = Embed(self.encoder, self.tokenizer, self.window, long=self.long)
        plans = iter(reader.plan(single))
        pairs = iter(self._plan_pairs([one for one in records if one.second is not None]))
        return [next(plans if record.second is None else pairs) for record in records]

    reduce = staticmethod(unreduced)

    def decode(self, record: Record, plan: Plan, outputs: Sequence[Logits]) -> ClassifyResult:
        """Return the labels from logits (labels,) per window."""
        logits = weighted_mean(list(outputs), [len(window) for window in plan.windows])
        scores = sigmoid(logits) if self.multi_label else softmax(logits)
        return self.choice.result(self.labels, scores, plan.reading)

    def _plan_pairs(self, records: Sequence[Record]) -> list[Plan | RecordError]:
        firsts = self.tokenizer.ids([record.text for record in records])
        seconds = self.tokenizer.ids([record.second or "" for record in records])
        return [self._plan_pair(*pair) for pair in zip(firsts, seconds, strict=True)]

    def _plan_pair(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> Plan | RecordError:
        frame, kind = self.tokenizer.frame, self.tokenizer.second_type
        try:
            windows = pair_windows(first, second, frame, kind, self.window, self.long)
        except RecordError as error:
            return error
        tokens = len(first) + len(second)
        one_window = len(windows[0]) - frame.pair
        cut = tokens - one_window if self.long is Long.TRUNCATE else 0
        return Plan(windows, bare(first), Reading(tokens, len(windows), cut))


@dataclass(frozen=True, slots=True)
class ClassifyByVector:
    """Labels from the vector of a text: trained on vectors, or zero-shot by the labels' own.

    A label's logit is `weight · vector + bias`, with `weight` (labels, d) and `bias` (labels,).
    Scores are the softmax of the logits or, with `multi_label`, each one's own sigmoid.
    """

    embed: Embed
    labels: Sequence[str]
    weight: NDArray[np.float32]
    multi_label: bool = False
    choice: Choice = Choice()
    bias: NDArray[np.float32] | float = 0.0

    @property
    def encoder(self) -> Encoder:
        """The embedding model."""
        return self.embed.encoder

    def plan(self, records: Sequence[Record]) -> list[Plan | RecordError]:
        """Return every text's windows."""
        return self.embed.plan(records)

    def reduce(self, output: Logits) -> Logits:
        """Return hidden states (length, d) pooled to one vector (d,)."""
        return self.embed.reduce(output)

    def decode(self, record: Record, plan: Plan, outputs: Sequence[Logits]) -> ClassifyResult:
        """Return the labels from the vectors of the windows."""
        vector = self.embed.decode(record, plan, outputs).vector
        return self.choice.result(self.labels, self._scores(vector), plan.reading)

    def _scores(self, vector: NDArray[np.float32]) -> NDArray[np.float64]:
        logits = (self.weight @ vector + self.bias).astype(np.float64)
        return sigmoid(logits) if self.multi_label else softmax(logits)


@dataclass(frozen=True, slots=True)
class ClassifyBySimilarity(ClassifyByVector):
    """Zero-shot labels by the cosine of text and label: `weight` (labels, d) are the embedded
    labels. Scores are the softmax of the cosines over a temperature or, with `multi_label`, the
    cosines themselves.
    """

    def _scores(self, vector: NDArray[np.float32]) -> NDArray[np.float64]:
        cosines = (self.weight @ vector).astype(np.float64)
        return cosines if self.multi_label else softmax(cosines / TEMPERATURE)


@dataclass(frozen=True, slots=True)
class ClassifyByEntailment:
    """Zero-shot labels by natural-language inference (Yin, Hay and Roth 2019).

    Every hypothesis is paired with the text. It stands for the label that `owners` says, or for
    the one at its own place; of a label's several hypotheses the one that follows most counts. With
    `multi_label` a label's score is the softmax of entailment against contradiction; else the
    softmax of entailment over the labels. `entailment` and `contradiction` are rows of the
    checkpoint's head.
    """

    encoder: Encoder
    tokenizer: TextTokenizer
    window: int
    labels: Sequence[str]
    hypotheses: Sequence[str]
    entailment: int
    contradiction: int
    multi_label: bool = False
    choice: Choice = Choice()
    long: Long = Long.WINDOW
    owners: Sequence[int] = ()

    def plan(self, records: Sequence[Record]) -> list[Plan | RecordError]:
        """Return every text's pairs: for each label, the text's windows with its hypothesis."""
        hypotheses = self.tokenizer.ids(list(self.hypotheses))
        room = self.window - self.tokenizer.frame.pair - max(len(ids) for ids in hypotheses)
        tokenised = self.tokenizer.tokenize([record.text for record in records])
        return [self._plan_one(tokens, hypotheses, room) for tokens in tokenised]

    reduce = staticmethod(unreduced)

    def decode(self, record: Record, plan: Plan, outputs: Sequence[Logits]) -> ClassifyResult:
        """Return the labels from logits (3,) per pair."""
        each = len(plan.windows) // len(self.hypotheses)
        weights = [window.end - window.start + 1 for window in plan.windows[:each]]
        means = [
            weighted_mean(list(outputs[i * each : (i + 1) * each]), weights)
            for i in range(len(self.hypotheses))
        ]
        logits = self._best_of_each_label(np.stack(means))
        if self.multi_label:
            scores = softmax(logits[:, [self.contradiction, self.entailment]])[:, 1]
        else:
            scores = softmax(logits[:, self.entailment])
        return self.choice.result(self.labels, scores, plan.reading)

    def _best_of_each_label(self, logits: Logits) -> Logits:
        """Return of each label's hypotheses the one that follows most, (labels, 3)."""
        owners = np.array(self.owners or range(len(self.labels)))
        rows = []
        for label in range(len(self.labels)):
            own = logits[owners == label]
            rows.append(own[own[:, self.entailment].argmax()])
        return np.stack(rows)

    def _plan_one(
        self, tokens: Tokens, hypotheses: Sequence[NDArray[np.int64]], room: int
    ) -> Plan | RecordError:
        if room < 1:
            return RecordError("the labels leave no room for the text: use shorter ones")
        try:
            spans = ranges(len(tokens), room, self.long)
        except RecordError as error:
            return error
        windows = tuple(
            self._pair(tokens.ids[start:end], hypothesis, start)
            for hypothesis in hypotheses
            for start, end in spans
        )
        seen = count_read(len(tokens), windows)
        return Plan(windows, tokens, replace(seen, windows=len(spans)))

    def _pair(self, text: NDArray[np.int64], hypothesis: NDArray[np.int64], start: int) -> Window:
        frame, second = self.tokenizer.frame, self.tokenizer.second_type
        window = frame_pair(text, hypothesis, (0, len(hypothesis)), frame, second)
        return replace(window, start=start, end=start + len(text))
