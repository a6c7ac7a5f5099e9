"""`bertcli ner`."""

from __future__ import annotations

from typing import Annotated

import typer

from bertcli.cli.options import InputFlags, ModelFlags, OutputFlags, Texts, grouped
from bertcli.cli.recipe import choose_checkpoint, finish, load_model, read_items
from bertcli.engine.choices import Aggregate
from bertcli.engine.families import Head


@grouped
def ner(
    context: typer.Context,
    source: InputFlags,
    model: ModelFlags,
    out: OutputFlags,
    texts: Texts = None,
    aggregate: Annotated[
        Aggregate, typer.Option(help="How the tokens of a word agree on a label.")
    ] = Aggregate.FIRST,
) -> None:
    """Find names of people, places and other things.

    \b
    bertcli ner -m ./my-checkpoint "Ada Lovelace was born in London."
    bertcli ner -m ./my-checkpoint -i articles.jsonl -f jsonl > entities.jsonl
    bertcli ner -m ./my-checkpoint -i notes.txt -f conll
    """
    from bertcli.tasks.ner import Ner
    from bertcli.tasks.run import answers

    items = read_items(context, texts, source)
    checkpoint = choose_checkpoint(model, "ner")
    encoder, tokenizer, window = load_model(checkpoint, Head.TOKEN, model, items.few)
    task = Ner(encoder, tokenizer, window, checkpoint.labels, aggregate, model.long)
    finish(answers(task, items), out, items)
