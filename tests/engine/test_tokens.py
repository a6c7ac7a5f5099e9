"""Token ids, character offsets, words, and the special tokens around them."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from bertcli.checkpoints.load import load_tokenizer
from bertcli.checkpoints.resolve import ModelChoice, resolve
from bertcli.engine.tokens import Frame, TextTokenizer, capitals, stretches
from bertcli.errors import CheckpointError
from tiny import make_tokenizer

KINDS = ("bert", "roberta", "xlm-roberta")
TEXTS = (
    "Paris is playing in Geneva.",
    "  two  spaces, a tab\tand a line\nbreak ",
    "emoji 😀 between 👩‍👩‍👧 words 🇫🇷!",
    "combining: cafe\u0301, n\u0303andu\u0301 and a\u0308",
    "中文和English混合 巴黎是法国的首都。",
    "مرحبا بالعالم، كيف حالك؟",
    "\u202eright to left\u202c and zero\u200bwidth",
    "ﬁne ligatures and full-width ＡＢＣ",
    "İstanbul lowers to two characters",
    "NUL \0 inside",
    "[MASK] and <mask> in the middle",
)


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: Any) -> TextTokenizer:
    """Return each kind of tokenizer, from its file."""
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    make_tokenizer(request.param).save(str(path))
    return TextTokenizer(path)


def of_kind(kind: str, folder: Path) -> TextTokenizer:
    """Return one kind of tokenizer."""
    path = folder / "tokenizer.json"
    make_tokenizer(kind).save(str(path))
    return TextTokenizer(path)


@pytest.mark.parametrize(
    ("kind", "expected", "second_type"),
    [
        ("bert", Frame((2,), (3,), (3,)), 1),
        ("roberta", Frame((0,), (2, 2), (2,)), 0),
        ("xlm-roberta", Frame((0,), (2, 2), (2,)), 0),
    ],
)
def test_frames(kind: str, expected: Frame, second_type: int, tmp_path: Path) -> None:
    """[CLS] a [SEP] b [SEP] for BERT, <s> a </s></s> b </s> for RoBERTa."""
    tokenizer = of_kind(kind, tmp_path)
    assert tokenizer.frame == expected
    assert tokenizer.second_type == second_type
    assert (tokenizer.frame.single, tokenizer.frame.pair) == (2, 2 + len(expected.between))


@pytest.mark.parametrize("mark", ["\u200b", "\u200e", "\ufeff", "\u202a", "\0"])
def test_words_stay_apart_at_what_is_dropped(mark: str, tmp_path: Path) -> None:
    """BERT's tokenizer hears nothing of marks of direction, and of the space beside one."""
    text = f"a cat\n{mark}sat (b{mark}c) {mark}on,{mark}a mat"
    (tokens,) = of_kind("bert", tmp_path).tokenize([text])
    words: dict[int, str] = {}
    for word, (start, end) in zip(tokens.words.tolist(), tokens.offsets.tolist(), strict=True):
        words[word] = words.get(word, "") + text[start:end].replace(mark, "")
    assert list(words.values()) == ["a", "cat", "sat", "(", "bc", ")", "on", ",", "a", "mat"]


@pytest.mark.parametrize("text", TEXTS)
def test_offsets_are_characters_of_the_text(text: str, tokenizer: TextTokenizer) -> None:
    """Offsets count code points: they stay in the text and never go back."""
    (tokens,) = tokenizer.tokenize([text])
    assert len(tokens.ids) == len(tokens.offsets) == len(tokens.words)
    last = 0
    for start, end in tokens.offsets.tolist():
        assert 0 <= start <= end <= len(text)
        assert start >= last
        last = start


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("😀😀 in Paris", "Paris"),
        ("👩‍👩‍👧 was in London, cafe\u0301", "London"),
        ("巴黎 is Paris 巴黎", "Paris"),
        ("مرحبا Berlin بالعالم", "Berlin"),
        ("\u202e the \u200b cat", "cat"),
        ("a\u0308\u0301 dog", "dog"),
        ("ﬁ ﬁ station", "station"),
        ("İ İ kitchen", "kitchen"),
    ],
)
def test_the_text_at_an_offset_is_the_word(text: str, word: str, tokenizer: TextTokenizer) -> None:
    """text[start:end] is the word, whatever stands before it."""
    (tokens,) = tokenizer.tokenize([text])
    assert word in _words(text, tokens)


