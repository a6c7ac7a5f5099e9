"""`bertcli train fill-mask`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bertcli.cli.options import FIELD, Field, Format, grouped
from bertcli.cli.recipe import sound_records, warn
from bertcli.cli.train.run import (
    Output,
    TrainFlags,
    base_of,
    check_asked,
    check_note,
    check_same_run,
    finish,
    learning_rate,
    library,
    limits,
    lora_rank,
    named_files,
    run,
    what_trains,
    work_folder,
)
from bertcli.cli.train.watch import note_scores
from bertcli.errors import DataError, UsageError, counted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bertcli.checkpoints.layout import Checkpoint
    from bertcli.engine.tokens import TextTokenizer
    from bertcli.inputs.formats import InputFormat
    from bertcli.train.blocks import MaskRates, Vocabulary
    from bertcli.train.loop import Progress, Scores, Settings
    from bertcli.train.save import Card
    from bertcli.train.trainee import Trainee

RATES = {"lora": 2e-3, "full": 5e-4}
READ_BYTES = 1 << 20
ORDER = "by length"
"""The order of the blocks, in which a run goes on that had the same one."""


@grouped
def fill_mask(
    context: typer.Context,
    corpus: Annotated[list[str], typer.Argument(help="Text files, globs or folders.")],
    output: Output,
    flags: TrainFlags,
    steps: Annotated[int | None, typer.Option(min=1, help="Train for so many steps.")] = None,
    block: Annotated[
        int, typer.Option(min=16, help="Tokens in a block; longer texts are read less well later.")
    ] = 128,
    apart: Annotated[
        bool, typer.Option(help="No block has two texts: for lines that are used one by one.")
    ] = False,
    batch_tokens: Annotated[int, typer.Option(min=16, help="Tokens in a step.")] = 2_048,
    mask_rate: Annotated[
        float, typer.Option(min=0.01, max=0.9, help="Share of tokens to predict.")
    ] = 0.15,
    replace: Annotated[
        str, typer.Option(help="Of these, shares shown as mask, random token, themselves.")
    ] = "0.8,0.1,0.1",
    valid: Annotated[
        list[str] | None, typer.Option(help="Held-out text, instead of the corpus' last blocks.")
    ] = None,
    valid_split: Annotated[
        float, typer.Option(min=0, max=0.5, help="Without --valid, the share held out.")
    ] = 0.01,
    evaluate_every: Annotated[int, typer.Option(min=1, help="Steps between measurements.")] = 500,
    field: Field = FIELD,
    input_format: Format = None,
) -> None:
    """Train a checkpoint to fill masks, on plain text.

    \b
    bertcli train fill-mask corpus/*.txt -o my-fill-mask --minutes 90
    bertcli train fill-mask notes.txt -o my-fill-mask --steps 2000 --method full
    bertcli train fill-mask corpus/*.txt -o my-fill-mask --minutes 90 --resume
    """
    from bertcli.checkpoints.load import load_tokenizer
    from bertcli.engine.families import Head
    from bertcli.train.fill_mask import EVALUATION_BLOCKS, masked_loss, measure
    from bertcli.train.loop import Settings
    from bertcli.train.trainee import Trainee

    check_asked(context, output, flags, corpus, valid)
    if flags.minutes is None and steps is None:
        raise UsageError("say how long to train: --minutes N or --steps N")
    if flags.embedding_rank:
        raise UsageError("--embedding-rank: to fill masks the embeddings are the output matrix too")
    checkpoint = base_of(flags)
    rank = lora_rank(flags, checkpoint)
    tokenizer = load_tokenizer(checkpoint)
    vocabulary = _vocabulary(tokenizer, int(checkpoint.config.get("pad_token_id") or 0))
    rates = _rates(mask_rate, replace)
    settings = Settings(
        steps=steps,
        minutes=flags.minutes,
        optimizer=flags.optimizer,
        learning_rate=learning_rate(flags, RATES),
        evaluate_every=evaluate_every,
        patience=flags.patience,
        seed=flags.seed,
    )
    if block > checkpoint.window:
        raise UsageError(f"--block {block}: the model reads {checkpoint.window} tokens at once")
    with work_folder(output, flags.resume) as work:
        data, size = (corpus, valid, valid_split, field, apart), (steps, block, batch_tokens)
        own = (*data, *size, mask_rate, replace, evaluate_every, ORDER)
        check_same_run(work, flags, None, [repr(own).encode()])
        _check_same_text([*corpus, *(valid or ())], work)
        content = block - tokenizer.frame.single
        blocks, held_out = _blocks(
            corpus, valid, valid_split, (field, input_format), tokenizer, content, apart, work
        )
        warn(f"{len(blocks):,} blocks of {block} tokens, {len(held_out):,} held out")
        model = Trainee(checkpoint, Head.MASKED_LM, rank, (), flags.dropout, flags.seed)
        loss = masked_loss(model, blocks, vocabulary, rates, batch_tokens, flags.seed)
        some = held_out[:EVALUATION_BLOCKS]
        last = run(model, loss, lambda: measure(model, some, vocabulary), settings, flags, work)
        model.exact = True
        scores = measure(model, held_out, vocabulary)
        note_scores(scores)
        step = (max(batch_tokens, block), apart)
        card = _card(model, checkpoint, corpus, settings, flags, rates, step, last, scores)
        bad = sum(int(one.read_text()) for one in work.glob("*.bad"))
        finish(model, checkpoint, output, card, flags)
    if bad:
        raise typer.Exit(3)


def _check_same_text(files: Sequence[str], work: Path) -> None:
    """Raise UsageError where files have another text than when the unfinished run read them.

    They may be gone by now: what was read of them is kept.
    """
    from bertcli.inputs.source import find_sources, open_source

    note, digest = work / "read.sha256", hashlib.sha256()
    try:
        sources = find_sources(files)
    except DataError:
        if note.is_file():
            return
        raise
    for source in sources:
        if source.path is None:
            continue  # stdin is read once
        with open_source(source) as stream:
            while part := stream.read(READ_BYTES):
                digest.update(part)
    check_note(note, digest.hexdigest())


def _rates(select: float, replace: str) -> MaskRates:
    from bertcli.train.blocks import MaskRates

    try:
        mask, random, same = (float(part) for part in replace.split(","))
    except ValueError:
        raise UsageError(f"--replace {replace}: expected three shares, as in 0.8,0.1,0.1") from None
    if min(mask, random, same) < 0 or abs(mask + random + same - 1) > 1e-6:
        raise UsageError(f"--replace {replace}: the three shares must add up to 1")
    return MaskRates(select, mask, random)


def _vocabulary(tokenizer: TextTokenizer, padding: int) -> Vocabulary:
    from bertcli.train.blocks import Vocabulary

    frame, mask = tokenizer.frame, tokenizer.mask_id
    special = tokenizer.special_ids | {padding}
    size = tokenizer.vocabulary_size
    return Vocabulary(frame.before, frame.after, mask, size, special, padding)


def _blocks(
    corpus: list[str],
    valid: list[str] | None,
    share: float,
    columns: tuple[str, InputFormat | None],
    tokenizer: TextTokenizer,
    content: int,
    apart: bool,
    work: Path,
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    from bertcli.inputs.labelled import format_for
    from bertcli.train.blocks import open_blocks, write_tokens

    field, input_format = columns

    def tokenised(
        files: list[str], name: str, input_format: InputFormat | None
    ) -> NDArray[np.uint32]:
        path, bad = work / f"{name}.u32", work / f"{name}.bad"
        if not (path.is_file() and bad.is_file()):
            records = sound_records(files, field, input_format)
            texts = (one.text for one in records)
            write_tokens(texts, tokenizer, path, content if apart else None)
            bad.write_text(str(records.bad))
        try:
            return open_blocks(path, content)
        except DataError as error:
            raise DataError(f"{', '.join(files)}: {error}") from error

    blocks = tokenised(corpus, "corpus", input_format)
    if valid:
        return blocks, tokenised(valid, "valid", format_for(valid, input_format))
    kept = max(1, int(len(blocks) * share))
    if len(blocks) < 2:
        raise UsageError("the corpus is one block: give more text, or held-out text with --valid")
    return blocks[:-kept], blocks[-kept:]


def _card(
    model: Trainee,
    base: Checkpoint,
    corpus: list[str],
    settings: Settings,
    flags: TrainFlags,
    rates: MaskRates,
    step: tuple[int, bool],
    last: Progress | None,
    scores: Scores,
) -> Card:
    from bertcli.train.save import Card

    (tokens, apart), steps = step, last.step if last else 0
    up_to = "up to " if apart else ""
    each = ", each text apart" if apart else ""
    recipe = [
        what_trains(model),
        f"{counted(steps, 'step')} of {up_to}{tokens:,} tokens{each}",
        *limits(flags),
        settings.optimizer,
        f"learning rate {settings.learning_rate:g} with warm-up and linear decay",
        f"dropout {flags.dropout:g}",
        f"seed {flags.seed}",
    ]
    return Card(
        base,
        "fill-mask",
        "bertcli train fill-mask",
        "Fills masked words.",
        f"{named_files(corpus)}; {up_to}{steps * tokens:,} tokens were gone through.",
        f"{', '.join(recipe)}; {rates.select:.0%} of the tokens predicted, of which "
        f"{rates.mask:.0%} shown as the mask and {rates.random:.0%} as a random token; measured "
        "with 15 % of the tokens masked, all of them replaced by the mask",
        scores,
        library(flags),
    )
