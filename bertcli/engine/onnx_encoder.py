"""BERT-family checkpoints on ONNX Runtime: a cold process answers in a few tenths of a second."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bertcli.engine.batching import Batch
from bertcli.engine.choices import BATCH_TOKENS, Precision
from bertcli.engine.encoder import Logits, Reduce, encode_in_batches, unreduced
from bertcli.engine.families import Config, Head
from bertcli.engine.graph import build_graph
from bertcli.engine.weights import Weights
from bertcli.engine.windows import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnxruntime import InferenceSession


class OnnxEncoder:
    """A graph over weights in memory, run on the CPU."""

    def __init__(
        self,
        config: Config,
        weights: Weights,
        head: Head,
        precision: Precision = Precision.FP32,
        batch_tokens: int = BATCH_TOKENS,
        brief: bool = False,
    ) -> None:
        """Build the graph and start the session; CheckpointError where weights do not fit.

        `brief` starts sooner and computes more slowly, for a few short texts.
        """
        self.head = head
        graph = build_graph(config, weights, head, precision, brief)
        self._token_types = graph.token_types
        self._batch_tokens = batch_tokens
        arrays = {name: _usable(array) for name, array in graph.arrays.items()}
        self._with_every_run = arrays if graph.brief else {}
        self._session = _session(graph.model, {} if graph.brief else arrays)

    def encode(self, windows: Sequence[Window], reduce: Reduce = unreduced) -> list[Logits]:
        """Return one array per window; see `Encoder.encode`."""
        return encode_in_batches(self._run, windows, self.head, None, self._batch_tokens, reduce)

    def _run(self, batch: Batch) -> Logits:
        feed: dict[str, Any] = {"ids": batch.ids, **self._with_every_run}
        if self._token_types:
            feed["types"] = batch.types
        if self.head is Head.MASKED_LM:
            feed["positions"] = batch.positions
        output: Logits = self._session.run(None, feed)[0]
        return output


def _fewer_processors() -> int | None:
    """Return how many processors this process may use, where that is not all of them.

    ONNX Runtime counts them all, and starts a thread for each.
    """
    if not hasattr(os, "sched_getaffinity"):  # not Linux
        return None
    allowed = len(os.sched_getaffinity(0))
    return allowed if allowed < (os.cpu_count() or 1) else None


def _usable(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array as ONNX Runtime takes it without a copy."""
    return np.require(array, requirements=["C", "ALIGNED"])


def _session(model: bytes, initializers: Mapping[str, NDArray[Any]]) -> InferenceSession:
    """Return a session without graph optimisation, since the graph is written fused."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # it would send data about each session elsewhere
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    if allowed := _fewer_processors():
        options.intra_op_num_threads = allowed
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(one) for one in initializers.values()]
    options.add_external_initializers(list(initializers), values)
    providers = ["CPUExecutionProvider"]  # there is none to fall back to
    return onnxruntime.InferenceSession(model, options, providers=providers, enable_fallback=0)
