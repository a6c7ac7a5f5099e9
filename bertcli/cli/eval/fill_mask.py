"""`bertcli eval fill-mask`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bertcli.cli.eval.report import (
    Data,
    EvalFlags,
    between,
    other_model,
    show,
    write_differences,
    write_errors,
)
from bertcli.cli.options import FIELD, Field, Format, ModelFlags, grouped
from bertcli.cli.recipe import choose_checkpoint, load_model, some, sound_records
from bertcli.engine.families import Head
from bertcli.errors import DataError

if TYPE_CHECKING:
    from bertcli.checkpoints.layout import Checkpoint
    from bertcli.engine.tokens import TextTokenizer
    from bertcli.evaluate.fill_mask import Guesses


@grouped
def fill_mask(
    files: Data,
    model: ModelFlags,
    flags: EvalFlags,
    field: Field = FIELD,
    input_format: Format = None,
    mask_rate: Annotated[
        float, typer.Option(min=0.01, max=0.9, help="Share of tokens to mask.")
    ] = 0.15,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the masks.")] = 0,
) -> None:
    """Measure how well masked tokens are guessed: top-1, top-5 and perplexity.

    \b
    bertcli eval fill-mask held-out.txt
    bertcli eval fill-mask held-out.txt -m ./my-fill-mask --compare fill-mask
    """
    from bertcli.evaluate.fill_mask import guess_masked, score_guesses
    from bertcli.evaluate.intervals import paired_bootstrap

    flags.keep_apart(files)
    records = sound_records(files, field, input_format)
    texts = some((record.text for record in records), files, "text")

    def guessed(chosen: ModelFlags) -> tuple[Checkpoint, TextTokenizer, list[Guesses]]:
        checkpoint = choose_checkpoint(chosen, "fill-mask")
        encoder, tokenizer, window = load_model(checkpoint, Head.MASKED_LM, chosen)
        found = guess_masked(encoder, tokenizer, texts, window, mask_rate, seed)
        return checkpoint, tokenizer, list(found)

    checkpoint, tokenizer, guesses = guessed(model)
    score = score_guesses(guesses)
    if not score.tokens:
        raise DataError("no token was masked: give longer texts, or a higher --mask-rate")
    found: dict[str, Any] = {
        "model": checkpoint.name,
        "masked_tokens": score.tokens,
        "top1": score.top1,
        "top1_95": between(score.top1_interval),
        "top5": score.top5,
        "perplexity": score.perplexity,
        "perplexity_95": between(score.perplexity_interval),
    }
    differences: list[dict[str, Any]] = []
    if flags.compare is not None:
        other, other_tokenizer, other_guesses = guessed(other_model(model, flags.compare))
        two = score_guesses(other_guesses)
        difference = paired_bootstrap(len(texts), score.top1_of, two.top1_of)
        differences = list(_differences(guesses, tokenizer, other_guesses, other_tokenizer))
        found |= {
            "other": other.name,
            "other_top1": two.top1,
            "top1_minus_other": score.top1 - two.top1,
            "top1_minus_other_95": between(difference),
            "differ": len(differences),
        }
    show(found)
    write_errors(flags.errors, _errors(guesses, tokenizer))
    write_differences(flags, differences)
    records.leave()


def _errors(guesses: Sequence[Guesses], tokenizer: TextTokenizer) -> Iterator[dict[str, Any]]:
    for one in guesses:
        for number in (one.better > 0).nonzero()[0].tolist():
            yield _place(one, number) | {"given": _spelled(tokenizer, one.best[number])}


def _differences(
    one: Sequence[Guesses],
    tokenizer: TextTokenizer,
    other: Sequence[Guesses],
    other_tokenizer: TextTokenizer,
) -> Iterator[dict[str, Any]]:
    """Yield the masks that both models saw and guessed differently."""
    for mine, theirs in zip(one, other, strict=True):
        also = {tuple(span): number for number, span in enumerate(theirs.spans.tolist())}
        for number, span in enumerate(mine.spans.tolist()):
            if (their := also.get(tuple(span))) is None:
                continue
            given = _spelled(tokenizer, mine.best[number])
            others = _spelled(other_tokenizer, theirs.best[their])
            if given != others:
                yield _place(mine, number) | {"given": given, "other": others}


def _spelled(tokenizer: TextTokenizer, token: int) -> str:
    """Return a token without the marks that tell a word's first piece from the others."""
    return tokenizer.decode([token]).removeprefix("##")


def _place(guesses: Guesses, number: int) -> dict[str, Any]:
    start, end = guesses.spans[number].tolist()
    return {"text": guesses.text, "start": start, "end": end, "right": guesses.text[start:end]}
