"""`bertcli train`, one module per task."""

from __future__ import annotations

import typer

from bertcli.cli.train import classify, embed, fill_mask, ner, qa

app = typer.Typer(help="Fine-tune checkpoints.", rich_markup_mode=None, no_args_is_help=True)


@app.callback()
def train() -> None:
    """Fine-tune checkpoints on your own data."""


app.command("classify")(classify.classify)
app.command("ner")(ner.ner)
app.command("qa")(qa.qa)
app.command("embed")(embed.embed)
app.command("fill-mask")(fill_mask.fill_mask)
