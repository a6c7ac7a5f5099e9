"""A checkpoint to be trained: its encoder, the head a task needs, and what of them changes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from bertcli.checkpoints.layout import Checkpoint
from bertcli.engine.batching import Batch
from bertcli.engine.encoder import Logits, Reduce, encode_in_batches, unreduced
from bertcli.engine.families import CAPITALS, TOKEN_TYPES, Head
from bertcli.engine.torch_encoder import AUTO_CLASSES, refuse_missing, unloadable
from bertcli.engine.windows import Window
from bertcli.errors import CheckpointError
from bertcli.train.lora import add_lora, go_on_with_lora, rank_of_embeddings

if TYPE_CHECKING:
    from peft import PeftModel

ENCODE_TOKENS = 4_096
"""Tokens in one batch when a model that trains is measured.

400 texts took 1.23 of the time with 1,024, 1.65 with 8,192; with 2,048 about the same.
"""
KERNELS = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "32")
"""How many kernels oneDNN keeps, with their memory: each shape of batch has its own.

Of 1,024, its own number, 200 steps held 4.3 GB; of 32 they hold 2.8 GB at the same speed.
"""
DROPOUTS = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "classifier_dropout",
    "seq_classif_dropout",
    "qa_dropout",
    "dropout",
    "attention_dropout",
)


def _bert(model: Any, hidden: Tensor) -> Tensor:
    return model.cls(hidden)  # type: ignore[no-any-return]


def _roberta(model: Any, hidden: Tensor) -> Tensor:
    return model.lm_head(hidden)  # type: ignore[no-any-return]


def _distilbert(model: Any, hidden: Tensor) -> Tensor:
    x = model.activation(model.vocab_transform(hidden))
    return model.vocab_projector(model.vocab_layer_norm(x))  # type: ignore[no-any-return]


def _electra(model: Any, hidden: Tensor) -> Tensor:
    return model.generator_lm_head(model.generator_predictions(hidden))  # type: ignore[no-any-return]


MASKED_HEADS: Mapping[str, Callable[[Any, Tensor], Tensor]] = {
    "bert": _bert,
    "roberta": _roberta,
    "xlm-roberta": _roberta,
    "camembert": _roberta,
    "distilbert": _distilbert,
    "electra": _electra,
}
MASKED_DENSE = {
    "bert": "transform.dense",
    "roberta": "lm_head.dense",
    "xlm-roberta": "lm_head.dense",
    "camembert": "lm_head.dense",
    "distilbert": "vocab_transform",
    "electra": "generator_predictions.dense",
}
TYPE_EMBEDDINGS = "embeddings.token_type_embeddings"
HEAD_MODULES = {
    Head.SEQUENCE: ("pooler", "pre_classifier", "head", "classifier"),
    Head.TOKEN: ("head", "classifier"),
    Head.QA: ("qa_outputs", "head", "classifier"),
}


class Trainee(nn.Module):
    """A model, and the part of it that trains: everything, or LoRA and the head."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        head: Head,
        rank: int | None,
        labels: Sequence[str] = (),
        dropout: float = 0.0,
        seed: int = 0,
        embedding_rank: int = 0,
        **config: Any,
    ) -> None:
        """Load a checkpoint with a head for `labels`; `rank` None trains all of it.

        With an `embedding_rank` LoRA changes the word embeddings too.
        Dropout is 0 unless asked for, since it more than halves the speed on a CPU. Eager attention
        trains 1.5 times as fast there as torch's fused one, whose backward pass is slow in
        bfloat16. A head that the checkpoint does not have begins at random by `seed`, as does that
        of a label it does not know; the dense layer of a masked-LM head begins as the identity. An
        adapter is trained on, at its rank; one with another head gives its changes of the encoder.
        `config` are further settings for config.json; token types that are to tell capitals begin
        as all the same. `exact` computes in float32 also where bfloat16 is quicker, as the engines
        do. `window` is how many tokens the checkpoint is to read at once, where that is fewer than
        its base can.
        """
        super().__init__()
        os.environ.setdefault(*KERNELS)
        self.kind = str(checkpoint.config["model_type"])
        if head is Head.MASKED_LM and self.kind not in MASKED_HEADS:
            raise CheckpointError(
                f"{checkpoint.name}: the architecture {self.kind} cannot be trained to fill masks"
            )
        if checkpoint.adapter and rank is None:
            raise CheckpointError(f"{checkpoint.name}: an adapter is trained on with LoRA only")
        self.head = head
        torch.manual_seed(seed)
        plain, missing = _load(checkpoint, head, labels, dropout, config)
        if head is Head.MASKED_LM and any(MASKED_DENSE[self.kind] in name for name in missing):
            _start_as_identity(plain, MASKED_DENSE[self.kind])
        modules = HEAD_MODULES.get(head, ())
        if head is Head.MASKED_LM:
            modules = (MASKED_DENSE[self.kind],)
        tells_capitals = config.get(TOKEN_TYPES) == CAPITALS
        if tells_capitals or checkpoint.reads_capitals:
            modules = (*modules, TYPE_EMBEDDINGS)
        if tells_capitals and not checkpoint.reads_capitals:
            _start_alike(plain, TYPE_EMBEDDINGS)
        self.peft: PeftModel | None = None
        if checkpoint.adapter:
            self.peft = go_on_with_lora(plain, checkpoint.adapter.folder, modules, embedding_rank)
            if head is Head.MASKED_LM and rank_of_embeddings(self.peft):
                raise CheckpointError(
                    f"{checkpoint.name}: the adapter changes the embeddings, which are the output "
                    "matrix too to fill masks: merge it into its base with PEFT's "
                    "merge_and_unload(), and train that"
                )
        elif rank:
            self.peft = add_lora(plain, rank, modules, embedding_rank)
        classifies = checkpoint.head in (Head.SEQUENCE, Head.TOKEN)
        if classifies and len(labels) == len(of_base := checkpoint.labels):
            _carry_over(plain, of_base if checkpoint.head is head else [], labels)
        self.rank = self.peft.peft_config["default"].r if self.peft else None
        self.embedding_rank = rank_of_embeddings(self.peft) if self.peft else 0
        self.plain = plain
        self.settings = config
        self.exact = False
        self.window: int | None = None
        self._token_types = getattr(plain.config, "type_vocab_size", 0) > 1
        self._padding = int(plain.config.pad_token_id or 0)

    def forward(self, batch: Batch) -> Tensor:
        """Return the head's logits, or the hidden states (n, length, d) of a bare encoder.

        Of sequences (n, labels), of tokens (n, length, labels), of answers (n, length, 2), of masks
        (k, vocabulary) at the batch's positions.
        """
        feed = {"input_ids": torch.from_numpy(batch.ids)}
        if not batch.mask.all():
            feed["attention_mask"] = torch.from_numpy(batch.mask).long()
        if self._token_types:
            feed["token_type_ids"] = torch.from_numpy(batch.types)
        with nullcontext() if self.exact else autocast():
            if self.head is Head.MASKED_LM:
                rows, columns = torch.from_numpy(batch.positions).T
                hidden = self.plain.base_model(**feed).last_hidden_state[rows, columns]
                return MASKED_HEADS[self.kind](self.plain, hidden).float()
            output = self.plain(**feed)
        if self.head is Head.QA:
            return torch.stack([output.start_logits, output.end_logits], dim=-1).float()
        found: Tensor = output.last_hidden_state if self.head is Head.BASE else output.logits
        return found.float()

    def encode(self, windows: Sequence[Window], reduce: Reduce = unreduced) -> Iterator[Logits]:
        """Return one array per window as it is now; see `Encoder.encode`."""
        return encode_in_batches(
            self._run, windows, self.head, self._padding, ENCODE_TOKENS, reduce
        )

    @property
    def padding(self) -> int:
        """The id of the padding token."""
        return self._padding

    def _run(self, batch: Batch) -> Logits:
        with torch.inference_mode():
            logits: Logits = self(batch).numpy()
        return logits


