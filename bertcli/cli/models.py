"""`bertcli models list | show | pull | path | verify | remove`."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bertcli.cli.options import Debug
from bertcli.cli.recipe import show_help, warn
from bertcli.errors import BertcliError, CheckpointError, UsageError

if TYPE_CHECKING:
    from bertcli.checkpoints.inventory import Entry
    from bertcli.checkpoints.resolve import ModelChoice
    from bertcli.checkpoints.verify import Check

app = typer.Typer(rich_markup_mode=None, invoke_without_command=True)


WITH_PLACES = 72
"""A terminal so wide shows where each checkpoint is, too."""
CHECK_INDENT = 9
"""What was seen begins so far from the left, behind "ok" or "problem"."""


class Listing(StrEnum):
    """What `-f` takes here."""

    TABLE = "table"
    JSONL = "jsonl"


Name = Annotated[
    str, typer.Argument(help="Built-in name, folder, or Hugging Face name.", show_default=False)
]
Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit on the hub.")]
Format = Annotated[
    Listing | None,
    typer.Option("-f", "--format", help="Table on a terminal, JSON lines in a pipe."),
]


@app.callback()
def models(context: typer.Context) -> None:
    """List, fetch, check and remove checkpoints.

    \b
    bertcli models list
    bertcli models pull dslim/bert-base-NER && bertcli models show dslim/bert-base-NER
    bertcli models verify fill-mask
    """
    if context.invoked_subcommand is None:
        show_help(context)


@app.command("list")
def list_models(output_format: Format = None, debug: Debug = False) -> None:
    """List the built-in and cached checkpoints.

    \b
    bertcli models list
    bertcli models list -f jsonl | jq -r 'select(.tasks | index("ner")) | .name'
    """
    from bertcli.checkpoints.inventory import entries
    from bertcli.outputs.jsonl import as_json

    found = list(entries())
    if _chosen(output_format) is Listing.JSONL:
        write_stdout("".join(f"{as_json(entry.nested())}\n" for entry in found))
        return
    write_stdout(_listed(found, shutil.get_terminal_size().columns))
    for entry in found:
        if entry.problem:
            warn(f"{entry.name}: {entry.problem}")


@app.command()
def show(
    name: Name, revision: Revision = None, output_format: Format = None, debug: Debug = False
) -> None:
    """Show what a checkpoint's files say about it.

    \b
    bertcli models show all-MiniLM-L6-v2
    bertcli models show ./my-model -f jsonl | jq .labels
    """
    from bertcli.checkpoints.inventory import details
    from bertcli.checkpoints.resolve import resolve
    from bertcli.outputs.jsonl import as_json

    choice, folder = _located(name, revision)
    found = details(resolve(choice), folder)
    if _chosen(output_format) is Listing.JSONL:
        write_stdout(f"{as_json(found)}\n")
    else:
        write_stdout(
            _table(("", ""), [(key, _spelled(key, value)) for key, value in found.items()])
        )


@app.command()
def pull(
    name: Name,
    revision: Revision = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False,
    allow_pickle: Annotated[
        bool, typer.Option("--allow-pickle", help="Fetch pytorch_model.bin too.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Download a checkpoint and print its folder.

    \b
    bertcli models pull dslim/bert-base-NER
    bertcli models pull intfloat/e5-small-v2 --revision main
    """
    from bertcli.checkpoints.cache import download, is_offline
    from bertcli.checkpoints.catalog import builtin
    from bertcli.checkpoints.inventory import tasks_of, visible_size
    from bertcli.checkpoints.resolve import ModelChoice, is_hub_name, read_folder

    if found := builtin(name):
        warn(f"{name} comes with bertcli, there is nothing to fetch")
        write_stdout(f"{found.folder}\n")
        return
    if not is_hub_name(name):
        raise UsageError(
            f"{name}: not a Hugging Face name, expected OWNER/NAME as in the hub's address"
        )
    if is_offline(offline):
        raise CheckpointError(
            f"{name}: cannot be fetched, the network is off; "
            "leave out --offline and unset HF_HUB_OFFLINE"
        )
    folder = download(name, revision, allow_pickle)
    checkpoint = read_folder(folder, ModelChoice(name, revision, allow_pickle=allow_pickle))
    uses = ", ".join(tasks_of(checkpoint)) or "nothing that bertcli does"
    warn(f"{name}: {as_size(visible_size(folder))} in the cache, for {uses}")
    write_stdout(f"{folder}\n")


@app.command()
def path(name: Name, revision: Revision = None, debug: Debug = False) -> None:
    """Print the folder of a checkpoint.

    \b
    bertcli models path all-MiniLM-L6-v2
    ls "$(bertcli models path fill-mask)"
    """
    _, folder = _located(name, revision)
    write_stdout(f"{folder.absolute()}\n")


@app.command()
def verify(name: Name, revision: Revision = None, debug: Debug = False) -> None:
    """Check that a checkpoint is whole and runs.

    \b
    bertcli models verify all-MiniLM-L6-v2
    bertcli models verify ./my-model
    """
    from bertcli.checkpoints.verify import verify as checks

    _, folder = _located(name, revision)
    problems = 0
    for check in checks(folder, name):
        write_check(check)
        problems += not check.ok
    if problems:
        raise typer.Exit(BertcliError.exit_code)


