"""`bertcli quantize`: the drift of int8, and checkpoints that run in it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from bertcli.engine.families import Head
from bertcli.evaluate import drift
from tiny import change_config

from .conftest import Run

FEW = ("--epochs", "1", "--evaluations", "1")
TEXTS = [f"the cat sat on mat {n} and it was fine" for n in range(30)]


def classifier_data() -> str:
    """Write a few labelled texts, and return the name of their file."""
    rows = [f"a good cat {n},good" if n % 2 else f"a bad dog {n},bad" for n in range(12)]
    Path("data.csv").write_text("\n".join(["text,label", *rows]))
    return "data.csv"


@pytest.fixture
def texts(here: Path) -> Path:
    """A file of texts."""
    path = here / "texts.txt"
    path.write_text("\n".join(TEXTS))
    return path


@pytest.mark.parametrize(
    ("head", "measure"),
    [
        (Head.SEQUENCE, "label agreement"),
        (Head.TOKEN, "entity F1"),
        (Head.BASE, "cosine, mean"),
        (Head.MASKED_LM, "first word"),
    ],
)
def test_each_task_has_its_measure(
    tiny_checkpoint: Any, run: Run, texts: Path, head: Head, measure: str
) -> None:
    """The task is the checkpoint's own."""
    ran = run("quantize", tiny_checkpoint("bert", head), "--check", texts)
    first = ran.records[0]
    assert first["measure"] == measure
    assert 0 <= first["value"] <= 1
    assert ran.code == (0 if all(one["passes"] for one in ran.records) else 1)


def test_questions_are_checked(tiny_checkpoint: Any, run: Run, here: Path) -> None:
    """Rows with a question and a context."""
    rows = [{"question": "who sat?", "context": text} for text in TEXTS[:6]]
    Path("q.jsonl").write_text("\n".join(map(json.dumps, rows)))
    ran = run("quantize", tiny_checkpoint("bert", Head.QA), "--check", "q.jsonl")
    assert ran.records[0]["measure"] == "answer F1"
    Path("r.jsonl").write_text(Path("q.jsonl").read_text().replace('"question"', '"asked"'))
    named = ["--check", "r.jsonl", "--question-field", "asked"]
    assert run("quantize", tiny_checkpoint("bert", Head.QA), *named).out == ran.out


def test_what_is_written_runs_in_int8(run: Run, texts: Path, classifier: Path) -> None:
    """The new checkpoint answers as --precision int8 does, and fp32 can still be asked for."""
    assert run("quantize", classifier, "--check", texts, "-o", "small", "--force").code == 0
    line = ["classify", "-i", texts, "-m"]
    small, int8 = run(*line, "small"), run(*line, classifier, "--precision", "int8")
    full = run(*line, classifier)
    assert small.out == int8.out
    assert small.out != full.out
    assert run(*line, "small", "--precision", "fp32").out == full.out
    assert run("quantize", classifier, "--check", texts, "-o", "small").said("exists already")
    change_config(Path("small"), bertcli_precision="int4")
    assert run(*line, "small").said("small: bertcli_precision", "'int4'", "expected int8 or fp32")


def test_an_adapter_finds_its_base_from_another_folder(
    run: Run, texts: Path, classifier: Path, tiny_checkpoint: Any
) -> None:
    """A base that is named by a relative path is named anew."""
    run("train", "classify", classifier_data(), "-m", tiny_checkpoint(), "-o", "a/one", *FEW)
    settings = json.loads(Path("a/one/adapter_config.json").read_text())
    shutil.copytree(settings["base_model_name_or_path"], "a/base")
    settings["base_model_name_or_path"] = "../base"
    Path("a/one/adapter_config.json").write_text(json.dumps(settings))
    assert run("quantize", "a/one", "--check", texts, "-o", "b/far/small", "--force").code == 0
    assert run("classify", "-m", "b/far/small", "a cat").code == 0


def test_what_is_trained_on_it_is_not_quantised(run: Run, texts: Path, classifier: Path) -> None:
    """Nobody measured what int8 would change of that."""
    assert run("quantize", classifier, "--check", texts, "-o", "small").code == 0
    Path("rows.csv").write_text("text,label\n" + "the cat,a\na dog,b\n" * 4)
    line = ("train", "classify", "rows.csv", "--valid", "rows.csv", "--epochs", 1)
    assert run(*line, "-m", "./small", "-o", "new").code == 0
    assert "bertcli_precision" not in json.loads(Path("new/config.json").read_text())


def test_too_much_drift_is_refused(
    run: Run, texts: Path, classifier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 1, nothing written, and the measure named; --force writes all the same."""
    monkeypatch.setattr(drift.Drift, "passes", property(lambda self: False))
    ran = run("quantize", classifier, "--check", texts, "-o", "small")
    assert ran.code == 1
    assert ran.said("label agreement", "stay with fp32", "small was not written")
    assert not Path("small").exists()
    assert run("quantize", classifier, "--check", texts, "-o", "small", "--force").code == 0
    assert Path("small").is_dir()


def test_too_few_records_are_told(run: Run, here: Path, classifier: Path) -> None:
    """One record agrees with itself too easily."""
    Path("one.txt").write_text("alone\n")
    assert run("quantize", classifier, "--check", "one.txt").said("one.txt", "at least 2")
