"""`bertcli train classify`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bertcli.cli.options import LabelledFlags, ModelFlags, grouped
from bertcli.cli.recipe import warn
from bertcli.cli.train.run import (
    About,
    Data,
    ExampleFlags,
    Method,
    Output,
    TrainFlags,
    Training,
    held_out,
    lora_rank,
    named_files,
    work_folder,
)
from bertcli.cli.train.watch import note_scores
from bertcli.errors import UsageError

if TYPE_CHECKING:
    from bertcli.evaluate.classify import ClassifyScore
    from bertcli.records import LabelledText
    from bertcli.train.loop import Scores


@grouped
def classify(
    data: Data,
    output: Output,
    flags: TrainFlags,
    how: ExampleFlags,
    labelled: LabelledFlags,
    balance: Annotated[bool, typer.Option("--balance", help="Weigh rare labels up.")] = False,
) -> None:
    """Train a classifier on labelled texts.

    \b
    bertcli train classify reviews.csv -o my-classifier
    bertcli train classify train.jsonl --valid dev.jsonl -o my-classifier --epochs 5
    bertcli train classify few.csv --method head -o my-classifier
    bertcli train classify RTE/train.tsv --valid RTE/dev.tsv -o my-nli
    bertcli train classify tickets.csv --label-field tags --label-sep ";" -o my-tagger
    """
    from bertcli.checkpoints.load import load_tokenizer, window_of
    from bertcli.checkpoints.resolve import ModelChoice, resolve
    from bertcli.engine.families import TEXT_PAIRS, Head
    from bertcli.evaluate.classify import measure_classify
    from bertcli.inputs.labelled import are_pairs, read_labelled
    from bertcli.tasks.classify import Choice, Classify
    from bertcli.train.classify import (
        check_labels,
        class_weights,
        classify_examples,
        is_multi_label,
        label_set,
    )
    from bertcli.train.examples import Weighing
    from bertcli.train.trainee import Trainee

    texts, valid = held_out(
        list(read_labelled(data, labelled.columns)),
        list(read_labelled(how.valid, labelled.columns)) if how.valid else None,
        how.valid_split,
        lambda one: one.labels,
        flags.seed,
    )
    labels = label_set(texts)
    check_labels(valid, labels)
    multi, pairs = is_multi_label([*texts, *valid]), are_pairs([*texts, *valid])
    if pairs and flags.method is Method.HEAD:
        raise UsageError("--method head reads one text, not pairs: use lora or full")
    if multi and how.smoothing:
        raise UsageError("--smoothing: for one label a text only, not for several")
    kind = "pairs of texts" if pairs else "texts"
    warn(f"{len(texts):,} {kind}, {len(valid):,} held out, labels: {', '.join(labels)}")
    if flags.method is Method.HEAD:
        if flags.plot or flags.tensorboard:
            raise UsageError("--plot, --tensorboard: a head is fitted at once and has no curves")
        _train_head(texts, valid, labels, multi, data, output, flags, balance)
        return
    checkpoint = resolve(ModelChoice(flags.model, offline=flags.offline))
    tokenizer = load_tokenizer(checkpoint)
    problem = "multi_label_classification" if multi else "single_label_classification"
    model = Trainee(
        checkpoint,
        Head.SEQUENCE,
        lora_rank(flags),
        labels,
        flags.dropout,
        flags.seed,
        problem_type=problem,
        **{TEXT_PAIRS: pairs},
    )
    window = window_of(checkpoint, tokenizer)
    task = Classify(model, tokenizer, window, labels, multi, Choice(None))

    def measure() -> Scores:
        return _scores(measure_classify(task, valid, labels, multi), multi)

    weights = class_weights(texts, labels, multi) if balance else None
    examples = classify_examples(texts, labels, multi, tokenizer, window)
    about = About(
        "text-classification",
        "bertcli train classify",
        f"Labels: {', '.join(labels)}.",
        f"{len(texts):,} {kind} from {named_files(data)}, {len(valid):,} held out.",
        ("rare labels weighed up",) if balance else (),
    )
    training = Training(model, checkpoint, measure, flags, how, output, about, valid)
    training.on_examples(examples, Weighing(weights, how.smoothing))


def _scores(score: ClassifyScore, multi_label: bool) -> Scores:
    if multi_label:
        return {"micro F1": score.micro_f1, "macro F1": score.macro_f1}
    return {"accuracy": score.accuracy, "macro F1": score.macro_f1}


def _train_head(
    texts: Sequence[LabelledText],
    valid: Sequence[LabelledText],
    labels: list[str],
    multi: bool,
    data: list[str],
    output: Path,
    flags: TrainFlags,
    balance: bool,
) -> None:
    """Train a linear classifier on the embeddings of the base."""
    from bertcli.cli.embed import build_embed
    from bertcli.cli.recipe import choose_checkpoint
    from bertcli.evaluate.classify import measure_classify, one_hot
    from bertcli.tasks.classify import Choice, ClassifyByVector
    from bertcli.train.head import fit_head, save_head
    from bertcli.train.save import Card

    with work_folder(output, flags.resume):
        model = ModelFlags(model=flags.model, offline=flags.offline)
        checkpoint = choose_checkpoint(model, "embed")
        embed = build_embed(checkpoint, model, normalize=True)
        vectors = embed.vectors([one.text for one in texts])
        targets = one_hot([one.labels for one in texts], labels)
        weight, bias = fit_head(vectors, targets, multi, balance)
        task = ClassifyByVector(embed, labels, weight, multi, Choice(None), bias)
        scores = _scores(measure_classify(task, valid, labels, multi), multi)
        note_scores(scores)
        card = Card(
            checkpoint.name,
            "text-classification",
            "bertcli train classify --method head",
            f"Labels: {', '.join(labels)}.",
            f"{len(texts):,} texts from {named_files(data)}, {len(valid):,} held out.",
            "logistic regression on the frozen embeddings of the base"
            + (", rare labels weighed up" if balance else ""),
            scores,
            "bertcli",
        )
        settings = {
            "pooling": embed.pooling.value,
            "normalize": embed.normalize,
            "labels": labels,
            "multi_label": multi,
        }
        save_head(weight, bias, settings, checkpoint, output, card)
    typer.echo(str(output))
