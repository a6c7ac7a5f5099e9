"""What classifiers, taggers and answer finders learn from, and how steps and losses are made."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bertcli.checkpoints.load import load_tokenizer
from bertcli.checkpoints.resolve import ModelChoice, resolve
from bertcli.engine.families import Head
from bertcli.engine.tokens import TextTokenizer
from bertcli.engine.windows import Window
from bertcli.errors import DataError
from bertcli.records import AnsweredQuestion, LabelledText, Place, TaggedText
from bertcli.train import classify, ner, qa
from bertcli.train.examples import UNJUDGED, Weighing, head_loss, legal_only, schedule, stacked
from tiny import SENTENCES

AT = Place("a.csv", 7)


@pytest.fixture(scope="module")
def tokenizer(tiny_checkpoint: Any) -> TextTokenizer:
    """The tokenizer of a tiny BERT, which cuts unknown words into letters."""
    return load_tokenizer(resolve(ModelChoice(str(tiny_checkpoint()))))


def labelled(*labels: str) -> list[LabelledText]:
    """Return texts with these labels, several divided by spaces."""
    return [LabelledText("the cat", tuple(one.split()), AT) for one in labels]


# --- steps -----------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=60), st.integers(16, 100), st.integers(0, 3)
)
def test_each_epoch_shows_every_example_once(lengths: list[int], budget: int, seed: int) -> None:
    """Two epochs are two permutations, and no batch of more than one exceeds the budget."""
    steps = schedule(lengths, budget, 2, seed)
    assert sorted(i for step in steps for i in step) == sorted([*range(len(lengths))] * 2)
    half = len(schedule(lengths, budget, 1, seed))
    assert sorted(i for step in steps[:half] for i in step) == [*range(len(lengths))]
    assert all(
        len(step) == 1 or len(step) * max(lengths[i] for i in step) <= budget for step in steps
    )


def test_a_seed_fixes_the_order_and_epochs_differ() -> None:
    """The same steps each time, so that a run can be resumed; another order in every epoch."""
    lengths = [5] * 40

    def order(epochs: float, seed: int) -> list[list[int]]:
        return [step.tolist() for step in schedule(lengths, 20, epochs, seed)]

    assert order(2, 0) == order(2, 0)
    assert order(2, 0) != order(2, 1)
    assert order(2, 0)[:10] != order(2, 0)[10:]
    assert sorted(map(len, order(2, 0))) == [4] * 20


def test_a_part_of_an_epoch_is_its_first_steps() -> None:
    """Half an epoch of ten steps is five of them, and the least part is one step."""
    whole = schedule([5] * 40, 20, 1, 0)
    assert len(whole) == 10
    for epochs, steps in ((0.5, 5), (0.01, 1), (1.5, 15)):
        part = schedule([5] * 40, 20, epochs, 0)
        assert len(part) == steps
        np.testing.assert_array_equal(np.stack(part[:10]), np.stack(whole[:steps]))


def test_lengths_stand_together() -> None:
    """Of 1,000 examples half of which are long, hardly a batch mixes short and long ones."""
    lengths = [4, 40] * 500
    steps = schedule(lengths, 160, 1, 0)
    mixed = sum(len({lengths[i] for i in step}) > 1 for step in steps)
    assert mixed <= len(steps) / 20


# --- losses ----------------------------------------------------------------------------------


def test_losses_of_flat_logits_by_hand() -> None:
    """Equal logits lose ln(choices): of 3 labels, of 5 positions, and ln 2 for every own label."""
    labels = head_loss(Head.SEQUENCE, torch.zeros(2, 3), torch.tensor([0, 2]), Weighing())
    assert float(labels) == pytest.approx(np.log(3))
    answers = head_loss(Head.QA, torch.zeros(2, 5, 2), torch.tensor([[0, 0], [1, 4]]), Weighing())
    assert float(answers) == pytest.approx(np.log(5))
    several = head_loss(Head.SEQUENCE, torch.zeros(2, 3), torch.eye(2, 3), Weighing())
    assert float(several) == pytest.approx(np.log(2))


def test_start_and_end_are_learned_at_their_own_logits() -> None:
    """The first column is the start's, the second the end's: the right ones lose nothing."""
    logits = torch.zeros(1, 4, 2)
    logits[0, 1, 0] = logits[0, 3, 1] = 50.0
    assert float(head_loss(Head.QA, logits, torch.tensor([[1, 3]]), Weighing())) < 1e-6
    assert float(head_loss(Head.QA, logits, torch.tensor([[3, 1]]), Weighing())) > 10


def test_tokens_without_a_label_do_not_count() -> None:
    """Targets are padded with what cross entropy leaves out, so only the judged token loses."""
    targets = stacked([np.array([1, UNJUDGED]), np.array([UNJUDGED])], Head.TOKEN, 3)
    assert targets.tolist() == [[1, UNJUDGED, UNJUDGED], [UNJUDGED] * 3]
    logits = torch.zeros(2, 3, 2)
    logits[1] = torch.tensor([99.0, -99.0])
    assert float(head_loss(Head.TOKEN, logits, targets, Weighing())) == pytest.approx(np.log(2))


def test_weights_and_smoothing_by_hand() -> None:
    """A weight of 3 counts an error three times; smoothing 0.2 of 2 labels mixes in a tenth."""
    logits = torch.log(torch.tensor([[0.5, 0.5], [0.9, 0.1]]))
    weights = np.array([3, 1], np.float32)
    found = head_loss(Head.SEQUENCE, logits, torch.tensor([0, 1]), Weighing(weights))
    assert float(found) == pytest.approx((3 * np.log(2) + np.log(10)) / 4)
    smooth = head_loss(Head.SEQUENCE, logits[1:], torch.tensor([0]), Weighing(smoothing=0.2))
    assert float(smooth) == pytest.approx(-(0.9 * np.log(0.9) + 0.1 * np.log(0.1)))


def test_only_the_context_and_no_answer_are_legal() -> None:
    """Question, separators and padding are out: what is trained is what is chosen from."""
    window = Window(np.arange(7), np.zeros(7, np.int64), start=10, end=12, first=4)
    legal = legal_only(torch.zeros(1, 9, 2), [window])[0] > -1
    assert legal.all(dim=1).tolist() == [True, *[False] * 3, True, True, *[False] * 3]


# --- classifiers -----------------------------------------------------------------------------


def test_labels_are_in_alphabetical_order() -> None:
    """Two runs on the same data, in whatever order, number the labels alike."""
    assert classify.label_set(labelled("b", "a", "b")) == ["a", "b"]
    assert not classify.is_multi_label(labelled("b", "a"))
    assert classify.is_multi_label(labelled("b", "a b"))
    assert classify.is_multi_label(labelled("b", ""))
    assert classify.label_set(labelled("a", "")) == ["a"]


def test_one_label_is_nothing_to_learn() -> None:
    """Told with the label, before a model is loaded."""
    with pytest.raises(
        DataError, match=r"a\.csv:7: .* has the label a, and so have all: a classifier"
    ):
        classify.label_set(labelled("a", "a"))


def test_unknown_labels_are_told_with_their_place() -> None:
    """A label of the held-out data that was never seen in training cannot be measured."""
    classify.check_labels(labelled("a", "b"), ["a", "b"])
    with pytest.raises(DataError, match=r'a\.csv:7: the label "z" .* its labels are a, b'):
        classify.check_labels(labelled("a", "z"), ["a", "b"])
    marked = [TaggedText("the cat", ((0, 3, "Z"),), AT)]
    tags = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    with pytest.raises(DataError, match=r'a\.csv:7: the label "Z" .* its labels are LOC, PER'):
        ner.check_tags(marked, tags)
    own_line = [replace(marked[0], places={0: Place("a.conll", 9)})]
    with pytest.raises(DataError, match=r'a\.conll:9: the label "Z"'):
        ner.check_tags(own_line, tags)


def test_weights_even_out_frequencies() -> None:
    """Scikit-learn's "balanced" for one label a text; texts without / with for several."""
    from sklearn.utils.class_weight import compute_class_weight

    texts = labelled("a", "a", "a", "b")
    expected = compute_class_weight("balanced", classes=np.array(["a", "b"]), y=list("aaab"))
    np.testing.assert_allclose(classify.class_weights(texts, ["a", "b"], False), expected)
    several = classify.class_weights(labelled("a b", "a", "a", "", ""), ["a", "b"], True)
    np.testing.assert_allclose(several, [2 / 3, 4])


