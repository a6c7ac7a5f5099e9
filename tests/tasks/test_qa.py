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
from bertcli.engine.tokens import Tokens
from bertcli.engine.windows import Window
from bertcli.results import QaResult
from bertcli.tasks import qa
from bertcli.tasks.qa import LEAST_SCORE, SENTENCE_END, Qa, said_alike, with_pairs
from bertcli.tasks.run import answers
from bertcli.tasks.spans import (
    ACROSS_SENTENCES,
    Said,
    SpanTable,
    TokenSpan,
    best_spans,
    span_table,
    widened,
)
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

    Every span of up to 30 tokens inside a window counts once, with the best of its windows'
    sums of start and end logits; the null answer has the least of the windows' own.
    """
    plan = task.plan(records([text], QUESTION))[0]
    logits: dict[tuple[int, int], float] = {}
    null = np.inf
    for window in plan.windows:  # type: ignore[union-attr]
        (output,) = task.encoder.encode([window])
        null = min(null, float(output[0, 0]) + float(output[0, 1]))
        for i in range(window.start, window.end):
            for j in range(i, min(i + qa.MAX_ANSWER_TOKENS, window.end)):
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
    """The n that agree most with what is probable, over all spans of all windows."""
    folder = tiny_checkpoint(model_type, Head.QA)
    task = Qa(*loaded(folder, Head.QA), top_k=4, threshold=1.0)
    probabilities, null = oracle(task, text)
    assert sum(probabilities.values()) + null == pytest.approx(1)
    (found,) = results(task, records([text], QUESTION))
    assert found.no_answer == pytest.approx(null, abs=1e-5)
    tokens = task.tokenizer.tokenize([text])[0]
    expected = consensus(probabilities, 4, tokens, text)
    assert [one.text for one in found.answers] == [one for one, _ in expected]
    assert [one.score for one in found.answers] == pytest.approx(
        [score for _, score in expected], abs=1e-5
    )
    assert sum(one.score for one in found.answers) + found.no_answer <= 1 + 1e-6


def consensus(
    probabilities: dict[tuple[int, int], float], count: int, tokens: Tokens, text: str
) -> list[tuple[str, float]]:
    """Return the answers with the highest expected agreement, one by one, and their scores.

    Those behind the first that are scraps are left out.
    """

    def piece(start: int, end: int) -> str:
        return text[int(tokens.offsets[start, 0]) : int(tokens.offsets[end - 1, 1])].strip()

    def sentence(token: int) -> int:
        before = text[: int(tokens.offsets[token, 0])]
        return before.count("\n") + before.count("? ") if text == LONG else 0

    def agreement(one: tuple[int, int], two: tuple[int, int]) -> float:
        if said_alike(piece(*one)) == said_alike(piece(*two)):
            return 1
        common = {*range(*one)} & {*range(*two)}
        return 0.5 * 2 * len(common) / (one[1] - one[0] + two[1] - two[0])

    answers: list[tuple[str, float]] = []
    struck: set[int] = set()
    while len(answers) < count:
        ranked = sorted(probabilities.items(), key=lambda one: -one[1])
        cells = [
            (span, p)
            for span, p in ranked
            if not struck & {*range(*span)}
            and any(map(str.isalnum, piece(*widened(*span, tokens.words))))
        ]
        merged: dict[tuple[int, int], float] = {}
        for span, p in cells[:80]:
            if len(merged) == 20:
                break
            whole = widened(*span, tokens.words)
            merged[whole] = merged.get(whole, 0) + p
        if not merged:
            break
        likeliest = dict(sorted(merged.items(), key=lambda one: -one[1]))
        weights = {
            span: p * (1 if sentence(span[0]) == sentence(span[1] - 1) else ACROSS_SENTENCES)
            for span, p in likeliest.items()
        }
        agreed = max(
            likeliest, key=lambda one: sum(agreement(one, two) * w for two, w in weights.items())
        )
        alike = [one for one in likeliest if said_alike(piece(*one)) == said_alike(piece(*agreed))]
        best = alike[0]
        said = piece(*best)
        if said_alike(said) not in {said_alike(one) for one, _ in answers}:
            near = [one for one in likeliest if agreement(best, one) or agreement(agreed, one)]
            answers.append((said, sum(weights[one] for one in near)))
        struck |= {token for one in alike for token in range(*one)}
    return [*answers[:1], *(one for one in answers[1:] if one[1] >= LEAST_SCORE)]


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


def test_scraps_are_no_answers(bert: Qa) -> None:
    """However many are asked for; the best is told whatever its probability."""
    (found,) = results(replace(bert, top_k=200), records([LONG], QUESTION))
    assert len(found.answers) < 100
    assert all(one.score >= LEAST_SCORE for one in found.answers[1:])


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
def test_an_answer_says_something(
    bert: Qa, text: str, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has a letter or a digit of some script; signs alone are none, however probable."""
    monkeypatch.setattr(qa, "MAX_ANSWER_TOKENS", 1)
    (found,) = results(replace(bert, top_k=9), records([text], QUESTION))
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


