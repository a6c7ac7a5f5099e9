"""From a checkpoint on disk to a running encoder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bertcli.checkpoints.layout import Checkpoint, LinearHead
from bertcli.engine.choices import BATCH_TOKENS, Precision
from bertcli.engine.families import PRECISION, Head, runs_on_onnx
from bertcli.engine.tokens import TextTokenizer
from bertcli.errors import BertcliError, CheckpointError, first_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bertcli.engine.encoder import Encoder
    from bertcli.engine.weights import Weights
    from bertcli.engine.windows import Window

LONGEST_PROBE = 1_024
CAN_DO = {
    Head.MASKED_LM: "fill-mask",
    Head.SEQUENCE: "classify",
    Head.TOKEN: "ner",
    Head.QA: "qa",
    Head.BASE: "embed, index and search",
}


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """Where and how to run: device auto, cpu, cuda or mps.

    `auto` precision is fp32, or int8 for a checkpoint that `bertcli quantize` wrote.
    `brief` is for a few short texts: the engine starts sooner and computes more slowly.
    """

    device: str = "auto"
    precision: Precision = Precision.AUTO
    batch_tokens: int = BATCH_TOKENS
    brief: bool = False


def load_encoder(
    checkpoint: Checkpoint, head: Head, options: LoadOptions = LoadOptions()
) -> Encoder:
    """Return the checkpoint with the head a task needs, running.

    BERT-family checkpoints run on ONNX Runtime; other architectures, other devices and bf16 on
    torch. Raises CheckpointError when the checkpoint has another head: a bare encoder
    is in every one.
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


def window_of(checkpoint: Checkpoint, tokenizer: TextTokenizer) -> int:
    """Return how many tokens a checkpoint reads at once, special ones included."""
    return min(checkpoint.window, tokenizer.max_length or checkpoint.window)


def load_weights(checkpoint: Checkpoint) -> Weights:
    """Return the checkpoint's tensors, its adapter merged."""
    from bertcli.engine.weights import merge_adapter, read_weights

    base = read_weights(list(checkpoint.weights))
    if checkpoint.adapter is None:
        return base
    return merge_adapter(
        base, read_weights([checkpoint.adapter.weights]), checkpoint.adapter.config
    )


def load_linear_head(
    checkpoint: Checkpoint, head: LinearHead
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a linear head's weight (labels, d) and bias (labels,).

    Raises CheckpointError when they do not fit the base and the labels, or are no finite numbers.
    """
    import numpy as np

    from bertcli.engine.weights import read_weights

    tensors = read_weights([head.weights])
    weight, bias = (tensors.get(name) for name in ("weight", "bias"))
    shape = (len(checkpoint.labels), checkpoint.setting("hidden_size"))
    if weight is None or bias is None or weight.shape != shape or bias.shape != shape[:1]:
        raise CheckpointError(f"{head.weights}: it does not fit its base and labels; copy it again")
    if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        raise CheckpointError(f"{head.weights}: it holds no finite numbers; copy it again")
    return weight, bias


def first_run(checkpoint: Checkpoint, options: LoadOptions = LoadOptions()) -> tuple[int, ...]:
    """Return the shape of what a checkpoint computes, with its own head, for a text of full length.

    Raises CheckpointError when it does not load, does not run, or computes no finite numbers.
    """
    import numpy as np

    try:
        encoder = load_encoder(checkpoint, checkpoint.head, options)
        output = next(encoder.encode([_full_window(checkpoint)]))
    except BertcliError:
        raise
    except Exception as error:  # the engines have exceptions of their own
        raise CheckpointError(f"{checkpoint.name}: does not run ({first_line(error)})") from error
    if not bool(np.isfinite(output).all()):
        raise CheckpointError(
            f"{checkpoint.name}: computes no finite numbers; its weights are damaged"
        )
    return tuple(output.shape)


def _full_window(checkpoint: Checkpoint) -> Window:
    """Return as many tokens as the model says it reads, one of them asked for as a mask."""
    from bertcli.engine.windows import frame_text

    tokenizer = load_tokenizer(checkpoint)
    length = min(window_of(checkpoint, tokenizer), LONGEST_PROBE)
    ids = tokenizer.ids(["a short text " * length])[0][: length - tokenizer.frame.single]
    return replace(frame_text(ids, 0, len(ids), tokenizer.frame), masks=(1,))


def _on_onnx(checkpoint: Checkpoint, head: Head, options: LoadOptions) -> Encoder:
    from bertcli.engine.onnx_encoder import OnnxEncoder

    weights = load_weights(checkpoint)
    precision = _precision(checkpoint, options)
    try:
        return OnnxEncoder(
            checkpoint.config, weights, head, precision, options.batch_tokens, options.brief
        )
    except CheckpointError as error:
        raise CheckpointError(f"{checkpoint.name}: {error}") from error


def _precision(checkpoint: Checkpoint, options: LoadOptions) -> Precision:
    if options.precision is not Precision.AUTO:
        return options.precision
    noted = checkpoint.config.get(PRECISION, Precision.FP32)
    if noted not in (Precision.FP32, Precision.INT8):
        raise CheckpointError(
            f"{checkpoint.name}: {PRECISION} in config.json is {noted!r}, expected int8 or fp32"
        )
    return Precision(str(noted))


def _on_torch(checkpoint: Checkpoint, head: Head, options: LoadOptions) -> Encoder:
    from bertcli.engine.torch_encoder import TorchEncoder, TorchSource

    source = TorchSource(
        checkpoint.folder,
        dict(checkpoint.config),
        load_weights(checkpoint) if checkpoint.adapter or checkpoint.pickled else None,
    )
    precision = Precision.FP32 if options.precision is Precision.AUTO else options.precision
    return TorchEncoder(source, head, options.device, precision, options.batch_tokens)
