"""Every other encoder, and every other device: transformers' Auto classes on torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertcli.engine.batching import Batch
from bertcli.engine.choices import BATCH_TOKENS, Precision
from bertcli.engine.encoder import Logits, Reduce, encode_in_batches, unreduced
from bertcli.engine.families import Head
from bertcli.engine.weights import Weights
from bertcli.engine.windows import Window
from bertcli.errors import CheckpointError, UsageError, first_line

if TYPE_CHECKING:
    import torch

AUTO_CLASSES = {
    Head.BASE: "AutoModel",
    Head.MASKED_LM: "AutoModelForMaskedLM",
    Head.SEQUENCE: "AutoModelForSequenceClassification",
    Head.TOKEN: "AutoModelForTokenClassification",
    Head.QA: "AutoModelForQuestionAnswering",
}


@dataclass(frozen=True, slots=True)
class TorchSource:
    """What a torch model is made of: the checkpoint's folder and its settings.

    `weights` take the place of the folder's own, where an adapter has changed them.
    """

    folder: Path
    config: dict[str, Any]
    weights: Weights | None = None


class TorchEncoder:
    """A transformers model behind the same interface as `OnnxEncoder`."""

    def __init__(
        self,
        source: TorchSource,
        head: Head,
        device: str = "auto",
        precision: Precision = Precision.FP32,
        batch_tokens: int = BATCH_TOKENS,
    ) -> None:
        """Load the model; raises CheckpointError when transformers cannot, UsageError for a device
        or a precision that is not to be had."""
        self.head = head
        self._device = _device(device)
        self._bf16 = precision is Precision.BF16
        if precision is Precision.INT8:
            raise UsageError(
                "--precision int8 runs BERT-family checkpoints on the CPU only: use fp32"
            )
        if head is Head.MASKED_LM and source.weights and source.weights.changes_words():
            raise CheckpointError(
                f"{source.folder}: the adapter changes the embeddings and not the output matrix, "
                "which are one on torch: use --engine onnxruntime, for BERT's family"
            )
        self._batch_tokens = batch_tokens
        self._model = _load(source, head).to(self._device).eval()
        self._padding = int(self._model.config.pad_token_id or 0)
        self._token_types = getattr(self._model.config, "type_vocab_size", 0) > 1

    def encode(self, windows: Sequence[Window], reduce: Reduce = unreduced) -> Iterator[Logits]:
        """Return one array per window; see `Encoder.encode`."""
        return encode_in_batches(
            self._run, windows, self.head, self._padding, self._batch_tokens, reduce
        )

    def _run(self, batch: Batch) -> Logits:
        import torch

        feed = {
            "input_ids": torch.from_numpy(batch.ids).to(self._device),
            "attention_mask": torch.from_numpy(batch.mask).long().to(self._device),
        }
        if self._token_types:
            feed["token_type_ids"] = torch.from_numpy(batch.types).to(self._device)
        with torch.inference_mode(), self._autocast():
            output = self._pick(self._model(**feed))
        if self.head is Head.MASKED_LM:
            rows, columns = torch.from_numpy(batch.positions).to(self._device).T
            output = output[rows, columns]
        logits: Logits = output.float().cpu().numpy()
        return logits

    def _autocast(self) -> AbstractContextManager[object]:
        import torch

        return torch.autocast(self._device.type, torch.bfloat16) if self._bf16 else nullcontext()

    def _pick(self, output: Any) -> torch.Tensor:
        import torch

        if self.head is Head.QA:
            return torch.stack([output.start_logits, output.end_logits], dim=-1)
        picked: torch.Tensor = output.last_hidden_state if self.head is Head.BASE else output.logits
        return picked


def _device(name: str) -> torch.device:
    import torch

    available = {"cpu": True, "cuda": torch.cuda.is_available()}
    available["mps"] = torch.backends.mps.is_available()
    if name == "auto":
        name = next((one for one in ("cuda", "mps") if available[one]), "cpu")
    if not available.get(name):
        raise UsageError(f"--device {name} is not available here: use --device cpu")
    return torch.device(name)


def _load(source: TorchSource, head: Head) -> Any:
    """Return the model with its adapter merged; safetensors only, never a checkpoint's own code."""
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    auto = getattr(transformers, AUTO_CLASSES[head])
    try:
        config = transformers.AutoConfig.for_model(**source.config)
        with torch.device("meta"):  # for its class: the Auto ones take no weights from memory
            kind = type(auto.from_config(config, trust_remote_code=False))
        model, loaded = kind.from_pretrained(
            None if source.weights else source.folder,
            config=config,
            state_dict=_tensors(source.weights),
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
    except Exception as error:  # transformers passes on whatever its many parts raise
        raise unloadable(source.folder, error) from error
    refuse_missing(source.folder, head, loaded["missing_keys"])
    return model


def _tensors(weights: Weights | None) -> dict[str, torch.Tensor] | None:
    import torch

    if weights is None:
        return None
    return {name: torch.tensor(array) for name, array in weights.items()}


def unloadable(name: object, error: Exception) -> CheckpointError:
    """Return what to tell of a checkpoint of this name that transformers does not take."""
    return CheckpointError(f"{name}: transformers cannot load it ({first_line(error)})")


def refuse_missing(name: object, head: Head, missing: Iterable[str]) -> None:
    """Raise CheckpointError for weights that transformers would make up at random.

    A bare encoder's pooler may be missing: nobody asks for what it computes.
    """
    unused = "pooler" if head is Head.BASE else None
    needed = sorted(one for one in missing if unused is None or unused not in one)
    if needed:
        raise CheckpointError(f"{name}: the weights lack {needed[0]}, which config.json calls for")
