"""From a checkpoint on disk to a running encoder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

from bertcli.checkpoints.layout import TASKS, Checkpoint, LinearHead
from bertcli.engine.choices import BATCH_TOKENS, Engine, Precision
from bertcli.engine.families import PRECISION, Head, runs_on_onnx
from bertcli.engine.tokens import TextTokenizer
from bertcli.errors import BertcliError, CheckpointError, UsageError, first_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bertcli.engine.encoder import Encoder
    from bertcli.engine.weights import Weights
    from bertcli.engine.windows import Window

CAN_MULTIPLY = {
    Engine.ONNX_RUNTIME: (Precision.FP32, Precision.INT8),
    Engine.OPENVINO: (Precision.FP32, Precision.BF16),
    Engine.TORCH: (Precision.FP32, Precision.BF16),
}
LONGEST_PROBE = 1_024


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """Where and how to run: device auto, cpu, cuda or mps.

    `auto` engine is the first that can do what is asked, see `engine_for`; `auto` precision is
    fp32, or int8 for a checkpoint that `bertcli quantize` wrote. `brief` is for a few short texts:
    the engine starts sooner and computes more slowly.
    """

    device: str = "auto"
    precision: Precision = Precision.AUTO
    batch_tokens: int = BATCH_TOKENS
    brief: bool = False
    engine: Engine = Engine.AUTO


def load_encoder(
    checkpoint: Checkpoint, head: Head, options: LoadOptions = LoadOptions()
) -> Encoder:
    """Return the checkpoint with the head a task needs, running.

    Raises CheckpointError when the checkpoint has another head, a bare encoder being in every one,
    and UsageError where the engine asked for cannot run it.
    """
    if head not in (Head.BASE, checkpoint.head):
        made_for = " and ".join(", ".join(checkpoint.tasks).rsplit(", ", 1))
        raise CheckpointError(
            f"{checkpoint.name}: made for {made_for}, not for {TASKS[head][0]}; "
            f"give a {head} checkpoint with -m"
        )
    engine = engine_for(checkpoint, options)
    if engine is Engine.TORCH:
        return _on_torch(checkpoint, head, options)
    return _on_graph(engine, checkpoint, head, options)


def engine_for(checkpoint: Checkpoint, options: LoadOptions) -> Engine:
    """Return what runs a checkpoint.

    ONNX Runtime runs BERT's family on the CPU in fp32 and int8, OpenVINO in fp32 and bf16 if it is
    installed, torch everything. Raises UsageError where the engine asked for cannot.
    """
    asked, precision = options.engine, _precision(checkpoint, options)
    as_graph = options.device in ("auto", "cpu") and runs_on_onnx(checkpoint.config)
    if asked is Engine.AUTO:
        if not as_graph:
            return Engine.TORCH
        if precision is not Precision.BF16:
            return Engine.ONNX_RUNTIME
        return Engine.OPENVINO if find_spec("openvino") else Engine.TORCH
    if asked is not Engine.TORCH and not as_graph:
        kind = checkpoint.config["model_type"]
        raise UsageError(
            f"{checkpoint.name}: --engine {asked} runs BERT's family on the CPU, not {kind} on "
            f"{options.device}: leave it out"
        )
    if precision not in (able := CAN_MULTIPLY[asked]):
        noted = options.precision is Precision.AUTO  # by `bertcli quantize`
        raise UsageError(
            f"{checkpoint.name}: --engine {asked} computes in {' or '.join(able)}, not in "
            f"{precision}{', which the checkpoint asks for' if noted else ''}: give --precision "
            f"{able[0]}"
        )
    if asked is Engine.OPENVINO and not find_spec("openvino"):
        raise UsageError('--engine openvino: it is not installed: pip install "bertcli[openvino]"')
    return asked


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


def first_run(checkpoint: Checkpoint) -> tuple[int, ...]:
    """Return the shape of what a checkpoint computes, with its own head, for a text of full length.

    Raises CheckpointError when it does not load, does not run, or computes no finite numbers.
    """
    import numpy as np

    try:
        encoder = load_encoder(checkpoint, checkpoint.head)
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


def _on_graph(engine: Engine, checkpoint: Checkpoint, head: Head, options: LoadOptions) -> Encoder:
    config, weights = checkpoint.config, load_weights(checkpoint)
    precision, batch_tokens = _precision(checkpoint, options), options.batch_tokens
    try:
        if engine is Engine.OPENVINO:
            from bertcli.engine.openvino_encoder import OpenVinoEncoder

            return OpenVinoEncoder(config, weights, head, precision, batch_tokens)
        from bertcli.engine.onnx_encoder import OnnxEncoder

        return OnnxEncoder(config, weights, head, precision, batch_tokens, options.brief)
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
