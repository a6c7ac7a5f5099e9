"""Labels for texts."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from bertcli.engine.choices import Long
from bertcli.engine.families import Head
from bertcli.records import Record
from bertcli.results import Reading
from bertcli.tasks.classify import (
    TEMPERATURE,
    Choice,
    Classify,
    ClassifyByEntailment,
    ClassifyBySimilarity,
)
from bertcli.tasks.embed import Embed
from bertcli.tasks.probabilities import softmax
from bertcli.tasks.run import answers
from tiny import SENTENCES

from .loaded import labels_of, loaded, records, results

SEQUENCE = Head.SEQUENCE
LONG = " ".join(SENTENCES * 2)
LABELS = ("water", "the cat", "a good question")
TEMPLATE = "this text is about {}."


def scores_of(result: Any) -> dict[str, float]:
    """Return a result's labels with their scores."""
    return {one.label: one.score for one in result.labels}


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("model_type", ["bert", "distilbert", "roberta", "electra"])
def test_parity_with_the_pipeline(model_type: str, multi_label: bool, tiny_checkpoint: Any) -> None:
    """Softmax and sigmoid give transformers' scores, in its order."""
    from transformers import pipeline

    folder = tiny_checkpoint(model_type, SEQUENCE)
    how = "sigmoid" if multi_label else "softmax"
    pipe = pipeline("text-classification", str(folder), top_k=None, function_to_apply=how)
    task = Classify(*loaded(folder, SEQUENCE), labels_of(folder), multi_label, choice=Choice(None))
    found = results(task, records(SENTENCES))
    for ours, theirs in zip(found, pipe(list(SENTENCES)), strict=True):
        expected = {one["label"]: one["score"] for one in theirs}
        assert scores_of(ours) == pytest.approx(expected, abs=1e-5)
        assert list(scores_of(ours)) == [one["label"] for one in theirs]


@pytest.mark.parametrize("model_type", ["bert", "distilbert", "roberta"])
def test_pairs_have_parity_with_the_pipeline(model_type: str, tiny_checkpoint: Any) -> None:
    """Of a record's two texts, between the model's own special tokens and with its types."""
    from transformers import pipeline

    folder = tiny_checkpoint(model_type, SEQUENCE)
    pipe = pipeline("text-classification", str(folder), top_k=None)
    task = Classify(*loaded(folder, SEQUENCE), labels_of(folder), choice=Choice(None))
    pairs = list(pairwise(sentence[:12] for sentence in SENTENCES))
    paired = [Record(i, one, second=two) for i, (one, two) in enumerate(pairs)]
    alone = Record(len(paired), SENTENCES[0])
    found = results(task, [*paired, alone])
    theirs = pipe([{"text": one, "text_pair": two} for one, two in pairs])
    for ours, expected in zip(found, [*theirs, *pipe([SENTENCES[0]])], strict=True):
        wanted = {one["label"]: one["score"] for one in expected}
        assert scores_of(ours) == pytest.approx(wanted, abs=1e-5)


def test_a_long_pair_tells_what_was_read_and_cut(tiny_checkpoint: Any) -> None:
    """All of it in windows; with `truncate` the tokens beyond are counted, of both texts."""
    folder = tiny_checkpoint("bert", SEQUENCE)
    task = Classify(*loaded(folder, SEQUENCE), labels_of(folder))
    pairs = [(LONG, "the cat"), ("the cat", LONG), (LONG, LONG)]
    paired = [Record(i, one, second=two) for i, (one, two) in enumerate(pairs)]
    count = [len(ids) for ids in task.tokenizer.ids([LONG, "the cat"])]
    for one, tokens in zip(
        answers(task, paired), (sum(count), sum(count), 2 * count[0]), strict=True
    ):
        assert one.result is not None
        assert one.result.reading == Reading(tokens, one.result.reading.windows)
        assert one.result.reading.windows > 1
    for one in answers(replace(task, long=Long.ERROR), paired):
        assert "the two texts have" in (one.error or "")
    room = task.window - task.tokenizer.frame.pair
    for one in answers(replace(task, long=Long.TRUNCATE), paired):
        assert one.result is not None
        tokens = one.result.reading.tokens
        assert one.result.reading == Reading(tokens, 1, tokens - room)


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("model_type", ["bert", "roberta"])
def test_entailment_parity_with_the_pipeline(
    model_type: str, multi_label: bool, tiny_checkpoint: Any
) -> None:
    """Zero-shot by an NLI checkpoint gives transformers' scores, one label or many."""
    from transformers import pipeline

    folder = tiny_checkpoint(model_type, SEQUENCE)
    pipe = pipeline("zero-shot-classification", str(folder))
    texts = ["the cat slept", "Where is the station in Paris?", "bread and water"]
    theirs = pipe(texts, list(LABELS), hypothesis_template=TEMPLATE, multi_label=multi_label)
    task = entailment(folder, multi_label=multi_label)
    for ours, expected in zip(results(task, records(texts)), theirs, strict=True):
        wanted = dict(zip(expected["labels"], expected["scores"], strict=True))
        assert scores_of(ours) == pytest.approx(wanted, abs=1e-5)


