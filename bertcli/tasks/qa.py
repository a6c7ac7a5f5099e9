"""Answers to questions, as spans of a context."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bertcli.engine.choices import Long
from bertcli.engine.encoder import Encoder, Logits, unreduced
from bertcli.engine.tokens import TextTokenizer, Tokens
from bertcli.engine.windows import frame_pair, ranges
from bertcli.errors import RecordError
from bertcli.records import Record
from bertcli.results import QaResult, Span
from bertcli.tasks.run import Plan, count_read
from bertcli.tasks.spans import Said, TokenSpan, best_spans, span_table

SIGNS_AROUND = " .,;:!?\"'()[]“”‘’«»"
PAIRS = (("(", ")"), ("[", "]"), ("{", "}"), ("“", "”"), ("«", "»"), ('"', '"'))
INCHES = re.compile(r'\d"$')
SENTENCE_END = re.compile(
    r"""(?<!\b[A-Z])(?<!\b[A-Z][a-z])(?<!\b[A-Z][a-z][a-z])[.!?]["')\]]*\s+(?=["'(\[]*[A-Z0-9])|[。！？]"""
)
"""Not after an initial or a short word like a title: J. R. R. Tolkien, Mrs. Hudson, Jan. 5."""
MAX_ANSWER_TOKENS = 30
LEAST_SCORE = 0.001
"""An answer beside the best that is less probable is a scrap: the s of a possessive at 0.000006."""
WINDOW = 384
"""Tokens in a window of question and context, the length that answer heads are trained with."""


@dataclass(frozen=True, slots=True)
class Qa:
    """Extractive question answering over all windows of a context at once.

    A context whose `no_answer` probability exceeds `threshold` gets no answer; with a threshold of
    1 it always gets one. An answer has a letter or a digit.
    """

    encoder: Encoder
    tokenizer: TextTokenizer
    window: int
    top_k: int = 1
    threshold: float = 0.5
    long: Long = Long.WINDOW

    def plan(self, records: Sequence[Record]) -> list[Plan | RecordError]:
        """Return the windows of every record's question and context."""
        questions = self.tokenizer.ids([record.question or "" for record in records])
        contexts = self.tokenizer.tokenize([record.text for record in records])
        pairs = zip(questions, contexts, strict=True)
        return [self._plan_one(question, context) for question, context in pairs]

    reduce = staticmethod(unreduced)

    def decode(self, record: Record, plan: Plan, outputs: Sequence[Logits]) -> QaResult:
        """Return the answers from start and end logits (length, 2) per window."""
        table = span_table(plan.windows, outputs, MAX_ANSWER_TOKENS)
        no_answer = table.no_answer
        spans: list[TokenSpan] = []
        if no_answer <= self.threshold:
            found = best_spans(table, self.top_k, _said(plan.tokens, record.text))
            spans = found[:1] + [one for one in found[1:] if one.score >= LEAST_SCORE]
        answers = tuple(_in_characters(span, plan.tokens, record.text) for span in spans)
        return QaResult(record.question or "", answers, no_answer, plan.reading)

    def _plan_one(self, question: NDArray[np.int64], context: Tokens) -> Plan | RecordError:
        frame = self.tokenizer.frame
        room = min(self.window, WINDOW) - frame.pair - len(question)
        if not len(question):
            return RecordError("the question is empty")
        if not len(context):
            return RecordError("the context has no token that the model knows")
        if room < min(self.window, WINDOW) // 4:
            return RecordError(f"the question is too long: {len(question)} tokens")
        try:
            spans = ranges(len(context), room, self.long)
        except RecordError as error:
            return error
        second = self.tokenizer.second_type
        windows = tuple(frame_pair(question, context.ids, span, frame, second) for span in spans)
        return Plan(windows, context, count_read(len(context), windows))


def _said(tokens: Tokens, text: str) -> Said:
    """Return what the answers in a text are compared by."""

    def alike(start: int, end: int) -> str:
        return said_alike(text[int(tokens.offsets[start, 0]) : int(tokens.offsets[end - 1, 1])])

    ends = [found.end() for found in SENTENCE_END.finditer(text)]
    sentences = np.searchsorted(ends, tokens.offsets[:, 0], side="right")
    return Said(tokens.words, sentences, _saying(tokens, text), alike)


def said_alike(answer: str) -> str:
    """Return what answers have in common that say the same: case, article and signs around aside.

    >>> said_alike("The  Eiffel Tower,"), said_alike("C++")
    ('eiffel tower', 'c++')
    """
    bare = " ".join(answer.casefold().split()).strip(SIGNS_AROUND)
    return bare.removeprefix("the ").removeprefix("an ").removeprefix("a ") or answer


def _saying(tokens: Tokens, text: str) -> NDArray[np.bool_]:
    """Return which tokens `(n,)` are of a word with a letter or a digit, of any script."""
    said = (any(map(str.isalnum, text[start:end])) for start, end in tokens.offsets.tolist())
    lettered = np.fromiter(said, bool, len(tokens))
    return np.isin(tokens.words, tokens.words[lettered])


def _in_characters(span: TokenSpan, tokens: Tokens, text: str) -> Span:
    """Return a span of tokens as characters, without spaces around it."""
    start, end = int(tokens.offsets[span.start, 0]), int(tokens.offsets[span.end - 1, 1])
    start, end = with_pairs(text, *_without_spaces(text, start, end))
    start, end = _without_spaces(text, start, end)
    line = text.count("\n", 0, start) + 1
    return Span(text[start:end], start, end, line, span.score)


def with_pairs(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the characters of an answer without a quote or bracket that it has one of a pair of.

    The other one is taken in where it stands beside the answer; else the one at its edge is left
    out, but for a sign of inches.

    >>> with_pairs("“so” (in 1950)", 0, 3), with_pairs("“so” (in 1950)", 9, 14)
    ((0, 4), (9, 13))
    """
    for first, last in PAIRS:
        said = text[start:end]
        opened, closed = said.count(first), said.count(last)
        odd = first == last and opened % 2 == 1
        if (opened > closed or odd) and text.startswith(last, end):
            end += 1
        elif (opened < closed or odd) and text.endswith(first, 0, start):
            start -= 1
        elif (opened > closed or odd) and said.startswith(first):
            start += 1
        elif (opened < closed or odd) and said.endswith(last) and not INCHES.search(said):
            end -= 1
    return start, end


def _without_spaces(text: str, start: int, end: int) -> tuple[int, int]:
    """Return half-open characters without the spaces at both ends."""
    said = text[start:end]
    return end - len(said.lstrip()), start + len(said.rstrip())