def words_of(*words: str, sentences: tuple[int, ...] | None = None) -> Said:
    """Return a context of one token a word, by default in one sentence."""
    numbers = np.arange(len(words))
    own = np.array(sentences) if sentences else np.zeros(len(words), np.int64)
    return Said(
        numbers, own, np.ones(len(words), bool), lambda start, end: " ".join(words[start:end])
    )


def best_of(spans: dict[tuple[int, int], float], said: Said) -> TokenSpan:
    """Return the best answer of these half-open spans' probabilities, none for no answer."""
    scores = np.full((len(said.words), 9), -np.inf)
    for (start, end), probability in spans.items():
        scores[start, end - start - 1] = np.log(probability)
    (best,) = best_spans(SpanTable(scores, np.log(1 - sum(spans.values()))), 1, said)
    return best


def test_the_best_answer_agrees_with_the_others() -> None:
    """Not a span from one answer's start to another's end, though it is the most probable."""
    said = words_of(*["Noel", "Kahn", "plays", "the", "brother", "named", "Brian"])
    across, short = (0, 7), (0, 2)
    found = best_of({across: 0.3, short: 0.28, (0, 3): 0.15, (1, 2): 0.15, (6, 7): 0.06}, said)
    assert (found.start, found.end) == short
    assert found.score == pytest.approx(0.88)


def test_an_answer_that_stands_twice_is_one() -> None:
    """Its places share their probability, wherever they are; the likelier one is told."""
    said = words_of("cadmium", "is", "mass", "cadmium", "poison")
    found = best_of({(0, 1): 0.25, (3, 4): 0.2, (2, 5): 0.3}, said)
    assert (found.start, found.end) == (0, 1)
    table = np.full((5, 3), -np.inf)
    table[0, 0], table[3, 0], table[2, 0] = 3, 2, 0
    both = best_spans(SpanTable(table, 0.0), 5, said)
    assert [(one.start, one.end) for one in both] == [(0, 1), (2, 3)]


def test_pieces_of_a_word_share_its_probability() -> None:
    """However a word is cut, it is one answer."""
    said = replace(words_of(*"aaabc"), words=np.array([0, 0, 0, 1, 2]))
    found = best_of({(0, 1): 0.2, (1, 2): 0.2, (2, 3): 0.2, (4, 5): 0.25}, said)
    assert (found.start, found.end, round(found.score, 6)) == (0, 3, 0.6)


