"""Linear heads on frozen embeddings, from rows to `classify -m`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from bertcli.checkpoints.catalog import BASE_NAME
from bertcli.cli.app import main
from bertcli.engine.families import Head
from bertcli.train.head import STRENGTH, fit_head

ROWS = [
    ("I was charged twice", "billing"),
    ("Where is my invoice?", "billing"),
    ("The card was declined", "billing"),
    ("It crashes on start", "bug"),
    ("The button does nothing", "bug"),
    ("An error message appears", "bug"),
    ("Do you ship to Norway?", "other"),
    ("When are you open?", "other"),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with labelled rows."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "rows.jsonl", [{"text": text, "label": label} for text, label in ROWS])
    return tmp_path


def write(path: Path, rows: list[dict[str, object]]) -> None:
    """Write JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def train(*more: str, data: str = "rows.jsonl") -> int:
    """Run a training of a head, measured on its own data."""
    start = ["train", "classify", data, "--method", "head", "--valid", data, "-o", "head"]
    return main([*start, *more])


def test_a_folder_of_the_name_of_the_base_is_trained_when_it_is_named_only(
    folder: Path, tiny_checkpoint: Any
) -> None:
    """Without -m it is the built-in one; what is written names that which was trained."""
    shutil.copytree(tiny_checkpoint("bert", Head.BASE), folder / BASE_NAME)
    assert train() == 0
    built_in = json.loads((folder / "head" / "head_config.json").read_text())
    assert built_in["base_model_name_or_path"] == f"sentence-transformers/{BASE_NAME}"
    (folder / "head").rename("first")
    assert train("-m", BASE_NAME) == 0
    own = json.loads((folder / "head" / "head_config.json").read_text())
    assert own["base_model_name_or_path"] == str(folder / BASE_NAME)


@pytest.mark.parametrize(
    "idle",
    [
        "--plot a.png --tensorboard b",
        "--merge --rank 4",
        "--epochs 3",
        "--patience 2 --minutes 1",
        "--smoothing 0.1 --dropout 0.1 --learning-rate 0.1",
        "--optimizer muon --batch-tokens 64 --evaluations 2",
    ],
)
def test_a_head_has_no_steps(idle: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is fitted at once: what is for a training by steps is refused, all of it in one line."""
    assert train(*idle.split()) == 2
    told = capsys.readouterr().err
    assert "a head is fitted at once" in told
    assert all(one in told for one in idle.split() if one.startswith("--"))
    assert not Path("head").exists()


def test_defaults_of_a_users_own_are_no_options_of_a_head(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are of every training, and a head passes over them."""
    monkeypatch.setenv("BERTCLI_EPOCHS", "5")
    assert train() == 0


@pytest.mark.parametrize("count", [2, 3])
def test_the_probabilities_are_scikit_learns(count: int) -> None:
    """The softmax over the weights gives what the logistic regression itself gives."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(30, 5)).astype(np.float32)
    classes = np.arange(30) % count
    weight, bias = fit_head(vectors, np.eye(count, dtype=bool)[classes], False, False)
    logits = vectors @ weight.T + bias
    ours = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    theirs = LogisticRegression(C=STRENGTH, max_iter=1_000).fit(vectors, classes)
    np.testing.assert_allclose(ours, theirs.predict_proba(vectors), atol=1e-4)


def test_each_of_several_labels_has_its_own_regression() -> None:
    """With several labels a text, each label's probability is its own sigmoid."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(40, 5)).astype(np.float32)
    targets = np.stack([vectors[:, 0] > 0, vectors[:, 1] > 0.3], axis=1)
    weight, bias = fit_head(vectors, targets, True, False)
    for column in range(2):
        theirs = LogisticRegression(C=STRENGTH).fit(vectors, targets[:, column])
        ours = 1 / (1 + np.exp(-(vectors @ weight[column] + bias[column])))
        np.testing.assert_allclose(ours, theirs.predict_proba(vectors)[:, 1], atol=1e-4)


@pytest.mark.parametrize("device", [[], ["--device", "cpu", "--precision", "bf16"]])
def test_a_head_labels_new_texts(
    device: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Few examples are enough for texts that are near them, on both engines."""
    assert train() == 0
    assert capsys.readouterr().out == "head\n"
    texts = ["My invoice is wrong", "It crashes when I press the button"]
    assert main(["classify", *texts, "-m", "head", "-f", "text", *device]) == 0
    assert capsys.readouterr().out == "billing\nbug\n"
    assert not Path("head/.training").exists()
    assert Path("head/head.safetensors").stat().st_mode & 0o044
    assert 'library_name: "bertcli"' in Path("head/README.md").read_text()


def test_several_labels_and_none(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows with lists of labels make a head in which each label stands for itself."""
    rows = [("a red apple", ["red", "fruit"]), ("a red car", ["red"]), ("a pear", ["fruit"])]
    rows += [("a red cherry", ["red", "fruit"]), ("a grey stone", []), ("a grey road", [])]
    write(folder / "many.jsonl", [{"text": text, "label": labels} for text, labels in rows])
    assert train(data="many.jsonl") == 0
    capsys.readouterr()
    assert main(["classify", "a red apple", "-m", "head"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {one["label"] for one in found["labels"]} == {"red", "fruit"}
    assert sum(one["score"] for one in found["labels"]) > 1.05


def test_a_head_is_not_trained_over(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A finished head stays as it was."""
    assert train() == 0
    before = Path("head/head.safetensors").read_bytes()
    assert train() == 2
    assert "there is a checkpoint already" in capsys.readouterr().err
    assert Path("head/head.safetensors").read_bytes() == before


@pytest.mark.parametrize("task", ["ner", "qa", "fill-mask"])
def test_heads_are_for_classify(
    task: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A tagger or an answer finder needs more than a vector per text."""
    row = {"tokens": ["Ada"], "tags": ["B-PER"], "question": "Who?", "context": "Ada."}
    write(folder / "one.jsonl", [row | {"answers": {"text": ["Ada"], "answer_start": [0]}}])
    more = ["--method", "head", "-o", "out", "--valid", "one.jsonl", "--minutes", "1"]
    assert main(["train", task, "one.jsonl", *more]) == 2
    assert "--method head is for classify only" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "head.safetensors").unlink(), "no head.safetensors"),
        (lambda folder: (folder / "head.safetensors").write_bytes(b"x"), "damaged or truncated"),
        (lambda folder: (folder / "head_config.json").write_text("{}"), "has no"),
        (lambda folder: relabel(folder, ["a", "b"]), "does not fit its base and labels"),
    ],
)
def test_damaged_heads_are_refused_in_a_line(
    damage: object, said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is missing or does not fit is said, with exit code 1."""
    assert train() == 0
    capsys.readouterr()
    damage(Path("head"))  # type: ignore[operator]
    assert main(["classify", "text", "-m", "head"]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1


def relabel(folder: Path, labels: list[str]) -> None:
    """Give a head other labels than it has rows for."""
    path = folder / "head_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"labels": labels}))
