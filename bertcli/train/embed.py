"""What an embedding model learns from: pairs of texts, with the losses of sentence-transformers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bertcli.engine.batching import Batch, pad
from bertcli.engine.choices import Pooling
from bertcli.engine.tokens import TextTokenizer
from bertcli.engine.windows import Window, frame_text
from bertcli.records import ScoredPair
from bertcli.train.trainee import Trainee

Pair = tuple[Window, Window]
NO_MODEL = nn.Identity()
"""The losses are given vectors, and ask a model for nothing."""


def pair_windows(
    pairs: Sequence[ScoredPair], tokenizer: TextTokenizer, window: int
) -> tuple[list[Pair], int]:
    """Return the first window of both texts of each pair, and how many texts that cuts."""
    frame = tokenizer.frame
    room = window - frame.single
    found, cut = [], 0
    first = tokenizer.ids([one.first for one in pairs])
    second = tokenizer.ids([one.second for one in pairs])
    for both in zip(first, second, strict=True):
        cut += sum(len(ids) > room for ids in both)
        one, other = (frame_text(ids, 0, min(len(ids), room), frame) for ids in both)
        found.append((one, other))
    return found, cut


def scored_loss() -> Any:
    """Return the loss for pairs with scores: CoSENT, which learns their order."""
    from sentence_transformers.sentence_transformer.losses import CoSENTLoss

    return CoSENTLoss(cast(Any, NO_MODEL))


def pairs_loss() -> Any:
    """Return the loss for pairs without scores: each second text is to be nearer to its first than
    the second texts of the other pairs of the step (Henderson et al. 2017)."""
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    return MultipleNegativesRankingLoss(cast(Any, NO_MODEL))


def embedding_loss(
    model: Trainee,
    windows: Sequence[Pair],
    scores: NDArray[np.float32],
    pooling: Pooling,
    steps: Sequence[NDArray[np.int64]],
    loss: Any,
) -> Callable[[int], tuple[Tensor, int]]:
    """Return the loss of a step over the pairs that are scheduled for it."""

    def step_loss(step: int) -> tuple[Tensor, int]:
        members = [windows[i] for i in steps[step]]
        batches = [pad([pair[side] for pair in members], model.padding) for side in (0, 1)]
        vectors = [pooled(model(batch), batch, pooling) for batch in batches]
        labels = torch.from_numpy(scores[steps[step]])
        found: Tensor = loss.compute_loss_from_embeddings(vectors, labels)
        return found, sum(sum(batch.lengths) for batch in batches)

    return step_loss


def without_repeats(step: NDArray[np.int64], windows: Sequence[Pair]) -> NDArray[np.int64]:
    """Return the pairs of a step without those of which a text is an earlier one's too.

    Where a text is to be far from those of the other pairs, it must not be from its own.
    """
    kept, seen = list[int](), set[tuple[int, bytes]]()
    for number in step.tolist():
        texts = {(side, window.ids.tobytes()) for side, window in enumerate(windows[number])}
        if seen.isdisjoint(texts):
            kept.append(number)
            seen |= texts
    return np.array(kept, np.int64)


def pooled(hidden: Tensor, batch: Batch, pooling: Pooling) -> Tensor:
    """Return hidden states (n, length, d) as one vector each, (n, d), padding left out."""
    if pooling is Pooling.CLS:
        return hidden[:, 0]
    mask = torch.from_numpy(batch.mask).bool()[:, :, None]
    if pooling is Pooling.MAX:
        return hidden.masked_fill(~mask, -torch.inf).amax(dim=1)
    return (hidden * mask).sum(dim=1) / mask.sum(dim=1)


def unit_scores(pairs: Sequence[ScoredPair]) -> NDArray[np.float32]:
    """Return the scores of pairs in 0…1: the least is 0, the highest 1; all 1 without."""
    scores = np.array([1.0 if one.score is None else one.score for one in pairs], np.float32)
    spread = float(np.ptp(scores))
    return (scores - scores.min()) / spread if spread else np.ones_like(scores)