@pytest.mark.parametrize(
    ("text", "cut", "whole"),
    [
        ('white and "ocean blue".', 'white and "ocean blue', 'white and "ocean blue"'),
        ('white and "ocean blue".', 'ocean blue"', '"ocean blue"'),
        ('he said "yes or no"', '"yes', "yes"),
        ('the "ocean" said', 'the "ocean', 'the "ocean"'),
        ("a man of 6'2\" tall", "6'2\"", "6'2\""),
        ('it is "1950"', '1950"', '"1950"'),
        ("Ada (born 1950) won", "born 1950)", "(born 1950)"),
        ("Ada (born 1950) won", "1950)", "1950"),
        ("Ada (born 1950) won", "(born", "born"),
        ("Ada (born 1950) won", "Ada (born 1950", "Ada (born 1950)"),
        ("x [1 (a)] y", "[1 (a", "[1 (a)]"),
        ("the “red” one", "“red", "“red”"),
        ("one (two)", "one", "one"),
        ("a) one and (b two", "one", "one"),
        ("(one", "(one", "one"),
        ("one)", "one)", "one"),
    ],
)
def test_both_of_a_pair_or_none(text: str, cut: str, whole: str) -> None:
    """A quote or a bracket is completed where its other half stands beside the answer."""
    start = text.index(cut)
    start, end = with_pairs(text, start, start + len(cut))
    assert text[start:end] == whole


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Jan. 5,", "Jan. 5", True),
        ("The Tay", "tay", True),
        ("C++", "C", False),
        ("1.5", "15", False),
        ("-5", "5", False),
        ("A", "the", False),
    ],
)
def test_what_says_the_same(one: str, other: str, same: bool) -> None:
    """Case, articles and the signs around do not count; signs that mean something do."""
    assert (said_alike(one) == said_alike(other)) is same


def test_an_answer_rarely_goes_over_the_end_of_a_sentence() -> None:
    """Of two that are as probable, it is the one within."""
    spans = {(0, 3): 0.4, (0, 2): 0.35}
    inside = best_of(spans, words_of("in", "1997", "It", sentences=(0, 0, 1)))
    across = best_of(spans, words_of("in", "1997", "it"))
    assert ((inside.start, inside.end), (across.start, across.end)) == ((0, 2), (0, 3))


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("In 1997. It was. 5 of them", 2),
        ('He said "Never." Then he left', 1),
        ("J. R. R. Tolkien and Dr. Watson met the U.S. Senate on Jan. 5", 0),
        ("e.g. this one", 0),
        ("巴黎。柏林！", 2),
    ],
)
def test_sentences_end(text: str, ends: int) -> None:
    """Before a capital or a number, and not within a name."""
    assert len(SENTENCE_END.findall(text)) == ends


def test_a_table_by_hand() -> None:
    """Two tokens: spans 0, 1 and 0–1, each start + end, and the null answer."""
    output = logits((0.5, 0.5), (1, 2), (3, 4), (0, 0))
    table = span_table([window(0, 2)], [output], longest=2)
    assert table.scores.tolist() == [[3, 5], [7, -np.inf]]
    assert table.null == 1
    total = np.exp([3, 5, 7, 1]).sum()
    assert table.no_answer == pytest.approx(np.exp(1) / total)
    (best,) = best_spans(table, 1, words_of("a", "b"))
    assert best == TokenSpan(1, 2, pytest.approx(np.exp([7, 5]).sum() / total))


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
    found = best_spans(table, 9, words_of(*"abcd"))
    assert [(one.start, one.end) for one in found] == [(0, 2), (2, 4)]


def test_the_longest_answer() -> None:
    """Spans of more tokens than allowed are no answers, however well they score."""
    output = logits((0, 0), (9, 0), (0, 0), (0, 9), (0, 0))
    assert span_table([window(0, 3)], [output], longest=2).scores.max() == 9


def test_pieces_of_a_word_are_one_answer() -> None:
    """A span inside a word is widened, and no second answer is in the same word."""
    said = replace(words_of(*"abcd"), words=np.array([0, 0, 0, 1]))
    output = logits((0, 0), (0, 0), (9, 9), (8, 8), (1, 1), (0, 0))
    table = span_table([window(0, 4)], [output], longest=1)
    found = best_spans(table, 3, said)
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
