"""`bertcli train`, one module per task."""

from __future__ import annotations

import typer

from bertcli.cli.quick import group_of

COMMANDS = {
    "classify": "bertcli.cli.train.classify:classify",
    "ner": "bertcli.cli.train.ner:ner",
    "qa": "bertcli.cli.train.qa:qa",
    "embed": "bertcli.cli.train.embed:embed",
    "fill-mask": "bertcli.cli.train.fill_mask:fill_mask",
}

app = typer.Typer(
    help="Fine-tune checkpoints.",
    cls=group_of(COMMANDS),
    rich_markup_mode=None,
    no_args_is_help=True,
)


@app.callback()
def train() -> None:
    """Fine-tune checkpoints on your own data."""
