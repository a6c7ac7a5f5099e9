"""Defaults of a user's own, from the environment and from a file.

`$XDG_CONFIG_HOME/bertcli/config.toml` (`~/.config/…` without it) names long options, for all
commands at the top and for one command in its table:

    device = "cpu"
    [classify]
    model = "./my-checkpoint"
    [index.build]
    chunk-tokens = 128

`BERTCLI_DEVICE=cpu` says the same for all commands. A flag wins over the environment, the
environment over the file, and the file over the program's default; within the file a command's
table wins over the top.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bertcli.errors import UsageError
from bertcli.home import user_folder

PREFIX = "BERTCLI_"
SUBCOMMANDS = "commands"
NEVER = frozenset({"help", "version", "debug", "install-completion", "show-completion"})


def config_file() -> Path:
    """Return where the user's file would be."""
    return user_folder("XDG_CONFIG_HOME", ".config") / "bertcli" / "config.toml"


def user_defaults(command: Any, arguments: Sequence[str]) -> dict[str, Any]:
    """Return the default of every option that the user sets for what a command line asks.

    `command` is the program as Typer built it; of its commands only the one that is asked is made,
    for each takes time, and its table alone is looked at. Raises UsageError for a file that is not
    TOML, and for a key that is no option.
    """
    file = config_file()
    table = _read(file)
    if not table and not any(name.startswith(PREFIX) for name in os.environ):
        return {}
    called = _called(command, arguments)
    defaults = own = dict[str, Any]()
    given: dict[str, Any] = {}
    for depth, one in enumerate(called):
        if depth:
            table = table.get(one.name, {})
            own = own.setdefault(one.name, {})
        _refuse_unknown(table, called[depth:], file)
        given |= _values(table)
        own |= _own_defaults(one, given, file)
    return defaults


def _called(command: Any, arguments: Sequence[str]) -> list[Any]:
    """Return the program, and the commands below it that a command line names."""
    called = [command]
    for word in arguments:  # no option of a group takes a value
        below = getattr(called[-1], SUBCOMMANDS, {})
        if word in below:
            called.append(below[word])
    return called


def _refuse_unknown(table: Mapping[str, Any], called: Sequence[Any], file: Path) -> None:
    """Raise UsageError where a table names what is no command, or an option of none."""
    command = called[0]
    below = getattr(command, SUBCOMMANDS, {})
    strange = [name for name, one in table.items() if isinstance(one, dict) and name not in below]
    if strange:
        raise UsageError(f"{file}: [{min(strange)}] is not a command")
    unknown = set(_values(table)).difference(*map(_options, called))
    if unknown:  # to those that are asked: others may know them
        unknown = unknown.difference(*map(_options, _all_commands(command)))
    if unknown:
        whose = "any command" if below else command.name
        raise UsageError(f"{file}: {min(unknown)} is not an option of {whose}")


def _own_defaults(command: Any, given: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """Return the defaults of a command by its parameters: what is given, unless the environment
    says otherwise."""
    options = _options(command)
    several = {one.name for one in command.params if getattr(one, "multiple", False)}
    chosen = {name: value for name, value in given.items() if name in options}
    for name in options:
        variable = PREFIX + name.upper().replace("-", "_")
        if variable in os.environ:
            chosen[name] = os.environ[variable]
    for name, value in chosen.items():
        if isinstance(value, list) and options[name] not in several:
            raise UsageError(f"{file}: {name} is a list, expected one value as on the command line")
        if not isinstance(value, list) and options[name] in several:
            chosen[name] = [value]
    return {options[name]: value for name, value in chosen.items()}


def _values(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table's own keys, spelled as the long options are."""
    return {
        name.replace("_", "-"): value
        for name, value in table.items()
        if not isinstance(value, dict)
    }


def _options(command: Any) -> dict[str, str]:
    """Return the parameter behind each long option of a command, arguments and help left out."""
    return {
        flag.removeprefix("--"): parameter.name
        for parameter in command.params
        for flag in getattr(parameter, "opts", ())
        if flag.startswith("--") and flag.removeprefix("--") not in NEVER
    }


def _all_commands(command: Any) -> list[Any]:
    below = getattr(command, SUBCOMMANDS, {}).values()
    return [command, *(found for one in below for found in _all_commands(one))]


def _read(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: cannot be read ({error})") from error
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file}: not TOML ({error})") from error
