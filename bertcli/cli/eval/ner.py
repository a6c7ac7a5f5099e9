"""`bertcli eval ner`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bertcli.cli.eval.report import (
    Data,
    EvalFlags,
    between,
    label_rows,
    label_table,
    other_model,
    show,
    write_differences,
    write_errors,
)
from bertcli.cli.label_names import LabelMap, check_known, label_map, span_labels
from bertcli.cli.ner import ner_task
from bertcli.cli.options import ModelFlags, TaggedFlags, grouped
from bertcli.cli.recipe import some, warn
from bertcli.engine.choices import Aggregate
from bertcli.inputs.labelled import OUTSIDE
from bertcli.inputs.rows import named

if TYPE_CHECKING:
    from bertcli.checkpoints.layout import Checkpoint
    from bertcli.evaluate.ner import NerScore
    from bertcli.records import TaggedText


@grouped
def ner(
    files: Data,
    model: ModelFlags,
    flags: EvalFlags,
    tagged: TaggedFlags,
    aggregate: Annotated[
        Aggregate, typer.Option(help="How the tokens of a word agree on a label.")
    ] = Aggregate.FIRST,
    map_labels: LabelMap = None,
    ignore: Annotated[
        list[str] | None, typer.Option(help="A label that does not count; repeatable.")
    ] = None,
) -> None:
    """Measure a tagger: precision, recall and F1 of exact spans, by label.

    For partial_f1 a span is found that has a character in common with one of the same label.

    \b
    bertcli eval ner dev.conll
    bertcli eval ner dev.jsonl -m ./my-tagger --map person=PER --ignore MISC
    """
    from bertcli.evaluate.intervals import paired_bootstrap
    from bertcli.evaluate.ner import measure_ner
    from bertcli.inputs.labelled import read_tagged

    flags.keep_apart(files)
    read = read_tagged(files, tagged.columns)
    texts = some((text for text in read if text.text), files, "text")
    names, ignored = label_map(map_labels, span_labels(texts)), frozenset(ignore or ())

    def measured(chosen: ModelFlags) -> tuple[str, NerScore]:
        checkpoint, task = ner_task(chosen, aggregate)
        _check_labels(texts, names, ignored, checkpoint)
        return checkpoint.name, measure_ner(task, texts, names, ignored)

    name, score = measured(model)
    found = {"model": name, **_summary(score)}
    differences: list[dict[str, Any]] = []
    if flags.compare is not None:
        other_name, other = measured(other_model(model, flags.compare))
        difference = paired_bootstrap(len(texts), score.f1_of, other.f1_of)
        differences = _differences(texts, score, other)
        found |= {
            "other": other_name,
            "other_f1": other.total.f1,
            "f1_minus_other": score.total.f1 - other.total.f1,
            "f1_minus_other_95": between(difference),
            "differ": len(differences),
        }
    show(found, [lambda: label_table(score.counts)])
    write_errors(flags.errors, _errors(texts, score))
    write_differences(flags, differences)


def _check_labels(
    texts: Sequence[TaggedText],
    names: Mapping[str, str],
    ignored: Collection[str],
    checkpoint: Checkpoint,
) -> None:
    """Say which labels of the data a checkpoint never gives; raise DataError where it is all."""
    from bertcli.tasks.ner import split_label

    own = {split_label(tag)[1] for tag in checkpoint.labels} - {"", OUTSIDE}
    there = {names.get(label, label) for label in span_labels(texts)} - {""}
    if idle := set(ignored) - there - own:
        listed = named(sorted(there | own))
        warn(f"--ignore {min(idle)}: neither the data nor {checkpoint.name} has it: {listed}")
    known = own | {""}
    unknown = {
        label: text.places.get(start, text.place)
        for text in reversed(texts)
        for start, _, label in reversed(text.spans)
        if known.isdisjoint((label, names.get(label, label)))
        and names.get(label, label) not in ignored
    }
    counted = {one for one in span_labels(texts) if names.get(one, one) not in {"", *ignored}}
    check_known(checkpoint.name, names, unknown, counted, own)


def _summary(score: NerScore) -> dict[str, Any]:
    total, partial = score.total, score.partial
    return {
        "records": len(score.gold),
        "f1": total.f1,
        "f1_95": between(score.f1_interval),
        "precision": total.precision,
        "recall": total.recall,
        "partial_f1": partial.f1,
        "labels": label_rows(score.counts),
    }


def _errors(texts: Sequence[TaggedText], score: NerScore) -> list[dict[str, Any]]:
    return [
        {
            "text": text.text,
            "missed": _spelled(text.text, gold - predicted),
            "false": _spelled(text.text, predicted - gold),
            "place": str(text.place),
        }
        for text, gold, predicted in zip(texts, score.gold, score.predicted, strict=True)
        if gold != predicted
    ]


def _differences(
    texts: Sequence[TaggedText], score: NerScore, other: NerScore
) -> list[dict[str, Any]]:
    return [
        {
            "text": text.text,
            "right": _spelled(text.text, gold),
            "given": _spelled(text.text, one),
            "other": _spelled(text.text, two),
            "place": str(text.place),
        }
        for text, gold, one, two in zip(
            texts, score.gold, score.predicted, other.predicted, strict=True
        )
        if one != two
    ]


def _spelled(text: str, spans: Iterable[tuple[int, int, str]]) -> list[dict[str, Any]]:
    return [
        {"label": label, "text": text[start:end], "start": start, "end": end}
        for start, end, label in sorted(spans)
    ]