def test_every_window_of_a_long_text_learns_its_labels(tokenizer: TextTokenizer) -> None:
    """A text of 5 words over windows of 2: each token is seen, each window has the target."""
    texts = [LabelledText("the cat sat on the", ("b",)), LabelledText("the", ("a",))]
    targets = classify.label_targets(texts, ["a", "b"], False)
    examples = classify.classify_examples(texts, targets, tokenizer, 4)
    assert [int(one.target) for one in examples] == [1] * (len(examples) - 1) + [0]
    assert max(len(one.window) for one in examples) == 4
    seen = {i for one in examples[:-1] for i in range(one.window.start, one.window.end)}
    assert seen == set(range(5))


def test_several_labels_are_zeros_and_ones() -> None:
    """One number for each label, none of them set where a text has none."""
    targets = classify.label_targets(labelled("a c", ""), ["a", "b", "c"], True)
    assert [one.tolist() for one in targets] == [[1, 0, 1], [0, 0, 0]]
    assert targets[0].dtype == np.float32


# --- taggers ---------------------------------------------------------------------------------


def test_tags_are_o_and_two_for_each_label() -> None:
    """In alphabetical order of the labels; nothing marked is nothing to learn."""
    texts = [TaggedText("x y", ((0, 1, "PER"), (2, 3, "LOC")))]
    assert ner.tag_set(texts) == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    with pytest.raises(DataError, match="nothing is marked"):
        ner.tag_set([TaggedText("x", ())])


