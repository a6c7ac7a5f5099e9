"""Command lines read without pydantic, and without the commands that are not asked for.

Typer 0.29 takes every value through pydantic, defaults and plain text too; importing it is a sixth
of a cold start. Here the plain cases are converted at once and the rest, above all everything that
is wrong, is left to Typer and its messages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any

import typer
from typer._coercion import RuntimeParam, build_runtime_param
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command_from_info, get_group
from typer.models import CommandInfo

OTHERWISE = object()
DIGITS = 20  # more than any number that is meant


class _Plainly:
    """What puts a quick conversion before Typer's own, for each parameter."""

    get_params: Callable[..., list[Any]]

    def parse_args(self, context: Any, arguments: list[str]) -> list[str]:
        """Return the arguments left over, the others converted."""
        for one in self.get_params(context):
            described = one.type_descriptor
            one._runtime_param = _Quick(described.parameter_info, described.annotation)
        rest: list[str] = super().parse_args(context, arguments)  # type: ignore[misc]
        return rest


class QuickCommand(_Plainly, TyperCommand):
    """A command whose plain values are converted without pydantic."""


class QuickGroup(_Plainly, TyperGroup):
    """A group of commands whose own plain values are converted without pydantic."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands, without a look at what they are."""
        return list(self.commands)


class Deferred(Mapping[str, Any]):
    """Commands by name, each imported when it is asked for: all of them take 0.2 s.

    `places` has a name's module and what in it is the command, or the Typer app of a group, as
    `bertcli.cli.qa:qa`.
    """

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = places
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        """Return the command of that name; raises KeyError where there is none."""
        if name not in self._made:
            self._made[name] = _made(name, *self._places[name].split(":"))
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names, in their order."""
        return iter(self._places)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._places)


def group_of(places: Mapping[str, str]) -> type[QuickGroup]:
    """Return the class of a group with the commands of `Deferred`, for Typer's `cls`."""

    class Group(QuickGroup):
        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings | {"commands": Deferred(places)})

    return Group


def app_of(about: str, places: Mapping[str, str]) -> typer.Typer:
    """Return the Typer app of such a group below the program, with its line of help."""
    return typer.Typer(
        help=about, cls=group_of(places), rich_markup_mode=None, no_args_is_help=True
    )


def _made(name: str, module: str, attribute: str) -> Any:
    found = getattr(import_module(module), attribute)
    if isinstance(found, typer.Typer):
        group = get_group(found)
        group.name = name
        return group
    info = CommandInfo(name, cls=QuickCommand, callback=found)
    return get_command_from_info(info, pretty_exceptions_short=False, rich_markup_mode=None)


class _Quick(RuntimeParam):
    def _coerce_value(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the value as the command takes it."""
        plain = _plain(value, param)
        if plain is not OTHERWISE:
            return plain
        return build_runtime_param(param.type_descriptor).coerce(value, param, ctx)


def _plain(value: Any, parameter: Any) -> Any:
    """Return a default, or a value of a plain type; OTHERWISE where Typer is to judge."""
    wanted = parameter.type_descriptor.annotation
    if value is parameter.default:
        return value
    if wanted == list[str] and isinstance(value, tuple):
        return list(value)
    if isinstance(wanted, type) and isinstance(value, str):
        return _from_text(value, wanted, parameter)
    return OTHERWISE


def _from_text(value: str, wanted: type, parameter: Any) -> Any:
    if wanted is str:
        return value
    if issubclass(wanted, Path):
        return Path(value)
    if issubclass(wanted, Enum):
        return {str(member.value): member for member in wanted}.get(value, OTHERWISE)
    if wanted is int and value.isascii() and value.isdecimal() and len(value) < DIGITS:
        number = int(value)
        low = number if parameter.min is None else parameter.min
        high = number if parameter.max is None else parameter.max
        return number if low <= number <= high else OTHERWISE
    return OTHERWISE
