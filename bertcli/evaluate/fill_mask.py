"""How well a model fills masks over held-out text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from bertcli.engine.encoder import Encoder, Logits
from bertcli.engine.tokens import TextTokenizer
from bertcli.engine.windows import Window, cuts, frame_text

MASK_RATE = 0.15
TEXTS_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class FillMaskScore:
    """Counts over all masked tokens, and the sum of their negative log probabilities (in nats)."""

    tokens: int = 0
    first: int = 0
    among_five: int = 0
    loss: float = 0.0

    @property
    def top1(self) -> float:
        """The share of masks whose most probable token was right."""
        return self.first / max(self.tokens, 1)

    @property
    def top5(self) -> float:
        """The share of masks whose right token was among the five most probable."""
        return self.among_five / max(self.tokens, 1)

    @property
    def perplexity(self) -> float:
        """The exponential of the mean negative log probability of the right tokens."""
        return math.exp(min(self.loss / max(self.tokens, 1), 700.0))

    def plus(self, logits: Logits, right: np.ndarray) -> FillMaskScore:
        """Return the counts with one window more: logits (k, vocabulary), right ids (k,)."""
        wide = logits.astype(np.float64)
        at = wide[np.arange(len(right)), right]
        better = (wide > at[:, None]).sum(axis=1)
        top = wide.max(axis=1)
        log_total = top + np.log(np.exp(wide - top[:, None]).sum(axis=1))
        return FillMaskScore(
            self.tokens + len(right),
            self.first + int((better == 0).sum()),
            self.among_five + int((better < 5).sum()),
            self.loss + float((log_total - at).sum()),
        )


def measure_fill_mask(
    encoder: Encoder,
    tokenizer: TextTokenizer,
    texts: Iterable[str],
    window: int,
    rate: float = MASK_RATE,
    seed: int = 0,
) -> FillMaskScore:
    """Mask a share of every text's tokens, all of them replaced by the mask, and count the hits.

    Each text stands alone; a text longer than the window is read in pieces without overlap.
    """
    rng = np.random.default_rng(seed)
    mask = tokenizer.id(tokenizer.mask_token or "") or 0
    score = FillMaskScore()
    stream = iter(texts)
    while batch := list(islice(stream, TEXTS_AT_ONCE)):
        pairs = [
            pair
            for ids in tokenizer.ids(batch)
            for pair in _masked(ids, tokenizer, window, rate, mask, rng)
        ]
        outputs = encoder.encode([shown for shown, _ in pairs])
        for (_, right), logits in zip(pairs, outputs, strict=True):
            score = score.plus(logits, right)
    return score


def _masked(
    ids: np.ndarray,
    tokenizer: TextTokenizer,
    window: int,
    rate: float,
    mask: int,
    rng: np.random.Generator,
) -> Iterator[tuple[Window, np.ndarray]]:
    """Yield the masked windows of a text with the ids that stood there; none without a mask."""
    frame = tokenizer.frame
    for start, end in cuts(len(ids), window - frame.single, overlap=0):
        shown = frame_text(ids, start, end, frame)
        free = ~np.isin(shown.ids, list(tokenizer.special_ids))
        chosen = np.flatnonzero((rng.random(len(shown)) < rate) & free)
        if len(chosen):
            seen = shown.ids.copy()
            seen[chosen] = mask
            masks = tuple(int(i) for i in chosen)
            yield Window(seen, shown.types, start, end, shown.first, masks), shown.ids[chosen]