def test_the_first_token_of_a_word_has_its_tag(tokenizer: TextTokenizer) -> None:
    """`Ada Lovelace` of many tokens is B at its first and I at the second word's first token."""
    text = TaggedText("Ada Lovelace saw London", ((0, 12, "PER"), (17, 23, "LOC")))
    tags = ner.tag_set([text])
    (example,) = ner.ner_examples([text], tags, tokenizer, 64)
    (tokens,) = tokenizer.tokenize([text.text])
    judged = {
        int(tokens.offsets[i - 1, 0]): tags[tag]
        for i, tag in enumerate(example.target)
        if tag != UNJUDGED
    }
    assert judged == {0: "B-PER", 4: "I-PER", 13: "O", 17: "B-LOC"}
    assert example.target[[0, -1]].tolist() == [UNJUDGED, UNJUDGED]
    assert len(example.window) > 7  # a word of several tokens is among them


def test_spans_that_touch_begin_anew(tokenizer: TextTokenizer) -> None:
    """Two neighbours of one label are B B, whatever the order in which spans are listed."""
    text = TaggedText("Paris London is", ((6, 12, "LOC"), (0, 5, "LOC")))
    (tokens,) = tokenizer.tokenize([text.text])
    number = {"O": 0, "B-LOC": 1, "I-LOC": 2}
    assert ner.token_targets(tokens, text.spans, number).tolist() == [1, 1, 0]


@pytest.mark.parametrize("window", [6, 9, 64])
def test_windows_agree_on_every_token(window: int, tokenizer: TextTokenizer) -> None:
    """A token has the same target in each window that shows it, and every word is judged once."""
    texts = [TaggedText(one, ((0, 5, "A"), (9, 20, "B"))) for one in SENTENCES]
    tags = ner.tag_set(texts)
    number = {tag: i for i, tag in enumerate(tags)}
    for text in texts:
        (tokens,) = tokenizer.tokenize([text.text])
        expected = ner.token_targets(tokens, text.spans, number)
        seen = np.full(len(tokens), UNJUDGED)
        for one in ner.ner_examples([text], tags, tokenizer, window):
            shown = one.window
            inner = one.target[shown.first : shown.first + shown.end - shown.start]
            np.testing.assert_array_equal(inner, expected[shown.start : shown.end])
            seen[shown.start : shown.end] = inner
        np.testing.assert_array_equal(seen, expected)


def test_a_word_belongs_to_the_span_that_is_inside_it(tokenizer: TextTokenizer) -> None:
    """Spans of characters may begin within a word; it is marked whole, and once."""
    text = TaggedText("the catdog sat", ((7, 10, "A"), (11, 14, "A")))
    tags = ["O", "B-A", "I-A"]
    (example,) = ner.ner_examples([text], tags, tokenizer, 64)
    seen = [tags[one] for one in example.target.tolist() if one != UNJUDGED]
    assert seen == ["O", "B-A", "B-A"]


def test_token_types_tell_capitals(tokenizer: TextTokenizer) -> None:
    """Most texts as they are written; some in small letters only, a few in capitals only."""
    texts = [TaggedText("the Cat SAT", ((4, 7, "A"),))] * 400
    rng = np.random.default_rng(0)
    examples = ner.ner_examples(texts, ["O", "B-A", "I-A"], tokenizer, 64, rng)
    seen = Counter(tuple(int(one) for one in example.window.types) for example in examples)
    assert set(seen) == {(0, 0, 1, 1, 0), (0, 0, 0, 0, 0), (0, 1, 1, 1, 0)}
    assert 0.8 < seen[0, 0, 1, 1, 0] / 400 < 0.9
    assert 0.02 < seen[0, 1, 1, 1, 0] / 400 < 0.08
    (plain,) = ner.ner_examples(texts[:1], ["O", "B-A", "I-A"], tokenizer, 64)
    assert not plain.window.types.any()


