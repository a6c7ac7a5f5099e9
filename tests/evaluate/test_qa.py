"""Scores of answers, by SQuAD's definitions."""

from __future__ import annotations

import collections
import re
import string
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertcli.checkpoints.load import load_encoder, load_tokenizer
from bertcli.checkpoints.resolve import ModelChoice, resolve
from bertcli.engine.families import Head
from bertcli.evaluate.qa import QaScore, measure_qa, normalized, overlap_f1, score_answers
from bertcli.records import AnsweredQuestion, Record
from bertcli.tasks.qa import Qa
from bertcli.tasks.run import answers

# The official evaluation script of SQuAD 2.0, Rajpurkar et al. 2018, shortened.


def official_normalize(s: str) -> str:
    """Lower text and remove punctuation, articles and extra whitespace."""

    def remove_articles(text: str) -> str:
        return re.sub(re.compile(r"\b(a|an|the)\b", re.UNICODE), " ", text)

    exclude = set(string.punctuation)
    return " ".join(remove_articles("".join(ch for ch in s.lower() if ch not in exclude)).split())


def official_f1(a_gold: str, a_pred: str) -> float:
    """Return F1 of the words."""
    gold_toks = official_normalize(a_gold).split()
    pred_toks = official_normalize(a_pred).split()
    common = collections.Counter(gold_toks) & collections.Counter(pred_toks)
    num_same = sum(common.values())
    if len(gold_toks) == 0 or len(pred_toks) == 0:
        return int(gold_toks == pred_toks)
    if num_same == 0:
        return 0
    precision = 1.0 * num_same / len(pred_toks)
    recall = 1.0 * num_same / len(gold_toks)
    return (2 * precision * recall) / (precision + recall)


PIECES = st.lists(
    st.sampled_from(
        ["the", "The", "a", "an", "another", "red", "Red", "house", "-", "U.S.", "é", " "]
    ),
    max_size=6,
).map(" ".join)


@given(PIECES, PIECES)
def test_parity_with_the_official_script(one: str, other: str) -> None:
    """Normal form, exact match and F1 of two answers are those of SQuAD's own script."""
    assert normalized(one) == official_normalize(one)
    assert overlap_f1(one, other) == pytest.approx(official_f1(other, one))


@pytest.mark.parametrize(
    ("answer", "gold", "f1"),
    [
        ("the red house", "a house", 2 / 3),
        ("house house", "house", 2 / 3),
        ("The House!", "house", 1.0),
        ("", "the", 1.0),
        ("", "house", 0.0),
        ("cat", "dog", 0.0),
    ],
)
def test_f1_by_hand(answer: str, gold: str, f1: float) -> None:
    """Words in common, with repetitions, over the mean number of words."""
    assert overlap_f1(answer, gold) == pytest.approx(f1)


def test_the_best_of_several_gold_answers_counts() -> None:
    """Exact match and F1 are each the best over the gold answers; none makes it unanswerable."""
    score = score_answers(
        ["red house", "x", "y"], [["cat", "the red house"], ["x y z"], []], [0.0] * 3
    )
    assert score.exact.tolist() == [1, 0, 0]
    assert score.f1.tolist() == pytest.approx([1, 0.5, 0])
    assert score.unanswerable.tolist() == [False, False, True]


# Four questions: two answered rightly, one with F1 0.5, one that has no answer.
FOUR = score_answers(
    ["a cat", "b", "red house", "oops"],
    [["cat"], ["b"], ["red mat"], []],
    [0.1, 0.7, 0.4, 0.6],
)


@pytest.mark.parametrize(
    ("threshold", "exact", "f1"),
    [(1.0, 2 / 4, 2.5 / 4), (0.65, 1 / 4, 1.5 / 4), (0.5, 2 / 4, 2.5 / 4), (0.0, 1 / 4, 1 / 4)],
)
def test_a_refused_answer_is_right_where_there_is_none(
    threshold: float, exact: float, f1: float
) -> None:
    """Above the threshold nothing is answered: right for the unanswerable, wrong for the rest."""
    assert FOUR.at(threshold) == pytest.approx((exact, f1))
    interval = FOUR.f1_interval(threshold)
    assert interval.low <= f1 <= interval.high


