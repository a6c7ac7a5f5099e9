"""`bertcli embed`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from bertcli.cli.bulk import answer_all, hashes_of
from bertcli.cli.options import BulkFlags, InputFlags, ModelFlags, OutputFlags, Texts, grouped
from bertcli.cli.recipe import choose_checkpoint, load_model, read_items, refuse_no_room
from bertcli.engine.choices import Pooling
from bertcli.engine.families import Head
from bertcli.errors import UsageError

if TYPE_CHECKING:
    from bertcli.checkpoints.layout import Checkpoint
    from bertcli.tasks.embed import Embed


@grouped
def embed(
    context: typer.Context,
    source: InputFlags,
    model: ModelFlags,
    out: OutputFlags,
    bulk: BulkFlags,
    texts: Texts = None,
    pooling: Annotated[
        Pooling | None,
        typer.Option(help="How tokens become one vector; default as the checkpoint."),
    ] = None,
    normalize: Annotated[
        bool | None,
        typer.Option("--normalize/--no-normalize", help="Length one; default as the checkpoint."),
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(help="Text before every record, or the name of a stored prompt.")
    ] = None,
) -> None:
    """Turn texts into vectors.

    \b
    bertcli embed "A sentence." "Another one."
    bertcli embed -i docs.jsonl -o vectors.npy
    bertcli embed -i docs.csv --field body -o vectors.parquet
    bertcli embed -m intfloat/e5-small-v2 --prompt "query: " -i questions.txt -f jsonl
    """
    from bertcli.tasks.run import answers

    items = read_items(context, texts, source)
    checkpoint = choose_checkpoint(model, "embed")
    task = build_embed(checkpoint, model, pooling, normalize, prompt, items.few)
    answer_all(context, partial(answers, task), items, out, bulk, partial(hashes_of, checkpoint))


def build_embed(
    checkpoint: Checkpoint,
    model: ModelFlags,
    pooling: Pooling | None = None,
    normalize: bool | None = None,
    prompt: str | None = None,
    brief: bool = False,
) -> Embed:
    """Return the embedding task with the checkpoint's own settings where none are given.

    A checkpoint without sentence-transformers settings is pooled by the mean, not normalised.
    `brief` where only a few texts are to be embedded.
    """
    from bertcli.tasks.embed import Embed

    stored = checkpoint.sentence
    encoder, tokenizer, window = load_model(checkpoint, Head.BASE, model, brief)
    text = stored.prompts.get(prompt or "", prompt or "")
    limit = min(window, stored.max_length or window)
    refuse_no_room(checkpoint, tokenizer, limit)
    if len(tokenizer.ids([text])[0]) > limit // 2:
        raise UsageError(f"--prompt takes more than half of the {limit} tokens the model reads")
    return Embed(
        encoder,
        tokenizer,
        limit,
        pooling or Pooling(stored.pooling or Pooling.MEAN),
        stored.normalize if normalize is None else normalize,
        text,
        model.long,
    )
