"""Words for masks."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertcli.engine.choices import Long
from bertcli.engine.encoder import unreduced
from bertcli.engine.families import Head
from bertcli.errors import UsageError
from bertcli.records import Record
from bertcli.tasks.fill_mask import FillMask, MaskGroup, excerpt, fill_in, mask_windows
from bertcli.tasks.probabilities import softmax
from bertcli.tasks.run import answers
from tiny import SENTENCES

from .loaded import loaded, records, results

LM = Head.MASKED_LM
LONG = " ".join(SENTENCES * 2)


@pytest.fixture(scope="module")
def bert(tiny_checkpoint: Any) -> FillMask:
    """Return the task on a tiny BERT, with every word as an answer."""
    return FillMask(*loaded(tiny_checkpoint("bert", LM), LM), top_k=1000)


@pytest.mark.parametrize("model_type", ["bert", "distilbert", "roberta", "xlm-roberta", "electra"])
@pytest.mark.parametrize(
    "text", ["The [MASK] sat on the mat.", "[MASK] is the capital", "who wrote (the [MASK])?"]
)
def test_parity_with_the_pipeline(model_type: str, text: str, tiny_checkpoint: Any) -> None:
    """Tokens and scores are those of transformers' fill-mask, special tokens left out."""
    from transformers import pipeline

    folder = tiny_checkpoint(model_type, LM)
    task = FillMask(*loaded(folder, LM), top_k=1000)
    pipe = pipeline("fill-mask", str(folder), top_k=task.tokenizer.vocabulary_size)
    theirs = pipe(text.replace("[MASK]", task.mask_token))
    special = task.tokenizer.special_ids
    known = [one for one in theirs if one["token"] not in special]
    expected = [(one["token_str"].strip(), one["score"]) for one in known]
    (found,) = results(task, records([text]))
    assert len(found.masks[0].fills) == task.tokenizer.vocabulary_size - len(special)
    for fill, (token, score) in zip(found.masks[0].fills, expected, strict=True):
        assert fill.token == token
        assert fill.score == pytest.approx(score, abs=1e-5)


def test_parity_of_targets(bert: FillMask, tiny_checkpoint: Any) -> None:
    """Given words of one token have the pipeline's probabilities, over the whole vocabulary."""
    from transformers import pipeline

    words = ["cat", "dog", "answer"]
    pipe = pipeline("fill-mask", str(tiny_checkpoint("bert", LM)), targets=words)
    theirs = {one["token_str"]: one["score"] for one in pipe("the [MASK] is red")}
    (found,) = results(replace(bert, targets=tuple(words)), records(["the [MASK] is red"]))
    ours = {fill.token: fill.score for fill in found.masks[0].fills}
    assert ours == pytest.approx(theirs, abs=1e-5)
    assert list(ours) == sorted(ours, key=lambda word: -ours[word])


@pytest.mark.parametrize(
    ("model_type", "before", "sound"),
    [("roberta", "the ", "Ġcat"), ("roberta", "", "cat"), ("roberta", "the (", "cat")],
)
def test_targets_are_spelled_for_their_place(
    model_type: str, before: str, sound: str, tiny_checkpoint: Any
) -> None:
    """Byte-level words have a space inside; at the start and after a bracket they have none."""
    task = FillMask(*loaded(tiny_checkpoint(model_type, LM), LM), targets=("cat",))
    spelled = task.target_ids if sound.startswith("Ġ") else task.glued_target_ids
    text = f"{before}[MASK] is red"
    (found,) = results(task, records([text]))
    plan = task.plan(records([text]))[0]
    window = plan.windows[0]  # type: ignore[union-attr]
    by_hand = chain_by_hand(task, window, spelled[0].tolist())
    assert found.masks[0].fills[0].score == pytest.approx(by_hand, rel=1e-5)


def chain_by_hand(task: FillMask, window: Any, ids: list[int]) -> float:
    """Return the probability of ids in the place of a window's first mask, left to right."""
    position = window.masks[0]
    probability = 1.0
    for done in range(len(ids)):
        middle = ids[:done] + [task.mask_id] * (len(ids) - done)
        before, after = window.ids[:position], window.ids[position + 1 :]
        sequence = np.concatenate([before, middle, after]).astype(np.int64)
        asked = replace(
            window, ids=sequence, types=np.zeros_like(sequence), masks=(position + done,)
        )
        probability *= softmax(next(task.encoder.encode([asked])))[0][ids[done]]
    return probability