@app.command()
def remove(
    name: Name,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
    debug: Debug = False,
) -> None:
    """Delete a checkpoint from the cache.

    \b
    bertcli models remove dslim/bert-base-NER
    bertcli models remove dslim/bert-base-NER --yes
    """
    from bertcli.checkpoints.cache import cached_folder, folder_size, remove_cached
    from bertcli.checkpoints.catalog import builtin

    folder = cached_folder(name)
    if not folder.exists():
        _refuse_uncached(name, built_in=builtin(name) is not None)
    if not yes:
        if not sys.stdin or not sys.stdin.isatty():
            raise UsageError(f"{name}: nothing removed, as there is nobody to ask: add --yes")
        size = as_size(folder_size(folder))
        if not typer.confirm(f"Delete {name} ({size}) from {folder.parent}?", err=True):
            warn("nothing removed")
            return
    freed = remove_cached(name)
    warn(f"{name}: removed, {as_size(freed)} freed")


def as_size(count: int) -> str:
    """Return a number of bytes as people say it.

    >>> as_size(90868376), as_size(999)
    ('90.9 MB', '999 B')
    """
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def _refuse_uncached(name: str, built_in: bool) -> None:
    """Raise the error for what is not in the cache: only what is there is ever deleted."""
    if built_in:
        raise UsageError(f"{name} comes with bertcli and cannot be removed by itself")
    if Path(name).is_dir():
        raise UsageError(
            f"{name} is a folder of your own, only cached checkpoints are removed here"
        )
    raise CheckpointError(f"{name}: not in the cache; bertcli models list shows what is")


def _located(name: str, revision: str | None) -> tuple[ModelChoice, Path]:
    """Return what a name stands for on this machine; never looks on the network."""
    from bertcli.checkpoints.resolve import ModelChoice, is_hub_name, locate

    choice = ModelChoice(name, revision, offline=True)
    folder = locate(choice)
    if folder is None and not is_hub_name(name):
        raise CheckpointError(f"{name}: no such folder")
    if folder is None:
        option = f" --revision {revision}" if revision else ""
        raise CheckpointError(
            f"{name}: not a folder, not built in and not in the cache; "
            f"fetch it with: bertcli models pull {name}{option}"
        )
    if not folder.is_dir():
        raise CheckpointError(
            f"the built-in checkpoint {name} is missing from this installation; "
            "reinstall bertcli: pip install --force-reinstall --no-deps bertcli"
        )
    return choice, folder


def _chosen(output_format: Listing | None) -> Listing:
    return output_format or (Listing.TABLE if sys.stdout.isatty() else Listing.JSONL)


def write_stdout(text: str) -> None:
    """Write to stdout as answers are: UTF-8 in any locale, a full disk in words."""
    from bertcli.outputs.sink import Destination, open_sink

    with open_sink(Destination()) as sink:
        sink.write(text.encode("utf-8", "backslashreplace"))


def _listed(found: Sequence[Entry], width: int) -> str:
    """Return checkpoints as a table; a narrow one leaves out where they are, and breaks no name."""
    titles = ("name", "where", "use it for", "size", "measured")
    rows = [_cells(entry) for entry in found]
    if width >= WITH_PLACES:
        return _table(titles, rows, whole=(2, 3))
    narrow = [(name, uses.replace(", ", ",\n"), *rest) for name, _, uses, *rest in rows]
    short = all(len(name) <= width // 2 for name, *_ in narrow)
    return _table((titles[0], *titles[2:]), narrow, whole=(0, 1, 2) if short else (1, 2))


def _cells(entry: Entry) -> tuple[str, ...]:
    name = entry.name
    if entry.revision not in (None, "main"):
        name += f" ({entry.revision[:12] if entry.revision else ''})"
    uses = ", ".join(entry.tasks) or "nothing: see below"
    size = as_size(entry.size) if entry.size else ""
    return name, entry.where, uses, size, entry.scores or ""


def _spelled(key: str, value: object) -> str:
    """Return a value of `show` as lines for people."""
    if key == "files" and isinstance(value, Sequence):
        return "\n".join(f"{one['name']}  {as_size(one['bytes'])}" for one in value)
    if isinstance(value, Mapping):
        return "\n".join(f"{name}: {_spelled('', one)}" for name, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def write_check(check: Check) -> None:
    """Write what was looked at, on a terminal in lines that fit it."""
    import textwrap

    lines = [str(check)]
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        folder = textwrap.TextWrapper(width, subsequent_indent=" " * CHECK_INDENT)
        folder.break_long_words = folder.break_on_hyphens = False  # a path can be copied
        lines = folder.wrap(lines[0])
    write_stdout("".join(f"{line}\n" for line in lines))


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]], whole: Sequence[int] = ()) -> str:
    """Return rows as a table that fits the terminal, long cells folded.

    Columns that are `whole` are folded last.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from bertcli.outputs.visible import visible

    table = Table(
        *titles,
        box=SIMPLE_HEAD,
        show_header=any(titles),
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for number in whole:
        table.columns[number].no_wrap = True
    for row in rows:
        lines = ["\n".join(map(visible, cell.split("\n"))) for cell in row]
        table.add_row(*(Text(cell, overflow="fold") for cell in lines))
    console = Console(width=shutil.get_terminal_size().columns, color_system=None)
    with console.capture() as captured:
        console.print(table)
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())
