"""`bertcli eval qa`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bertcli.cli.eval.report import Data, EvalFlags, between, other_model, show, some, write_errors
from bertcli.cli.options import ModelFlags, grouped
from bertcli.cli.qa import qa_task

if TYPE_CHECKING:
    from bertcli.evaluate.qa import QaScore
    from bertcli.records import AnsweredQuestion


@grouped
def qa(
    files: Data,
    model: ModelFlags,
    flags: EvalFlags,
    question_field: Annotated[str, typer.Option(help="Column of the questions.")] = "question",
    context_field: Annotated[str, typer.Option(help="Column of the contexts.")] = "context",
    answers_field: Annotated[str, typer.Option(help="Column of the answers.")] = "answers",
    no_answer_threshold: Annotated[
        float,
        typer.Option(min=0, max=1, help="No answer above this probability of none."),
    ] = 0.5,
) -> None:
    """Measure an answer finder: exact match and F1 by SQuAD's definitions.

    Told for the threshold given and for the best one; where all questions have an answer, also for
    always answering.

    \b
    bertcli eval qa squad.json
    bertcli eval qa dev.jsonl -m ./my-reader --errors wrong.jsonl
    """
    from bertcli.evaluate.intervals import mean_difference
    from bertcli.evaluate.qa import measure_qa
    from bertcli.inputs.labelled import Columns, read_questions

    columns = Columns(question=question_field, context=context_field, answers=answers_field)
    questions = some(read_questions(files, columns), "question")

    def measured(chosen: ModelFlags) -> tuple[str, QaScore]:
        checkpoint, task = qa_task(chosen)
        return checkpoint.name, measure_qa(task, questions)

    name, score = measured(model)
    found = {"model": name, **_summary(score, no_answer_threshold)}
    if flags.compare is not None:
        other_name, other = measured(other_model(model, flags.compare))
        one, two = score.f1_at(score.best_threshold), other.f1_at(other.best_threshold)
        difference = mean_difference(one, two)
        found |= {
            "other": other_name,
            "other_best_f1": float(two.mean()),
            "best_f1_minus_other": float(one.mean() - two.mean()),
            "best_f1_minus_other_95": between(difference),
            "differ": int((one != two).sum()),
        }
    show(found)
    write_errors(flags.errors, _errors(questions, score, no_answer_threshold))


def _summary(score: QaScore, threshold: float) -> dict[str, Any]:
    exact, f1 = score.at(threshold)
    best = score.best_threshold
    best_exact, best_f1 = score.at(best)
    always_exact, always_f1 = score.at(1.0)
    return {
        "records": len(score.f1),
        "unanswerable": int(score.unanswerable.sum()),
        "exact_match": exact,
        "f1": f1,
        "f1_95": between(score.f1_interval(threshold)),
        "always_exact_match": always_exact,
        "always_f1": always_f1,
        "best_threshold": best,
        "best_exact_match": best_exact,
        "best_f1": best_f1,
    }


def _errors(
    questions: Sequence[AnsweredQuestion], score: QaScore, threshold: float
) -> list[dict[str, Any]]:
    return [
        {
            "question": one.question,
            "context": one.context,
            "answers": [text for text, _ in one.answers],
            "given": given if none <= threshold else None,
            "no_answer": float(none),
            "place": str(one.place),
        }
        for one, given, none, f1 in zip(
            questions, score.given, score.no_answer, score.f1_at(threshold), strict=True
        )
        if f1 < 1
    ]
