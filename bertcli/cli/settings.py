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
from collections.abc import Mapping
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


def user_defaults(command: Any) -> dict[str, Any]:
    """Return the default of every option that the user sets, by command and parameter.

    `command` is the program as Typer built it. Raises UsageError for a file that is not TOML, and
    for a key that is no option.
    """
    file = config_file()
    settings = _read(file)
    if not settings and not any(name.startswith(PREFIX) for name in os.environ):
        return {}
    known = {name for one in _all_commands(command) for name in _options(one)}
    from_environment = {
        name: os.environ[variable]
        for name in known
        if (variable := PREFIX + name.upper().replace("-", "_")) in os.environ
    }
    return _defaults(command, settings, {}, from_environment, file)


def _defaults(
    command: Any,
    table: Mapping[str, Any],
    inherited: Mapping[str, Any],
    environment: Mapping[str, str],
    file: Path,
) -> dict[str, Any]:
    """Return the defaults of a command and, by their names, of those below it."""
    below = getattr(command, SUBCOMMANDS, {})
    given = {**inherited, **_values(table)}
    tables = {name: value for name, value in table.items() if isinstance(value, dict)}
    strange = sorted(set(tables) - set(below))
    if strange:
        raise UsageError(f"{file}: [{strange[0]}] is not a command")
    options = _options(command)
    known = {name for one in _all_commands(command) for name in _options(one)}
    unknown = sorted(set(_values(table)) - known)
    if unknown:
        whose = "any command" if below else command.name
        raise UsageError(f"{file}: {unknown[0]} is not an option of {whose}")
    chosen = {**given, **environment}
    own = {options[name]: value for name, value in chosen.items() if name in options}
    several = {one.name for one in command.params if getattr(one, "multiple", False)}
    for name, value in chosen.items():
        if isinstance(value, list) and name in options and options[name] not in several:
            raise UsageError(f"{file}: {name} is a list, expected one value as on the command line")
    return own | {
        name: _defaults(one, tables.get(name, {}), given, environment, file)
        for name, one in below.items()
    }


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
