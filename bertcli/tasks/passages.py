"""Answers to a question from several passages that were found for it."""

from __future__ import annotations

from collections.abc import Sequence

from bertcli.errors import RecordError
from bertcli.records import Record
from bertcli.results import FoundAnswer, FoundAnswers, Hit, QaResult, Reading
from bertcli.tasks.qa import Qa
from bertcli.tasks.run import answers


def answer_from_passages(task: Qa, question: str, hits: Sequence[Hit]) -> FoundAnswers:
    """Read every passage and return the most probable answers over all of them, at most `top_k`.

    The same answer from several passages is told once, from where it is most probable. A passage
    whose probability of no answer exceeds the task's threshold gives none. Raises RecordError where
    the question cannot be read at all.
    """
    records = (Record(i, hit.text, question=question) for i, hit in enumerate(hits))
    best: dict[str, FoundAnswer] = {}
    none, tokens, windows, cut = 1.0, 0, 0, 0
    for hit, answer in zip(hits, answers(task, records), strict=True):
        result = answer.result
        if not isinstance(result, QaResult):
            raise RecordError(answer.error or "the question cannot be read")
        none = min(none, result.no_answer)
        tokens, windows = tokens + result.reading.tokens, windows + result.reading.windows
        cut += result.reading.cut_tokens
        for span in result.answers:
            line = None if hit.line is None else hit.line + span.line - 1
            if line is not None and hit.last_line is not None:
                line = min(line, hit.last_line)  # a row's text may have more lines than its file
            page = hit.page_of(span.start)
            place = (hit.document, line, hit.score, hit.text, page)
            found = FoundAnswer(span.text, span.score, *place)
            key = " ".join(span.text.lower().split())
            if key not in best or best[key].score < span.score:
                best[key] = found
    ranked = sorted(best.values(), key=lambda one: -one.score)[: task.top_k]
    return FoundAnswers(question, tuple(ranked), none, Reading(tokens, windows, cut))
