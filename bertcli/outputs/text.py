"""Bare answers: plain text for any task, CoNLL columns for ner, TREC runs for search."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bertcli.errors import UsageError
from bertcli.records import one_word, own_id
from bertcli.results import Answer, NerResult, SearchResult


def render_text(answers: Iterable[Answer]) -> Iterator[str]:
    """Yield the bare answer to each record; an empty line where there is none."""
    for answer in answers:
        result = answer.result
        if isinstance(result, SearchResult) and result.places_only and not result.hits:
            continue
        yield f"{result.plain()}\n" if result else "\n"


def render_conll(answers: Iterable[Answer]) -> Iterator[str]:
    """Yield `word<TAB>tag` lines and an empty line per record; only that where there is none.

    Raises:
        UsageError: the results are not those of ner.
    """
    for answer in answers:
        yield f"{_tagged_words(answer)}\n"


def render_trec(answers: Iterable[Answer]) -> Iterator[str]:
    """Yield the lines of a TREC run: query, Q0, document, rank, score and name.

    A query is called by its `id` or `_id` column, else by its number from 1; a blank in a name
    becomes `%20`. Of several passages of a document the best counts. Evaluators sort by score, and
    fused rankings are no cosines: the score is the reciprocal of the rank.

    Raises:
        UsageError: the results are not those of search.
    """
    for answer in answers:
        if answer.result is None:
            continue
        if not isinstance(answer.result, SearchResult):
            raise UsageError("trec is a format for search only; choose another with -f")
        name = own_id(answer.record.columns) or answer.record.id + 1
        documents = dict.fromkeys(hit.run_name or hit.document for hit in answer.result.hits)
        for rank, document in enumerate(documents, 1):
            yield f"{one_word(name)} Q0 {one_word(document)} {rank} {1 / rank:.6f} bertcli\n"


def _tagged_words(answer: Answer) -> str:
    """Return the lines of one record."""
    if answer.result is None:
        return ""
    if not isinstance(answer.result, NerResult):
        raise UsageError("conll is a format for ner only; choose another with -f, such as jsonl")
    lines = (f"{word.text}\t{word.tag}\n" for word in answer.result.words)
    return "".join(lines).replace("\0", "\ufffd")  # by which a file is told from a binary one