def _words(text: str, tokens: Any) -> list[str]:
    """Return the characters of each run of tokens with one word number."""
    found: dict[int, list[int]] = {}
    for number, (start, end) in zip(tokens.words.tolist(), tokens.offsets.tolist(), strict=True):
        found.setdefault(number, []).extend((start, end))
    return [text[min(ends) : max(ends)].strip() for ends in found.values()]


@pytest.mark.parametrize("kind", KINDS)
def test_words_end_at_signs_and_between_chinese_characters(kind: str, tmp_path: Path) -> None:
    """Sentencepiece takes all between two spaces for a word; a reader does not."""
    text = "Paris, (London) l'answer. 巴黎巴"
    (tokens,) = of_kind(kind, tmp_path).tokenize([text])
    expected = ["Paris", ",", "(", "London", ")", "l", "'", "answer", ".", "巴", "黎", "巴"]
    assert [word for word in _words(text, tokens) if word] == expected


@pytest.mark.parametrize("kind", KINDS)
def test_words_are_not_cut_inside(kind: str, tmp_path: Path) -> None:
    """Pieces of one word share its number, accents and marks included."""
    text = "playing cafe\u0301s played"
    (tokens,) = of_kind(kind, tmp_path).tokenize([text])
    assert _words(text, tokens) == ["playing", "cafe\u0301s", "played"]
    assert len(tokens) > 3


@given(st.lists(st.text(max_size=60), max_size=4))
def test_ids_are_those_of_tokenize(texts: list[str]) -> None:
    """The quick way and the way with offsets see the same tokens, and none is special."""
    for kind in KINDS:
        tokenizer = _cached(kind)
        quick = tokenizer.ids(texts)
        slow = tokenizer.tokenize(texts)
        assert [one.tolist() for one in quick] == [one.ids.tolist() for one in slow]


@cache
def _cached(kind: str) -> TextTokenizer:
    """Return one kind of tokenizer where hypothesis allows no fixture."""
    with tempfile.TemporaryDirectory() as folder:
        return of_kind(kind, Path(folder))


def test_a_stored_truncation_is_switched_off(tmp_path: Path) -> None:
    """A tokenizer.json that cuts at some length and pads does neither here."""
    path = tmp_path / "tokenizer.json"
    made = type(make_tokenizer("bert")).from_str(make_tokenizer("bert").to_str())
    made.enable_truncation(8)
    made.enable_padding(length=16)
    made.save(str(path))
    tokenizer = TextTokenizer(path)
    assert [len(one) for one in tokenizer.ids(["a", "a " * 50])] == [1, 50]
    assert tokenizer.frame == Frame((2,), (3,), (3,))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "[MASK]"),
        ({"mask_token": "[CLS]"}, "[CLS]"),
        ({"mask_token": {"content": "[SEP]", "lstrip": True}}, "[SEP]"),
        ({"mask_token": "<absent>"}, None),
    ],
)
def test_the_mask_token(settings: dict[str, Any], expected: str | None, tmp_path: Path) -> None:
    """tokenizer_config.json names it; without that the usual names are tried."""
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    assert of_kind("bert", tmp_path).mask_token == expected


@pytest.mark.parametrize(
    ("declared", "expected"),
    [(512, 512), (10**30, None), (0, None), ("many", None), (None, None)],
)
def test_the_declared_length(declared: Any, expected: int | None, tmp_path: Path) -> None:
    """transformers writes a huge number where no length is known; that is none."""
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"model_max_length": declared}))
    assert of_kind("bert", tmp_path).max_length == expected


def test_what_the_vocabulary_says(tmp_path: Path) -> None:
    """Ids, spellings, special ids and the unknown token."""
    tokenizer = of_kind("bert", tmp_path)
    assert tokenizer.id("[UNK]") == tokenizer.unknown_id == 1
    assert tokenizer.id("absent") is None
    assert tokenizer.special_ids == {0, 1, 2, 3, 4}
    ids = tokenizer.ids(["playing"])[0].tolist()
    assert tokenizer.pieces(ids) == ["play", "##ing"]
    assert tokenizer.decode(ids) == "playing"
    assert [tokenizer.starts_word(i) for i in ids] == [True, False]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("blank", [" ", "  ", "\t", "\n", "\u00a0", "\u3000"])
def test_words_are_spaces_apart(blank: str, kind: str, tmp_path: Path) -> None:
    """Any space ends a word, and no word has one at its ends."""
    text = f"the{blank}cat{blank}zat"
    (tokens,) = of_kind(kind, tmp_path).tokenize([text])
    assert [word for word in _words(text, tokens) if word] == ["the", "cat", "zat"]
    assert not any(text[start:end][:1].isspace() for start, end in tokens.offsets.tolist())