def test_the_threshold_itself_is_answered() -> None:
    """As in `bertcli qa`: only a probability above it refuses."""
    one = score_answers(["b"], [["b"]], [0.5])
    assert (one.at(0.5), one.at(0.49)) == ((1.0, 1.0), (0.0, 0.0))


def test_best_threshold_by_hand() -> None:
    """Refusing 0.9 gains one, refusing 0.5 as well loses one: between them, at 0.7."""
    score = score_answers(["x", "b", "c"], [[], ["b"], ["c"]], [0.9, 0.5, 0.1])
    assert score.best_threshold == pytest.approx(0.7)
    assert score.at(score.best_threshold) == (1.0, 1.0)
    assert FOUR.best_threshold == 1.0


QUESTIONS = st.lists(
    st.tuples(
        st.integers(0, 8).map(lambda n: n / 8), st.sampled_from(["none", "wrong", "half", "right"])
    ),
    min_size=1,
    max_size=10,
)


@given(QUESTIONS)
def test_no_threshold_is_better_than_the_best(questions: list[tuple[float, str]]) -> None:
    """Brute force over all thresholds, with equal probabilities among the questions."""
    golds = {"none": [], "wrong": ["z"], "half": ["red mat"], "right": ["red house"]}
    score = score_answers(
        ["red house"] * len(questions),
        [golds[kind] for _, kind in questions],
        [none for none, _ in questions],
    )
    highest = max(score.at(n / 16)[1] for n in range(17))
    assert score.at(score.best_threshold)[1] == pytest.approx(highest)
    assert 0 <= score.best_threshold <= 1


def reader(tiny_checkpoint: Any) -> tuple[Any, Any, int]:
    """Return the encoder, the tokenizer and the window of a tiny answer finder."""
    checkpoint = resolve(ModelChoice(str(tiny_checkpoint("bert", Head.QA))))
    return load_encoder(checkpoint, Head.QA), load_tokenizer(checkpoint), checkpoint.window


def test_measuring_asks_the_task(tiny_checkpoint: Any) -> None:
    """Answers and probabilities are the task's own, best answer first, whatever its threshold."""
    task = Qa(*reader(tiny_checkpoint), threshold=0.0, top_k=4)
    context = "Ada wrote the first program in London."
    asked = [
        AnsweredQuestion("who wrote it?", context, (("Ada", 0),)),
        AnsweredQuestion("where?", context, ()),
    ]
    score = measure_qa(task, asked)
    always = Qa(task.encoder, task.tokenizer, task.window, threshold=1.0)
    records = [Record(i, context, question=one.question) for i, one in enumerate(asked)]
    expected = [answer.result for answer in answers(always, records)]
    assert list(score.given) == [one.answers[0].text for one in expected]  # type: ignore[union-attr]
    assert score.no_answer.tolist() == [one.no_answer for one in expected]  # type: ignore[union-attr]
    assert score.unanswerable.tolist() == [False, True]


def test_a_question_that_cannot_be_answered_is_no_answer(tiny_checkpoint: Any) -> None:
    """An empty context or question counts as refused, and as wrong where there is an answer."""
    task = Qa(*reader(tiny_checkpoint))
    asked = [
        AnsweredQuestion("who?", "", (("Ada", 0),)),
        AnsweredQuestion("", "Ada", (("Ada", 0),)),
    ]
    score = measure_qa(task, asked)
    assert (score.given, score.no_answer.tolist()) == (("", ""), [1.0, 1.0])
    assert (score.at(1.0), score.at(0.5)) == ((0.0, 0.0), (0.0, 0.0))


def test_no_questions_have_no_scores() -> None:
    """Nothing is divided by nothing."""
    score = QaScore((), *(np.zeros(0) for _ in range(3)), np.zeros(0, bool))
    assert (score.at(0.5), score.best_threshold) == ((0.0, 0.0), 1.0)
