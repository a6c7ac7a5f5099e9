"""Answers to questions."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertcli.engine.choices import Long
from bertcli.engine.families import Head
from bertcli.engine.windows import Window
from bertcli.results import QaResult
from bertcli.tasks.qa import Qa
from bertcli.tasks.run import answers
from bertcli.tasks.spans import TokenSpan, best_spans, span_table, widened
from tiny import SENTENCES

from .loaded import loaded, records, results

QUESTION = "who wrote the first program?"
LONG = "\n".join(SENTENCES * 2)


@pytest.fixture(scope="module")
def bert(tiny_checkpoint: Any) -> Qa:
    """Return the task on a tiny BERT, always answering."""
    return Qa(*loaded(tiny_checkpoint("bert", Head.QA), Head.QA), threshold=1.0)


def oracle(task: Qa, text: str) -> tuple[dict[tuple[int, int], float], float]:
    """Return the probability of every legal span of tokens, and of no answer, by brute force.

    Every span of up to `longest` tokens inside a window counts once, with the best of its windows'
    sums of start and end logits; the null answer has the least of the windows' own.
    """
    plan = task.plan(records([text], QUESTION))[0]
    logits: dict[tuple[int, int], float] = {}
    null = np.inf
    for window in plan.windows:  # type: ignore[union-attr]
        (output,) = task.encoder.encode([window])
        null = min(null, float(output[0, 0]) + float(output[0, 1]))
        for i in range(window.start, window.end):
            for j in range(i, min(i + task.longest, window.end)):
                at = window.first - window.start
                sum_ = float(output[i + at, 0]) + float(output[j + at, 1])
                logits[i, j + 1] = max(logits.get((i, j + 1), -np.inf), sum_)
    total = sum(np.exp(one) for one in logits.values()) + np.exp(null)
    return {span: float(np.exp(one) / total) for span, one in logits.items()}, float(
        np.exp(null) / total
    )


@pytest.mark.parametrize("model_type", ["bert", "roberta", "xlm-roberta", "distilbert"])
@pytest.mark.parametrize("text", [SENTENCES[2], LONG, "Paris", "😀 London 巴黎\nBerlin"])
def test_scores_are_those_of_brute_force(text: str, model_type: str, tiny_checkpoint: Any) -> None:
    """The n best that say something, greedily without overlap, over all spans of all windows."""
    folder = tiny_checkpoint(model_type, Head.QA)
    task = Qa(*loaded(folder, Head.QA), top_k=4, threshold=1.0)
    probabilities, null = oracle(task, text)
    assert sum(probabilities.values()) + null == pytest.approx(1)
    (found,) = results(task, records([text], QUESTION))
    assert found.no_answer == pytest.approx(null, abs=1e-5)
    tokens = task.tokenizer.tokenize([text])[0]
    taken: set[int] = set()
    expected: list[tuple[str, float]] = []
    for (start, end), score in sorted(probabilities.items(), key=lambda one: -one[1]):
        if len(expected) == 4 or taken & set(range(start, end)):
            continue
        start, end = widened(start, end, tokens.words)
        if not any(map(str.isalnum, text[tokens.offsets[start, 0] : tokens.offsets[end - 1, 1]])):
            continue
        taken |= set(range(start, end))
        piece = text[int(tokens.offsets[start, 0]) : int(tokens.offsets[end - 1, 1])]
        expected.append((piece.strip(), score))
    assert [one.text for one in found.answers] == [one for one, _ in expected]
    assert [one.score for one in found.answers] == pytest.approx(
        [score for _, score in expected], abs=1e-5
    )


def test_places_and_lines(bert: Qa) -> None:
    """Offsets cut the answer out of the context, and the line is counted from one."""
    (found,) = results(replace(bert, top_k=8), records([LONG], QUESTION))
    assert found.reading.windows > 2
    assert len(found.answers) == 8
    for span in found.answers:
        assert LONG[span.start : span.end] == span.text
        assert span.line == LONG[: span.start].count("\n") + 1
    ordered = sorted(found.answers, key=lambda span: span.start)
    for left, right in pairwise(ordered):
        assert left.end <= right.start, "no two answers overlap"


def test_answers_are_whole_words(bert: Qa) -> None:
    """No answer begins or ends inside a word."""
    (found,) = results(replace(bert, top_k=20), records([LONG], QUESTION))
    assert found.answers
    for span in found.answers:
        around = LONG[max(0, span.start - 1) : span.start + 1], LONG[span.end - 1 : span.end + 1]
        assert not any(len(edge) == 2 and edge.isalpha() for edge in around)


def test_one_window_and_many_agree_where_they_can(bert: Qa) -> None:
    """A short context has the same answer whether windows are allowed or not."""
    one, other = (
        results(replace(bert, long=long), records([SENTENCES[0]], QUESTION))[0].nested()
        for long in (Long.WINDOW, Long.ERROR)
    )
    assert one == other


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Yes . – ! ?", ["Yes"]),
        ("€ 5 !", ["5"]),
        (". , ; !", []),
        ("की । 巴黎。", ["की", "巴黎"]),
    ],
)
def test_an_answer_says_something(bert: Qa, text: str, told: list[str]) -> None:
    """It has a letter or a digit of some script; signs alone are none, however probable."""
    (found,) = results(replace(bert, top_k=9, longest=1), records([text], QUESTION))
    assert {letter for one in found.answers for letter in one.text} <= set("".join(told))
    assert bool(found.answers) is bool(told)


def test_the_threshold_for_no_answer(bert: Qa) -> None:
    """Above the threshold there is no answer; the probability is told all the same."""
    (always,) = results(bert, records([LONG], QUESTION))
    (never,) = results(replace(bert, threshold=-1.0), records([LONG], QUESTION))
    assert always.answers
    assert not never.answers
    assert never.no_answer == always.no_answer


@pytest.mark.parametrize(
    ("question", "text", "words"),
    [
        ("", "a context", "the question is empty"),
        (None, "a context", "the question is empty"),
        ("who?", "", "the context has no token"),
        ("who?", " \n ", "the context has no token"),
        ("who " * 60, "a context", "the question is too long: 60 tokens"),
    ],
)
def test_what_cannot_be_asked(question: str | None, text: str, words: str, bert: Qa) -> None:
    """Each is an error of its own record."""
    (answer,) = answers(bert, records([text], question))
    assert words in (answer.error or "")


def test_many_questions_in_one_stream(bert: Qa) -> None:
    """Each record has its own question and keeps it."""
    asked = ["who?", "what is the capital of France?", "where?"]
    items = [replace(records([LONG], q)[0], id=i) for i, q in enumerate(asked)]
    found = [result for result in results(bert, items) if isinstance(result, QaResult)]
    assert [one.question for one in found] == asked


def window(start: int, end: int, first: int = 1) -> Window:
    """Return a window of these tokens of the context."""
    none = np.zeros(0, np.int64)
    return Window(none, none, start, end, first)


def logits(*rows: tuple[float, float]) -> np.ndarray:
    """Return start and end logits, the first row those of the null answer."""
    return np.array(rows, np.float32)


def test_a_table_by_hand() -> None:
    """Two tokens: spans 0, 1 and 0–1, each start + end, and the null answer."""
    output = logits((0.5, 0.5), (1, 2), (3, 4), (0, 0))
    table = span_table([window(0, 2)], [output], longest=2)
    assert table.scores.tolist() == [[3, 5], [7, -np.inf]]
    assert table.null == 1
    total = np.exp([3, 5, 7, 1]).sum()
    assert table.no_answer == pytest.approx(np.exp(1) / total)
    (best,) = best_spans(table, 1, np.array([0, 1]), np.ones(2, bool))
    assert best == TokenSpan(1, 2, pytest.approx(np.exp(7) / total))


def test_windows_share_one_table() -> None:
    """A span in two windows counts once, with the better; the null answer with the worse."""
    outputs = [
        logits((1, 1), (0, 0), (5, 5), (0, 0)),
        logits((0, 0), (9, 9), (0, 0), (0, 0)),
    ]
    table = span_table([window(0, 2), window(1, 3)], outputs, longest=2)
    assert table.scores.tolist() == [[0, 5], [18, 9], [0, -np.inf]]
    assert table.null == 0


def test_answers_do_not_overlap() -> None:
    """After the best span come only spans beside it; there may be fewer than asked for."""
    output = logits((0, 0), (5, 0), (0, 9), (4, 0), (0, 3), (0, 0))
    table = span_table([window(0, 4)], [output], longest=4)
    found = best_spans(table, 9, np.arange(4), np.ones(4, bool))
    assert [(one.start, one.end) for one in found] == [(0, 2), (2, 4)]


def test_the_longest_answer() -> None:
    """Spans of more tokens than allowed are no answers, however well they score."""
    output = logits((0, 0), (9, 0), (0, 0), (0, 9), (0, 0))
    assert span_table([window(0, 3)], [output], longest=2).scores.max() == 9


def test_pieces_of_a_word_are_one_answer() -> None:
    """A span inside a word is widened, and no second answer is in the same word."""
    words = np.array([0, 0, 0, 1])
    output = logits((0, 0), (0, 0), (9, 9), (8, 8), (1, 1), (0, 0))
    table = span_table([window(0, 4)], [output], longest=1)
    found = best_spans(table, 3, words, np.ones(len(words), bool))
    assert [(one.start, one.end) for one in found] == [(0, 3), (3, 4)]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=20), st.data())
def test_widening(steps: list[int], data: st.DataObject) -> None:
    """The widened range holds the span, begins and ends with words, and is the least such."""
    words = np.cumsum(np.array(steps) > 1)
    start = data.draw(st.integers(0, len(words) - 1))
    end = data.draw(st.integers(start + 1, len(words)))
    wide = widened(start, end, words)
    touched = set(words[start:end].tolist())
    assert set(words[wide[0] : wide[1]].tolist()) == touched
    assert wide[1] - wide[0] == sum(word in touched for word in words.tolist())