def test_spaces_in_tokens_are_not_in_offsets(tmp_path: Path) -> None:
    """ALBERT's tokenizer counts the space before a word as part of it; the answer must not."""
    path = tmp_path / "tokenizer.json"
    made = type(make_tokenizer("bert")).from_str(make_tokenizer("xlm-roberta").to_str())
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.save(str(path))
    (tokens,) = TextTokenizer(path).tokenize(["the cat  zat"])
    found = ["the cat  zat"[start:end] for start, end in tokens.offsets.tolist()]
    assert [one for one in found if one] == ["the", "cat", "z", "a", "t"]
    assert len(set(tokens.words.tolist())) == 3 + found.count("") - 1


@pytest.mark.parametrize(("kind", "first"), [("roberta", "Ġplay"), ("xlm-roberta", "▁play")])
def test_which_pieces_begin_words(kind: str, first: str, tmp_path: Path) -> None:
    """Where words carry their space, a piece without one goes on with the word before."""
    tokenizer = of_kind(kind, tmp_path)
    ids = tokenizer.ids([" playing"])[0].tolist()
    assert tokenizer.pieces(ids) == [first, "ing"]
    assert [tokenizer.starts_word(i) for i in ids] == [True, False]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"model": 3}', "\0" * 100])
def test_a_broken_tokenizer_file(text: str, tmp_path: Path) -> None:
    """A file that is no tokenizer is named."""
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: not a readable tokenizer"):
        TextTokenizer(tmp_path / "tokenizer.json")


def test_a_missing_tokenizer_file(tmp_path: Path) -> None:
    """The message says how to make one."""
    with pytest.raises(CheckpointError, match=r"no tokenizer\.json; .*save_pretrained"):
        TextTokenizer(tmp_path / "tokenizer.json")


@pytest.mark.parametrize("text", ["{", "[" * 100_000, b"\xff".decode("latin-1")])
def test_broken_tokenizer_settings(text: str, tmp_path: Path) -> None:
    """tokenizer_config.json that is no JSON is named."""
    (tmp_path / "tokenizer_config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"tokenizer_config\.json: not readable JSON"):
        of_kind("bert", tmp_path)


@pytest.mark.parametrize(("model_type", "folds"), [("bert", True), ("roberta", False)])
def test_capitals_are_told_where_they_are_lost(
    model_type: str, folds: bool, tiny_checkpoint: Any
) -> None:
    """By each token's characters, also where the tokenizer itself makes them small."""
    tokenizer = load_tokenizer(resolve(ModelChoice(str(tiny_checkpoint(model_type)))))
    assert tokenizer.folds_case == folds
    text = "in Geneva, at NASA é É 3"
    (tokens,) = tokenizer.tokenize([text])
    told = capitals(text, tokens.offsets)
    for (start, end), one in zip(tokens.offsets, told, strict=True):
        assert one == any(c.isupper() for c in text[start:end])
    assert capitals("", np.zeros((0, 2), np.int64)).shape == (0,)


@pytest.mark.parametrize("text", [*TEXTS, " ".join(TEXTS) * 3])
def test_long_texts_are_tokenised_in_stretches(
    tokenizer: TextTokenizer, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the length of the stretches, the tokens are those of the whole text."""
    (whole,) = tokenizer.tokenize([text])
    for piece in (1, 5, 20):
        monkeypatch.setattr("bertcli.engine.tokens.PIECE", piece)
        (found,) = tokenizer.tokenize([text])
        assert found.ids.tolist() == whole.ids.tolist()
        assert found.offsets.tolist() == whole.offsets.tolist()
        assert found.words.tolist() == whole.words.tolist()
        assert tokenizer.ids([text])[0].tolist() == whole.ids.tolist()


@given(st.text("ab .😀中", max_size=80), st.integers(1, 9), st.integers(1, 9))
def test_stretches_are_the_whole_text(text: str, piece: int, more: int) -> None:
    """In order, without a gap, and none longer than what is allowed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bertcli.engine.tokens.PIECE", piece)
        patch.setattr("bertcli.engine.tokens.LONGEST_PIECE", piece + more)
        found = list(stretches(text))
    assert "".join(text[start:end] for start, end in found) == text
    assert all(end - start <= piece + more for start, end in found)
