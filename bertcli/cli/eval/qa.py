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
from bertcli.cli.recipe import some

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

    \b
    bertcli eval qa squad.json
    bertcli eval qa dev.jsonl -m ./my-reader --errors wrong.jsonl
    """
    from bertcli.evaluate.intervals import mean_difference
    from bertcli.evaluate.qa import measure_qa
    from bertcli.inputs.labelled import read_questions

    flags.keep_apart(files)
    questions = some(read_questions(files, asked.columns, placed=False), files, "question")

    def measured(chosen: ModelFlags) -> tuple[str, QaScore, float]:
        checkpoint, task = qa_task(chosen, threshold=no_answer_threshold)
        return checkpoint.name, measure_qa(task, questions), task.threshold

    name, score, threshold = measured(model)
    found = {"model": name, **_summary(score, threshold)}
    differences: list[dict[str, Any]] = []
    if flags.compare is not None:
        other_name, other, _ = measured(other_model(model, flags.compare))
        one, two = score.f1_at(score.best_threshold), other.f1_at(other.best_threshold)
        difference = mean_difference(one, two)
        differences = _differences(questions, score, other)
        found |= {
            "other": other_name,
            "other_best_f1": float(two.mean()),
            "best_f1_minus_other": float(one.mean() - two.mean()),
            "best_f1_minus_other_95": between(difference),
            "differ": len(differences),
        }
    show(found)
    write_errors(flags.errors, _errors(questions, score, threshold))
    write_differences(flags, differences)


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
    questions: Sequence[AnsweredQuestion], score: QaScore, other: QaScore
) -> list[dict[str, Any]]:
    """Return the questions that two answer differently, each with its own best threshold."""
    one, two = (each.given_at(each.best_threshold) for each in (score, other))
    return [
        _asked(asked) | {"given": given, "other": others, "place": str(asked.place)}
        for asked, given, others in zip(questions, one, two, strict=True)
        if given != others
    ]


def _asked(one: AnsweredQuestion) -> dict[str, Any]:
    answers = [text for text, _ in one.answers]
    return {"question": one.question, "context": one.context, "answers": answers}