def test_targets_of_several_pieces(bert: FillMask) -> None:
    """A word of several tokens has the product of their probabilities, never the first's alone."""
    task = replace(bert, targets=("cat", "playing", "engines"))
    text = "He is [MASK] and the [MASK] slept"
    plan = task.plan(records([text]))[0]
    window = plan.windows[0]  # type: ignore[union-attr]
    (found,) = results(task, records([text]))
    first = {fill.token: fill.score for fill in found.masks[0].fills}
    for word, ids in zip(task.targets, task.target_ids, strict=True):
        assert first[word] == pytest.approx(chain_by_hand(task, window, ids.tolist()), rel=1e-5)
    assert [len(ids) for ids in task.target_ids] == [1, 2, 2]
    other = replace(window, masks=window.masks[1:])
    second = {fill.token: fill.score for fill in found.masks[1].fills}
    expected = chain_by_hand(task, other, task.target_ids[1].tolist())
    assert second["playing"] == pytest.approx(expected, rel=1e-5)
    assert first != second
    assert not found.joint


@pytest.mark.parametrize("words", [60, 61, 62, 63, 200])
def test_long_targets_have_room_in_a_full_window(words: int, bert: FillMask) -> None:
    """A text that fills the window leaves its edge to a word of several tokens."""
    task = replace(bert, targets=("playing", "cat"), top_k=2)
    (found,) = results(task, records(["the " * words + "[MASK]"]))
    assert {fill.token for fill in found.masks[0].fills} == {"playing", "cat"}


def test_targets_that_cannot_be_spelled(bert: FillMask) -> None:
    """A word with characters that the vocabulary lacks is a usage error."""
    with pytest.raises(UsageError, match="cannot spell the target 'кот'"):
        _ = replace(bert, targets=("cat", "кот")).target_ids
    with pytest.raises(UsageError, match="a target has"):
        _ = replace(bert, targets=("z" * 62,)).capacity


def test_both_spellings_of_the_mask(tiny_checkpoint: Any) -> None:
    """[MASK] works for every model, and so does the model's own token."""
    task = FillMask(*loaded(tiny_checkpoint("roberta", LM), LM))
    own, common = results(task, records(["the <mask> is red", "the [MASK] is red"]))
    assert [f.nested() for f in own.masks[0].fills] == [f.nested() for f in common.masks[0].fills]
    assert (own.masks[0].start, own.masks[0].end) == (4, 10)
    assert task.has_mask("<mask>")
    assert task.has_mask("[MASK]")
    assert not task.has_mask("mask")


@pytest.mark.parametrize("masks", [2, 60])
def test_masks_that_are_not_filled_together(bert: FillMask, masks: int) -> None:
    """As plain text each has its best word, however many there are."""
    task = replace(bert, together=False)
    (found,) = results(task, records(["the [MASK] of it, " * masks]))
    assert "[MASK]" not in found.plain()
    joined = found.plain().replace(" ", "")
    assert all(mask.fills[0].token.removeprefix("##") in joined for mask in found.masks)
    assert len(found.masks) == masks


def test_no_mask(bert: FillMask) -> None:
    """A text without a mask is answered by an error with an example."""
    (answer,) = answers(bert, records(["no mask here"]))
    assert "Paris is the [MASK] of France." in (answer.error or "")


def small_vocabulary(task: FillMask, keep: int) -> FillMask:
    """Return the task over an encoder that gives all tokens but a few no chance."""

    class Narrow:
        head = task.encoder.head

        def encode(self, windows: Any, reduce: Any = unreduced) -> Any:
            """Leave the last `keep` tokens their logits."""
            found = [one.copy() for one in task.encoder.encode(windows)]
            for one in found:
                one[:, :-keep] = -1e4
            return iter([reduce(one) for one in found])

    return replace(task, encoder=Narrow())


