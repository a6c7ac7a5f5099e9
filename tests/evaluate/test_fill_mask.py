"""Measuring a model that fills masks."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertcli.cli.app import main
from bertcli.engine.families import Head
from bertcli.evaluate.fill_mask import FillMaskScore


def test_counts_by_hand() -> None:
    """Two masks over six words: one right at first, one sixth; equal logits make perplexity 6."""
    logits = np.array([[9.0, 1, 1, 1, 1, 1], [5.0, 4, 3, 2, 1, 0]], np.float32)
    score = FillMaskScore().plus(logits, np.array([0, 5]))
    assert (score.tokens, score.first, score.among_five) == (2, 1, 1)
    assert score.top1 == 0.5
    flat = FillMaskScore().plus(np.zeros((3, 6), np.float32), np.array([1, 2, 3]))
    assert flat.perplexity == pytest.approx(6.0)
    assert flat.loss == pytest.approx(3 * math.log(6))


def test_the_command_measures_the_same_masks_each_time(
    tmp_path: Path, tiny_checkpoint: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A seed fixes the masks, so that two checkpoints are compared on the same ones."""
    text = tmp_path / "held-out.txt"
    text.write_text("the cat sat on the mat and the dog slept in the house\n" * 20)
    model = str(tiny_checkpoint("bert", Head.MASKED_LM))
    found = []
    for _ in range(2):
        assert main(["eval", "fill-mask", str(text), "-m", model]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0] == found[1]
    assert found[0]["masked_tokens"] > 20
    assert 0 <= found[0]["top1"] <= found[0]["top5"] <= 1