def entailment(folder: Any, **how: Any) -> ClassifyByEntailment:
    """Return the zero-shot task on an NLI checkpoint."""
    return ClassifyByEntailment(
        *loaded(folder, SEQUENCE),
        labels=LABELS,
        hypotheses=[TEMPLATE.format(label) for label in LABELS],
        entailment=2,
        contradiction=0,
        choice=Choice(None),
        **how,
    )


def test_windows_are_averaged_by_their_tokens(tiny_checkpoint: Any) -> None:
    """A long text has the mean of its windows' logits, counted by hand here."""
    folder = tiny_checkpoint("bert", SEQUENCE)
    task = Classify(*loaded(folder, SEQUENCE), labels_of(folder), choice=Choice(None))
    plan = task.plan(records([LONG]))[0]
    logits = list(task.encoder.encode(plan.windows))  # type: ignore[union-attr]
    assert len(logits) > 2
    mean = sum(len(w) * one for w, one in zip(plan.windows, logits, strict=True))  # type: ignore[union-attr]
    mean /= sum(len(window) for window in plan.windows)  # type: ignore[union-attr]
    (found,) = results(task, records([LONG]))
    expected = dict(zip(task.labels, softmax(np.asarray(mean)), strict=True))
    assert scores_of(found) == pytest.approx(expected, abs=1e-5)
    assert (found.reading.windows, found.reading.cut_tokens) == (len(logits), 0)


def test_truncation_reads_the_beginning(tiny_checkpoint: Any) -> None:
    """Cut, a long text is answered as the pipeline does with truncation."""
    from transformers import pipeline

    folder = tiny_checkpoint("bert", SEQUENCE)
    pipe = pipeline("text-classification", str(folder), top_k=None)
    (theirs,) = pipe([LONG], truncation=True, max_length=64)
    task = Classify(
        *loaded(folder, SEQUENCE), labels_of(folder), choice=Choice(None), long=Long.TRUNCATE
    )
    (found,) = results(task, records([LONG]))
    expected = {one["label"]: one["score"] for one in theirs}
    assert scores_of(found) == pytest.approx(expected, abs=1e-5)
    assert found.reading.cut_tokens == found.reading.tokens - 62


def test_long_texts_by_entailment(tiny_checkpoint: Any) -> None:
    """Each label reads the same windows of the text; the record counts them once."""
    task = entailment(tiny_checkpoint("bert", SEQUENCE))
    plan = task.plan(records([LONG]))[0]
    windows = plan.windows  # type: ignore[union-attr]
    each = len(windows) // 3
    spans = [(window.start, window.end) for window in windows]
    assert spans[:each] == spans[each : 2 * each] == spans[2 * each :]
    assert max(len(window) for window in windows) <= 64
    (found,) = results(task, records([LONG]))
    assert (found.reading.windows, found.reading.cut_tokens) == (each, 0)
    assert sum(scores_of(found).values()) == pytest.approx(1)


