"""Bare answers: plain text for any task, CoNLL columns for ner."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bertcli.errors import UsageError
from bertcli.results import Answer, NerResult


def render_text(answers: Iterable[Answer]) -> Iterator[str]:
    """Yield the bare answer to each record; an empty line where there is none."""
    for answer in answers:
        yield f"{answer.result.plain()}\n" if answer.result else "\n"


def render_conll(answers: Iterable[Answer]) -> Iterator[str]:
    """Yield `word<TAB>tag` lines and an empty line per record; only that where there is none.

    Raises:
        UsageError: the results are not those of ner.
    """
    for answer in answers:
        yield f"{_tagged_words(answer)}\n"


def _tagged_words(answer: Answer) -> str:
    """Return the lines of one record."""
    if answer.result is None:
        return ""
    if not isinstance(answer.result, NerResult):
        raise UsageError("conll is a format for ner only; choose another with -f, such as jsonl")
    return "".join(f"{word.text}\t{word.tag}\n" for word in answer.result.words)
