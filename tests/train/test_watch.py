"""What is seen of a training: lines, a live table, a plot, TensorBoard's events."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rich.console import Console

from bertcli.cli.app import main
from bertcli.cli.train.watch import HISTORY, History, check_watch, training_table, watch
from bertcli.engine.families import Head
from bertcli.errors import OutputError, UsageError
from bertcli.outputs import plot
from bertcli.train.loop import Progress, Settings, train
from tiny import make_checkpoint

LINES = """
from bertcli.cli.train.watch import _line
from bertcli.train.loop import Progress
_line(Progress(1, 0.5, 1e-3, 9.0, 1.0, {"F1": 0.5}))
"""
PNG = b"\x89PNG\r\n\x1a\n"
ROWS = [{"text": f"{word} film {i}", "label": word} for i in range(10) for word in ("good", "bad")]


def steps(first: int, last: int) -> list[Progress]:
    """Return what a run tells of its steps: every fourth one is measured."""
    return [
        Progress(step, 1 / step, 1e-3, 500.0, step / 100, None if step % 4 else {"F1": step / 100})
        for step in range(first, last)
    ]


def test_a_run_ends_at_all_of_it(tmp_path: Path) -> None:
    """The last step says so, and what was measured comes after it."""
    parameter = torch.nn.Linear(2, 1)
    loss = lambda step: (parameter(torch.ones(1, 2)).sum() ** 2, 2)  # noqa: E731
    settings = Settings(steps=4, evaluate_every=2)
    told = list(train(parameter, loss, lambda: {"F1": 0.5}, settings, tmp_path / "state.pt"))
    assert [one.done for one in told] == [0.25, 0.5, 0.75, 1.0]
    done = subprocess.run(
        [sys.executable, "-c", LINES], capture_output=True, text=True, check=True
    ).stderr.splitlines()
    assert [line[:8] for line in done] == ["step 1  ", "held out"]


def test_a_resumed_run_is_drawn_whole(tmp_path: Path) -> None:
    """Points after the step that it goes on from are of the past, and noted once."""
    with watch(tmp_path, None, None) as tell:
        for one in steps(1, 20):
            tell(one)
    with (tmp_path / HISTORY).open("a") as file:
        file.write('{"step": 2')  # killed while it wrote
    picture = tmp_path / "curves.png"
    with watch(tmp_path, picture, None) as tell:
        for one in steps(13, 30):
            tell(one)
    noted = [json.loads(line) for line in (tmp_path / HISTORY).read_text().splitlines()]
    assert [one["step"] for one in noted] == [1, 4, 8, 12, 16, 20, 24, 28]
    assert picture.read_bytes().startswith(PNG)


def test_the_curves_hold_what_was_told(tmp_path: Path) -> None:
    """Losses at every point, scores where they were measured."""
    history = History(tmp_path / HISTORY)
    for one in steps(3, 6):
        history.add(one)
    loss, scores = history.curves()
    assert loss == [(3, 1 / 3), (4, 0.25), (5, 0.2)]
    assert scores == {"F1": [(4, 0.04)]}
    assert History(tmp_path / HISTORY).curves() == (loss, scores)  # nothing was left to train


def test_the_table_says_how_long_it_takes() -> None:
    """The measurements, and in the last row where the run is now."""
    console = Console(width=80, file=io.StringIO())
    console.print(training_table(steps(4, 6), "1:30"))
    said = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert said[0].split() == ["step", "loss", "F1", "rate", "tokens/s", "done", "left"]
    assert said[1].split() == ["4", "0.250", "0.04", "1.0e-03", "500", "4%"]
    assert said[2].split() == ["5", "0.200", "1.0e-03", "500", "5%", "1:30"]


@pytest.mark.parametrize(("name", "says"), [("a.txt", ".png"), ("no/a.png", "no folder no")])
def test_a_plot_that_cannot_be_is_refused_first(
    name: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is trained."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=says):
        check_watch(Path(name), None)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the extra that brings it."""
    monkeypatch.setattr(plot, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'bertcli\[plots\]'"):
        plot.need_package("tensorboard", "--tensorboard")


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Write labelled texts and return their file's name, in the folder of the test."""
    monkeypatch.chdir(tmp_path)
    lines = "".join(f"{json.dumps(row)}\n" for row in ROWS)
    Path("rows.jsonl").write_text(lines, encoding="utf-8")
    make_checkpoint(Path("base"), "bert", Head.BASE)
    return "rows.jsonl"


def test_train_and_eval_draw(rows: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A plot of the curves, TensorBoard's events with every score, and the confusion."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    how = ["--epochs", "2", "--batch-tokens", "64", "--rank", "4", "-m", "base"]
    drawn = ["--plot", "curves.svg", "--tensorboard", "events"]
    assert main(["train", "classify", rows, "-o", "out", *how, *drawn]) == 0
    assert "<svg" in Path("curves.svg").read_text(encoding="utf-8")
    events = EventAccumulator("events")
    events.Reload()
    assert {"loss", "learning rate", "held out/accuracy"} <= set(events.Tags()["scalars"])
    capsys.readouterr()
    assert main(["eval", "classify", rows, "-m", "out", "--plot", "confusion.png"]) == 0
    assert Path("confusion.png").read_bytes().startswith(PNG)
    assert sum(
        sum(row.values()) for row in json.loads(capsys.readouterr().out)["confusion"].values()
    )


def test_a_full_disk_costs_the_picture_only(
    rows: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The checkpoint is written though its plot cannot be."""

    def full(*_: object) -> None:
        raise OutputError("cannot write curves.png: the disk is full")

    monkeypatch.setattr("bertcli.cli.train.watch.draw_training", full)
    how = ["--epochs", "1", "--batch-tokens", "64", "--rank", "4", "-m", "base"]
    assert main(["train", "classify", rows, "-o", "out", *how, "--plot", "curves.png"]) == 0
    assert "curves.png" in capsys.readouterr().err
    assert Path("out/adapter_model.safetensors").exists()


def test_nothing_is_drawn_without_being_asked() -> None:
    """matplotlib and tensorboard are imported where they are used."""
    code = "import bertcli.cli.train.watch, bertcli.cli.eval.classify, sys; "
    code += "print({'matplotlib', 'tensorboard'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"
