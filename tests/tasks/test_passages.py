"""Answers over several passages."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bertcli.engine.families import Head
from bertcli.errors import RecordError
from bertcli.results import Hit
from bertcli.tasks.passages import answer_from_passages
from bertcli.tasks.qa import Qa
from tiny import SENTENCES

from .loaded import loaded, records, results

QUESTION = "who sat?"


@pytest.fixture
def task(tiny_checkpoint: Any) -> Qa:
    """A tiny answer finder."""
    return Qa(*loaded(tiny_checkpoint("bert", Head.QA), Head.QA), threshold=1.0)


def test_answers_are_those_of_the_passages(task: Qa) -> None:
    """The best over all of them, each with its own passage, place and cosine."""
    hits = [Hit(0.9 - i / 10, text, f"{i}.txt", 10 * i) for i, text in enumerate(SENTENCES)]
    found = answer_from_passages(replace(task, top_k=3), QUESTION, hits)
    alone = results(task, records(SENTENCES, question=QUESTION))
    best = sorted(((one.answers[0].score, i) for i, one in enumerate(alone)), reverse=True)
    assert [one.score for one in found.answers[:1]] == pytest.approx([best[0][0]])
    first = found.answers[0]
    number = best[0][1]
    assert (first.document, first.passage) == (f"{number}.txt", SENTENCES[number])
    assert first.line == 10 * number + alone[number].answers[0].line - 1
    assert first.passage_score == hits[number].score
    assert found.no_answer == pytest.approx(min(one.no_answer for one in alone))
    assert [one.score for one in found.answers] == sorted(
        (one.score for one in found.answers), reverse=True
    )


def test_an_answer_knows_its_page(task: Qa) -> None:
    """The one that it stands on, of a passage over several."""
    (alone,) = results(task, records(SENTENCES[1:2], question=QUESTION))
    start = alone.answers[0].start
    for starts, page in (((), 4), ((start,), 5), ((start + 1,), 4), ((0, start), 6)):
        hit = Hit(0.5, SENTENCES[1], "a.pdf", 1, page=4, page_starts=starts)
        assert answer_from_passages(task, QUESTION, [hit]).answers[0].page == page


def test_the_same_answer_is_told_once(task: Qa) -> None:
    """From where it is most probable."""
    hits = [Hit(0.5, SENTENCES[1], "a.txt"), Hit(0.4, SENTENCES[1], "b.txt")]
    found = answer_from_passages(replace(task, top_k=5), QUESTION, hits)
    assert len({one.text for one in found.answers}) == len(found.answers)
    assert {one.line for one in found.answers} == {None}


def test_no_passages_and_no_question(task: Qa) -> None:
    """Nothing found is no answer; what cannot be asked is an error."""
    assert answer_from_passages(task, QUESTION, []).answers == ()
    assert answer_from_passages(task, QUESTION, []).no_answer == 1
    with pytest.raises(RecordError, match="too long"):
        answer_from_passages(task, "who " * 90, [Hit(0.5, SENTENCES[1], "a.txt")])
