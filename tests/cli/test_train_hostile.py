"""Training and measuring over what hostile testers found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertcli.engine.families import Head

from .conftest import Run

ROWS = "text,label\n" + "".join(
    f"the cat {word} {n},{label}\n"
    for n in range(8)
    for word, label in (("sat", "good"), ("ran", "bad"))
)
SHORT = ("--epochs", 1, "--batch-tokens", 256)


@pytest.fixture
def rows(here: Path) -> Path:
    """A file of labelled texts."""
    Path("rows.csv").write_text(ROWS)
    return Path("rows.csv")


@pytest.fixture
def head(run: Run, rows: Path) -> Path:
    """A linear head on the built-in base."""
    assert run("train", "classify", rows, "--method", "head", "-o", "head").code == 0
    return Path("head")


def test_a_head_knows_the_adapter_it_was_trained_on(
    run: Run, rows: Path, tiny_checkpoint: Any
) -> None:
    """Its answers are those of the adapter's vectors, not of the adapter's base."""
    Path("pairs.csv").write_text("text,second,score\n" + "the cat,a dog,1\nthe mat,a cat,0\n" * 8)
    base = tiny_checkpoint("bert", Head.BASE)
    more = [
        "--first-field",
        "text",
        "--second-field",
        "second",
        "--score-field",
        "score",
        "--learning-rate",
        0.05,
        *SHORT,
    ]
    made = run("train", "embed", "pairs.csv", "-m", base, "-o", "adapter", *more)
    assert made.code == 0, made.err
    line = ["train", "classify", rows, "--method", "head", "-m"]
    assert run(*line, "./adapter", "-o", "on-adapter").code == 0
    settings = json.loads(Path("on-adapter/head_config.json").read_text())
    assert settings["base_model_name_or_path"] == str(Path("adapter").resolve())
    from safetensors.numpy import load_file

    vector = run("embed", "the cat sat", "-m", "./adapter", "--normalize").records[0]["embedding"]
    tensors = load_file("on-adapter/head.safetensors")
    logits = tensors["weight"] @ np.array(vector, np.float32) + tensors["bias"]
    expected = np.exp(logits) / np.exp(logits).sum()
    (found,) = run("classify", "the cat sat", "-m", "./on-adapter", "-k", 2).records
    scores = sorted(one["score"] for one in found["labels"])
    assert scores == pytest.approx(sorted(expected.tolist()), abs=1e-3)


def test_thresholds_are_not_fitted_to_other_labels(run: Run, head: Path) -> None:
    """A label that the checkpoint does not have is told with its line, and nothing is stored."""
    before = (head / "head_config.json").read_bytes()
    Path("other.csv").write_text(ROWS.replace(",good", ",1").replace(",bad", ",0"))
    ran = run("threshold", "fit", "other.csv", "-m", head)
    assert ran.code == 1
    assert ran.said("other.csv:2", "no label '1'", '"bad", "good"')
    assert (head / "head_config.json").read_bytes() == before


def test_eval_tells_labels_that_the_checkpoint_does_not_have(run: Run, head: Path) -> None:
    """Their names most probably differ: --map is named, and helps."""
    Path("other.csv").write_text(ROWS.replace(",good", ",1").replace(",bad", ",0"))
    ran = run("eval", "classify", "other.csv", "-m", head)
    assert "other.csv:2: head has no label '1'" in ran.err
    assert "--map 1=NAME" in ran.err
    maps = ["--map", "1=good", "--map", "0=bad"]
    assert run("eval", "classify", "other.csv", "-m", head, *maps).err == ""


def test_a_label_that_all_texts_have(run: Run, here: Path) -> None:
    """It is always given; one that none of the training part has, never."""
    Path("all.csv").write_text(
        "text,label\n"
        + "".join(f"the cat {n},always;{'even' if n % 2 else 'odd'}\n" for n in range(8))
    )
    line = ["train", "classify", "all.csv", "--label-sep", ";", "--method", "head", "-o", "out"]
    assert run(*line).code == 0
    (found,) = run("classify", "the cat", "-m", "out", "-k", 3).records
    assert {one["label"]: one["score"] for one in found["labels"]}["always"] > 0.99


def test_an_empty_valid_file_is_told(run: Run, rows: Path) -> None:
    """There is nothing to choose the best model by."""
    Path("none.csv").write_text("text,label\n")
    ran = run("train", "classify", rows, "--valid", "none.csv", "-o", "out", "--method", "head")
    assert ran.code in (1, 2)
    assert "none.csv" in ran.err or "--valid" in ran.err
    assert not Path("out/head_config.json").exists()


@pytest.mark.parametrize("method", ["head", "lora"])
def test_a_folder_in_use_is_not_written_to(
    run: Run, rows: Path, tiny_checkpoint: Any, method: str
) -> None:
    """What is there stays, and another folder is asked for."""
    Path("project").mkdir()
    Path("project/README.md").write_text("precious")
    line = ["train", "classify", rows, "--method", method, "-m", tiny_checkpoint("bert")]
    ran = run(*line, "-o", "project", *(SHORT if method == "lora" else ()))
    assert ran.code == 2
    assert "there is something already" in ran.err
    assert Path("project/README.md").read_text() == "precious"


def test_two_runs_do_not_share_a_folder(run: Run, rows: Path, tiny_checkpoint: Any) -> None:
    """The second is refused while the first is at work."""
    from bertcli.cli.train.run import work_folder

    line = ["train", "classify", rows, "-m", tiny_checkpoint("bert"), "-o", "out", *SHORT]
    with work_folder(Path("out"), False):
        ran = run(*line)
    assert ran.code == 2
    assert "another run trains here" in ran.err


def test_a_damaged_state_is_told(run: Run, rows: Path, tiny_checkpoint: Any) -> None:
    """No advice of torch's is passed on."""
    line = ["train", "classify", rows, "-m", tiny_checkpoint("bert"), "-o", "out", *SHORT]
    Path("out/.training").mkdir(parents=True)
    Path("out/.training/state.pt").write_bytes(b"garbage")
    ran = run(*line, "--resume")
    assert ran.code == 1
    assert "state.pt: damaged" in ran.err
    assert "weights_only" not in ran.err


def test_a_damaged_adapter_is_told(run: Run, rows: Path, tiny_checkpoint: Any) -> None:
    """Training goes on from whole ones only."""
    line = ["train", "classify", rows, "-m", tiny_checkpoint("bert"), "-o", "first", *SHORT]
    assert run(*line).code == 0
    weights = Path("first/adapter_model.safetensors")
    weights.write_bytes(weights.read_bytes()[:1000])
    ran = run("train", "classify", rows, "-m", "./first", "-o", "out", *SHORT)
    assert ran.code == 1
    assert "damaged" in ran.err
    assert "unexpected" not in ran.err
