"""`bertcli ner`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from bertcli.cli.bulk import answer_all, hashes_of
from bertcli.cli.options import BulkFlags, InputFlags, ModelFlags, OutputFlags, Texts, grouped
from bertcli.cli.recipe import choose_checkpoint, load_model, read_items
from bertcli.engine.choices import Aggregate
from bertcli.engine.families import Head

if TYPE_CHECKING:
    from bertcli.checkpoints.layout import Checkpoint
    from bertcli.tasks.ner import Ner


@grouped
def ner(
    context: typer.Context,
    source: InputFlags,
    model: ModelFlags,
    out: OutputFlags,
    bulk: BulkFlags,
    texts: Texts = None,
    aggregate: Annotated[
        Aggregate, typer.Option(help="How the tokens of a word agree on a label.")
    ] = Aggregate.FIRST,
) -> None:
    """Find names of people, places and other things.

    \b
    bertcli ner "Ada Lovelace was born in London."
    bertcli ner -i articles.jsonl -f jsonl > entities.jsonl
    bertcli ner -m ./my-checkpoint -i notes.txt -f conll
    """
    from bertcli.tasks.run import answers

    items = read_items(context, texts, source)
    checkpoint, task = ner_task(model, aggregate, items.few)
    answer_all(context, partial(answers, task), items, out, bulk, partial(hashes_of, checkpoint))


def ner_task(
    model: ModelFlags, aggregate: Aggregate, brief: bool = False
) -> tuple[Checkpoint, Ner]:
    """Return the checkpoint that a command line asks for, and the task on it."""
    from bertcli.tasks.ner import Ner

    checkpoint = choose_checkpoint(model, "ner")
    encoder, tokenizer, window = load_model(checkpoint, Head.TOKEN, model, brief)
    labels, capitals = checkpoint.labels, checkpoint.reads_capitals
    return checkpoint, Ner(encoder, tokenizer, window, labels, aggregate, model.long, capitals)