def test_texts_without_a_word_are_left_out(tokenizer: TextTokenizer) -> None:
    """A batch of nothing to judge has no loss."""
    assert ner.ner_examples([TaggedText("", ())], ["O", "B-A", "I-A"], tokenizer, 9) == []


# --- answer finders --------------------------------------------------------------------------

CONTEXT = "the cat sat on the mat and the dog slept in the small red house"


def asked(answer: str, context: str = CONTEXT, group: str = "") -> AnsweredQuestion:
    """Return a question with an answer where it stands first, or with none."""
    answers = ((answer, context.index(answer)),) if answer else ()
    return AnsweredQuestion("who", context, answers, group, AT)


@pytest.mark.parametrize("answer", ["the", "the dog slept", "house", "sat on", ""])
@pytest.mark.parametrize("window", [12, 64])
def test_positions_are_those_of_the_answer(
    answer: str, window: int, tokenizer: TextTokenizer
) -> None:
    """The tokens at the target are the answer; windows that cut it, or lack it, learn none."""
    examples, _ = qa.qa_examples([asked(answer)], tokenizer, window)
    (wanted,) = tokenizer.ids([answer])
    (tokens,) = tokenizer.tokenize([CONTEXT])
    place = CONTEXT.index(answer)
    at = [i for i, (a, b) in enumerate(tokens.offsets) if a < place + len(answer) and b > place]
    found = 0
    for one in examples:
        first, last = one.target.argmax(axis=0)
        np.testing.assert_array_equal(one.target.sum(axis=0), 1)
        holds = bool(at) and one.window.start <= at[0] and at[-1] < one.window.end
        assert holds == (first > 0)
        if holds:
            found += 1
            np.testing.assert_array_equal(one.window.ids[first : last + 1], wanted)
            assert first >= one.window.first
    assert bool(found) == bool(answer)
    assert (len(examples) > 1) == (window == 12)


def test_each_of_several_answers_counts_the_same(tokenizer: TextTokenizer) -> None:
    """A window learns those that it holds whole."""
    several = (("the cat", 0), ("cat", 4), ("cat", 4), ("small red house", CONTEXT.index("small")))
    question = AnsweredQuestion("who", CONTEXT, several, "", AT)
    ((whole,), _) = qa.qa_examples([question], tokenizer, 64)
    (context,) = tokenizer.tokenize([CONTEXT])
    starts, ends = whole.target[whole.window.first :][: len(context)].T
    begins = {int(context.offsets[i, 0]): float(starts[i]) for i in np.flatnonzero(starts)}
    stops = {int(context.offsets[i, 1]): float(ends[i]) for i in np.flatnonzero(ends)}
    assert begins == {0: 0.25, 4: 0.5, CONTEXT.index("small"): 0.25}
    assert stops == {7: 0.75, len(CONTEXT): 0.25}
    first, *others = qa.qa_examples([question], tokenizer, 12)[0]
    np.testing.assert_allclose(first.target.max(axis=0), [2 / 3, 1], rtol=1e-6)
    assert all(one.target.sum() == pytest.approx(2) for one in others)


@pytest.mark.parametrize(
    ("text", "start"), [("dog", 0), ("red hous", -9), ("house", 999), ("the cats", 0)]
)
def test_an_answer_must_stand_where_it_is_said_to(text: str, start: int) -> None:
    """Told with its place: it would be learned as another answer, or as none."""
    qa.check_answers([asked("the dog"), asked("")])
    wrong = AnsweredQuestion("who", CONTEXT, (("cat", 4), (text, start)), "", AT)
    with pytest.raises(DataError, match=rf'a\.csv:7: the answer "{text}" does not'):
        qa.check_answers([wrong])


def test_a_question_or_a_context_is_never_empty(tokenizer: TextTokenizer) -> None:
    """Told with its place and what stands beside it; one that fills the window is counted."""
    for question, context, said in (
        (" ", CONTEXT, 'the question is empty, of "the cat'),
        ("who", "", "context is empty"),
    ):
        with pytest.raises(DataError, match=rf"a\.csv:7: .*{said}"):
            qa.check_answers([AnsweredQuestion(question, context, (), "", AT)])
    long = AnsweredQuestion("the cat " * 8, CONTEXT, (), "", AT)
    examples, left_out = qa.qa_examples([asked("cat"), long], tokenizer, 16)
    assert left_out == 1
    assert len(examples) == len(qa.qa_examples([asked("cat")], tokenizer, 16)[0])