def test_the_beam_finds_the_best_of_all_pairs(bert: FillMask) -> None:
    """With as many beams as words the search is exhaustive, and agrees with trying every pair."""
    words = 8
    task = replace(small_vocabulary(bert, words), top_k=words * words)
    text = "the [MASK] is [MASK]"
    (found,) = results(task, records([text]))
    window = task.plan(records([text]))[0].windows[0]  # type: ignore[union-attr]
    vocabulary = task.tokenizer.vocabulary_size
    expected = {}
    for pair in product(range(vocabulary - words, vocabulary), repeat=2):
        first = softmax(next(task.encoder.encode([replace(window, masks=window.masks[:1])])))[0]
        ids = window.ids.copy()
        ids[window.masks[0]] = pair[0]
        then = softmax(
            next(task.encoder.encode([replace(window, ids=ids, masks=window.masks[1:])]))
        )
        expected[pair] = float(first[pair[0]] * then[0][pair[1]])
    best = sorted(expected, key=lambda pair: -expected[pair])
    names = [tuple(task.tokenizer.decode([i]) for i in pair) for pair in best]
    top = [fill for fill in found.joint if fill.score > 1e-9][: words * words]
    assert [fill.tokens for fill in top] == names[: len(top)]
    assert [fill.score for fill in top] == pytest.approx(
        [expected[pair] for pair in best][: len(top)], rel=1e-4
    )
    assert len(top) > 8


def test_each_mask_alone_beside_all_together(bert: FillMask) -> None:
    """Several masks are answered one by one and jointly; a single one has no joint answer."""
    task = replace(bert, top_k=4)
    one, two = results(task, records(["a [MASK]", "a [MASK] and [MASK]"]))
    assert (len(one.masks), len(one.joint)) == (1, 0)
    assert (len(two.masks), len(two.joint)) == (2, 4)
    best = two.joint[0]
    assert best.text == f"a {best.tokens[0]} and {best.tokens[1]}".replace(" ##", "")
    scores = [fill.score for fill in two.joint]
    assert scores == sorted(scores, reverse=True)
    (alone,) = results(replace(task, together=False), records(["a [MASK] and [MASK]"]))
    assert (alone.masks, alone.joint) == (two.masks, ())


def test_long_text_is_read_around_its_mask(bert: FillMask) -> None:
    """A mask far behind the window sees the words around it, and what it did not see is counted."""
    task = replace(bert, top_k=3)
    text = f"{LONG} the [MASK] is red {LONG}"
    (found,) = results(task, records([text]))
    assert found.reading.windows == 1
    assert found.reading.cut_tokens == found.reading.tokens - 62
    assert text[found.masks[0].start : found.masks[0].end] == "[MASK]"
    (tokens,) = task.tokenizer.tokenize([text])
    at = tokens.ids.tolist().index(task.mask_id)
    middle = text[int(tokens.offsets[at - 31, 0]) : int(tokens.offsets[at + 30, 1])]
    (direct,) = results(task, records([middle]))
    assert [f.token for f in found.masks[0].fills] == [f.token for f in direct.masks[0].fills]
    assert found.masks[0].fills[0].score == pytest.approx(direct.masks[0].fills[0].score)


def test_what_long_means_for_masks(bert: FillMask) -> None:
    """Truncate refuses a mask that it would cut off; error refuses any long text."""
    late, early = f"{LONG} [MASK]", f"[MASK] {LONG}"
    cut = list(answers(replace(bert, long=Long.TRUNCATE), records([late, early])))
    assert "a mask stands behind the first 62 tokens" in (cut[0].error or "")
    assert cut[1].error is None
    refused = list(answers(replace(bert, long=Long.ERROR), records([late, "[MASK]"])))
    assert "--long window" in (refused[0].error or "")
    assert refused[1].error is None


def test_masks_far_apart_have_their_own_windows(bert: FillMask) -> None:
    """Two masks at the ends of a long text are both answered, in order."""
    (found,) = results(bert, records([f"[MASK] {LONG} [MASK]"]))
    assert [mask.start for mask in found.masks] == [0, len(LONG) + 8]
    assert found.reading.windows == 2
    assert not found.joint


