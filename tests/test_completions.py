"""The completion scripts in `completions/` are those of the program."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.completion import get_completion_script

FOLDER = Path(__file__).parent.parent / "completions"
FILES = {"bash": "bertcli.bash", "zsh": "_bertcli", "fish": "bertcli.fish"}


@pytest.mark.parametrize("shell", FILES)
def test_script_is_current(shell: str) -> None:
    """What a user installs from the repository is what `--show-completion` would print."""
    script = get_completion_script(
        prog_name="bertcli", complete_var="_BERTCLI_COMPLETE", shell=shell
    )
    assert (FOLDER / FILES[shell]).read_text() == script + "\n"
