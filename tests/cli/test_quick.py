"""Values of a command line that are converted without pydantic, and those that Typer judges."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

from bertcli.cli.quick import QuickCommand


class Colour(StrEnum):
    """Something to choose from."""

    RED = "red"
    GREEN = "green"


def taken(arguments: list[str], quick: bool) -> dict[str, Any]:
    """Return what a command is called with, or what is said against its arguments."""
    app, seen = typer.Typer(), dict[str, Any]()

    @app.command(cls=QuickCommand if quick else None)
    def command(
        words: Annotated[list[str] | None, typer.Argument()] = None,
        inputs: Annotated[list[str] | None, typer.Option("-i")] = None,
        name: Annotated[str | None, typer.Option()] = None,
        colour: Annotated[Colour, typer.Option()] = Colour.RED,
        other: Annotated[Colour | None, typer.Option()] = None,
        count: Annotated[int, typer.Option("-k", min=1, max=9)] = 5,
        share: Annotated[float, typer.Option(min=0)] = 0.5,
        folder: Annotated[Path | None, typer.Option()] = None,
        flag: Annotated[bool | None, typer.Option("--flag/--no-flag")] = None,
    ) -> None:
        seen.update(locals())

    try:
        typer.main.get_command(app).main(arguments, standalone_mode=False)
    except Exception as error:
        return {"error": getattr(error, "message", str(error))}
    seen.pop("seen", None)
    return seen


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["one", "two"],
        ["-i", "a", "-i", "b"],
        ["--name", "", "--colour", "green", "--other", "red"],
        ["-k", "7", "--share", "0.25", "--folder", "x/y"],
        ["--no-flag"],
        ["-k", "0"],
        ["-k", "10"],
        ["-k", " 7"],
        ["-k", "\u0667"],
        ["-k", "many"],
        ["--colour", "blue"],
        ["--colour", "RED"],
        ["--share", "-1"],
        ["--share", "half"],
    ],
)
def test_quick_and_typer_agree(arguments: list[str]) -> None:
    """Whatever is given, the command gets, or the user reads, what plain Typer makes of it."""
    ours, theirs = (taken(arguments, quick) for quick in (True, False))
    assert ours == theirs
    assert {key: type(one) for key, one in ours.items()} == {
        key: type(one) for key, one in theirs.items()
    }
