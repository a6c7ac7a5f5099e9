"""`bertcli train qa`."""

from __future__ import annotations

from typing import Annotated

import typer

from bertcli.cli.options import QuestionFlags, grouped
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
from bertcli.errors import UsageError


@grouped
def qa(
    context: typer.Context,
    data: Data,
    output: Output,
    flags: TrainFlags,
    how: ExampleFlags,
    asked: QuestionFlags,
    unanswerable: Annotated[
        float,
        typer.Option(
            min=0, max=2, help="Questions without an answer to make of the others, as a share."
        ),
    ] = 0.0,
) -> None:
    """Train an answer finder on questions, contexts and answers.

    \b
    bertcli train qa squad.json -o my-reader
    bertcli train qa train.jsonl --valid dev.jsonl -o my-reader --epochs 2
    bertcli train qa train.jsonl -o my-reader --unanswerable 0.5
    """
    import numpy as np

    from bertcli.checkpoints.layout import NO_ANSWER_THRESHOLD
    from bertcli.checkpoints.load import load_tokenizer, window_of
    from bertcli.engine.families import Head
    from bertcli.evaluate.qa import measure_qa
    from bertcli.inputs.labelled import read_questions
    from bertcli.tasks.qa import WINDOW, Qa
    from bertcli.train import qa as lessons
    from bertcli.train.examples import Weighing
    from bertcli.train.loop import Scores
    from bertcli.train.unanswerable import unanswerable as make_unanswerable

    check_asked(context, output, flags, data, how.valid)
    if how.smoothing:
        raise UsageError("--smoothing: answers are learned without it")
    questions = some(read_questions(data, asked.columns), data)
    lessons.check_answers(questions)
    several = len({one.group for one in questions}) > 1
    questions, valid = held_out(
        questions,
        list(read_questions(how.valid, asked.columns.of_valid(how.valid))) if how.valid else None,
        how.valid_split,
        lambda one: [(several and one.group) or one.context],
        flags.seed,
        whole=True,
    )
    lessons.check_answers(valid)
    rng = np.random.default_rng(flags.seed)
    made = make_unanswerable(questions, unanswerable, rng)
    without = sum(not one.answers for one in questions) + len(made)
    warn(
        f"{len(questions) + len(made):,} questions, {without:,} of them without an answer, "
        f"{len(valid):,} held out"
    )
    checkpoint = base_of(flags)
    tokenizer = load_tokenizer(checkpoint)
    model = to_train(checkpoint, Head.QA, flags)
    window = window_of(checkpoint, tokenizer)
    task = Qa(model, tokenizer, window)

    refusing = any(not one.answers for one in valid)

    def measure() -> Scores:
        score = measure_qa(task, valid)
        threshold = score.best_threshold
        exact, f1 = score.at(threshold)
        scores = {"F1": f1, "exact match": exact}
        if not refusing:
            return scores
        model.settings[NO_ANSWER_THRESHOLD] = threshold  # what is written was measured last
        return scores | {"threshold": threshold}

    shown = min(window, WINDOW)
    examples, left_out = lessons.qa_examples([*questions, *made], tokenizer, shown)
    if left_out:
        warn(
            f"{left_out:,} questions are left out: they leave less than a quarter of a window of "
            f"{shown} tokens to the context, or a text has no token"
        )
    about = About(
        "question-answering",
        "bertcli train qa",
        "Answers word for word, and says where a context has none"
        + (f", by the threshold below: `{NO_ANSWER_THRESHOLD}`." if refusing else "."),
        f"{len(questions) + len(made):,} questions from {named_files(data)}, {without:,} of "
        f"them without an answer, {len(valid):,} held out.",
        (f"{len(made):,} of the questions without an answer made",) if made else (),
    )
    training = Training(model, checkpoint, measure, flags, how, output, about, valid)
    training.on_examples(examples, Weighing())