@given(
    st.lists(st.integers(0, 999), min_size=1, max_size=12, unique=True),
    st.integers(4, 300),
    st.integers(0, 500),
)
def test_mask_windows(at: list[int], capacity: int, after: int) -> None:
    """Every mask is in one window, inside the text, with about as much context on both sides."""
    tokens = max(at) + 1 + after
    groups = mask_windows(sorted(at), tokens, capacity)
    assert [mask for group in groups for mask in group.masks] == sorted(at)
    for group in groups:
        assert group.end - group.start == min(capacity, tokens)
        assert 0 <= group.start <= group.masks[0] <= group.masks[-1] < group.end <= tokens
        left, right = group.masks[0] - group.start, group.end - 1 - group.masks[-1]
        inside = group.start > 0 and group.end < tokens
        assert not inside or abs(left - right) <= 1


def test_mask_windows_by_hand() -> None:
    """A mask in the middle, at the start, at the end, and two that share a window."""
    assert mask_windows([5], 8, 20) == [MaskGroup((5,), 0, 8)]
    assert mask_windows([50], 100, 20) == [MaskGroup((50,), 40, 60)]
    assert mask_windows([0], 100, 20) == [MaskGroup((0,), 0, 20)]
    assert mask_windows([99], 100, 20) == [MaskGroup((99,), 80, 100)]
    assert mask_windows([50, 56], 100, 20) == [MaskGroup((50, 56), 43, 63)]
    assert [one.masks for one in mask_windows([50, 60], 100, 20)] == [(50,), (60,)]


@pytest.mark.parametrize(
    ("text", "places", "words", "expected"),
    [
        ("a [MASK].", [(2, 8)], ["cat"], "a cat."),
        ("a play [MASK]!", [(7, 13)], ["##ing"], "a playing!"),
        ("[MASK] b [MASK]", [(0, 6), (9, 15)], ["x", "y"], "x b y"),
        ("[MASK][MASK]", [(0, 6), (6, 12)], ["x", "##y"], "xy"),
        ("line\n[MASK]", [(5, 11)], ["##s"], "line\ns"),
        ("[MASK]", [(0, 6)], ["##ing"], "ing"),
    ],
)
def test_filling_in(text: str, places: Any, words: Any, expected: str) -> None:
    """A piece that goes on joins the word before it; everything else stays as it was."""
    assert fill_in(text, places, words) == expected


@pytest.mark.parametrize("model_type", ["bert", "roberta", "xlm-roberta"])
def test_pieces_join_the_word_before_in_every_family(model_type: str, tiny_checkpoint: Any) -> None:
    """##ing, and an `ing` without a space in front, make `playing` of `play`."""
    task = FillMask(*loaded(tiny_checkpoint(model_type, LM), LM), top_k=1000)
    (found,) = results(task, records(["they play [MASK]."]))
    filled = {fill.token.removeprefix("##"): fill.text for fill in found.masks[0].fills}
    assert filled["ing"] == "they playing."
    assert filled["cat"] == "they play cat."


def test_offsets_and_text_around_emoji(bert: FillMask) -> None:
    """The place of the mask is counted in characters of the text as it was given."""
    text = "😀 cafe\u0301 [MASK] 巴黎"
    (answer,) = answers(replace(bert, top_k=1), [Record(0, text)])
    assert answer.result is not None
    mask = answer.result.masks[0]  # type: ignore[attr-defined]
    assert text[mask.start : mask.end] == "[MASK]"
    assert mask.fills[0].text.startswith("😀 cafe\u0301")
    assert mask.fills[0].text.endswith(" 巴黎")


def test_many_masks_stay_small(bert: FillMask) -> None:
    """With more than fifty masks each word is told with its surroundings, and none together."""
    text = "the cat sat [MASK] " * 200
    (found,) = results(bert, records([text]))
    assert len(found.masks) == 200
    assert found.joint == ()
    middle = found.masks[100].fills[0]
    assert len(middle.text) < 500
    assert middle.text.startswith("…")
    assert middle.text.endswith("…")
    assert middle.text.count("[MASK]") > 10  # its neighbours stay
    assert found.masks[0].fills[0].text.startswith("the cat sat ")


@pytest.mark.parametrize("place", [(2, 8), (500, 506), (0, 3), (997, 1000)])
def test_an_excerpt_keeps_its_place(place: tuple[int, int]) -> None:
    """The characters at the new place are those of the old one."""
    text = "".join(chr(97 + n % 26) for n in range(1000))
    shown, at = excerpt(text, place)
    assert shown[slice(*at)] == text[slice(*place)]
    assert len(shown) <= 2 * 200 + 2 + place[1] - place[0]
