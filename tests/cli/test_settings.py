"""The user's own defaults: flag, environment, file, program."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bertcli.cli.app import main

LABELLED = ["classify", "--labels", "sports,politics", "The striker scored twice."]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of the user's file, in a folder of the test's own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "bertcli").mkdir()
    return tmp_path / "bertcli" / "config.toml"


def labels_shown(capsys: pytest.CaptureFixture[str], *more: str) -> int:
    """Run a classification and return how many labels came out."""
    assert main([*LABELLED, *more]) == 0
    return len(json.loads(capsys.readouterr().out).get("labels", [None]))


def test_precedence(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A flag wins over the environment, that over the file, and the file over the default."""
    assert labels_shown(capsys) == 1
    config.write_text("top-k = 2\n")
    assert labels_shown(capsys) == 2
    monkeypatch.setenv("BERTCLI_TOP_K", "1")
    assert labels_shown(capsys) == 1
    assert labels_shown(capsys, "-k", "2") == 2


def test_a_commands_own_table_wins(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is said for one command holds for it alone, and before what is said for all."""
    config.write_text("top_k = 1\n[classify]\ntop_k = 2\n[search]\ntop_k = 1\n")
    assert labels_shown(capsys) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("top-q = 3\n", "top-q is not an option"),
        ("[clasify]\ntop-k = 3\n", "[clasify] is not a command"),
        ("[classify]\nmodle = 'x'\n", "modle is not an option of classify"),
        ("top-k = \n", "not TOML"),
        ("[classify]\nlabels = ['a', 'b']\n", "labels is a list"),
    ],
)
def test_a_broken_file_is_said(
    text: str, message: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A misspelt setting is named with its file, instead of being without effect."""
    config.write_text(text)
    assert main(LABELLED) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "config.toml" in error


def test_a_table_is_looked_at_when_its_command_is_asked(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a group's command too, and of no other: to make them all takes time."""
    config.write_text("[index.build]\nfoo = 3\n")
    assert main(LABELLED) == 0
    assert main(["index", "build", "x", "y.txt"]) == 2
    assert "config.toml: foo is not an option of build" in capsys.readouterr().err


def test_an_option_that_may_be_repeated(
    config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One value in the environment or in the file is one, a list in the file several."""
    for name in ("one.txt", "two.txt"):
        (config.parent / name).write_text(f"The striker of {name} scored.\n")
    paths = [str(config.parent / name) for name in ("one.txt", "two.txt")]
    line = ["classify", "--labels", "sports,politics"]
    for text, count in ((f"input = {paths[0]!r}", 1), (f"input = {paths}", 2)):
        config.write_text(text)
        assert main(line) == 0
        assert len(capsys.readouterr().out.splitlines()) == count
    monkeypatch.setenv("BERTCLI_INPUT", paths[1])
    assert main(line) == 0
    assert "two.txt" in capsys.readouterr().out


def test_a_wrong_value_is_refused_like_a_flag(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A value from the file is checked as one from the command line is."""
    config.write_text('precision = "fp7"\n')
    assert main(LABELLED) == 2
    assert "precision" in capsys.readouterr().err.lower()
