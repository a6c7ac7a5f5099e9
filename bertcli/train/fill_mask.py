"""What a masked language model learns from: blocks of text with masks drawn anew at each step."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bertcli.engine.batching import Batch, plan
from bertcli.train.blocks import MaskRates, Vocabulary, draw_masks, framed, lengths_of
from bertcli.train.examples import one_epoch
from bertcli.train.loop import Scores
from bertcli.train.trainee import ENCODE_TOKENS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bertcli.train.trainee import Trainee

EVALUATION_BLOCKS = 512
ALL_MASKED = MaskRates(select=0.15, mask=1.0, random=0.0)


def masked_loss(
    model: Trainee,
    blocks: NDArray[np.uint32],
    vocabulary: Vocabulary,
    rates: MaskRates,
    batch_tokens: int,
    seed: int,
) -> Callable[[int], tuple[Tensor, int]]:
    """Return the loss of a step over blocks of a corpus (blocks, content), of similar length.

    Blocks and masks depend on the seed and the number of the step alone.
    """
    lengths = lengths_of(blocks, vocabulary).tolist()
    steps: list[NDArray[np.int64]] = []
    epochs = itertools.count()

    def loss(step: int) -> tuple[Tensor, int]:
        while step >= len(steps):
            steps.extend(one_epoch(lengths, batch_tokens, seed, next(epochs)))
        rng = np.random.default_rng([seed, step])
        batch, right = _masked(blocks[np.sort(steps[step])], vocabulary, rates, rng)
        return functional.cross_entropy(model(batch), right), sum(batch.lengths)

    return loss


def measure(model: Trainee, blocks: NDArray[np.uint32], vocabulary: Vocabulary) -> Scores:
    """Return how well masks over blocks are guessed: 15 % of the tokens, all shown as the mask.

    `top-1` and `top-5` are shares in 0…1, `perplexity` is 1 or more.
    """
    rng = np.random.default_rng(1)
    first = within = total = 0
    loss = 0.0
    for rows in plan(lengths_of(blocks, vocabulary).tolist(), ENCODE_TOKENS):
        batch, right = _masked(blocks[np.sort(rows)], vocabulary, ALL_MASKED, rng)
        with torch.inference_mode():
            logits = model(batch)
        best = logits.topk(5).indices == right[:, None]
        first, within = first + int(best[:, 0].sum()), within + int(best.sum())
        total += len(right)
        loss += float(functional.cross_entropy(logits, right, reduction="sum"))
    count = max(total, 1)
    perplexity = math.exp(min(loss / count, 700.0))
    return {"top-1": first / count, "top-5": within / count, "perplexity": perplexity}


def _masked(
    rows: NDArray[np.uint32], vocabulary: Vocabulary, rates: MaskRates, rng: np.random.Generator
) -> tuple[Batch, Tensor]:
    """Return a batch of blocks (n, content) with masks, and the ids (k,) that stood there."""
    ids, lengths = framed(rows, vocabulary)
    seen, selected = draw_masks(ids, rates, vocabulary, rng)
    shown = (np.arange(ids.shape[1]) < lengths[:, None]).astype(np.int32)
    batch = Batch(seen, np.zeros_like(seen), shown, np.argwhere(selected), tuple(lengths.tolist()))
    return batch, torch.from_numpy(ids[selected])