def autocast() -> AbstractContextManager[object]:
    """Return the context in which matrices are multiplied in bfloat16, where that is fast."""
    return torch.autocast("cpu", torch.bfloat16) if _bf16_is_fast() else nullcontext()


def _bf16_is_fast() -> bool:
    """Tell whether this processor multiplies bfloat16 in hardware."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and bool(
        torch.cpu._is_avx512_bf16_supported()
    )


def _load(
    checkpoint: Checkpoint,
    head: Head,
    labels: Sequence[str],
    dropout: float,
    more: Mapping[str, Any],
) -> tuple[Any, set[str]]:
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        config = transformers.AutoConfig.for_model(**checkpoint.config)
    except Exception as error:  # transformers passes on whatever its many parts raise
        raise unloadable(checkpoint.name, error) from error
    for key in DROPOUTS:
        if hasattr(config, key):
            setattr(config, key, dropout)
    if head is Head.QA:
        config.num_labels = 2  # a start and an end, whatever labels the base tells apart
    if labels:
        config.id2label = dict(enumerate(labels))
        config.label2id = {label: number for number, label in enumerate(labels)}
    for key, value in more.items():
        setattr(config, key, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of transformers about itself
        try:
            model, report = getattr(transformers, AUTO_CLASSES[head]).from_pretrained(
                checkpoint.folder,
                config=config,
                attn_implementation="eager",
                use_safetensors=True,
                local_files_only=True,
                ignore_mismatched_sizes=True,  # a head for other labels begins anew
                output_loading_info=True,
            )
        except Exception as error:
            raise unloadable(checkpoint.name, error) from error
    missing = set(report["missing_keys"])
    misfits = {name for name, *_ in report["mismatched_keys"]}
    encoder = "" if head is Head.BASE else f"{model.base_model_prefix}."  # its head may be new
    holes = (name for name in missing | misfits if name.startswith(encoder))
    refuse_missing(checkpoint.name, Head.BASE, holes)
    if not all(bool(one.isfinite().all()) for one in model.parameters()):
        raise CheckpointError(
            f"{checkpoint.name}: its weights are damaged: they are no finite numbers; copy it again"
        )
    return model.float(), missing


def _carry_over(model: Any, of_base: Sequence[str], labels: Sequence[str]) -> None:
    """Give each label the weights that the base has for the label of its name, or new ones.

    The base has as many labels, whose weights were loaded by their places.
    """
    if list(of_base) == list(labels):
        return
    spread = model.config.initializer_range
    for name, module in model.named_modules():
        if "classifier" not in name.split(".") or name.endswith(".dense"):
            continue
        if isinstance(module, nn.Linear) and module.out_features == len(labels):
            fresh = nn.Linear(module.in_features, module.out_features)
            nn.init.normal_(fresh.weight, std=spread)
            nn.init.zeros_(fresh.bias)
            with torch.no_grad():
                for row, label in enumerate(labels):
                    if label in of_base:
                        fresh.weight[row] = module.weight[of_base.index(label)]
                        fresh.bias[row] = module.bias[of_base.index(label)]
                module.weight.copy_(fresh.weight)
                module.bias.copy_(fresh.bias)


def _start_alike(model: nn.Module, table: str) -> None:
    for name, module in model.named_modules():
        if name.endswith(table) and isinstance(module, nn.Embedding):
            with torch.no_grad():
                module.weight.copy_(module.weight[0].expand_as(module.weight))


def _start_as_identity(model: nn.Module, dense: str) -> None:
    for name, module in model.named_modules():
        if name.endswith(dense) and isinstance(module, nn.Linear):
            nn.init.eye_(module.weight)
            nn.init.zeros_(module.bias)
