"""What the measurements of all tasks have in common: their options, and how scores are shown."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bertcli.cli.options import Debug
from bertcli.cli.recipe import keep_apart, warn
from bertcli.errors import OutputError, UsageError, counted

if TYPE_CHECKING:
    from bertcli.cli.options import ModelFlags
    from bertcli.evaluate.classify import LabelCounts
    from bertcli.evaluate.intervals import Interval

DIGITS = 4
LEFT, RIGHT = 1, 2
"""Blanks beside each column."""

Data = Annotated[list[str], typer.Argument(help="Files, globs or folders with labelled data.")]


@dataclass(frozen=True, slots=True)
class EvalFlags:
    """What is told besides the scores."""

    compare: Annotated[
        str | None, typer.Option(help="A second checkpoint, measured on the same records.")
    ] = None
    errors: Annotated[
        Path | None, typer.Option(help="Write the records with a wrong answer here, as JSON lines.")
    ] = None
    differences: Annotated[
        Path | None,
        typer.Option(help="Write the records on which the two differ here, as JSON lines."),
    ] = None
    debug: Debug = False

    def __post_init__(self) -> None:
        if self.differences is not None and self.compare is None:
            raise UsageError("--differences needs --compare: between which two checkpoints?")

    def keep_apart(self, read: Iterable[str], **written: Path | None) -> None:
        """Raise, before any work is done, where a file to be written is one of those read, is
        written twice, or cannot be written."""
        from bertcli.outputs.sink import check_writable, is_device

        more = {f"--{name.replace('_', '-')}": path for name, path in written.items()}
        files = {"--errors": self.errors, "--differences": self.differences, **more}
        keep_apart(files, read)
        for path in files.values():
            if path is not None and not is_device(str(path)):
                check_writable(str(path))


@dataclass(frozen=True, slots=True)
class Table:
    """A table for the terminal: its columns, and rows of texts and numbers.

    `note` is said below it; `narrow` makes the table that is shown where this one is too wide.
    """

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    note: str = ""
    narrow: Callable[[], Table] | None = None

    @property
    def width(self) -> int:
        """How many characters a terminal needs for it."""
        from rich.cells import cell_len

        columns = zip(self.columns, *self.rows, strict=True)
        widths = (max(cell_len(_shown(cell)) for cell in column) for column in columns)
        return sum(LEFT + width + RIGHT for width in widths)


def label_rows(counts: Iterable[LabelCounts]) -> list[dict[str, Any]]:
    """Return precision, recall and F1 of each label for the report."""
    return [
        {
            "label": one.label,
            "precision": one.precision,
            "recall": one.recall,
            "f1": one.f1,
            "support": one.support,
        }
        for one in counts
    ]


def label_table(counts: Iterable[LabelCounts]) -> Table:
    """Return the same as a table."""
    rows = [tuple(row.values()) for row in label_rows(counts)]
    return Table(("label", "precision", "recall", "F1", "support"), rows)


def other_model(model: ModelFlags, name: str) -> ModelFlags:
    """Return the flags of the checkpoint that is compared with."""
    return replace(model, model=name, revision=None)


def between(interval: Interval) -> list[float]:
    """Return an interval's bounds for the report."""
    return [round(interval.low, DIGITS), round(interval.high, DIGITS)]


def show(found: Mapping[str, Any], tables: Iterable[Callable[[], Table]] = ()) -> None:
    """Write scores to stdout: as one JSON object into a pipe, as tables on a terminal."""
    if not sys.stdout.isatty():
        typer.echo(json.dumps(_rounded(found), ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table as RichTable

    console = Console(highlight=False, markup=False, emoji=False)
    plain = {key: value for key, value in found.items() if not isinstance(value, list | dict)}
    listed = RichTable(show_header=False, box=None)
    for key, value in plain.items():
        low, high = found.get(f"{key}_95") or (None, None)
        bounds = "" if low is None else f"  ({low:.{DIGITS}f} … {high:.{DIGITS}f})"
        listed.add_row(key.replace("_", " "), f"{_shown(value)}{bounds}")
    console.print(listed)
    for make in tables:
        table = make()
        if table.narrow and table.width > console.width:
            table = table.narrow()
        drawn = RichTable(box=None, padding=(0, RIGHT, 0, LEFT))
        for number, column in enumerate(table.columns):
            drawn.add_column(column, justify="right" if number else "left", overflow="fold")
        for row in table.rows:
            drawn.add_row(*map(_shown, row))
        console.print()
        console.print(drawn)
        if table.note:
            console.print(f" {table.note}")


def write_errors(
    path: Path | None,
    rows: Iterable[Mapping[str, Any]],
    one: str = "wrong record",
    several: str | None = None,
) -> None:
    """Write the records that were answered wrongly, if a file was asked for, and say how many."""
    if path is not None:
        warn(f"{counted(_write_rows(path, rows), one, several)} in {path}")


def write_differences(flags: EvalFlags, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write the records that two checkpoints answered differently, if a file was asked for."""
    if flags.differences is not None:
        count = _write_rows(flags.differences, rows)
        told = counted(count, "record that differs", "records that differ")
        warn(f"{told} in {flags.differences}")


def _write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    lines = [json.dumps(_rounded(row), ensure_ascii=False) for row in rows]
    write_lines(path, lines)
    return len(lines)


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write lines to a file that appears, or replaces another one, when it is complete."""
    from bertcli.outputs.sink import Destination, open_sink

    try:
        with open_sink(Destination(str(path))) as sink:
            sink.write("".join(f"{line}\n" for line in lines).encode())
    except OutputError as error:
        why = str(error).removeprefix(f"cannot write {path}: ")
        raise OutputError(f"{path}: cannot be written ({why})") from error


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, Mapping):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list | tuple) else value


def _shown(value: Any) -> str:
    return f"{value:.{DIGITS}f}" if isinstance(value, float) else f"{value}"
