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
from bertcli.evaluate.fill_mask import Guesses, judge, score_guesses


def test_counts_by_hand() -> None:
    """Two masks over six words: one right at first, one sixth; equal logits make perplexity 6."""
    logits = np.array([[9.0, 1, 1, 1, 1, 1], [5.0, 4, 3, 2, 1, 0]], np.float32)
    best, better, _ = judge(logits, np.array([0, 5]))
    assert (best.tolist(), better.tolist()) == ([0, 0], [0, 5])
    _, better, loss = judge(np.zeros((3, 6), np.float32), np.array([1, 2, 3]))
    assert better.tolist() == [0, 0, 0]
    assert loss == pytest.approx([math.log(6)] * 3)


def test_texts_are_added_up() -> None:
    """By masks, not by texts: one right of one, and two of four with the third among five."""
    texts = [np.array([0]), np.array([0, 0, 4, 9]), np.array([], int)]
    none = np.zeros((0, 2), int)
    score = score_guesses(
        Guesses("", none, better, better, better, np.full(len(better), math.log(6)))
        for better in texts
    )
    assert (score.tokens, score.top1, score.top5) == (5, 0.6, 0.8)
    assert score.perplexity == pytest.approx(6.0)
    assert score.top1_of(np.array([1, 1])) == 0.5
    assert score.top1_interval.low < 0.6 < score.top1_interval.high
    assert (score_guesses([]).top1, score_guesses([]).perplexity) == (0, 1)


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
    low, high = found[0]["top1_95"]
    assert low <= found[0]["top1"] <= high


def test_wrong_and_differing_guesses_are_written(
    tmp_path: Path, tiny_checkpoint: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each mask with its characters, what stood there, and what was given."""
    lines = ["The cat sat on the mat, and the dog slept.", "Paris is the capital of France."] * 9
    text = tmp_path / "held-out.txt"
    text.write_text("\n".join(lines))
    models = [str(tiny_checkpoint("bert", Head.MASKED_LM, seed=seed)) for seed in (0, 1)]
    wrong, apart = tmp_path / "wrong.jsonl", tmp_path / "apart.jsonl"
    command = ["eval", "fill-mask", str(text), "-m", models[0], "--errors", str(wrong)]
    assert main([*command, "--compare", models[1], "--differences", str(apart)]) == 0
    found = json.loads(capsys.readouterr().out)
    errors, differences = (
        [json.loads(line) for line in path.read_text().splitlines()] for path in (wrong, apart)
    )
    assert len(errors) == round(found["masked_tokens"] * (1 - found["top1"]))
    assert len(differences) == found["differ"] > 0
    for one in (*errors, *differences):
        assert one["text"][one["start"] : one["end"]] == one["right"]
    assert all(one["right"].lower() != one["given"] for one in errors)
    assert all(one["given"] != one["other"] for one in differences)
    assert found["top1_minus_other"] == pytest.approx(found["top1"] - found["other_top1"], abs=1e-4)
    same = ["eval", "fill-mask", str(text), "-m", models[0], "--compare", models[0]]
    assert main(same) == 0
    assert json.loads(capsys.readouterr().out)["differ"] == 0
