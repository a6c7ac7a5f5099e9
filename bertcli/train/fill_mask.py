"""Training a masked language model, read from top to bottom."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bertcli.errors import DataError
from bertcli.train.blocks import MaskRates, Vocabulary, draw_masks, framed
from bertcli.train.masked_lm import MaskedLm, bf16_is_fast
from bertcli.train.optimizers import Optimizer, Optimizers

if TYPE_CHECKING:
    from numpy.typing import NDArray

WARM_UP_STEPS = 200
SAVE_SECONDS = 120
EVALUATION_BLOCKS = 512
EVALUATION_BATCH = 32
BERT_RATES = MaskRates()
ALL_MASKED = MaskRates(select=0.15, mask=1.0, random=0.0)


@dataclass(frozen=True, slots=True)
class Settings:
    """How to train: until `steps` or `minutes` are over, whichever is given.

    The learning rate rises over 200 steps (or a tenth of them, if that is less) and falls linearly
    to zero at the end. `batch_blocks` blocks make one step.
    """

    rates: MaskRates = BERT_RATES
    steps: int | None = None
    minutes: float | None = None
    batch_blocks: int = 16
    optimizer: Optimizer = Optimizer.ADAMW
    learning_rate: float = 2e-3
    seed: int = 0
    evaluate_every: int = 500
    clip: float = 1.0


@dataclass(frozen=True, slots=True)
class Score:
    """Masked words that were guessed: shares in 0…1, and perplexity (1 and up)."""

    top1: float
    top5: float
    perplexity: float


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of a run after a step; `score` where it was just measured on held-out blocks."""

    step: int
    loss: float
    learning_rate: float
    tokens_per_second: float
    done: float
    score: Score | None = None


def train(
    model: MaskedLm,
    blocks: NDArray[np.uint32],
    held_out: NDArray[np.uint32],
    vocabulary: Vocabulary,
    settings: Settings,
    state: Path,
) -> Iterator[Progress]:
    """Train and yield the progress of each step; goes on from the file `state` if it is there.

    Batches and masks depend on the seed and the number of the step alone, so a run of a number of
    steps that was interrupted ends as it would have without. Raises DataError when the loss is no
    longer finite.
    """
    torch.manual_seed(settings.seed)
    parameters = model.trained()
    optimizers = Optimizers(model, settings.optimizer, settings.learning_rate)
    step, spent = _restore(state, parameters, optimizers)
    order = np.random.default_rng(settings.seed).permutation(len(blocks))
    first, loss_mean = step, math.nan
    started = saved = time.monotonic()
    began = started - spent
    while (done := _share_done(settings, step, time.monotonic() - began)) < 1:
        learning_rate = _learning_rate(settings, step, done)
        rng = np.random.default_rng([settings.seed, step])
        picked = np.arange(step * settings.batch_blocks, (step + 1) * settings.batch_blocks)
        ids = framed(blocks[np.sort(order[picked % len(blocks)])], vocabulary)
        loss = _loss(model, ids, *draw_masks(ids, settings.rates, vocabulary, rng))
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, settings.clip)
        optimizers.step(learning_rate)
        step += 1
        if not math.isfinite(loss.item()):
            raise DataError(f"the loss is not finite at step {step}: use a lower --learning-rate")
        loss_mean = loss.item() if math.isnan(loss_mean) else 0.98 * loss_mean + 0.02 * loss.item()
        rate = (step - first) * ids.size / (time.monotonic() - started)
        due = step % settings.evaluate_every == 0
        score = measure(model, held_out[:EVALUATION_BLOCKS], vocabulary) if due else None
        if due or time.monotonic() - saved > SAVE_SECONDS:
            saved = time.monotonic()
            _save(state, step, saved - began, parameters, optimizers)
        yield Progress(step, loss_mean, learning_rate, rate, done, score)


def measure(model: MaskedLm, blocks: NDArray[np.uint32], vocabulary: Vocabulary) -> Score:
    """Return how well masks over blocks are guessed: 15 % of the tokens, all shown as the mask."""
    rng = np.random.default_rng(1)
    first = within = total = 0
    loss = 0.0
    model.eval()
    for at in range(0, len(blocks), EVALUATION_BATCH):
        ids = framed(blocks[at : at + EVALUATION_BATCH], vocabulary)
        seen, selected = draw_masks(ids, ALL_MASKED, vocabulary, rng)
        with torch.inference_mode(), _autocast():
            logits = model(torch.from_numpy(seen), torch.from_numpy(selected)).float()
        right = torch.from_numpy(ids[selected])
        best = logits.topk(5).indices == right[:, None]
        first, within, total = (
            first + int(best[:, 0].sum()),
            within + int(best.sum()),
            total + len(right),
        )
        loss += float(functional.cross_entropy(logits, right, reduction="sum"))
    model.train()
    count = max(total, 1)
    return Score(first / count, within / count, math.exp(min(loss / count, 700.0)))


def _loss(model: MaskedLm, ids: Any, seen: Any, selected: Any) -> Tensor:
    with _autocast():
        logits = model(torch.from_numpy(seen), torch.from_numpy(selected)).float()
    return functional.cross_entropy(logits, torch.from_numpy(ids[selected]))


def _autocast() -> AbstractContextManager[object]:
    return torch.autocast("cpu", torch.bfloat16) if bf16_is_fast() else nullcontext()


def _share_done(settings: Settings, step: int, seconds: float) -> float:
    by_steps = step / settings.steps if settings.steps else 0.0
    by_time = seconds / (settings.minutes * 60) if settings.minutes else 0.0
    return max(by_steps, by_time)


def _learning_rate(settings: Settings, step: int, done: float) -> float:
    warm_up = min(WARM_UP_STEPS, max(1, (settings.steps or WARM_UP_STEPS * 10) // 10))
    return settings.learning_rate * min(1.0, (step + 1) / warm_up) * (1 - done)


def _save(
    path: Path, step: int, seconds: float, parameters: list[Any], optimizers: Optimizers
) -> None:
    partial = path.with_suffix(".partial")
    state = {
        "step": step,
        "seconds": seconds,
        "parameters": [parameter.detach() for parameter in parameters],
        "optimizers": optimizers.state(),
    }
    torch.save(state, partial)
    partial.replace(path)


def _restore(path: Path, parameters: list[Any], optimizers: Optimizers) -> tuple[int, float]:
    if not path.is_file():
        return 0, 0.0
    state = torch.load(path, weights_only=True)
    if len(state["parameters"]) != len(parameters):
        raise DataError(f"{path}: of a run with other settings; give another -o, or the same ones")
    with torch.no_grad():
        for parameter, saved in zip(parameters, state["parameters"], strict=True):
            parameter.copy_(saved)
    optimizers.restore(state["optimizers"])
    return int(state["step"]), float(state["seconds"])
