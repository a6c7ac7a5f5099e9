"""`bertcli eval classify`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bertcli.cli.classify import TEMPLATE, Classifier, check_pairs, classify_task, read_labels
from bertcli.cli.eval.report import (
    Data,
    EvalFlags,
    Table,
    between,
    label_rows,
    label_table,
    other_model,
    show,
    write_differences,
    write_errors,
)
from bertcli.cli.label_names import (
    LabelMap,
    check_known,
    check_one_label,
    mapped_texts,
    of_several,
)
from bertcli.cli.options import LabelledFlags, ModelFlags, grouped
from bertcli.cli.recipe import some, warn
from bertcli.errors import UsageError
from bertcli.inputs.rows import named as quoted

if TYPE_CHECKING:
    from bertcli.checkpoints.layout import Checkpoint
    from bertcli.evaluate.classify import ClassifyScore
    from bertcli.records import LabelledText

CONFUSIONS_SHOWN = 10


@grouped
def classify(
    files: Data,
    model: ModelFlags,
    flags: EvalFlags,
    labelled: LabelledFlags,
    labels: Annotated[
        str | None, typer.Option(help="Zero-shot labels, as classify takes them.")
    ] = None,
    labels_file: Annotated[
        Path | None, typer.Option(help="File with a label on each line.")
    ] = None,
    template: Annotated[str, typer.Option(help="Zero-shot: the label in a sentence.")] = TEMPLATE,
    map_labels: LabelMap = None,
    abstain_below: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Also tell the accuracy without less sure answers."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the confusion in this .png, .svg or .pdf.")
    ] = None,
) -> None:
    """Measure a classifier: accuracy, F1 by label, confusion and calibration.

    Of several labels a text those are given that reach the thresholds of threshold fit, or 0.5. Of
    one label a text the likeliest counts; with thresholds, or --abstain-below, the share of texts
    that reach them is told too, and how often those are right.

    \b
    bertcli eval classify reviews.csv
    bertcli eval classify test.jsonl -m ./my-classifier --map POS=positive --map NEG=negative
    bertcli eval classify news.jsonl --labels "World,Sports,Business,Sci/Tech"
    bertcli eval classify test.csv -m ./one --compare ./other --errors wrong.jsonl
    """
    from bertcli.evaluate.classify import measure_classify
    from bertcli.evaluate.intervals import mean_difference
    from bertcli.inputs.labelled import are_pairs, read_labelled
    from bertcli.outputs.plot import check_plot, draw_confusion
    from bertcli.tasks.classify import ClassifyBySimilarity

    if plot:
        check_plot(plot)
    flags.keep_apart([*files, *map(str, filter(None, [labels_file]))], plot=plot)
    texts = some(read_labelled(files, labelled.columns), files, "text")
    named = read_labels(labels, labels_file)
    kept, names = mapped_texts(map_labels, texts)
    texts = some(kept, ["--map"], "text")
    several, pairs = of_several(texts) is not None, are_pairs(texts)
    chosen = [model] if flags.compare is None else [model, other_model(model, flags.compare)]
    classifiers = [classify_task(one, named, template, several) for one in chosen]
    several = several or any(made.multi_label for made in classifiers)
    if several and plot:
        raise UsageError("--plot: there is no confusion where a text has several labels")
    if several and abstain_below is not None:
        raise UsageError("--abstain-below: for one label a text; threshold fit is for several")

    _refuse_unknown_targets(names, classifiers)
    if not named:
        names = names or _by_number(texts, classifiers[0])
    own_names = [_names_for(one, names, classifiers) for one in classifiers]

    def measured(made: Classifier, own: Mapping[str, str]) -> tuple[str, ClassifyScore]:
        check_pairs(made, pairs)
        if not named and _gives_one_label(made.checkpoint):
            check_one_label(texts, made.checkpoint.name)
        if several and isinstance(made.task, ClassifyBySimilarity):
            raise UsageError(
                "several labels a text: the cosines of --labels are no probabilities to measure; "
                "give a checkpoint that was trained on such labels with -m"
            )
        _check_labels(texts, own, made)
        least = {} if named else made.checkpoint.thresholds
        if abstain_below is not None:
            least = dict.fromkeys(made.labels, abstain_below)
        score = measure_classify(made.task, texts, made.labels, several, own, least)
        return made.checkpoint.name, score

    name, score = measured(classifiers[0], own_names[0])
    found = {"model": name, **_summary(score)}
    if score.thresholds and not several:
        found["answered"], found["accuracy_of_answered"] = score.answered
    differences: list[dict[str, Any]] = []
    tables = [lambda: label_table(score.counts)]
    if not several:
        found |= {"confusion": _confusion(score)}
        tables.append(lambda: _confusion_table(score))
    if flags.compare is not None:
        other_name, other = measured(classifiers[1], own_names[1])
        given = (_mapped(score, own_names[0], names), _mapped(other, own_names[1], names))
        difference = mean_difference(score.right, other.right)
        found |= {
            "other": other_name,
            "other_accuracy": other.accuracy,
            "accuracy_minus_other": score.accuracy - other.accuracy,
            "accuracy_minus_other_95": between(difference),
            "differ": len(differences := _differences(texts, names, *given)),
        }
    show(found, tables)
    write_errors(flags.errors, _errors(texts, own_names[0], score))
    write_differences(flags, differences)
    if plot:
        draw_confusion(plot, score.labels, score.confusion)


def _gives_one_label(checkpoint: Checkpoint) -> bool:
    """Tell whether a checkpoint says that it was trained to give a text one label."""
    if checkpoint.linear:
        return not checkpoint.linear.config["multi_label"]
    return checkpoint.config.get("problem_type") == "single_label_classification"


def _refuse_unknown_targets(names: Mapping[str, str], classifiers: Sequence[Classifier]) -> None:
    """Raise UsageError for a name of --map that no checkpoint knows."""
    known = [label for one in classifiers for label in one.labels]
    for old, new in names.items():
        if new and new not in known and old not in known:
            raise UsageError(
                f"--map {shlex.quote(f'{old}={new}')}: {classifiers[0].checkpoint.name} has no "
                f"label {new!r}, its labels are {quoted(sorted(known))}"
            )


def _by_number(texts: Sequence[LabelledText], made: Classifier) -> dict[str, str]:
    """Return the checkpoint's labels by their numbers where all of the data are such numbers.

    GLUE has them so, and many other sets: 0 and 1 for the first and the second label.
    """
    numbers = {str(number): label for number, label in enumerate(made.labels)}
    used = {label for text in texts for label in text.labels}
    if not used or not used <= numbers.keys() or not used.isdisjoint(made.labels):
        return {}
    told = ", ".join(f"{number} is {numbers[number]}" for number in sorted(used))
    warn(f"the labels are numbers, taken as those of {made.checkpoint.name}: {told}")
    return {number: numbers[number] for number in used}


def _names_for(
    made: Classifier, names: Mapping[str, str], compared: Sequence[Classifier]
) -> dict[str, str]:
    """Return what a checkpoint calls each label of --map.

    That is the file's name where it has that, and the new one is another checkpoint's alone.
    """
    others = {label for one in compared if one is not made for label in one.labels}
    only_theirs = others.difference(made.labels)
    return {
        old: old if old in made.labels and new in only_theirs else new for old, new in names.items()
    }


def _mapped(
    score: ClassifyScore, own: Mapping[str, str], names: Mapping[str, str]
) -> list[frozenset[str]]:
    """Return the labels given under the names of --map, by which two checkpoints are compared."""
    news = {old: names[old] for old, name in own.items() if name == old}
    return [frozenset(news.get(one, one) for one in given) for given in score.given]


def _check_labels(
    texts: Sequence[LabelledText], names: Mapping[str, str], made: Classifier
) -> None:
    """Say which labels of the data a checkpoint never gives; raise DataError where it is all."""
    unknown = {
        label: text.place
        for text in reversed(texts)
        for label in text.labels
        if names.get(label, label) not in made.labels
    }
    labels = {label for text in texts for label in text.labels}
    check_known(made.checkpoint.name, names, unknown, labels, made.labels)


def _summary(score: ClassifyScore) -> dict[str, Any]:
    return {
        "records": len(score.gold),
        "accuracy": score.accuracy,
        "accuracy_95": between(score.accuracy_interval),
        "macro_f1": score.macro_f1,
        "micro_f1": score.micro_f1,
        "calibration_error": score.calibration_error,
        "labels": label_rows(score.counts),
    }


def _confusion(score: ClassifyScore) -> dict[str, dict[str, int]]:
    return {
        label: dict(zip(score.labels, map(int, row), strict=True))
        for label, row in zip(score.labels, score.confusion, strict=True)
    }


def _confusion_table(score: ClassifyScore) -> Table:
    rows = [(label, *row) for label, row in zip(score.labels, score.confusion, strict=True)]
    columns = ("right \\ given", *score.labels)
    return Table(columns, rows, narrow=lambda: _largest_confusions(score))


def _largest_confusions(score: ClassifyScore) -> Table:
    """Return which labels were given most often in the place of which, the most frequent first."""
    counts = score.confusion
    wrong = [
        (score.labels[right], score.labels[given], int(counts[right, given]))
        for right, given in zip(*counts.nonzero(), strict=True)
        if right != given
    ]
    wrong.sort(key=lambda one: -one[2])
    more = len(wrong) - CONFUSIONS_SHOWN
    note = f"and {more:,} more; a pipe gets them all" if more > 0 else ""
    return Table(("right", "given", "count"), wrong[:CONFUSIONS_SHOWN], note)


def _errors(
    texts: Sequence[LabelledText], names: Mapping[str, str], score: ClassifyScore
) -> list[dict[str, Any]]:
    rows = zip(texts, score.right, score.given, score.probabilities, strict=True)
    return [
        _named(text, names)
        | {"given": sorted(given), "score": float(row.max()), "place": str(text.place)}
        for text, right, given, row in rows
        if not right
    ]


def _differences(
    texts: Sequence[LabelledText],
    names: Mapping[str, str],
    given: Sequence[frozenset[str]],
    other: Sequence[frozenset[str]],
) -> list[dict[str, Any]]:
    return [
        _named(text, names) | {"given": sorted(one), "other": sorted(two), "place": str(text.place)}
        for text, one, two in zip(texts, given, other, strict=True)
        if one != two
    ]


def _named(text: LabelledText, names: Mapping[str, str]) -> dict[str, Any]:
    """Return a text with its labels as they are compared."""
    pair = {} if text.second is None else {"second": text.second}
    labels = [names.get(one, one) for one in text.labels]
    return {"text": text.text, **pair, "labels": labels}
