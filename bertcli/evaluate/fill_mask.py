"""How well a model fills masks over held-out text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from bertcli.engine.encoder import Encoder, Logits
from bertcli.engine.tokens import TextTokenizer, Tokens
from bertcli.engine.windows import Window, cuts, frame_text
from bertcli.evaluate.intervals import Interval, bootstrap

MASK_RATE = 0.15
TEXTS_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Guesses:
    """The masked tokens of one text, and what was guessed in their places.

    `right` and `best` are ids, (k,): what stood there, and the most probable token. `better` counts
    the tokens that were more probable than the right one, `loss` is its negative log probability in
    nats, and `spans` (k, 2) are its half-open characters.
    """

    text: str
    spans: NDArray[np.int64]
    right: NDArray[np.int64]
    best: NDArray[np.int64]
    better: NDArray[np.int64]
    loss: NDArray[np.float64]


@dataclass(frozen=True)
class FillMaskScore:
    """For each text, (n,): its masks, those guessed at first or among five, the sum of losses."""

    masks: NDArray[np.int64]
    first: NDArray[np.int64]
    among_five: NDArray[np.int64]
    loss: NDArray[np.float64]

    @property
    def tokens(self) -> int:
        """How many tokens were masked."""
        return int(self.masks.sum())

    @property
    def top1(self) -> float:
        """The share of masks whose most probable token was right."""
        return self.top1_of(self._all)

    @property
    def top5(self) -> float:
        """The share of masks whose right token was among the five most probable."""
        return float(self.among_five.sum() / max(self.tokens, 1))

    @property
    def perplexity(self) -> float:
        """The exponential of the mean negative log probability of the right tokens."""
        return self.perplexity_of(self._all)

    @property
    def top1_interval(self) -> Interval:
        """The 95 % interval of top-1, over texts that have masks."""
        return bootstrap(len(self._masked), lambda at: self.top1_of(self._masked[at]))

    @property
    def perplexity_interval(self) -> Interval:
        """The 95 % interval of the perplexity, over texts that have masks."""
        return bootstrap(len(self._masked), lambda at: self.perplexity_of(self._masked[at]))

    def top1_of(self, at: NDArray[np.int64]) -> float:
        """Return top-1 over the texts of these numbers, with repetitions."""
        return float(self.first[at].sum() / max(self.masks[at].sum(), 1))

    def perplexity_of(self, at: NDArray[np.int64]) -> float:
        """Return the perplexity over the texts of these numbers, with repetitions."""
        return math.exp(min(float(self.loss[at].sum() / max(self.masks[at].sum(), 1)), 700.0))

    @cached_property
    def _masked(self) -> NDArray[np.int64]:
        """The texts that have masks: draws without any would count as perfect."""
        return np.flatnonzero(self.masks)

    @cached_property
    def _all(self) -> NDArray[np.int64]:
        return np.arange(len(self.masks))


def score_guesses(guesses: Iterable[Guesses]) -> FillMaskScore:
    """Return the counts of each text's guesses."""
    rows = [
        (len(one.right), (one.better == 0).sum(), (one.better < 5).sum(), one.loss.sum())
        for one in guesses
    ]
    masks, first, among_five, loss = np.array(rows, float).reshape(-1, 4).T
    return FillMaskScore(masks.astype(int), first.astype(int), among_five.astype(int), loss)


def guess_masked(
    encoder: Encoder,
    tokenizer: TextTokenizer,
    texts: Iterable[str],
    window: int,
    rate: float = MASK_RATE,
    seed: int = 0,
) -> Iterator[Guesses]:
    """Mask a share of every text's tokens, all of them replaced by the mask, and guess them.

    Each text stands alone; a text longer than the window is read in pieces without overlap. The
    same seed masks the same tokens of a tokenizer.
    """
    rng = np.random.default_rng(seed)
    mask = tokenizer.mask_id
    stream = iter(texts)
    while batch := list(islice(stream, TEXTS_AT_ONCE)):
        tokenised = tokenizer.tokenize(batch)
        pieces = [list(_masked(one, tokenizer, window, rate, mask, rng)) for one in tokenised]
        outputs = encoder.encode([shown for each in pieces for shown, _ in each])
        for text, tokens, each in zip(batch, tokenised, pieces, strict=True):
            places = np.concatenate([np.zeros(0, int), *(at for _, at in each)])
            found = [judge(next(outputs), tokens.ids[at]) for _, at in each]
            best, better, loss = (
                np.concatenate([np.zeros(0, kind), *(one[i] for one in found)])
                for i, kind in enumerate((int, int, float))
            )
            yield Guesses(text, tokens.offsets[places], tokens.ids[places], best, better, loss)


def judge(
    logits: Logits, right: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return of logits (k, vocabulary) the best ids, how many beat the right ones, and the losses.

    `right` are the right ids, (k,), and so are the three that come back.
    """
    wide = logits.astype(np.float64)
    at = wide[np.arange(len(right)), right]
    top = wide.max(axis=1)
    log_total = top + np.log(np.exp(wide - top[:, None]).sum(axis=1))
    return wide.argmax(axis=1), (wide > at[:, None]).sum(axis=1), log_total - at


def _masked(
    tokens: Tokens,
    tokenizer: TextTokenizer,
    window: int,
    rate: float,
    mask: int,
    rng: np.random.Generator,
) -> Iterator[tuple[Window, NDArray[np.int64]]]:
    """Yield the masked windows of a text with the numbers of their masked tokens, if any."""
    frame = tokenizer.frame
    for start, end in cuts(len(tokens), window - frame.single, overlap=0):
        shown = frame_text(tokens.ids, start, end, frame)
        free = ~np.isin(shown.ids, list(tokenizer.special_ids))
        chosen = np.flatnonzero((rng.random(len(shown)) < rate) & free)
        if len(chosen):
            seen = shown.ids.copy()
            seen[chosen] = mask
            masks = tuple(int(i) for i in chosen)
            yield (
                Window(seen, shown.types, start, end, shown.first, masks),
                (chosen - shown.first + start),
            )
