"""`bertcli eval`, one module per task."""

from __future__ import annotations

import typer

from bertcli.cli.quick import group_of

COMMANDS = {
    "classify": "bertcli.cli.eval.classify:classify",
    "ner": "bertcli.cli.eval.ner:ner",
    "qa": "bertcli.cli.eval.qa:qa",
    "embed": "bertcli.cli.eval.embed:embed",
    "search": "bertcli.cli.eval.search:search",
    "fill-mask": "bertcli.cli.eval.fill_mask:fill_mask",
}

app = typer.Typer(
    help="Measure checkpoints.",
    cls=group_of(COMMANDS),
    rich_markup_mode=None,
    no_args_is_help=True,
)


@app.callback()
def evaluate() -> None:
    """Measure checkpoints on data of your own."""
