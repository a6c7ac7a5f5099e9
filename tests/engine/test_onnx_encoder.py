"""What only the ONNX engine does; its answers are compared with torch's in `tests/tasks`."""

from __future__ import annotations

import os
import threading
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from bertcli.checkpoints.layout import read_checkpoint
from bertcli.checkpoints.load import load_tokenizer
from bertcli.engine import onnx_encoder
from bertcli.engine.batching import Batch
from bertcli.engine.choices import Precision
from bertcli.engine.families import Head
from bertcli.engine.onnx_encoder import OnnxEncoder
from bertcli.engine.windows import Window

from .windows import onnx, ragged_windows


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="processors cannot be chosen here")
@pytest.mark.parametrize(
    ("allowed", "siblings", "quota", "count"),
    [
        ({0, 5}, False, [], 2),
        (set(range(8)), False, ["max 100000"], 8),
        (set(range(8)), True, [], 4),
        ({0, 1}, True, [], 1),
        (set(range(8)), False, ["250000 100000"], 3),
        (set(range(8)), True, ["800000 100000"], 4),
        (set(range(8)), False, ["150000", "100000"], 2),
        (set(range(8)), False, ["-1", "100000"], 8),
    ],
)
def test_no_thread_for_a_processor_that_may_not_be_used(
    allowed: set[int],
    siblings: bool,
    quota: list[str],
    count: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Under taskset or in a container with two of eight processors two are used; a core is one."""
    files = [tmp_path / f"quota{number}" for number in range(len(quota))]
    for file, said in zip(files, quota, strict=True):
        file.write_text(f"{said}\n")
    for number in range(8 if siblings else 0):
        (tmp_path / str(number)).write_text(f"{number // 2 * 2}-{number // 2 * 2 + 1}\n")
    monkeypatch.setattr(onnx_encoder, "QUOTAS", [["nowhere"], [*map(str, files)]])
    monkeypatch.setattr(onnx_encoder, "SIBLINGS", f"{tmp_path}/{{}}")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: allowed)
    assert onnx_encoder.processors() == count


@pytest.mark.parametrize("head", [Head.BASE, Head.SEQUENCE, Head.MASKED_LM])
def test_batches_side_by_side_give_what_one_after_another_gives(
    head: Head, tiny_checkpoint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three batches are at work at once, and each window has its own array, bit for bit."""
    folder = tiny_checkpoint(head=head)
    windows = ragged_windows(load_tokenizer(read_checkpoint(folder))) * 2
    alone, together = (_encoder(folder, head, count, monkeypatch) for count in (1, 3))
    run, meeting = together._run, threading.Barrier(3)

    def meet(batch: Batch) -> Any:
        """Wait for two other batches; breaks where no more than two are at work."""
        if meeting.n_waiting or not met:
            meeting.wait(30)
            met.append(batch)
        return run(batch)

    met: list[Batch] = []
    monkeypatch.setattr(together, "_run", meet)
    for one, other in zip(alone.encode(windows), together.encode(windows), strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(met) >= 3


def test_what_one_batch_raises_comes_out_and_the_next_ones_are_computed(
    tiny_checkpoint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error in one of several threads is the caller's, and ends nothing for good."""
    folder = tiny_checkpoint()
    windows = ragged_windows(load_tokenizer(read_checkpoint(folder)))
    encoder = _encoder(folder, Head.BASE, 3, monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(encoder, "_run", Mock(side_effect=MemoryError))
        with pytest.raises(MemoryError):
            list(encoder.encode(windows))
    assert len(list(encoder.encode(windows))) == len(windows)


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.INT8])
@pytest.mark.parametrize(("brief", "threads"), [(True, 40), (False, 2)])
def test_a_few_texts_have_all_processors(
    precision: Precision,
    brief: bool,
    threads: int,
    tiny_checkpoint: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For many texts at most 16 batches are at work, and share what processors are over."""
    made = Mock(side_effect=onnx_encoder._session)
    monkeypatch.setattr(onnx_encoder, "_session", made)
    monkeypatch.setattr(onnx_encoder, "processors", partial(int, 40))
    onnx(tiny_checkpoint(), Head.BASE, precision, brief)
    assert made.call_args.args[-1] == threads


def _encoder(folder: Path, head: Head, count: int, monkeypatch: pytest.MonkeyPatch) -> OnnxEncoder:
    """Return an encoder as on a machine with so many processors."""
    monkeypatch.setattr(onnx_encoder, "processors", partial(int, count))
    found = onnx(folder, head)
    assert isinstance(found, OnnxEncoder)
    return found


def test_a_token_far_beyond_the_others_takes_nothing_of_their_precision(
    tiny_checkpoint: Any, own_copy: Any
) -> None:
    """int8 has a range for each token: one reaches a thousand."""
    folder = own_copy(tiny_checkpoint("bert", Head.BASE, num_hidden_layers=1))
    nothing = ("position", "_type", "attention.output.dense", "embeddings.LayerNorm.bias")
    weights, far = load_file(folder / "model.safetensors"), 6
    for name, values in weights.items():
        if any(part in name for part in nothing):
            values.zero_()
        if "word_embeddings" in name:
            values[:, 0] = values[:, 1:].mean(dim=1)
            values[far] = torch.eye(len(values[far]))[0]
        if name.endswith("attention.output.LayerNorm.weight"):
            values[0] = 1_000
    save_file(weights, folder / "model.safetensors")
    window = Window(np.array([far, 7, 8, 9, 10, 11]), np.zeros(6, np.int64), 0, 0, 0)
    exact, int8 = (
        next(onnx(folder, Head.BASE, precision).encode([window]))
        for precision in (Precision.FP32, Precision.INT8)
    )
    np.testing.assert_allclose(int8[1:], exact[1:], atol=0.05)
