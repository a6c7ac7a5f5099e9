"""`bertcli train ner`."""

from __future__ import annotations

from typing import Annotated

import typer

from bertcli.cli.options import TaggedFlags, grouped
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
from bertcli.errors import UsageError, counted

OF_CAPITALS = (
    "The base cannot see capitals, so its token types tell them: 1 for a token that is written "
    "with a capital letter, 0 for the others. bertcli does that by itself; in plain transformers "
    "or PEFT give the same `token_type_ids`, else all is read as if written small, and less found."
)


@grouped
def ner(
    context: typer.Context,
    data: Data,
    output: Output,
    flags: TrainFlags,
    how: ExampleFlags,
    tagged: TaggedFlags,
    map_labels: Annotated[
        list[str] | None,
        typer.Option("--map", help="OLD=NEW renames a label, OLD= leaves it out; repeatable."),
    ] = None,
    capitals: Annotated[
        bool | None,
        typer.Option(
            help="Tell the model which words have capitals; without it where that helps: "
            "the model is uncased, and has token types.",
            show_default=False,
        ),
    ] = None,
    window: Annotated[
        int | None,
        typer.Option(
            min=16,
            help="Tokens that the tagger reads at once, now and when it is used; all that the "
            "base can without it.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Train a tagger on texts with marked names.

    They come as CoNLL files, as rows with tokens and tags, or as rows with a text and its entities,
    as ner writes them: its answers, put right by hand, are data to train on.

    \b
    bertcli train ner train.conll --valid dev.conll -o my-tagger
    bertcli train ner train.jsonl -o my-tagger --epochs 5
    bertcli train ner wnut.conll -o my-tagger --map person=PER --map location=LOC --map product=
    """
    import numpy as np

    from bertcli.checkpoints.load import load_tokenizer, window_of
    from bertcli.cli.label_names import label_map, renamed, span_labels, warn_of_twins
    from bertcli.engine.families import CAPITALS, TOKEN_TYPES, Head
    from bertcli.evaluate.ner import measure_ner
    from bertcli.inputs.labelled import read_tagged
    from bertcli.tasks.ner import Ner
    from bertcli.train.examples import Weighing
    from bertcli.train.loop import Scores
    from bertcli.train.ner import check_tags, cut_words, ner_examples, tag_set

    check_asked(context, output, flags, data, how.valid)
    columns = tagged.columns
    texts = some(read_tagged(data, columns), data)
    valid = list(read_tagged(how.valid, columns.of_valid(how.valid))) if how.valid else None
    names = label_map(map_labels, span_labels([*texts, *(valid or ())]))
    texts, valid = held_out(
        [renamed(one, names) for one in texts],
        None if valid is None else [renamed(one, names) for one in valid],
        how.valid_split,
        lambda one: [label for _, _, label in one.spans],
        flags.seed,
    )
    tags = tag_set(texts)
    check_tags(valid, tags)
    warn(
        f"{len(texts):,} texts of {named_files(data)}, {len(valid):,} held out, "
        f"tags: {', '.join(tags)}"
    )
    warn_of_twins(sorted(set(span_labels(texts))))
    checkpoint = base_of(flags)
    tokenizer = load_tokenizer(checkpoint)
    if cut := cut_words(texts, tokenizer):
        text, (start, end, label) = cut[0]
        warn(
            f"{text.places.get(start, text.place)}: {text.text[start:end]!r} ({label}) begins or "
            f"ends within a word: {counted(len(cut), 'entity', 'entities')} are learnt as if the "
            "whole word belonged to them"
        )
    told = checkpoint.has_token_types and tokenizer.folds_case if capitals is None else capitals
    if told and not checkpoint.has_token_types:
        raise UsageError(f"--capitals: {checkpoint.name} has no token types to tell them by")
    if told and not tokenizer.folds_case:
        raise UsageError(f"--capitals: {checkpoint.name} reads them itself")
    settings = {TOKEN_TYPES: CAPITALS} if told else {}
    reads = window_of(checkpoint, tokenizer)
    if window is not None and window > reads:
        raise UsageError(f"--window {window}: {checkpoint.name} reads {reads} tokens at once")
    model = to_train(checkpoint, Head.TOKEN, flags, tags, **settings)
    model.window = window
    task = Ner(model, tokenizer, window or reads, tags, capitals=told)

    def measure() -> Scores:
        total = measure_ner(task, valid).total
        return {"F1": total.f1, "precision": total.precision, "recall": total.recall}

    rng = np.random.default_rng(flags.seed) if told else None
    examples = ner_examples(texts, tags, tokenizer, task.window, rng)
    about = About(
        "token-classification",
        "bertcli train ner",
        f"Tags: {', '.join(tags)}." + (f" {OF_CAPITALS}" if told else ""),
        f"{len(texts):,} texts from {named_files(data)}, {len(valid):,} held out.",
        (
            *(["the model is told which words have capitals"] if told else []),
            *([f"windows of {window} tokens"] if window else []),
            *([f"labels renamed {' '.join(map_labels)}"] if map_labels else []),
        ),
    )
    training = Training(model, checkpoint, measure, flags, how, output, about, valid)
    training.on_examples(examples, Weighing(smoothing=how.smoothing))
