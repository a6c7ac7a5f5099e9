"""The same graphs on OpenVINO, which multiplies bfloat16 on a CPU that has it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from queue import SimpleQueue
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from bertcli.engine.batching import Batch
from bertcli.engine.choices import BATCH_TOKENS, Precision
from bertcli.engine.encoder import Logits, Reduce, encode_in_batches, unreduced
from bertcli.engine.families import Config, Head
from bertcli.engine.graph import build_graph, feed
from bertcli.engine.onnx_encoder import MOST_AT_ONCE, PARTS, processors
from bertcli.engine.weights import Weights
from bertcli.engine.windows import Window
from bertcli.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from openvino import InferRequest, Model

HINTS = {Precision.FP32: "f32", Precision.BF16: "bf16"}


class OpenVinoEncoder:
    """A graph over weights in memory, compiled for the CPU.

    In bfloat16 it is between float32 and int8 on ONNX Runtime in speed, and nearly as exact as
    float32; a processor without bfloat16 computes in float32 instead.
    """

    def __init__(
        self,
        config: Config,
        weights: Weights,
        head: Head,
        precision: Precision = Precision.FP32,
        batch_tokens: int = BATCH_TOKENS,
    ) -> None:
        """Build and compile it, for fp32 or bf16; CheckpointError where weights do not fit."""
        openvino = _openvino()
        self.head = head
        graph = build_graph(config, weights, head, inputs=True)
        self._token_types = graph.token_types
        self._batch_tokens = batch_tokens
        core = openvino.Core()
        model = core.read_model(graph.model)
        _fix(model, graph.arrays)
        there = processors()
        at_once = min(there, MOST_AT_ONCE)
        compiled = core.compile_model(
            model,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": HINTS[precision],
                "INFERENCE_NUM_THREADS": there,
                "NUM_STREAMS": at_once,
            },
        )
        self._idle: SimpleQueue[InferRequest] = SimpleQueue()
        for _ in range(at_once):
            self._idle.put(compiled.create_infer_request())
        self._pool = ThreadPoolExecutor(at_once)

    def encode(self, windows: Sequence[Window], reduce: Reduce = unreduced) -> Iterator[Logits]:
        """Return one array per window; see `Encoder.encode`."""
        budget, pool = self._batch_tokens, self._pool
        return encode_in_batches(self._run, windows, self.head, None, budget, reduce, pool, PARTS)

    def _run(self, batch: Batch) -> Logits:
        inputs = feed(batch, self.head, self._token_types)
        request = self._idle.get()
        try:
            output: Logits = request.infer(inputs)[0].copy()  # the request's own is written again
        finally:
            self._idle.put(request)
        return output


def _openvino() -> ModuleType:
    """Import OpenVINO without its telemetry, which would look for its server at once."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        return import_module("openvino")
    except ImportError as error:
        raise UsageError(
            f"OpenVINO cannot be imported ({error}): install it anew, or use --engine torch"
        ) from error


def _fix(model: Model, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Make constants of those inputs of a model that are weights."""
    from openvino import op

    for parameter in model.get_parameters():
        name = parameter.get_friendly_name()
        if name in arrays:
            weights = op.Constant(np.ascontiguousarray(arrays[name]))
            parameter.output(0).replace(weights.output(0))
            model.remove_parameter(parameter)
