"""Texts that begin with a dash, which every program reads as options: telling who meant a text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import typer

from bertcli.errors import UsageError

NOT_READ = re.compile(r"No such option: -([^-])$|Invalid value for '-([^-])'")
WITH_VALUES = {"-i": "inputs", "-o": "output", "-m": "model"}
"""Options that take any word, so that a text is not noticed by what it would have them do."""


def advice(message: str, arguments: Iterable[str]) -> str:
    """Return what to add to Typer's message where it read a text as options, as "-5 degrees".

    Empty where no argument is one.
    """
    found = NOT_READ.match(message)
    letter = found and (found[1] or found[2])
    glued = (one for one in arguments if letter and re.match(rf"-[^-]*?{re.escape(letter)}", one))
    text = next((one for one in glued if len(one) > 2), None)
    return "" if text is None else f'; a text that begins with - comes last, after --: -- "{text}"'


def refuse_glued(context: typer.Context) -> None:
    """Raise where a text was read as an option and its value, as -offers as -o ffers.

    The value tells: it names nothing that is there, and has no suffix or folder, as files have.
    """
    arguments = context.find_root().obj or []
    for option, name in WITH_VALUES.items():
        given = context.params.get(name) or ()
        for value in (given,) if isinstance(given, str) else given:
            if (glued := option + value) in arguments and not _is_meant(name, value):
                raise UsageError(
                    f"{glued} is an option here: a text that begins with - comes last, after --, "
                    f'as in: {context.command_path} -- "{glued}"; or write {option} {value}'
                )


def _is_meant(name: str, value: str) -> bool:
    """Return whether a value that follows its option at once is likely to be one."""
    if name == "model":
        from bertcli.checkpoints.resolve import ModelChoice, locate

        return bool(locate(ModelChoice(value)))
    if Path(value).exists() or value == "-":
        return True
    return " " not in value and any(sign in value for sign in "./*")
