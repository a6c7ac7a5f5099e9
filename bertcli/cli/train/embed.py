"""`bertcli train embed`."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import Annotated

import typer

from bertcli.cli.options import PairFlags, grouped
from bertcli.cli.recipe import some, warn
from bertcli.cli.train.run import (
    About,
    Data,
    ExampleFlags,
    Output,
    TrainFlags,
    Training,
    base_of,
    check_asked,
    held_out,
    named_files,
    to_train,
)
from bertcli.errors import DataError, UsageError


@grouped
def embed(
    context: typer.Context,
    data: Data,
    output: Output,
    flags: TrainFlags,
    how: ExampleFlags,
    paired: PairFlags,
    score_field: Annotated[
        str | None,
        typer.Option(help="Column that says how alike they are: score, where there is one."),
    ] = None,
    alike: Annotated[
        bool, typer.Option("--alike", help="All pairs are alike, whatever their columns.")
    ] = False,
) -> None:
    """Train an embedding model on pairs of texts.

    With scores it learns their order; without, that the texts of a pair belong together and those
    of different pairs do not.

    \b
    bertcli train embed pairs.csv -o my-embedder
    bertcli train embed faq.jsonl --first-field question --second-field answer -o my-embedder
    """
    from bertcli.checkpoints.load import load_tokenizer, window_of
    from bertcli.engine.choices import Pooling
    from bertcli.engine.families import Head
    from bertcli.evaluate.embed import measure_embed, recall_at_1
    from bertcli.inputs.labelled import SCORE, read_pairs
    from bertcli.tasks.embed import Embed
    from bertcli.train.embed import (
        embedding_loss,
        pair_windows,
        pairs_loss,
        scored_loss,
        unit_scores,
        without_repeats,
    )
    from bertcli.train.loop import Scores

    check_asked(context, output, flags, data, how.valid)
    if how.smoothing:
        raise UsageError("--smoothing is for labels: pairs have none")
    if alike and score_field is not None:
        raise UsageError("--alike: then no column says how alike they are; leave --score-field out")
    columns = paired.columns("" if alike else score_field)
    pairs = some(read_pairs(data, columns), data)
    scored = pairs[0].score is not None
    if scored and len({one.score for one in pairs}) == 1:
        raise UsageError(
            f"all {len(pairs):,} pairs have the score {pairs[0].score:g}: give pairs that are less "
            "alike too, or learn that all of these are alike with --alike"
        )
    columns = replace(columns, score=(score_field or SCORE) if scored else columns.score)
    pairs, valid = held_out(
        pairs,
        list(read_pairs(how.valid, columns.of_valid(how.valid))) if how.valid else None,
        how.valid_split,
        lambda one: (),
        flags.seed,
    )
    if not scored and valid[0].score is not None:
        raise DataError(
            f"{valid[0].place}: has a score, where no pair of the training data has one: give them "
            "one too, or learn that all are alike with --alike"
        )
    if scored and len({one.score for one in valid}) == 1:
        raise UsageError(
            f"{len(valid):,} held out, all with the score {valid[0].score:g}: they have no "
            "order to measure by, hold more out (--valid-split, or --valid)"
        )
    kind = "scored pairs" if scored else "pairs, all alike"
    warn(f"{len(pairs):,} {kind} of {named_files(data)}, {len(valid):,} held out")
    checkpoint = base_of(flags)
    tokenizer = load_tokenizer(checkpoint)
    settings = checkpoint.sentence
    pooling = Pooling(settings.pooling or Pooling.MEAN)
    window = window_of(checkpoint, tokenizer)
    window = min(window, settings.max_length or window)
    model = to_train(checkpoint, Head.BASE, flags)
    task = Embed(model, tokenizer, window, pooling, settings.normalize)

    def measure() -> Scores:
        if scored:
            return {"Spearman": measure_embed(task, valid).spearman}
        return {"recall@1": recall_at_1(task, valid)}

    windows, cut = pair_windows(pairs, tokenizer, window)
    if cut:
        warn(f"{cut:,} texts are longer than {window} tokens: only their beginning is learnt from")
    about = About(
        "sentence-similarity",
        "bertcli train embed",
        f"Embeds texts; pooling by {pooling.value}.",
        f"{len(pairs):,} pairs from {named_files(data)}, {len(valid):,} held out.",
    )
    seen = (one.ids.tobytes() for pair in windows for one in pair)
    training = Training(model, checkpoint, measure, flags, how, output, about, valid)
    steps = training.scheduled([2 * max(len(one), len(other)) for one, other in windows])
    if not scored:
        steps = [without_repeats(step, windows) for step in steps]
    loss = scored_loss() if scored else pairs_loss()
    step_loss = embedding_loss(model, windows, unit_scores(pairs), pooling, steps, loss)
    training.by_schedule(step_loss, len(steps), chain(seen, [unit_scores(pairs).tobytes()]))
