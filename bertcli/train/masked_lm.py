"""A masked language model to be trained, with logits only where they are needed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from bertcli.checkpoints.layout import Checkpoint
from bertcli.errors import CheckpointError
from bertcli.train.lora import add_lora, go_on_with_lora

if TYPE_CHECKING:
    from peft import PeftModel


def _bert(model: Any, hidden: Tensor) -> Tensor:
    return model.cls(hidden)  # type: ignore[no-any-return]


def _roberta(model: Any, hidden: Tensor) -> Tensor:
    return model.lm_head(hidden)  # type: ignore[no-any-return]


def _distilbert(model: Any, hidden: Tensor) -> Tensor:
    x = model.activation(model.vocab_transform(hidden))
    return model.vocab_projector(model.vocab_layer_norm(x))  # type: ignore[no-any-return]


def _electra(model: Any, hidden: Tensor) -> Tensor:
    return model.generator_lm_head(model.generator_predictions(hidden))  # type: ignore[no-any-return]


HEADS: Mapping[str, Callable[[Any, Tensor], Tensor]] = {
    "bert": _bert,
    "roberta": _roberta,
    "xlm-roberta": _roberta,
    "camembert": _roberta,
    "distilbert": _distilbert,
    "electra": _electra,
}
DENSE = {
    "bert": "transform.dense",
    "roberta": "lm_head.dense",
    "xlm-roberta": "lm_head.dense",
    "camembert": "lm_head.dense",
    "distilbert": "vocab_transform",
    "electra": "generator_predictions.dense",
}


class MaskedLm(nn.Module):
    """The model, and the part of it that trains: everything, or LoRA and the head's dense layer."""

    def __init__(self, checkpoint: Checkpoint, rank: int | None) -> None:
        """Load a checkpoint without dropout; `rank` None trains all of it.

        Dropout more than halves the speed on a CPU. Eager attention trains 1.5 times as fast there
        as torch's fused one, whose backward pass is slow in bfloat16. A checkpoint without a head
        gets one whose dense layer starts as the identity; an adapter is trained on, at its rank.
        """
        super().__init__()
        kind = str(checkpoint.config["model_type"])
        if kind not in HEADS:
            raise CheckpointError(
                f"{checkpoint.name}: the architecture {kind} cannot be trained to fill masks"
            )
        if checkpoint.adapter and rank is None:
            raise CheckpointError(f"{checkpoint.name}: an adapter is trained on with LoRA only")
        self._head = HEADS[kind]
        plain, missing = _load(checkpoint)
        if any(DENSE[kind] in name for name in missing):
            _start_as_identity(plain, DENSE[kind])
        self.peft: PeftModel | None = None
        if checkpoint.adapter:
            self.peft = go_on_with_lora(plain, checkpoint.adapter.folder)
        elif rank:
            self.peft = add_lora(plain, rank, [DENSE[kind]])
        self.plain = plain

    def forward(self, ids: Tensor, selected: Tensor) -> Tensor:
        """Return logits (k, vocabulary) at the selected positions of ids (n, length)."""
        hidden = self.plain.base_model(ids).last_hidden_state
        return self._head(self.plain, hidden[selected])

    def trained(self) -> list[nn.Parameter]:
        """Return the parameters that training changes."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]


def bf16_is_fast() -> bool:
    """Tell whether this processor multiplies bfloat16 in hardware."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and bool(
        torch.cpu._is_avx512_bf16_supported()
    )


def _load(checkpoint: Checkpoint) -> tuple[Any, set[str]]:
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    config = transformers.AutoConfig.for_model(**checkpoint.config)
    for key in (
        "hidden_dropout_prob",
        "attention_probs_dropout_prob",
        "dropout",
        "attention_dropout",
    ):
        if hasattr(config, key):
            setattr(config, key, 0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of transformers about itself
        model, report = transformers.AutoModelForMaskedLM.from_pretrained(
            checkpoint.folder,
            config=config,
            attn_implementation="eager",
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
    return model.float(), set(report["missing_keys"])


def _start_as_identity(model: nn.Module, dense: str) -> None:
    for name, module in model.named_modules():
        if name.endswith(dense) and isinstance(module, nn.Linear):
            nn.init.eye_(module.weight)
            nn.init.zeros_(module.bias)
