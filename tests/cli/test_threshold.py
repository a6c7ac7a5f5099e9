"""Thresholds: chosen by hand-checkable rules, kept in the checkpoint, used by classify."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertcli.cli.app import main
from bertcli.evaluate.classify import ClassifyScore
from bertcli.evaluate.thresholds import best_thresholds


def score_of(probabilities: list[float], gold: list[bool]) -> ClassifyScore:
    """Return the score of a single label."""
    column = np.array(probabilities)[:, None]
    right = np.array(gold, bool)[:, None]
    return ClassifyScore(("a",), right, column >= 0.5, column)


@pytest.mark.parametrize(
    ("gold", "precision", "expected"),
    [
        ([True, True, False, False], None, 0.7),  # between 0.8 and 0.6
        ([True, True, False, True], None, 0.2),  # three of four right is the best F1
        ([True, False, True, True], 0.75, 0.2),
        ([True, False, True, True], 0.9, 0.85),
        ([False, False, False, True], 0.5, 1.0),
    ],
)
def test_thresholds_by_hand(gold: list[bool], precision: float | None, expected: float) -> None:
    """The threshold stands half-way to the next text that is not wanted."""
    score = score_of([0.9, 0.8, 0.6, 0.4], gold)
    assert best_thresholds(score, True, precision)["a"] == pytest.approx(expected)


@pytest.mark.parametrize("precision", [None, 0.5])
def test_what_no_text_has_gets_no_threshold(precision: float | None) -> None:
    """Such texts do not tell where a label should begin, and do not switch it off."""
    assert best_thresholds(score_of([0.9, 0.4], [False, False]), True, precision) == {}


@given(
    st.lists(st.tuples(st.sampled_from([0.1, 0.3, 0.5, 0.9]), st.booleans()), min_size=1),
    st.sampled_from([0.5, 0.8, 1.0]),
)
def test_the_wanted_precision_is_reached(rows: list[tuple[float, bool]], precision: float) -> None:
    """At the threshold the label is right as often as was asked, or is never given."""
    score = score_of([p for p, _ in rows], [g for _, g in rows])
    threshold = best_thresholds(score, True, precision).get("a", 1.0)
    given_to = [gold for probability, gold in rows if probability >= threshold]
    assert not given_to or sum(given_to) >= precision * len(given_to)


def test_of_one_label_only_the_best_counts() -> None:
    """A second-best label is not given, whatever its probability."""
    probabilities = np.array([[0.6, 0.4], [0.7, 0.3], [0.45, 0.55]])
    gold = np.array([[True, False], [True, False], [False, True]])
    score = ClassifyScore(("a", "b"), gold, gold, probabilities)
    assert best_thresholds(score, False) == pytest.approx({"a": 0.3, "b": 0.275})


@pytest.fixture
def head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small head and the rows it was trained on."""
    monkeypatch.chdir(tmp_path)
    rows = [("I was charged twice", "billing"), ("Where is my invoice?", "billing")]
    rows += [("It crashes on start", "bug"), ("The button does nothing", "bug")]
    lines = [json.dumps({"text": text, "label": label}) + "\n" for text, label in rows]
    Path("rows.jsonl").write_text("".join(lines))
    more = ["--method", "head", "--valid", "rows.jsonl", "-o", "head"]
    assert main(["train", "classify", "rows.jsonl", *more]) == 0
    return tmp_path / "head"


