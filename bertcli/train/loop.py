"""Training, read from top to bottom: whatever the task, a step is a loss, a gradient and a move."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bertcli.errors import DataError, OutputError
from bertcli.train.choices import Optimizer
from bertcli.train.optimizers import Optimizers, trained

WARM_UP_STEPS = 200
SAVE_SECONDS = 120
SMOOTHING = 0.98
LONGEST_GRADIENT = 1.0

Scores = Mapping[str, float]
"""What was measured on held-out data; the first entry is the one that counts, higher is better."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to train: until `steps` or `minutes` are over, whichever comes first.

    The learning rate rises over 200 steps (or a tenth of them, if that is less) and falls linearly
    to zero at the end. Every `evaluate_every` steps the model is measured; after `patience`
    measurements without a better one training stops. With either `keep_best` or `patience` the best
    of these models is the result, and the last one is measured too, whenever the time is over.
    """

    steps: int | None = None
    minutes: float | None = None
    optimizer: Optimizer = Optimizer.ADAMW
    learning_rate: float = 2e-3
    evaluate_every: int = 500
    keep_best: bool = False
    patience: int | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of a run after a step; `scores` where it was just measured on held-out data.

    `loss` is a running mean; `done` the share of the run that is over by then, 0…1.
    """

    step: int
    loss: float
    learning_rate: float
    tokens_per_second: float
    done: float
    scores: Scores | None = None


@dataclass(slots=True)
class _State:
    """What a run needs to go on where it was interrupted."""

    step: int = 0
    seconds: float = 0.0
    loss: float = math.nan
    since_best: int = 0
    best: float = -math.inf
    best_parameters: list[Tensor] | None = None


def train(
    model: nn.Module,
    step_loss: Callable[[int], tuple[Tensor, int]],
    measure: Callable[[], Scores],
    settings: Settings,
    path: Path,
) -> Iterator[Progress]:
    """Train and yield the progress of each step; goes on from the file `path` if it is there.

    `step_loss` returns the loss of a step by its number, and how many tokens it read. Where it
    depends on nothing else, a run of a number of steps that was interrupted ends as it would have
    without. Raises DataError when the loss is no longer finite.
    """
    torch.manual_seed(settings.seed)
    parameters = trained(model)
    optimizers = Optimizers(model, settings.optimizer, settings.learning_rate)
    state = _restore(path, parameters, optimizers)
    started = saved = time.monotonic()
    began = started - state.seconds
    tokens, rate = 0, 0.0
    keep = settings.keep_best or settings.patience is not None
    scores = None
    if _share_done(settings, state, state.seconds) >= 1:  # interrupted when all was trained
        yield Progress(state.step, state.loss, 0.0, 0.0, 1.0)
    model.train()
    while (done := _share_done(settings, state, time.monotonic() - began)) < 1:
        learning_rate = _learning_rate(settings, state.step, done)
        loss, read = step_loss(state.step)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, LONGEST_GRADIENT)
        optimizers.step(learning_rate)
        state.step += 1
        tokens += read
        state.loss = _running(state.loss, loss.item(), state.step)
        due = state.step % settings.evaluate_every == 0 or state.step == settings.steps
        scores = _measured(model, measure) if due else None
        if scores and keep:
            _remember(state, next(iter(scores.values())), parameters)
        if due or time.monotonic() - saved > SAVE_SECONDS:
            saved = time.monotonic()
            state.seconds = saved - began
            _save(path, state, parameters, optimizers)
        rate = tokens / max(time.monotonic() - started, 1e-9)
        gone = min(1.0, _share_done(settings, state, time.monotonic() - began))
        yield Progress(state.step, state.loss, learning_rate, rate, gone, scores)
    if keep and scores is None and state.step:  # the time was over between two measurements
        scores = _measured(model, measure)
        _remember(state, next(iter(scores.values())), parameters)
        yield Progress(state.step, state.loss, 0.0, rate, 1.0, scores)
    if state.best_parameters is not None:
        _put_back(parameters, state.best_parameters)


def _share_done(settings: Settings, state: _State, seconds: float) -> float:
    if settings.patience is not None and state.since_best >= settings.patience:
        return 1.0
    by_steps = state.step / settings.steps if settings.steps else 0.0
    by_time = seconds / (settings.minutes * 60) if settings.minutes else 0.0
    return max(by_steps, by_time)


def _learning_rate(settings: Settings, step: int, done: float) -> float:
    warm_up = min(WARM_UP_STEPS, max(1, (settings.steps or WARM_UP_STEPS * 10) // 10))
    return settings.learning_rate * min(1.0, (step + 1) / warm_up) * (1 - done)


def _running(mean: float, loss: float, step: int) -> float:
    if not math.isfinite(loss):
        raise DataError(f"the loss is not finite at step {step}: use a lower --learning-rate")
    return loss if math.isnan(mean) else SMOOTHING * mean + (1 - SMOOTHING) * loss


def _measured(model: nn.Module, measure: Callable[[], Scores]) -> Scores:
    model.eval()
    scores = measure()
    model.train()
    return scores


def _remember(state: _State, score: float, parameters: list[nn.Parameter]) -> None:
    """Keep the best parameters; of equal scores the later, which learnt more and is surer.

    On few held-out examples the best score may be reached long before the end.
    """
    state.since_best = 0 if score > state.best else state.since_best + 1
    if score >= state.best:
        state.best = score
        state.best_parameters = [one.detach().clone() for one in parameters]


def _put_back(parameters: list[nn.Parameter], saved: list[Tensor]) -> None:
    with torch.no_grad():
        for parameter, value in zip(parameters, saved, strict=True):
            parameter.copy_(value)


def _save(
    path: Path, state: _State, parameters: list[nn.Parameter], optimizers: Optimizers
) -> None:
    partial = path.with_suffix(".partial")
    saved: dict[str, Any] = {name: getattr(state, name) for name in _State.__slots__}
    saved["parameters"] = [parameter.detach() for parameter in parameters]
    saved["optimizers"] = optimizers.state()
    saved["random"] = torch.get_rng_state()
    try:
        torch.save(saved, partial)
        partial.replace(path)
    except (OSError, RuntimeError) as error:  # torch says so of a full disk
        partial.unlink(missing_ok=True)
        raise OutputError(
            f"{path}: the state of the run cannot be written, as on a full disk"
        ) from error


def _restore(path: Path, parameters: list[nn.Parameter], optimizers: Optimizers) -> _State:
    if not path.is_file():
        return _State()
    try:
        saved = torch.load(path, weights_only=True)
    except Exception as error:  # of pickle, zipfile and torch
        raise DataError(f"{path}: damaged; begin anew with another -o") from error
    same = [one.shape for one in saved["parameters"]] == [one.shape for one in parameters]
    if not same:
        raise DataError(f"{path}: of a run with other settings; give another -o, or the same ones")
    _put_back(parameters, saved["parameters"])
    try:
        optimizers.restore(saved["optimizers"])
    except ValueError as error:
        raise DataError(f"{path}: of a run with another --optimizer") from error
    torch.set_rng_state(saved["random"])  # dropout goes on where it was
    return _State(**{name: saved[name] for name in _State.__slots__})
