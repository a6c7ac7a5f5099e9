"""BERT-family checkpoints on ONNX Runtime: a cold process answers in a few tenths of a second."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bertcli.engine.batching import Batch
from bertcli.engine.choices import BATCH_TOKENS, Precision
from bertcli.engine.encoder import Logits, Reduce, encode_in_batches, unreduced
from bertcli.engine.families import Config, Head
from bertcli.engine.graph import build_graph, feed
from bertcli.engine.weights import Weights
from bertcli.engine.windows import Window

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from numpy.typing import NDArray
    from onnxruntime import InferenceSession

SIBLINGS = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
QUOTAS = (
    ("/sys/fs/cgroup/cpu.max",),
    ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
)
"""Where a container reads how many microseconds of processor time it has in a period, and the
period: in one file, or in two on older systems."""
MOST_AT_ONCE = 16
"""Each batch at work takes memory: where there are more processors, several share one."""
PARTS = 4
"""Little work is divided into so many batches, whatever the number of processors.

16 texts of one length, which would share a batch, took 1.55 times as long undivided on two cores,
and 1.1 in 8 parts. In two they took 0.88: that would leave a third processor idle.
"""


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

        `brief` starts sooner and computes more slowly, for a few short texts: all processors share
        each product. Otherwise each processor has a batch of its own, so that none waits for
        another: on 2 cores `embed` of 1,000 texts of many lengths then took 0.88 of the time in
        fp32 and 0.94 in int8.
        """
        self.head = head
        graph = build_graph(config, weights, head, precision, brief)
        self._token_types = graph.token_types
        self._batch_tokens = batch_tokens
        arrays = {name: _usable(array) for name, array in graph.arrays.items()}
        self._with_every_run = arrays if graph.inputs else {}
        there = processors()
        at_once = 1 if brief else min(there, MOST_AT_ONCE)
        self._session = _session(graph.model, {} if graph.inputs else arrays, there // at_once)
        self._pool: Executor | None = None
        self._parts = 1 if graph.inputs else PARTS
        if at_once > 1:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(at_once)

    def encode(self, windows: Sequence[Window], reduce: Reduce = unreduced) -> Iterator[Logits]:
        """Return one array per window; see `Encoder.encode`."""
        budget, pool, parts = self._batch_tokens, self._pool, self._parts
        return encode_in_batches(self._run, windows, self.head, None, budget, reduce, pool, parts)

    def _run(self, batch: Batch) -> Logits:
        inputs = feed(batch, self.head, self._token_types) | self._with_every_run
        output: Logits = self._session.run(None, inputs)[0]
        return output


def processors() -> int:
    """Return how many processors this process may use; on Linux two threads of a core are one.

    ONNX Runtime counts all there are, also those that `taskset` or a container keeps back.
    """
    if not hasattr(os, "sched_getaffinity"):  # not Linux
        return os.cpu_count() or 1
    cores = len({_siblings(number) for number in os.sched_getaffinity(0)})
    return max(1, min([cores, *filter(None, map(_quota, QUOTAS))]))


def _quota(files: Sequence[str]) -> int | None:
    """Return how many processors a container's share of time is worth; None where it has all."""
    try:
        said = " ".join(Path(file).read_text(encoding="ascii") for file in files)
        share, period = map(int, said.split())
    except (OSError, ValueError):  # not there, or "max"
        return None
    return -(-share // period) if share > 0 < period else None  # -1 where there is no limit


def _siblings(number: int) -> str:
    """Return what tells a processor's core from others."""
    try:
        return Path(SIBLINGS.format(number)).read_text(encoding="ascii")
    except OSError:  # a container may hide it
        return str(number)


def _usable(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array as ONNX Runtime takes it without a copy."""
    return np.require(array, requirements=["C", "ALIGNED"])


def _session(
    model: bytes, initializers: Mapping[str, NDArray[Any]], threads: int
) -> InferenceSession:
    """Return a session without graph optimisation, since the graph is written fused."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # it would send data about each session elsewhere
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4  # what fails comes as an exception too
    options.intra_op_num_threads = threads
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(one) for one in initializers.values()]
    options.add_external_initializers(list(initializers), values)
    providers = ["CPUExecutionProvider"]  # there is none to fall back to
    return onnxruntime.InferenceSession(model, options, providers=providers, enable_fallback=0)
