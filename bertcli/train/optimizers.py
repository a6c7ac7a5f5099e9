"""What changes the parameters after each step: AdamW, or Muon for the matrices of the encoder."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from bertcli.train.choices import Optimizer

ADAM_BETAS = (0.9, 0.98)
WEIGHT_DECAY = 0.01


def trained(model: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that training changes."""
    return [one for one in model.parameters() if one.requires_grad]


class Optimizers:
    """The optimizers of a run, driven as one."""

    def __init__(self, model: nn.Module, kind: Optimizer, learning_rate: float) -> None:
        """Divide the model's trainable parameters among them.

        Embedding tables stay with AdamW: most of their rows have no gradient in a step.
        """
        moving = trained(model)
        tables = {id(one) for one in _tables(model.modules())}
        moved = {
            id(one)
            for one in moving
            if kind is Optimizer.MUON and one.ndim == 2 and id(one) not in tables
        }
        self._all: list[torch.optim.Optimizer] = []
        if matrices := [one for one in moving if id(one) in moved]:
            self._all.append(
                torch.optim.Muon(
                    matrices, lr=learning_rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"
                )
            )
        if rest := [one for one in moving if id(one) not in moved]:
            self._all.append(
                torch.optim.AdamW(
                    rest,
                    lr=learning_rate,
                    betas=ADAM_BETAS,
                    weight_decay=WEIGHT_DECAY,
                    fused=True,
                )
            )

    def step(self, learning_rate: float) -> None:
        """Move the parameters along their gradients, and forget the gradients."""
        for optimizer in self._all:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate
            optimizer.step()
            optimizer.zero_grad()

    def state(self) -> list[dict[str, Any]]:
        """Return what a run needs to go on."""
        return [optimizer.state_dict() for optimizer in self._all]

    def restore(self, states: list[dict[str, Any]]) -> None:
        """Go on from a state; ValueError when it is one of other optimizers."""
        for optimizer, state in zip(self._all, states, strict=True):
            optimizer.load_state_dict(state)


def _tables(modules: Iterable[nn.Module]) -> Iterable[torch.Tensor]:
    """Return the tables, and LoRA's factors of them."""
    for module in modules:
        if isinstance(module, nn.Embedding):
            yield module.weight
        for factors in ("lora_embedding_A", "lora_embedding_B"):
            yield from getattr(module, factors, {}).values()
