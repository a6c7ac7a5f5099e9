"""From a checkpoint on disk to a running encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bertcli.checkpoints.layout import Checkpoint
from bertcli.engine.choices import BATCH_TOKENS, Precision
from bertcli.engine.families import Head, runs_on_onnx
from bertcli.engine.tokens import TextTokenizer
from bertcli.errors import CheckpointError

if TYPE_CHECKING:
    from bertcli.engine.encoder import Encoder
    from bertcli.engine.weights import Weights

CAN_DO = {
    Head.MASKED_LM: "fill-mask",
    Head.SEQUENCE: "classify",
    Head.TOKEN: "ner",
    Head.QA: "qa",
    Head.BASE: "embed, index and search",
}


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """Where and how to run: device auto, cpu, cuda or mps; `auto` precision is fp32."""

    device: str = "auto"
    precision: Precision = Precision.AUTO
    batch_tokens: int = BATCH_TOKENS


def load_encoder(
    checkpoint: Checkpoint, head: Head, options: LoadOptions = LoadOptions()
) -> Encoder:
    """Return the checkpoint with the head a task needs, running.

    BERT-family checkpoints run on ONNX Runtime; other architectures, other devices and bf16 on
    torch. Raises CheckpointError when the checkpoint has another head: every one has a bare encoder.
    """
    if head not in (Head.BASE, checkpoint.head):
        raise CheckpointError(
            f"{checkpoint.name}: made for {CAN_DO[checkpoint.head]}, not for {CAN_DO[head]}; "
            f"give a {head} checkpoint with -m"
        )
    on_cpu = options.device in ("auto", "cpu") and options.precision is not Precision.BF16
    if on_cpu and runs_on_onnx(checkpoint.config):
        return _on_onnx(checkpoint, head, options)
    return _on_torch(checkpoint, head, options)


def load_tokenizer(checkpoint: Checkpoint) -> TextTokenizer:
    """Return the checkpoint's tokenizer."""
    return TextTokenizer(checkpoint.tokenizer)


def load_weights(checkpoint: Checkpoint) -> Weights:
    """Return the checkpoint's tensors, its adapter merged."""
    from bertcli.engine.weights import merge_adapter, read_weights

    base = read_weights(list(checkpoint.weights))
    if checkpoint.adapter is None:
        return base
    return merge_adapter(base, read_weights([checkpoint.adapter.weights]), checkpoint.adapter.config)


def _on_onnx(checkpoint: Checkpoint, head: Head, options: LoadOptions) -> Encoder:
    from bertcli.engine.onnx_encoder import OnnxEncoder

    precision = Precision.FP32 if options.precision is Precision.AUTO else options.precision
    weights = load_weights(checkpoint)
    try:
        return OnnxEncoder(checkpoint.config, weights, head, precision, options.batch_tokens)
    except CheckpointError as error:
        raise CheckpointError(f"{checkpoint.name}: {error}") from error


def _on_torch(checkpoint: Checkpoint, head: Head, options: LoadOptions) -> Encoder:
    from bertcli.engine.torch_encoder import TorchEncoder, TorchSource

    source = TorchSource(
        checkpoint.folder,
        dict(checkpoint.config),
        checkpoint.adapter.folder if checkpoint.adapter else None,
    )
    precision = Precision.FP32 if options.precision is Precision.AUTO else options.precision
    return TorchEncoder(source, head, options.device, precision, options.batch_tokens)
