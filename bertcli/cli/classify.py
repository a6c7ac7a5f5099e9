"""`bertcli classify`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bertcli.cli.bulk import answer_all, hashes_of
from bertcli.cli.options import BulkFlags, InputFlags, ModelFlags, OutputFlags, Texts, grouped
from bertcli.cli.recipe import choose_checkpoint, load_model, read_items
from bertcli.engine.families import TEXT_PAIRS, Head
from bertcli.errors import CheckpointError, DataError, UsageError
from bertcli.records import Item, Record

if TYPE_CHECKING:
    from bertcli.checkpoints.layout import Checkpoint, LinearHead
    from bertcli.tasks.classify import Choice
    from bertcli.tasks.run import Task

TEMPLATE = "This text is about {}."
FEW_LABELS = 1_000
"""With more zero-shot labels the engine that starts sooner is done later: for a few texts it took
0.8 of the time of the other with 100 labels, as long with 1,000, and 1.05 with 3,000."""


@grouped
def classify(
    context: typer.Context,
    source: InputFlags,
    model: ModelFlags,
    out: OutputFlags,
    bulk: BulkFlags,
    texts: Texts = None,
    pair: Annotated[
        str | None, typer.Option(help="Second text, for a checkpoint that was trained on pairs.")
    ] = None,
    pair_field: Annotated[
        str | None, typer.Option(help="Column of the second text of pairs.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="Zero-shot labels, separated by commas; label=description|another one."),
    ] = None,
    labels_file: Annotated[
        Path | None, typer.Option(help="File with one label a line, or label<TAB>description.")
    ] = None,
    template: Annotated[
        str, typer.Option(help="Sentence around a zero-shot label, {} in its place.")
    ] = TEMPLATE,
    multi_label: Annotated[
        bool, typer.Option("--multi-label", help="Score every label by itself.")
    ] = False,
    top_k: Annotated[
        int | None,
        typer.Option(
            "-k",
            "--top-k",
            min=1,
            help="Labels per text; 1, or all that are likely where a text may have several.",
        ),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Only labels with at least this score.")
    ] = None,
    abstain_below: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="No label where the best has less than this score."),
    ] = None,
) -> None:
    """Label texts: negative or positive, with labels of your own, or with a fine-tuned checkpoint.

    \b
    bertcli classify "What a lovely film."
    bertcli classify --labels "sports,politics,science" "The striker scored twice."
    bertcli classify --labels "billing=a question about an invoice,bug=an error" -i tickets.csv
    bertcli classify -m ./my-checkpoint -i reviews.csv --field review -f csv -o labelled.csv
    bertcli classify -m ./my-nli "It rains." --pair "The street is dry."
    tail -f app.log | bertcli classify --labels "error,warning,normal"
    """
    from bertcli.tasks.classify import Choice
    from bertcli.tasks.run import answers

    named = read_labels(labels, labels_file)
    if template != TEMPLATE and not named:
        raise UsageError("--template goes with --labels: it is a sentence around each of them")
    if pair is not None and (pair_field or not pair.strip() or not texts):
        raise UsageError(
            "--pair TEXT goes with one TEXT or more, and is not empty; for files use --pair-field"
        )
    items = read_items(context, texts, source, pair_field)
    if threshold is not None and abstain_below is not None:
        raise UsageError("--threshold and --abstain-below both set the lowest score: give one")
    several = multi_label or threshold is not None
    lowest = threshold if threshold is not None else abstain_below
    choice = Choice(top_k or (None if several else 1), lowest, usual=top_k is None)
    built = classify_task(model, named, template, multi_label, choice, items.few)
    check_pairs(built, pair is not None or pair_field is not None)
    if multi_label and built.checkpoint.linear and not (named or built.multi_label):
        raise UsageError(f"{built.checkpoint.name} gives each text one label: it was trained so")
    if pair is not None:
        items = replace(items, items=_paired(items, pair))
    answer_all(
        context,
        partial(answers, built.task),
        items,
        out,
        bulk,
        partial(hashes_of, built.checkpoint),
    )


def check_pairs(built: Classifier, pairs: bool) -> None:
    """Raise UsageError where pairs are given to a classifier of texts, or texts to one of pairs."""
    from bertcli.tasks.classify import Classify

    trained = built.checkpoint.config.get(TEXT_PAIRS)  # None where nobody said
    if pairs and (trained is False or not isinstance(built.task, Classify)):
        raise UsageError("pairs of texts need a checkpoint that was trained on pairs, with -m")
    if not pairs and trained and isinstance(built.task, Classify):
        raise UsageError(
            f"{built.checkpoint.name} was trained on pairs of texts: give the second one's column "
            "with --pair-field, or the text with --pair"
        )


def _paired(items: Iterable[Item], second: str) -> Iterator[Item]:
    return (replace(one, second=second) if isinstance(one, Record) else one for one in items)


@dataclass(frozen=True, slots=True)
class Classifier:
    """A task that labels texts, the checkpoint behind it, and all labels it may give."""

    task: Task
    checkpoint: Checkpoint
    labels: list[str]

    @property
    def multi_label(self) -> bool:
        """Whether each label is scored by itself."""
        return bool(getattr(self.task, "multi_label", False))


def classify_task(
    model: ModelFlags,
    named: dict[str, str],
    template: str = TEMPLATE,
    multi_label: bool = False,
    choice: Choice | None = None,
    brief: bool = False,
) -> Classifier:
    """Return the classifier that a command line asks for; without `choice` all labels are scored.

    `named` are zero-shot labels with their descriptions; none for a fine-tuned checkpoint.
    """
    from bertcli.tasks.classify import Choice

    if "{}" not in template:
        raise UsageError(f"--template {template}: expected {{}} where the label is to stand")
    checkpoint = choose_checkpoint(model, "embed" if named else "classify")
    if choice is None:
        choice = Choice(None)
    elif not named:
        choice = replace(choice, thresholds=checkpoint.thresholds)
    if not named and checkpoint.linear:
        task: Task = _by_linear_head(checkpoint, checkpoint.linear, model, brief, choice)
    elif not named:
        task = _fine_tuned(checkpoint, model, brief, multi_label, choice)
    elif checkpoint.head is Head.SEQUENCE:
        task = _by_entailment(checkpoint, model, brief, named, template, multi_label, choice)
    else:
        task = _by_similarity(checkpoint, model, brief, named, template, multi_label, choice)
    return Classifier(task, checkpoint, list(named) or checkpoint.labels)


def _lines_of_labels(file: Path) -> list[str]:
    """Return the lines of --labels-file; raises UsageError where they are no text."""
    from bertcli.inputs.lines import read_whole_text
    from bertcli.inputs.rows import BadRow

    try:
        with file.open("rb") as stream:
            (whole,) = read_whole_text(stream, str(file))
    except OSError as error:
        raise UsageError(f"--labels-file {file}: cannot be read ({error.strerror})") from error
    except DataError as error:
        raise UsageError(f"--labels-file {error}") from error
    if isinstance(whole, BadRow):
        raise UsageError(f"--labels-file {whole.place}: {whole.error}")
    return (whole.text or "").splitlines()


def read_labels(listed: str | None, file: Path | None) -> dict[str, str]:
    """Return the zero-shot labels with their descriptions, which default to the labels themselves.

    Raises UsageError when a label is given twice, or only one is.
    """
    pairs = [part.partition("=") for part in (listed or "").split(",")]
    bare = "a description without a label was given: write label"
    if any(sign and not label.strip() for label, sign, _ in pairs):
        raise UsageError(f"--labels: {bare}=description")
    if file is not None:
        lines = [line.partition("\t") for line in _lines_of_labels(file)]
        for number, (label, _, about) in enumerate(lines, 1):
            if about.strip() and not label.strip():
                raise UsageError(f"{file}:{number}: {bare}<TAB>description")
        pairs += lines
    pairs = [pair for pair in pairs if "".join(pair).strip()]
    named = {label.strip(): (about or label).strip() for label, _, about in pairs}
    if len(named) < len(pairs):
        counts = Counter(label.strip() for label, _, _ in pairs)
        raise UsageError(f"the label {counts.most_common(1)[0][0]} was given twice")
    if empty := next((label for label, about in named.items() if not about.strip(" |")), None):
        raise UsageError(f"the label {empty} has an empty description")
    if not named and (listed is not None or file is not None):
        raise UsageError("no label was given: name at least two, as in --labels sports,politics")
    if len(named) == 1:
        raise UsageError("one label leaves nothing to choose: give at least two")
    return named


def _fine_tuned(
    checkpoint: Checkpoint, model: ModelFlags, brief: bool, multi_label: bool, choice: Choice
) -> Task:
    from bertcli.tasks.classify import Classify

    problem = checkpoint.config.get("problem_type")
    if problem == "regression":
        raise CheckpointError(f"{checkpoint.name}: a regression checkpoint has no labels to give")
    encoder, tokenizer, window = load_model(checkpoint, Head.SEQUENCE, model, brief)
    labels = checkpoint.labels
    multi = multi_label or problem == "multi_label_classification" or len(labels) == 1
    if multi and not multi_label and problem is not None:
        choice = choice.of_several(labels)
    return Classify(encoder, tokenizer, window, labels, multi, choice, model.long)


def _by_linear_head(
    checkpoint: Checkpoint, head: LinearHead, model: ModelFlags, brief: bool, choice: Choice
) -> Task:
    from bertcli.checkpoints.load import load_linear_head
    from bertcli.cli.embed import build_embed
    from bertcli.engine.choices import Pooling
    from bertcli.tasks.classify import ClassifyByVector

    settings = head.config
    pooling = Pooling(settings["pooling"])
    embed = build_embed(checkpoint, model, pooling, settings["normalize"], brief=brief)
    weight, bias = load_linear_head(checkpoint, head)
    multi = bool(settings["multi_label"])
    if multi:
        choice = choice.of_several(checkpoint.labels)
    return ClassifyByVector(embed, checkpoint.labels, weight, multi, choice, bias)


def _by_similarity(
    checkpoint: Checkpoint,
    model: ModelFlags,
    brief: bool,
    named: dict[str, str],
    template: str,
    multi_label: bool,
    choice: Choice,
) -> Task:
    import numpy as np

    from bertcli.cli.embed import build_embed
    from bertcli.engine.pooling import normalised
    from bertcli.tasks.classify import ClassifyBySimilarity

    brief = brief and len(named) <= FEW_LABELS
    embed = replace(build_embed(checkpoint, model, brief=brief), normalize=True)
    about = [_hypotheses(template, each) for each in named.values()]
    ends = np.cumsum([len(each) for each in about])[:-1]
    every = embed.vectors([one for each in about for one in each])
    vectors = np.stack([normalised(part.mean(axis=0)) for part in np.split(every, ends)])
    return ClassifyBySimilarity(embed, list(named), vectors, multi_label, choice)


def _hypotheses(template: str, about: str) -> list[str]:
    """Return the sentences that stand for a label, one for each of its descriptions."""
    parts = (part.strip() for part in about.split("|"))
    return [template.replace("{}", part) for part in parts if part]


def _by_entailment(
    checkpoint: Checkpoint,
    model: ModelFlags,
    brief: bool,
    named: dict[str, str],
    template: str,
    multi_label: bool,
    choice: Choice,
) -> Task:
    from bertcli.tasks.classify import ClassifyByEntailment

    lowered = [label.lower() for label in checkpoint.labels]
    entailment = next((i for i, label in enumerate(lowered) if label.startswith("entail")), None)
    if entailment is None:
        raise UsageError(
            f"{checkpoint.name}: --labels needs an NLI checkpoint, with an entailment label; "
            f"this one knows {', '.join(checkpoint.labels[:5])}: leave --labels out"
        )
    other = len(lowered) - 1 if entailment == 0 else 0  # of two labels "not_entailment"
    contradiction = next((i for i, one in enumerate(lowered) if one.startswith("contra")), other)
    encoder, tokenizer, window = load_model(checkpoint, Head.SEQUENCE, model, brief)
    about = [_hypotheses(template, each) for each in named.values()]
    return ClassifyByEntailment(
        encoder,
        tokenizer,
        window,
        labels=list(named),
        hypotheses=[one for each in about for one in each],
        owners=[label for label, each in enumerate(about) for _ in each],
        entailment=entailment,
        contradiction=contradiction,
        multi_label=multi_label,
        choice=choice,
        long=model.long,
    )
