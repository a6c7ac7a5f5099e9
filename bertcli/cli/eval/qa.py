"""`bertcli eval qa`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bertcli.cli.eval.report import (
    Data,
    EvalFlags,
    between,
    other_model,
    show,
    write_differences,
    write_errors,
)
from bertcli.cli.options import ModelFlags, QuestionFlags, grouped
from bertcli.cli.qa import NoAnswerThreshold, qa_task
from bertcli.cli.recipe import some, warn
from bertcli.errors import counted

if TYPE_CHECKING:
    from bertcli.evaluate.qa import QaScore
    from bertcli.records import AnsweredQuestion


@grouped
def qa(
    files: Data,
    model: ModelFlags,
    flags: EvalFlags,
    asked: QuestionFlags,
    no_answer_threshold: NoAnswerThreshold = None,
) -> None:
    """Measure an answer finder: exact match and F1 by SQuAD's definitions.

    Told for the threshold given or the checkpoint's own, for the best, and for always answering.
    Two checkpoints are compared by the F1 that each has with its own threshold, and by the best;
    they differ where one answers else than the other with its own.

    \b
    bertcli eval qa squad.json
    bertcli eval qa dev.jsonl -m ./my-reader --errors wrong.jsonl
    """
    from bertcli.evaluate.intervals import mean_difference
    from bertcli.evaluate.qa import measure_qa
    from bertcli.inputs.labelled import read_questions

    flags.keep_apart(files)
    questions = some(read_questions(files, asked.columns, placed=False), files, "question")
    _warn_of_absent(questions)

    def measured(chosen: ModelFlags) -> tuple[str, QaScore, float]:
        checkpoint, task = qa_task(chosen, threshold=no_answer_threshold)
        return checkpoint.name, measure_qa(task, questions), task.threshold

    name, score, threshold = measured(model)
    found = {"model": name, **_summary(score, threshold)}
    differences: list[dict[str, Any]] = []
    if flags.compare is not None:
        other_name, other, others = measured(other_model(model, flags.compare))
        found["other"] = other_name
        for what, one, two in (
            ("f1", score.f1_at(threshold), other.f1_at(others)),
            ("best_f1", score.f1_at(score.best_threshold), other.f1_at(other.best_threshold)),
        ):
            found |= {
                f"other_{what}": float(two.mean()),
                f"{what}_minus_other": float(one.mean() - two.mean()),
                f"{what}_minus_other_95": between(mean_difference(one, two)),
            }
        differences = _differences(questions, score.given_at(threshold), other.given_at(others))
        found["differ"] = len(differences)
    show(found)
    write_errors(flags.errors, _errors(questions, score, threshold))
    write_differences(flags, differences)


def _warn_of_absent(questions: Sequence[AnsweredQuestion]) -> None:
    """Say how many questions have answers of which the context has none, so that all are wrong."""
    from bertcli.evaluate.qa import normalized

    def is_absent(one: AnsweredQuestion) -> bool:
        context = normalized(one.context)
        return all(normalized(text) not in context for text, _ in one.answers)

    if absent := [one for one in questions if one.answers and is_absent(one)]:
        warn(
            f"{absent[0].place}: the answer {absent[0].answers[0][0][:40]!r} does not stand in the "
            f"context: of {counted(len(absent), 'question')} no answer can be right to the letter"
        )


def _summary(score: QaScore, threshold: float) -> dict[str, Any]:
    exact, f1 = score.at(threshold)
    best = score.best_threshold
    best_exact, best_f1 = score.at(best)
    always_exact, always_f1 = score.at(1.0)
    return {
        "records": len(score.f1),
        "unanswerable": int(score.unanswerable.sum()),
        "threshold": threshold,
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
    rows = zip(
        questions,
        score.given_at(threshold),
        score.no_answer,
        score.f1_at(threshold),
        strict=True,
    )
    return [
        _asked(one) | {"given": given, "no_answer": float(none), "place": str(one.place)}
        for one, given, none, f1 in rows
        if f1 < 1
    ]


def _differences(
    questions: Sequence[AnsweredQuestion], given: Sequence[str | None], other: Sequence[str | None]
) -> list[dict[str, Any]]:
    return [
        _asked(asked) | {"given": one, "other": two, "place": str(asked.place)}
        for asked, one, two in zip(questions, given, other, strict=True)
        if one != two
    ]


def _asked(one: AnsweredQuestion) -> dict[str, Any]:
    answers = [text for text, _ in one.answers]
    return {"question": one.question, "context": one.context, "answers": answers}
