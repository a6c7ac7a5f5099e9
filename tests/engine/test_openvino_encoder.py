"""OpenVINO computes the same from the same graph; skipped where it is not installed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertcli.checkpoints.layout import read_checkpoint
from bertcli.checkpoints.load import LoadOptions, engine_for
from bertcli.engine.choices import Engine, Precision
from bertcli.engine.families import PRECISION, Head
from bertcli.errors import UsageError
from tiny import FAMILY_TYPES, HEADS

from .windows import assert_close, onnx, openvino, ragged_windows, reference, tokenizer_of

installed = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed"
)


@installed
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("model_type", FAMILY_TYPES)
def test_it_agrees_with_transformers(model_type: str, head: Head, tiny_checkpoint: Any) -> None:
    """In fp32 the numbers are transformers' to 1e-4, for every architecture and head."""
    folder = tiny_checkpoint(model_type, head)
    windows = ragged_windows(tokenizer_of(folder))
    expected = reference(folder, head, windows)
    assert_close(openvino(folder, head).encode(windows), expected)


@installed
def test_bf16_is_near(tiny_checkpoint: Any) -> None:
    """Vectors in bf16 point where those of fp32 do."""
    folder = tiny_checkpoint("bert")
    windows = ragged_windows(tokenizer_of(folder))
    exact = [one.ravel() for one in onnx(folder, Head.BASE).encode(windows)]
    found = [one.ravel() for one in openvino(folder, Head.BASE, Precision.BF16).encode(windows)]
    for one, other in zip(exact, found, strict=True):
        assert one @ other > 0.999 * np.linalg.norm(one) * np.linalg.norm(other)


@installed
def test_no_telemetry(tiny_checkpoint: Any, tmp_path: Path) -> None:
    """Its telemetry, which asks for its server when imported, is never imported."""
    program = (
        "import sys; from bertcli.checkpoints.layout import read_checkpoint;"
        "from bertcli.checkpoints.load import *; from bertcli.engine.choices import *;"
        "from pathlib import Path; options = LoadOptions(engine=Engine.OPENVINO);"
        "load_encoder(read_checkpoint(Path(sys.argv[1])), Head.BASE, options);"
        "print(sorted(name for name, one in sys.modules.items() if 'telemetry' in name and one))"
    )
    command = [sys.executable, "-c", program, str(tiny_checkpoint("bert"))]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "openvino_telemetry" not in ran.stdout


def test_a_broken_openvino_is_told(tiny_checkpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is there and cannot be imported is no bug to be reported."""
    monkeypatch.setattr("bertcli.checkpoints.load.find_spec", lambda name: name)
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UsageError, match=r"OpenVINO cannot be imported .* --engine torch"):
        openvino(tiny_checkpoint("bert"), Head.BASE)


def test_which_engine_runs(tiny_checkpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without being asked for, OpenVINO runs bf16 where it is installed; else torch does."""
    bert, albert = (read_checkpoint(tiny_checkpoint(kind)) for kind in ("bert", "albert"))
    int8 = replace(bert, config={**bert.config, PRECISION: "int8"})
    there: list[str] = ["openvino"]
    monkeypatch.setattr("bertcli.checkpoints.load.find_spec", lambda name: name in there or None)

    def chosen(checkpoint: Any = bert, **options: Any) -> Engine:
        return engine_for(checkpoint, LoadOptions(**options))

    assert chosen() is chosen(precision=Precision.INT8) is Engine.ONNX_RUNTIME
    assert chosen(precision=Precision.BF16) is Engine.OPENVINO
    assert chosen(albert) is chosen(device="cuda") is chosen(engine=Engine.TORCH) is Engine.TORCH
    for refused, told in [
        ({"engine": Engine.OPENVINO, "precision": Precision.INT8}, "fp32 or bf16, not in int8"),
        ({"engine": Engine.TORCH, "precision": Precision.INT8}, "torch computes in fp32 or bf16"),
        ({"engine": Engine.TORCH, "checkpoint": int8}, "asks for: give --precision fp32"),
        ({"engine": Engine.ONNX_RUNTIME, "precision": Precision.BF16}, "fp32 or int8"),
        ({"engine": Engine.ONNX_RUNTIME, "device": "cuda"}, "not bert on cuda"),
        ({"engine": Engine.OPENVINO, "checkpoint": albert}, "not albert on auto"),
    ]:
        with pytest.raises(UsageError, match=told):
            chosen(**refused)
    there.clear()
    assert chosen(precision=Precision.BF16) is Engine.TORCH
    with pytest.raises(UsageError, match=r"pip install \"bertcli\[openvino\]\""):
        chosen(engine=Engine.OPENVINO)
