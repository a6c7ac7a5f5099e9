"""`bertcli eval fill-mask`."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from bertcli.cli.options import ModelFlags, grouped
from bertcli.cli.recipe import choose_checkpoint, load_model, read_texts
from bertcli.engine.families import Head

app = typer.Typer(help="Measure checkpoints.", rich_markup_mode=None, no_args_is_help=True)


@app.callback()
def evaluate() -> None:
    """Measure checkpoints on data of your own."""


@app.command("fill-mask")
@grouped
def fill_mask(
    files: Annotated[list[str], typer.Argument(help="Text files, globs or folders.")],
    model: ModelFlags,
    field: Annotated[str, typer.Option(help="Column that holds the text.")] = "text",
    mask_rate: Annotated[
        float, typer.Option(min=0.01, max=0.9, help="Share of tokens to mask.")
    ] = 0.15,
    seed: Annotated[int, typer.Option(help="Seed of the masks.")] = 0,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback on failure.")] = False,
) -> None:
    """Measure how well masked tokens are guessed: top-1, top-5 and perplexity.

    \b
    bertcli eval fill-mask held-out.txt
    bertcli eval fill-mask held-out.txt -m ./my-fill-mask
    """
    from bertcli.evaluate.fill_mask import measure_fill_mask

    texts = read_texts(files, field)
    checkpoint = choose_checkpoint(model, "fill-mask")
    encoder, tokenizer, window = load_model(checkpoint, Head.MASKED_LM, model)
    score = measure_fill_mask(encoder, tokenizer, texts, window, mask_rate, seed)
    found = {
        "model": checkpoint.name,
        "masked_tokens": score.tokens,
        "top1": round(score.top1, 4),
        "top5": round(score.top5, 4),
        "perplexity": round(score.perplexity, 2),
    }
    if not sys.stdout.isatty():
        typer.echo(json.dumps(found))
        return
    for name, value in found.items():
        typer.echo(f"{name:14} {value}")