def test_the_hypothesis_that_follows_most_stands_for_its_label(tiny_checkpoint: Any) -> None:
    """With several hypotheses a label scores as if the best of them were its only one."""
    task = replace(entailment(tiny_checkpoint("bert", SEQUENCE)), multi_label=True)
    names = [*task.hypotheses, "the small red house", "what is this?"]
    alone = replace(task, labels=names, hypotheses=names)
    (each,) = results(alone, records([SENTENCES[1]]))
    several = replace(task, hypotheses=names, owners=[0, 1, 2, 0, 0])
    (found,) = results(several, records([SENTENCES[1]]))
    logits = [_entailment_logit(task, name) for name in names]
    best = names[max((0, 3, 4), key=lambda i: logits[i])]
    assert scores_of(found)[task.labels[0]] == pytest.approx(scores_of(each)[best])
    assert scores_of(found)[task.labels[1]] == pytest.approx(scores_of(each)[names[1]])


def _entailment_logit(task: ClassifyByEntailment, hypothesis: str) -> float:
    """Return how much a hypothesis follows from the text, before any softmax."""
    alone = replace(task, labels=["x"], hypotheses=[hypothesis])
    plan = alone.plan(records([SENTENCES[1]]))[0]
    (logits,) = task.encoder.encode(plan.windows)  # type: ignore[union-attr]
    return float(logits[task.entailment])


def test_labels_without_room_for_the_text(tiny_checkpoint: Any) -> None:
    """A hypothesis as long as the window is refused record by record."""
    task = entailment(tiny_checkpoint("bert", SEQUENCE))
    crowded = replace(task, hypotheses=["the cat " * 40] * 3)
    (answer,) = answers(crowded, records(["a text"]))
    assert "use shorter ones" in (answer.error or "")


def test_similarity_by_hand(tiny_checkpoint: Any) -> None:
    """Scores are the softmax of cosines over a temperature, or the cosines themselves."""
    embed = Embed(*loaded(tiny_checkpoint("bert"), Head.BASE))
    vectors = embed.vectors(LABELS)
    text = embed.vectors([SENTENCES[1]])[0]
    cosines = vectors @ text
    task = ClassifyBySimilarity(embed, LABELS, vectors, choice=Choice(None))
    (found,) = results(task, records([SENTENCES[1]]))
    expected = dict(zip(LABELS, softmax(cosines / TEMPERATURE), strict=True))
    assert scores_of(found) == pytest.approx(expected, abs=1e-5)
    (each,) = results(replace(task, multi_label=True), records([SENTENCES[1]]))
    assert scores_of(each) == pytest.approx(dict(zip(LABELS, cosines, strict=True)), abs=1e-5)
    (same,) = results(replace(task, multi_label=True), records([LABELS[1]]))
    assert scores_of(same)[LABELS[1]] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (Choice(), ["b"]),
        (Choice(2), ["b", "a"]),
        (Choice(None), ["b", "a", "c", "d"]),
        (Choice(99), ["b", "a", "c", "d"]),
        (Choice(None, 0.2), ["b", "a", "c"]),
        (Choice(2, 0.2), ["b", "a"]),
        (Choice(None, 0.5), ["b"]),
        (Choice(1, 0.9), []),
    ],
)
def test_which_labels_come_out(choice: Choice, expected: list[str]) -> None:
    """At most so many, at the threshold or above, best first, equal ones in their own order."""
    scores = np.array([0.2, 0.5, 0.2, 0.1])
    found = choice.result("abcd", scores, Reading(1))
    assert [one.label for one in found.labels] == expected
    assert ("labels" in found.nested()) == (choice.top_k != 1)  # also of a single one


@pytest.mark.parametrize("text", ["", "   ", "\n", "\u200b", "🎈"])
def test_texts_without_words_are_classified(text: str, tiny_checkpoint: Any) -> None:
    """A text of no known token is read as the empty text: the task itself never fails on it."""
    folder = tiny_checkpoint("bert", SEQUENCE)
    task = Classify(*loaded(folder, SEQUENCE), labels_of(folder), choice=Choice(None))
    (found,) = results(task, records([text]))
    assert sum(scores_of(found).values()) == pytest.approx(1)