def test_classify_uses_what_was_fitted(head: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A text below its label's threshold gets none, unless another one is asked for."""
    assert main(["threshold", "fit", "rows.jsonl", "-m", "head", "--least-precision", "1"]) == 0
    fitted = json.loads(capsys.readouterr().out.splitlines()[-1])["thresholds"]
    assert set(fitted) == {"billing", "bug"}
    config = head / "head_config.json"
    stored = json.loads(config.read_text())
    assert stored["thresholds"] == pytest.approx(fitted, abs=1e-3)
    config.write_text(json.dumps(stored | {"thresholds": {"billing": 0.999, "bug": 0.999}}))
    assert main(["classify", "It crashes on start", "-m", "head"]) == 0
    assert json.loads(capsys.readouterr().out)["label"] is None
    assert main(["classify", "It crashes on start", "-m", "head", "--abstain-below", "0"]) == 0
    assert json.loads(capsys.readouterr().out)["label"] == "bug"


def test_what_the_thresholds_bring_is_told(head: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Precision and recall of each label; and a label that no threshold is enough for."""
    assert main(["threshold", "fit", "rows.jsonl", "-m", "head", "--least-precision", "1"]) == 0
    rows = json.loads(capsys.readouterr().out)["labels"]
    assert [(row["label"], row["precision"], row["recall"]) for row in rows] == [
        ("billing", 1, 1),
        ("bug", 1, 1),
    ]
    lines = Path("rows.jsonl").read_text().splitlines(True)
    other = [lines[0].replace("billing", "bug"), lines[2].replace("bug", "billing")]
    Path("odd.jsonl").write_text("".join(other))
    assert main(["threshold", "fit", "odd.jsonl", "-m", "head", "--least-precision", "0.9"]) == 0
    assert '"billing", "bug": never given' in capsys.readouterr().err


def test_a_label_that_the_file_lacks_is_told(
    head: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It keeps its place among the answers, as before."""
    bugs = [one for one in Path("rows.jsonl").read_text().splitlines(True) if '"bug"' in one]
    Path("bugs.jsonl").write_text("".join(bugs))
    assert main(["threshold", "fit", "bugs.jsonl", "-m", "head"]) == 0
    shown = capsys.readouterr()
    assert set(json.loads(shown.out)["thresholds"]) == {"bug"}
    assert 'no text has the label "billing", which stays as it was' in shown.err
    assert main(["classify", "Where is my invoice?", "-m", "head"]) == 0
    assert json.loads(capsys.readouterr().out)["label"] == "billing"
    assert main(["threshold", "fit", "rows.jsonl", "-m", "head"]) == 0
    both = json.loads(capsys.readouterr().out)["thresholds"]
    assert main(["threshold", "fit", "bugs.jsonl", "-m", "head"]) == 0
    assert json.loads(capsys.readouterr().out)["thresholds"]["billing"] == both["billing"]


def test_labels_of_the_file_are_mapped(head: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the map they are refused, with the way to give one."""
    renamed = Path("rows.jsonl").read_text().replace("billing", "money")
    Path("renamed.jsonl").write_text(renamed)
    line = ["threshold", "fit", "renamed.jsonl", "-m", "head"]
    assert main(line) == 1
    assert "with --map money=NAME" in capsys.readouterr().err
    assert main([*line, "--map", "money=billing"]) == 0
    mapped = json.loads(capsys.readouterr().out)["thresholds"]
    assert main(["threshold", "fit", "rows.jsonl", "-m", "head"]) == 0
    assert json.loads(capsys.readouterr().out)["thresholds"] == mapped


def test_eval_uses_what_was_fitted(head: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of several labels a text, those that reach their own threshold are given."""
    row = {"text": "It crashes on start", "label": ["billing", "bug"]}
    Path("several.jsonl").write_text(json.dumps(row) + "\n")

    def recall(**thresholds: float) -> dict[str, float]:
        config = head / "head_config.json"
        own = {"multi_label": True, "thresholds": thresholds}
        config.write_text(json.dumps(json.loads(config.read_text()) | own))
        capsys.readouterr()
        assert main(["eval", "classify", "several.jsonl", "-m", "head"]) == 0
        found = json.loads(capsys.readouterr().out)["labels"]
        return {one["label"]: one["recall"] for one in found}

    assert recall() == {"billing": 0, "bug": 1}
    assert recall(billing=0.01) == {"billing": 1, "bug": 1}
    assert recall(billing=0.01, bug=0.999) == {"billing": 1, "bug": 0}


@pytest.mark.parametrize("command", ["threshold fit", "eval classify"])
@pytest.mark.parametrize(("label", "said"), [(["billing", "bug"], "2 labels"), ([], "no label")])
def test_several_labels_are_not_for_a_checkpoint_of_one(
    command: str, label: list[str], said: str, head: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It gives a text one: what holds for several would be a rule that it does not use."""
    row = {"text": "It crashes on start", "label": label}
    Path("several.jsonl").write_text(Path("rows.jsonl").read_text() + json.dumps(row) + "\n")
    assert main([*command.split(), "several.jsonl", "-m", "head"]) == 1
    shown = capsys.readouterr()
    assert f"several.jsonl:5: {said}, and head gives each text one" in shown.err
    assert not shown.out


def test_eval_tells_how_often_sure_answers_are_right(
    head: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of one label a text: the share that reaches the threshold, stored or given, and its hits."""

    def sure(*more: str) -> tuple[float, float] | None:
        capsys.readouterr()
        assert main(["eval", "classify", "rows.jsonl", "-m", "head", *more]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["accuracy"] == 1
        return (found["answered"], found["accuracy_of_answered"]) if "answered" in found else None

    assert sure() is None
    assert sure("--abstain-below", "0") == (1, 1)
    assert sure("--abstain-below", "0.9999") == (0, None)
    config = head / "head_config.json"
    stored = json.loads(config.read_text()) | {"thresholds": {"billing": 0.9999}}
    config.write_text(json.dumps(stored))
    assert sure() == (0.5, 1)


def test_abstaining_from_zero_shot_labels(capsys: pytest.CaptureFixture[str]) -> None:
    """Where no label is likely none is given."""
    more = ["--labels", "sports,politics", "--abstain-below", "0.99"]
    assert main(["classify", "Nothing of the kind.", *more]) == 0
    assert json.loads(capsys.readouterr().out)["label"] is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["threshold", "fit", "rows.jsonl"], "say whose thresholds"),
        (["threshold", "fit", "rows.jsonl", "-m", "sentiment"], "not a folder of yours"),
        (["classify", "x", "--threshold", "1", "--abstain-below", "1"], "give one"),
        (["classify", "x", "--abstain-below", "nan"], "should be less than or equal to 1"),
        (["classify", "x", "--abstain-below", "2"], "should be less than or equal to 1"),
    ],
)
def test_wrong_uses_are_told(
    arguments: list[str], said: str, head: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Built-in checkpoints are nobody's to change."""
    assert main(arguments) == 2
    assert said in capsys.readouterr().err


def test_thresholds_that_are_no_numbers(head: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A checkpoint edited by hand is refused in a line."""
    config = head / "head_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"thresholds": {"bug": "x"}}))
    assert main(["classify", "text", "-m", "head"]) == 1
    assert "its thresholds are not numbers" in capsys.readouterr().err
