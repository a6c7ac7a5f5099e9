"""Answers over several passages."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from bertcli.engine.families import Head
from bertcli.errors import RecordError
from bertcli.results import Hit, QaResult, Reading, Span
from bertcli.tasks.passages import Relevance, answer_from_passages, best_answers
from bertcli.tasks.qa import Qa
from tiny import SENTENCES

from .loaded import loaded, records, results

QUESTION = "who sat?"


@pytest.fixture
def task(tiny_checkpoint: Any) -> Qa:
    """A tiny answer finder."""
    return Qa(*loaded(tiny_checkpoint("bert", Head.QA), Head.QA), threshold=1.0)


def test_answers_are_those_of_the_passages(task: Qa) -> None:
    """First that of the passage which most probably has one, with its place and cosine."""
    hits = [Hit(0.9 - i / 10, text, f"{i}.txt", 10 * i) for i, text in enumerate(SENTENCES)]
    found = answer_from_passages(replace(task, top_k=3), QUESTION, hits)
    alone = results(task, records(SENTENCES, question=QUESTION))
    number = min(range(len(alone)), key=lambda i: alone[i].no_answer)
    first, best = found.answers[0], alone[number].answers[0]
    assert (first.text, first.score) == (best.text, pytest.approx(best.score))
    assert (first.document, first.passage) == (f"{number}.txt", SENTENCES[number])
    assert first.line == 10 * number + best.line - 1
    assert first.passage_score == hits[number].score
    assert found.no_answer == pytest.approx(min(one.no_answer for one in alone))
    assert len(found.answers) == 3


def test_a_cosine_counts_as_much_as_it_is_told_to(task: Qa) -> None:
    """It ranks the passages and makes an answer more or less probable, by the odds."""
    cosines = dict(zip(SENTENCES, (0.1, 0.8, *([0.2] * len(SENTENCES))), strict=False))
    hits = [Hit(cosine, text, text) for text, cosine in cosines.items()]
    alone = results(task, records(SENTENCES[1:2], question=QUESTION))[0]
    odds = (1 - alone.no_answer) / alone.no_answer * math.exp(100 * (0.8 - 0.5))
    found = answer_from_passages(task, QUESTION, hits, Relevance(100, 0.5))
    assert found.answers[0].document == SENTENCES[1]
    assert found.no_answer == pytest.approx(1 / (1 + odds), abs=1e-9)
    strict = replace(task, threshold=0.5)
    assert answer_from_passages(strict, QUESTION, hits, Relevance(100, 0.9)).answers == ()
    assert answer_from_passages(strict, QUESTION, hits, Relevance(100, 0.5)).answers != ()


def test_an_answer_knows_its_page(task: Qa) -> None:
    """The one that it stands on, of a passage over several."""
    (alone,) = results(task, records(SENTENCES[1:2], question=QUESTION))
    start = alone.answers[0].start
    for starts, page in (((), 4), ((start,), 5), ((start + 1,), 4), ((0, start), 6)):
        hit = Hit(0.5, SENTENCES[1], "a.pdf", 1, page=4, page_starts=starts)
        assert answer_from_passages(task, QUESTION, [hit]).answers[0].page == page


def test_the_same_answer_is_told_once(task: Qa) -> None:
    """From the best passage that has it."""
    hits = [Hit(0.5, SENTENCES[1], "a.txt"), Hit(0.4, SENTENCES[1], "b.txt")]
    found = answer_from_passages(replace(task, top_k=5), QUESTION, hits)
    assert len({one.text for one in found.answers}) == len(found.answers)
    assert {one.document for one in found.answers} == {"a.txt"}
    farther = [replace(hit, score=-hit.score) for hit in hits]
    found = answer_from_passages(replace(task, top_k=5), QUESTION, farther, Relevance(5, 0))
    assert {one.document for one in found.answers} == {"b.txt"}
    assert {one.line for one in found.answers} == {None}


def test_no_passages_and_no_question(task: Qa) -> None:
    """Nothing found is no answer; what cannot be asked is an error."""
    assert answer_from_passages(task, QUESTION, []).answers == ()
    assert answer_from_passages(task, QUESTION, []).no_answer == 1
    with pytest.raises(RecordError, match="too long"):
        answer_from_passages(task, "who " * 90, [Hit(0.5, SENTENCES[1], "a.txt")])


def test_the_first_answer_is_the_same_however_many_are_asked_for(task: Qa) -> None:
    """A passage's answers stay in their order, whatever their scores."""
    hit, reading = Hit(0.5, "one two", "a.txt"), Reading(4, 1)
    spans = (Span("one", 0, 3, 1, 0.3), Span("two", 4, 7, 1, 0.4))
    passages = [(hit, QaResult(QUESTION, spans, 0.2, reading))]
    for count in (1, 2):
        found = best_answers(passages, QUESTION, count, 0.5, Relevance())
        assert [one.text for one in found.answers] == ["one", "two"][:count]
