"""`bertcli eval`, one module per task."""

from __future__ import annotations

import typer

from bertcli.cli.eval import classify, embed, fill_mask, ner, qa, search

app = typer.Typer(help="Measure checkpoints.", rich_markup_mode=None, no_args_is_help=True)


@app.callback()
def evaluate() -> None:
    """Measure checkpoints on data of your own."""


app.command("classify")(classify.classify)
app.command("ner")(ner.ner)
app.command("qa")(qa.qa)
app.command("embed")(embed.embed)
app.command("search")(search.search)
app.command("fill-mask")(fill_mask.fill_mask)
