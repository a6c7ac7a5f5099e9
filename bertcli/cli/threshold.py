"""`bertcli threshold fit`."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bertcli.cli.eval.report import Data, Table, label_rows, show
from bertcli.cli.label_names import LabelMap, check_one_label, mapped_texts
from bertcli.cli.options import Debug, LabelledFlags, ModelFlags, grouped
from bertcli.cli.recipe import some, warn
from bertcli.errors import DataError, UsageError
from bertcli.home import expanded
from bertcli.inputs.rows import named

if TYPE_CHECKING:
    from bertcli.checkpoints.layout import Checkpoint
    from bertcli.records import LabelledText

app = typer.Typer(
    help="Choose from which probability labels are given.",
    rich_markup_mode=None,
    no_args_is_help=True,
)

MEASURES = ("precision", "recall", "f1", "support")


@app.callback()
def threshold() -> None:
    """Choose from which probability a classifier gives its labels."""


@app.command()
@grouped
def fit(
    files: Data,
    model: ModelFlags,
    labelled: LabelledFlags,
    map_labels: LabelMap = None,
    least_precision: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Be right at least so often; default the best F1."),
    ] = None,
    debug: Debug = False,
) -> None:
    """Choose a threshold per label on labelled texts, and keep them in the checkpoint's folder.

    `classify` then gives a label only from there on, and no label below; --threshold and
    --abstain-below win over them.

    \b
    bertcli threshold fit dev.csv -m ./my-classifier
    bertcli threshold fit dev.csv -m ./my-classifier --least-precision 0.95
    """
    from bertcli.checkpoints.thresholds import store_thresholds
    from bertcli.cli.classify import check_pairs, classify_task
    from bertcli.evaluate.classify import measure_classify
    from bertcli.evaluate.thresholds import best_thresholds, counts_at
    from bertcli.inputs.labelled import are_pairs, read_labelled

    if model.model is None:
        raise UsageError("say whose thresholds: -m DIR, the folder of a fine-tuned checkpoint")
    texts = some(read_labelled(files, labelled.columns), files, "text")
    kept, names = mapped_texts(map_labels, texts)
    texts = some(kept, ["--map"], "text")
    made = classify_task(model, {})
    check_pairs(made, are_pairs(texts))
    folder = _own_folder(made.checkpoint)
    check_labels(texts, made.labels, names)
    if not made.multi_label:
        check_one_label(texts, made.checkpoint.name)
    score = measure_classify(made.task, texts, made.labels, made.multi_label, names)
    found = {
        label: value
        for label, value in best_thresholds(score, made.multi_label, least_precision).items()
        if label in made.labels
    }
    if unseen := [label for label in made.labels if label not in found]:
        warn(f"no text has the label {named(unseen)}, which stays as it was")
    counts = counts_at(score, made.multi_label, found)
    if never := [one.label for one in counts if not one.hits + one.false]:
        warn(f"{named(never)}: never given, for no threshold is right so often")
    found = dict(made.checkpoint.thresholds) | found
    store_thresholds(folder, found)
    measured = {row["label"]: row for row in label_rows(counts)}
    rows = [
        (label, value, *(measured.get(label, {}).get(name, "") for name in MEASURES))
        for label, value in found.items()
    ]
    report = {
        "model": made.checkpoint.name,
        "records": len(texts),
        "thresholds": found,
        "labels": list(measured.values()),
    }
    show(report, [lambda: Table(("label", "threshold", *MEASURES), rows)])


def check_labels(
    texts: Iterable[LabelledText], labels: Collection[str], names: Mapping[str, str]
) -> None:
    """Raise DataError for the first text with a label that a checkpoint does not have."""
    for text in texts:
        for label in text.labels:
            called = names.get(label, label)
            if called not in labels:
                raise DataError(
                    f"{text.place}: the checkpoint has no label {called!r}, its labels are "
                    f"{named(sorted(labels))}; say what it is called there with "
                    f"--map {shlex.quote(f'{label}=NAME')}"
                )


def _own_folder(checkpoint: Checkpoint) -> Path:
    """Return the folder that a user may write to; raises UsageError for what others brought."""
    folder = expanded(checkpoint.name)
    if not folder.is_dir():
        raise UsageError(
            f"{checkpoint.name}: not a folder of yours, so nothing is kept in it; "
            "train a checkpoint, or copy this one into a folder"
        )
    return folder
