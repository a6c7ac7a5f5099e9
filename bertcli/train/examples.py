"""Windows with what is to be learned of them, batches of them, and the loss of each head."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from bertcli.engine.batching import pad, plan
from bertcli.engine.families import Head
from bertcli.engine.windows import Window

if TYPE_CHECKING:
    from bertcli.train.trainee import Trainee

UNJUDGED = -100
"""The target of a token that has no label of its own; cross entropy leaves it out."""
FORBIDDEN = -1e4
NEIGHBOURS = 50
"""Batches' worth of examples that are sorted by length together."""


@dataclass(frozen=True, slots=True)
class Example:
    """A window and its target.

    Of a sequence: the label's number (), or a probability of each label (labels,) float. Of tokens:
    a number per position (length,), UNJUDGED for none. Of an answer: the share of annotators who
    begin and who end it at each position (length, 2) float, all at 0 where the window holds none.
    """

    window: Window
    target: NDArray[Any]


@dataclass(frozen=True, slots=True)
class Weighing:
    """How errors are weighed: a weight per label (None for equal ones), and label smoothing.

    `exclusive` says of probabilities of labels that they sum to 1: a text has one label only.
    """

    labels: NDArray[np.float32] | None = None
    smoothing: float = 0.0
    exclusive: bool = False


def bytes_of(examples: Iterable[Example], targets: bool = True) -> Iterator[bytes]:
    """Yield everything that a model sees of examples, by which they are known again.

    Without `targets` what it reads only.
    """
    for one in examples:
        yield from (one.window.ids.tobytes(), one.window.types.tobytes())
        yield one.target.tobytes() if targets else b""


def schedule(
    lengths: Sequence[int], budget: int, epochs: float, seed: int
) -> list[NDArray[np.int64]]:
    """Return the examples of every step; see `one_epoch`, of which a part is the first batches."""
    whole, part = divmod(epochs, 1)
    steps = [step for n in range(int(whole)) for step in one_epoch(lengths, budget, seed, n)]
    if part:
        last = one_epoch(lengths, budget, seed, int(whole))
        steps += last[: max(1, round(len(last) * part))]
    return steps


def one_epoch(
    lengths: Sequence[int], budget: int, seed: int, number: int
) -> list[NDArray[np.int64]]:
    """Return the examples of every step of an epoch: each once, `n · longest` within the budget.

    The order is new in each epoch. Examples of similar length stand together: a stretch of the
    shuffled ones is sorted, cut into batches, and the batches are shuffled.
    """
    mean = max(1.0, sum(lengths) / max(len(lengths), 1))
    stretch = max(1, int(NEIGHBOURS * budget / mean))
    rng = np.random.default_rng([seed, number])
    order = rng.permutation(len(lengths))
    batches = []
    for at in range(0, len(order), stretch):
        near = order[at : at + stretch]
        batches += [near[b] for b in plan([lengths[i] for i in near], budget)]
    return [batches[i] for i in rng.permutation(len(batches))]


def supervised_loss(
    model: Trainee,
    examples: Sequence[Example],
    steps: Sequence[NDArray[np.int64]],
    weighing: Weighing = Weighing(),
) -> Callable[[int], tuple[Tensor, int]]:
    """Return the loss of a step over the examples that are scheduled for it."""

    def loss(step: int) -> tuple[Tensor, int]:
        members = [examples[i] for i in steps[step]]
        batch = pad([one.window for one in members], model.padding)
        targets = stacked([one.target for one in members], model.head, batch.ids.shape[1])
        logits = model(batch)
        if model.head is Head.QA:
            logits = legal_only(logits, [one.window for one in members])
        found = head_loss(model.head, logits, targets, weighing)
        return found, sum(batch.lengths)

    return loss


def stacked(targets: Sequence[NDArray[Any]], head: Head, length: int) -> Tensor:
    """Return a batch's targets as one tensor, those of tokens and of answers padded to a length."""
    if head is Head.TOKEN:
        rows = np.full((len(targets), length), UNJUDGED, np.int64)
    elif head is Head.QA:
        rows = np.zeros((len(targets), length, 2), np.float32)
    else:
        return torch.from_numpy(np.stack(targets))
    for row, target in zip(rows, targets, strict=True):
        row[: len(target)] = target
    return torch.from_numpy(rows)


def legal_only(logits: Tensor, windows: Sequence[Window]) -> Tensor:
    """Return answer logits (n, length, 2), very low where no answer may begin or end.

    Legal are the context and the first token, which stands for no answer: what is chosen from.
    """
    legal = torch.zeros(logits.shape[:2], dtype=torch.bool)
    legal[:, 0] = True
    for row, window in zip(legal, windows, strict=True):
        row[window.first : window.first + window.end - window.start] = True
    return logits.masked_fill(~legal[:, :, None], FORBIDDEN)


def head_loss(head: Head, logits: Tensor, targets: Tensor, weighing: Weighing) -> Tensor:
    """Return the mean loss of a batch's logits.

    Cross entropy, for an answer the mean of its start's and its end's (Devlin et al. 2019, section
    4.2), and each label's own where a text may have several.
    """
    smoothing = weighing.smoothing
    weights = None if weighing.labels is None else torch.from_numpy(weighing.labels)
    if head is Head.QA:
        return functional.cross_entropy(logits, targets, label_smoothing=smoothing)
    if head is Head.TOKEN:
        logits, targets = logits.flatten(0, 1), targets.flatten()
    elif targets.ndim == 2 and not weighing.exclusive:
        return functional.binary_cross_entropy_with_logits(logits, targets, pos_weight=weights)
    return functional.cross_entropy(logits, targets, weights, label_smoothing=smoothing)
