"""Questions without an answer, made of those that have one."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from bertcli.records import AnsweredQuestion
from bertcli.train.unanswerable import (
    WAYS,
    about_another,
    in_another_context,
    turned_round,
    unanswerable,
    without_its_sentence,
)

CONTEXT = "The mill was built by Ann Lee in 1932. It stood near York for long. Tom Ray ran it."


def asked(
    answer: str, context: str = CONTEXT, question: str = "", group: str = ""
) -> AnsweredQuestion:
    """Return a question with an answer where it stands first."""
    places = ((answer, context.index(answer)),)
    return AnsweredQuestion(question or f"which {answer}", context, places, group)


def rng() -> np.random.Generator:
    """Return the same chance each time."""
    return np.random.default_rng(0)


def test_another_context_is_the_one_most_like_the_question() -> None:
    """It must not have the answer, and of several those with the question's words come first."""
    contexts = ["cats", "cows", "birds", "a mill", "the mill of York", "the mill of Ann Lee"]
    one = asked("Ann Lee", question="Who built the mill near York?")
    seen = {
        made.context
        for seed in range(30)
        if (made := in_another_context(one, contexts, np.random.default_rng(seed)))
    }
    assert seen == {"the mill of York", "a mill", "cats"}
    assert in_another_context(one, [CONTEXT], rng()) is None


def test_the_sentences_with_an_answer_are_left_out() -> None:
    """All of them; and where too little would be left nothing is made."""
    made = without_its_sentence(asked("1932"), (), rng())
    assert made is not None
    assert made.context == "It stood near York for long. Tom Ray ran it."
    assert made.answers == ()
    assert without_its_sentence(asked("it", CONTEXT.lower()), (), rng()) is None


@pytest.mark.parametrize(
    ("question", "answer", "expected"),
    [
        ("Who ran the mill near York?", "Tom Ray", "Who ran the mill near Ann Lee?"),
        ("who ran the mill near york", "Tom Ray", "who ran the mill near Ann Lee"),
        ("Who ran the mill?", "Tom Ray", None),
    ],
)
def test_a_name_is_exchanged_for_another_of_the_context(
    question: str, answer: str, expected: str | None
) -> None:
    """Never for the answer's, however the question spells it; none without a name."""
    context = CONTEXT.replace("Tom", "and Tom")
    made = about_another(asked(answer, context, question), (), rng())
    assert (made and made.question) == expected


def test_a_number_is_exchanged_for_one_that_is_not_there() -> None:
    """Of the same century, where it is a year."""
    one = asked("Ann Lee", question="Who built it in 1932?")
    for seed in range(20):
        made = about_another(one, (), np.random.default_rng(seed))
        assert made is not None
        assert made.question.startswith("Who built it in 19")
        assert made.question != one.question


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Who was the first miller?", "Who was the last miller?"),
        ("When was it built?", "When wasn't it built?"),
        ("Why was it not seen?", None),
        ("Why wasn't it seen?", None),
        ("Why?", None),
        ("How many mills were near New York?", "How many mills weren't near New York?"),
        ("how old was it", "how old wasn't it"),
    ],
)
def test_the_sense_is_turned_round_once(question: str, expected: str | None) -> None:
    """By a word's opposite, else by denying it; a denied question stays as it is."""
    made = turned_round(asked("Ann Lee", question=question), (), rng())
    assert (made and made.question) == expected


def test_as_many_are_made_as_are_wanted_and_their_texts_allow() -> None:
    """Each of a question with an answer, put where its own answer is not."""
    questions = [
        *[asked("cat", "the cat", group="A") for _ in range(10)],
        asked("dog", "the dog", group="A"),
        asked("CAT", "THE CAT", group="A"),
        asked("water", "the water", group="B"),
        asked("bread", "the bread"),
        AnsweredQuestion("who is it", "the kitten", (), "C"),
    ]
    made = unanswerable(questions, 2.0, rng())
    assert Counter(one.context.lower() for one in made) == {"the dog": 11, "the cat": 1}
    assert {(one.answers, one.group) for one in made} == {((), "A")}
    assert len(unanswerable(questions, 0.2, rng())) == 3
    assert unanswerable(questions, 0.0, rng()) == []


def test_all_ways_are_taken_and_chance_decides_them() -> None:
    """The same seed makes the same questions."""
    contexts = [CONTEXT, CONTEXT.replace("Ann Lee", "Bob Fox").replace("York", "Ely")]
    questions = [
        asked("Ann Lee", CONTEXT, f"Who was first to build mill {i} near York?", "A")
        for i in range(40)
    ] + [asked("Bob Fox", contexts[1], "Who was it?", "A")]
    made = unanswerable(questions, 1.0, rng())
    assert made == unanswerable(questions, 1.0, rng())
    kinds = {
        "context": sum(one.context == contexts[1] for one in made),
        "sentence": sum(one.context not in contexts for one in made),
        "turned": sum("last" in one.question for one in made),
    }
    assert all(kinds.values()), kinds
    assert sum(WAYS.values()) == pytest.approx(1)
