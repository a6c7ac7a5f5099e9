"""`bertcli train classify`."""

from __future__ import annotations

from typing import Annotated

import typer

from bertcli.cli.options import grouped
from bertcli.cli.recipe import warn
from bertcli.cli.train.run import (
    Data,
    ExampleFlags,
    Output,
    TrainFlags,
    finish,
    held_out,
    lora_rank,
    recipe_text,
    train_on_examples,
    work_folder,
)


@grouped
def classify(
    data: Data,
    output: Output,
    flags: TrainFlags,
    how: ExampleFlags,
    field: Annotated[str, typer.Option(help="Column that holds the text.")] = "text",
    label_field: Annotated[str, typer.Option(help="Column of the label.")] = "label",
    label_sep: Annotated[
        str | None, typer.Option(help="What divides several labels in one cell.")
    ] = None,
    balance: Annotated[bool, typer.Option("--balance", help="Weigh rare labels up.")] = False,
) -> None:
    """Train a classifier on labelled texts.

    \b
    bertcli train classify reviews.csv -o my-classifier
    bertcli train classify train.jsonl --valid dev.jsonl -o my-classifier --epochs 5
    bertcli train classify tickets.csv --label-field tags --label-sep ";" -o my-tagger
    """
    from bertcli.checkpoints.load import load_tokenizer
    from bertcli.checkpoints.resolve import ModelChoice, resolve
    from bertcli.engine.families import Head
    from bertcli.evaluate.classify import measure_classify
    from bertcli.inputs.labelled import Columns, read_labelled
    from bertcli.tasks.classify import Choice, Classify
    from bertcli.train.classify import (
        check_labels,
        class_weights,
        classify_examples,
        is_multi_label,
        label_set,
    )
    from bertcli.train.examples import Weighing
    from bertcli.train.loop import Scores
    from bertcli.train.save import Card
    from bertcli.train.trainee import Trainee

    columns = Columns(text=field, label=label_field, separator=label_sep)
    texts, valid = held_out(
        list(read_labelled(data, columns)),
        list(read_labelled(how.valid, columns)) if how.valid else None,
        how.valid_split,
        lambda one: one.labels,
        flags.seed,
    )
    labels = label_set(texts)
    check_labels(valid, labels)
    multi = is_multi_label([*texts, *valid])
    warn(f"{len(texts):,} texts, {len(valid):,} held out, labels: {', '.join(labels)}")
    checkpoint = resolve(ModelChoice(flags.model, offline=flags.offline))
    tokenizer = load_tokenizer(checkpoint)
    problem = "multi_label_classification" if multi else "single_label_classification"
    model = Trainee(
        checkpoint,
        Head.SEQUENCE,
        lora_rank(flags),
        labels,
        flags.dropout,
        problem_type=problem,
    )
    window = min(checkpoint.window, tokenizer.max_length or checkpoint.window)
    task = Classify(model, tokenizer, window, labels, multi, Choice(None))

    def measure() -> Scores:
        score = measure_classify(task, valid, labels, multi)
        if multi:
            return {"micro F1": score.micro_f1, "macro F1": score.macro_f1}
        return {"accuracy": score.accuracy, "macro F1": score.macro_f1}

    weights = class_weights(texts, labels, multi) if balance else None
    examples = classify_examples(texts, labels, multi, tokenizer, window)
    with work_folder(output, flags.resume) as work:
        weighing = Weighing(weights, how.smoothing)
        last = train_on_examples(model, examples, measure, flags, how, work, weighing)
        scores = measure()
        body = f"# Classifier on {checkpoint.name}\n\nLabels: {', '.join(labels)}.\n\n"
        body += f"Trained with `bertcli train classify` on {len(texts):,} texts: "
        body += recipe_text(flags, how, last, scores)
        metadata = {"base_model": checkpoint.name, "pipeline_tag": "text-classification"}
        finish(model, checkpoint, output, Card(metadata, body), flags)
