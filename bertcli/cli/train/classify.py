"""`bertcli train classify`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bertcli.cli.label_names import labels_of, of_several, warn_of_twins
from bertcli.cli.options import LabelledFlags, ModelFlags, given, grouped
from bertcli.cli.recipe import Sound, some, sound_records, warn
from bertcli.cli.train.run import (
    About,
    Data,
    ExampleFlags,
    Method,
    Output,
    TrainFlags,
    Training,
    base_of,
    check_asked,
    held_out,
    named_files,
    to_train,
    work_folder,
)
from bertcli.cli.train.watch import note_scores
from bertcli.errors import DataError, UsageError
from bertcli.inputs.labelled import format_for
from bertcli.records import LabelledText

if TYPE_CHECKING:
    from bertcli.evaluate.classify import ClassifyScore
    from bertcli.train.loop import Scores


OF_A_HEAD = frozenset(
    {"model", "offline", "method", "seed", "resume", "debug", "valid", "valid_split"}
)
"""The shared options that count for a linear head; the others are of a training by steps."""
SHOWN_LABELS = 100


@grouped
def classify(
    context: typer.Context,
    data: Data,
    output: Output,
    flags: TrainFlags,
    how: ExampleFlags,
    labelled: LabelledFlags,
    balance: Annotated[bool, typer.Option("--balance", help="Weigh rare labels up.")] = False,
    teachers: Annotated[
        list[str] | None,
        typer.Option(
            "--teacher", help="Learn what this checkpoint says; of several teachers the mean."
        ),
    ] = None,
    unlabelled: Annotated[
        list[str] | None, typer.Option(help="Files with texts that only the teachers label.")
    ] = None,
    teacher_share: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="How much of what is learnt of a labelled text is the teachers' word.",
        ),
    ] = 1.0,
) -> None:
    """Train a classifier on labelled texts.

    With --teacher it learns the probabilities that other classifiers give the texts, not the texts'
    own labels: a small one comes close to a large one, or to several (Hinton et al. 2015). Texts
    without labels, as many as there are, help with that. With --teacher-share 0 texts that have a
    label keep it: what is new is learnt, and what a teacher knows is not forgotten.

    \b
    bertcli train classify reviews.csv -o my-classifier
    bertcli train classify train.jsonl --valid dev.jsonl -o my-classifier --epochs 5
    bertcli train classify few.csv --method head -o my-classifier
    bertcli train classify RTE/train.tsv --valid RTE/dev.tsv -o my-nli
    bertcli train classify tickets.csv --label-field tags --label-sep ";" -o my-tagger
    bertcli train classify train.csv --teacher ./large --unlabelled more.txt -o small
    """
    from bertcli.checkpoints.load import load_tokenizer, window_of
    from bertcli.cli.train.teach import check_teachers, lesson
    from bertcli.engine.families import TEXT_PAIRS, Head
    from bertcli.evaluate.classify import MOST_SCORES, check_size, measure_classify
    from bertcli.inputs.labelled import are_pairs, read_labelled
    from bertcli.tasks.classify import Choice, Classify
    from bertcli.train.classify import (
        blended,
        check_labels,
        class_weights,
        classify_examples,
        label_set,
        label_targets,
    )
    from bertcli.train.examples import Weighing

    check_asked(context, output, flags, data, how.valid, unlabelled, head=True)
    _refuse_contradictions(context, flags, how, balance, teachers, unlabelled, teacher_share)
    texts = some(read_labelled(data, labelled.columns), data)
    labels, odd = label_set(texts), of_several(texts)
    texts, valid = held_out(
        texts,
        list(read_labelled(how.valid, labelled.columns.of_valid(how.valid))) if how.valid else None,
        how.valid_split,
        lambda one: one.labels,
        flags.seed,
    )
    check_labels(valid, labels)
    if odd is None and (other := of_several(valid)):
        raise DataError(
            f"{other.place}: {labels_of(other)}, where every text of the training data has one"
        )
    multi, pairs = odd is not None, are_pairs([*texts, *valid])
    if pairs and flags.method is Method.HEAD:
        raise UsageError("--method head reads one text, not pairs: use lora or full")
    if multi and how.smoothing:
        raise UsageError("--smoothing: for one label a text only, not for several")
    if unlabelled and pairs:
        raise UsageError("--unlabelled: files of texts, and the data are pairs of texts")
    check_size(len(valid), len(labels), MOST_SCORES, "hold fewer out (--valid-split)")
    if multi:
        check_size(len(texts), len(labels), MOST_SCORES, "train on fewer")
    kind = "pairs of texts" if pairs else "texts"
    warn(
        f"{len(texts):,} {kind} of {named_files(data)}, {len(valid):,} held out, "
        f"labels: {_in_short(labels)}"
    )
    warn_of_twins(labels)
    if odd:
        warn(f"{odd.place} has {labels_of(odd)}, so that a text may get several labels or none")
    if flags.method is Method.HEAD:
        _train_head(texts, valid, labels, multi, data, output, flags, balance)
        return
    checkpoint = base_of(flags)
    tokenizer = load_tokenizer(checkpoint)
    problem = "multi_label_classification" if multi else "single_label_classification"
    model = to_train(
        checkpoint,
        Head.SEQUENCE,
        flags,
        labels,
        problem_type=problem,
        **{TEXT_PAIRS: pairs},
    )
    window = window_of(checkpoint, tokenizer)
    task = Classify(model, tokenizer, window, labels, multi, Choice(None))

    def measure() -> Scores:
        return _scores(measure_classify(task, valid, labels, multi), multi)

    weights = class_weights(texts, labels, multi) if balance else None
    about = About(
        "text-classification",
        "bertcli train classify",
        f"Labels: {_in_short(labels)}.",
        f"{len(texts):,} {kind} from {named_files(data)}, {len(valid):,} held out.",
        ("rare labels weighed up",) if balance else (),
    )
    taught, own = None, texts
    records: Sound | None = None
    if teachers:
        check_teachers(teachers, labels, multi, flags.offline)
        if unlabelled:
            records = sound_records(
                unlabelled,
                labelled.field,
                format_for(unlabelled, labelled.columns.input_format),
            )
            more = [LabelledText(one.text, ()) for one in records]
            warn(f"{len(more):,} texts without labels")
            texts = own + more
            files = named_files(unlabelled)
            about = replace(about, data=f"{about.data} {len(more):,} without labels from {files}.")
        taught = lesson(teachers, texts, labels, multi, flags.offline)
        share = "" if teacher_share == 1 else f", {teacher_share:g} of them where there is a label"
        about = replace(about, also=(f"learning the probabilities of {taught.teachers}{share}",))
        targets = blended(taught.targets, own, labels, teacher_share)
    else:
        targets = label_targets(texts, labels, multi)
    examples = classify_examples(texts, targets, tokenizer, window)
    training = Training(model, checkpoint, measure, flags, how, output, about, valid)
    weighing = Weighing(weights, how.smoothing, exclusive=not multi)
    training.on_examples(examples, weighing, taught.hashes if taught else ())
    if records:
        records.leave()


def _refuse_contradictions(
    context: typer.Context,
    flags: TrainFlags,
    how: ExampleFlags,
    balance: bool,
    teachers: list[str] | None,
    unlabelled: list[str] | None,
    teacher_share: float,
) -> None:
    """Raise UsageError for options that do not go together, whatever the data are."""
    if flags.method is Method.HEAD and teachers:
        raise UsageError("--teacher: a head learns from labels only: use lora or full")
    shared = {one.name for kind in (TrainFlags, ExampleFlags) for one in fields(kind)}
    if flags.method is Method.HEAD and (idle := given(context, shared - OF_A_HEAD)):
        raise UsageError(f"{', '.join(idle)}: a head is fitted at once: take lora or full for that")
    if unlabelled and not teachers:
        raise UsageError("--unlabelled: texts without labels need a --teacher")
    if teacher_share != 1 and not teachers:
        raise UsageError("--teacher-share: of what is learnt from a --teacher: name one")
    if teachers and (balance or how.smoothing):
        raise UsageError("--balance, --smoothing: of labels in the data, which --teacher replaces")


def _scores(score: ClassifyScore, multi_label: bool) -> Scores:
    if multi_label:
        return {"micro F1": score.micro_f1, "macro F1": score.macro_f1}
    return {"accuracy": score.accuracy, "macro F1": score.macro_f1}


def _in_short(labels: Sequence[str]) -> str:
    """Return the names of labels, the first of very many."""
    more = len(labels) - SHOWN_LABELS
    return ", ".join(labels[:SHOWN_LABELS]) + (f" and {more:,} more" if more > 0 else "")


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
    from bertcli.evaluate.classify import check_size, measure_classify, one_hot
    from bertcli.tasks.classify import Choice, ClassifyByVector
    from bertcli.train.head import MOST_TARGETS, fit_head, save_head
    from bertcli.train.save import Card

    check_size(len(texts), len(labels), MOST_TARGETS, "take --method lora")
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
            checkpoint,
            "text-classification",
            "bertcli train classify --method head",
            f"Labels: {_in_short(labels)}.",
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
