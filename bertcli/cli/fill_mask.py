"""`bertcli fill-mask`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from bertcli.cli.bulk import answer_all, hashes_of
from bertcli.cli.options import BulkFlags, InputFlags, ModelFlags, OutputFlags, Texts, grouped
from bertcli.cli.recipe import choose_checkpoint, load_model, read_items
from bertcli.engine.families import Head
from bertcli.errors import UsageError

if TYPE_CHECKING:
    from bertcli.tasks.fill_mask import FillMask


USUAL = 5


@grouped
def fill_mask(
    context: typer.Context,
    source: InputFlags,
    model: ModelFlags,
    out: OutputFlags,
    bulk: BulkFlags,
    texts: Texts = None,
    top_k: Annotated[
        int | None,
        typer.Option("-k", "--top-k", min=1, help="Words per mask; default 5, or all the targets."),
    ] = None,
    targets: Annotated[
        str | None, typer.Option(help="Score only these words, separated by commas.")
    ] = None,
    alone: Annotated[
        bool,
        typer.Option("--alone", help="Each mask by itself, not all of a text together: quicker."),
    ] = False,
) -> None:
    """Fill masked words; of several masks each one, and all together in up to 100 ways.

    \b
    bertcli fill-mask "Paris is the [MASK] of France."
    bertcli fill-mask "The [MASK] sat on the [MASK]." -k 3
    bertcli fill-mask "The film was [MASK]." --targets "good,bad,underwhelming"
    bertcli fill-mask -i sentences.txt --alone -f csv -o filled.csv
    """
    from bertcli.tasks.fill_mask import FillMask
    from bertcli.tasks.run import answers

    items = read_items(context, texts, source)
    checkpoint = choose_checkpoint(model, "fill-mask")
    encoder, tokenizer, window = load_model(checkpoint, Head.MASKED_LM, model, items.few)
    words = _words(targets)
    most = top_k or len(words) or USUAL
    task = FillMask(encoder, tokenizer, window, most, words, model.long, not alone)
    _refuse_without_mask(task, texts or [])
    answer_all(context, partial(answers, task), items, out, bulk, partial(hashes_of, checkpoint))


def _words(targets: str | None) -> tuple[str, ...]:
    named = (word.strip() for word in (targets or "").split(","))
    words = tuple(dict.fromkeys(word for word in named if word))
    if targets is not None and not words:
        raise UsageError('--targets names no word: give some, as in --targets "good,bad"')
    return words


def _refuse_without_mask(task: FillMask, texts: list[str]) -> None:
    from bertcli.tasks.fill_mask import NO_MASK

    if any(not task.has_mask(text) for text in texts):
        raise UsageError(NO_MASK)
    if task.targets:
        _ = task.target_ids
