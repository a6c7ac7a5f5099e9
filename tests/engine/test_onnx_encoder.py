"""What only the ONNX engine does; its answers are compared with torch's in `tests/tasks`."""

from __future__ import annotations

import os

import pytest

from bertcli.engine.onnx_encoder import _fewer_processors


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="processors cannot be chosen here")
@pytest.mark.parametrize(("allowed", "threads"), [({0, 5}, 2), (set(range(8)), None)])
def test_no_thread_for_a_processor_that_may_not_be_used(
    allowed: set[int], threads: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under taskset or in a container with two of eight processors there are two threads."""
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: allowed)
    assert _fewer_processors() == threads
