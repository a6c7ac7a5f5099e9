"""What only the ONNX engine does; its answers are compared with torch's in `tests/tasks`."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertcli.checkpoints.layout import read_checkpoint
from bertcli.checkpoints.load import load_tokenizer
from bertcli.engine import onnx_encoder
from bertcli.engine.families import Head

from .windows import onnx, ragged_windows


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="processors cannot be chosen here")
@pytest.mark.parametrize(
    ("allowed", "siblings", "quota", "count"),
    [
        ({0, 5}, False, None, 2),
        (set(range(8)), False, "max 100000", 8),
        (set(range(8)), True, None, 4),
        ({0, 1}, True, None, 1),
        (set(range(8)), False, "250000 100000", 3),
        (set(range(8)), True, "800000 100000", 4),
    ],
)
def test_no_thread_for_a_processor_that_may_not_be_used(
    allowed: set[int],
    siblings: bool,
    quota: str | None,
    count: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Under taskset or in a container with two of eight processors two are used; a core is one."""
    if quota is not None:
        (tmp_path / "cpu.max").write_text(f"{quota}\n")
    monkeypatch.setattr(onnx_encoder, "QUOTA", str(tmp_path / "cpu.max"))
    for number in range(8 if siblings else 0):
        (tmp_path / str(number)).write_text(f"{number // 2 * 2}-{number // 2 * 2 + 1}\n")
    monkeypatch.setattr(onnx_encoder, "SIBLINGS", f"{tmp_path}/{{}}")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: allowed)
    assert onnx_encoder.processors() == count


@pytest.mark.parametrize("head", [Head.BASE, Head.SEQUENCE, Head.MASKED_LM])
def test_batches_side_by_side_give_what_one_after_another_gives(
    head: Head, tiny_checkpoint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many processors there are, each window has its own array."""
    folder = tiny_checkpoint(head=head)
    windows = ragged_windows(load_tokenizer(read_checkpoint(folder))) * 2
    found = []
    for count in (1, 3):
        monkeypatch.setattr(onnx_encoder, "processors", partial(int, count))
        found.append(onnx(folder, head).encode(windows))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
