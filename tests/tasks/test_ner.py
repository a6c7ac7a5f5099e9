"""Named entities."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertcli.engine.choices import Aggregate, Long
from bertcli.engine.families import Head
from bertcli.engine.windows import Window, cuts
from bertcli.results import Entity, Word
from bertcli.tasks.ner import (
    Ner,
    Piece,
    label_pieces,
    merge_pieces,
    of_whole_words,
    split_label,
    stitch,
    tag_words,
)
from bertcli.tasks.run import Plan
from tiny import SENTENCES

from .loaded import labels_of, loaded, records, results

TEXT = "Ada Lovelace, of London and playing in Berlin"


@pytest.fixture(scope="module")
def bert(tiny_checkpoint: Any) -> Ner:
    """Return the task on a tiny BERT."""
    folder = tiny_checkpoint("bert", Head.TOKEN)
    return Ner(*loaded(folder, Head.TOKEN), labels_of(folder))


@pytest.mark.parametrize("aggregate", ["none", "simple", "first", "average", "max"])
@pytest.mark.parametrize("model_type", ["bert", "distilbert", "electra"])
def test_parity_with_the_pipeline(model_type: str, aggregate: str, tiny_checkpoint: Any) -> None:
    """Labels, places and scores are transformers', words of several tokens included.

    On texts without a semicolon, where an entity ends here.
    """
    from transformers import pipeline

    found = 0
    for seed in range(3):
        folder = tiny_checkpoint(model_type, Head.TOKEN, seed=seed)
        task = Ner(*loaded(folder, Head.TOKEN), labels_of(folder), Aggregate(aggregate))
        pipe = pipeline("token-classification", str(folder), aggregation_strategy=aggregate)
        for text in (one.replace(";", ",") for one in (*SENTENCES, TEXT)):
            theirs = pipe(text)
            (ours,) = results(task, records([text]))
            key = "entity" if aggregate == "none" else "entity_group"
            assert [(e.label, e.start, e.end) for e in ours.entities] == [
                (one[key], one["start"], one["end"]) for one in theirs
            ]
            assert [e.score for e in ours.entities] == pytest.approx(
                [float(one["score"]) for one in theirs], abs=1e-4
            )
            assert all(e.text == text[e.start : e.end] for e in ours.entities)
            found += len(theirs)
    assert found > 20


@pytest.mark.parametrize("aggregate", ["simple", "first", "average", "max"])
@pytest.mark.parametrize("model_type", ["roberta", "xlm-roberta"])
def test_parity_on_words_with_spaces_around(
    model_type: str, aggregate: str, tiny_checkpoint: Any
) -> None:
    """Where transformers knows words by spaces only, the answers agree on text without signs."""
    from transformers import pipeline

    folder = tiny_checkpoint(model_type, Head.TOKEN)
    task = Ner(*loaded(folder, Head.TOKEN), labels_of(folder), Aggregate(aggregate))
    pipe = pipeline("token-classification", str(folder), aggregation_strategy=aggregate)
    text = "Ada was playing in London and Paris and Turing worked in Geneva"
    (ours,) = results(task, records([text]))
    theirs = pipe(text)
    assert theirs
    assert [(e.label, e.start, e.end) for e in ours.entities] == [
        (one["entity_group"], one["start"], one["end"]) for one in theirs
    ]


def pieces(*labels: str) -> list[Piece]:
    """Return words of one letter with these labels and a probability of a half."""
    return [Piece(2 * i, 2 * i + 1, label, 0.5) for i, label in enumerate(labels)]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["O", "B-PER", "I-PER", "O"], ["PER b c"]),
        (["B-PER", "B-PER", "I-PER"], ["PER a", "PER b c"]),
        (["B-PER", "I-LOC", "I-LOC"], ["PER a", "LOC b c"]),
        (["I-PER", "I-PER", "O", "I-PER"], ["PER a b", "PER d"]),
        (["I-PER", "B-PER", "I-PER"], ["PER a", "PER b c"]),
        (["S-PER", "S-PER", "O"], ["PER a", "PER b"]),
        (["B-PER", "I-PER", "E-PER", "B-PER", "E-PER"], ["PER a b c", "PER d e"]),
        (["E-PER", "I-PER"], ["PER a", "PER b"]),
        (["U-PER", "B-PER", "L-PER"], ["PER a", "PER b c"]),
        (["S-PER", "I-PER"], ["PER a", "PER b"]),
        (["PER", "PER", "LOC"], ["PER a b", "LOC c"]),
        (["B_PER", "I_PER"], ["PER a b"]),
        (["O", "O"], []),
        ([], []),
    ],
)
def test_label_schemes(labels: list[str], expected: list[str]) -> None:
    """BIO, IOB1, BIOES, BILOU and labels without a scheme."""
    found = merge_pieces(pieces(*labels), "a b c d e")
    assert [f"{one.label} {one.text}" for one in found] == expected
    assert all(one.score == 0.5 for one in found)


def test_an_entitys_score_is_the_mean_of_its_words() -> None:
    """Two words of 0.9 and 0.5 make an entity of 0.7."""
    parts = [Piece(0, 1, "B-X", 0.9), Piece(2, 3, "I-X", 0.5)]
    assert merge_pieces(parts, "a b") == [Entity("X", 0, 3, "a b", pytest.approx(0.7))]


def test_the_sign_of_a_handle_belongs_to_its_name() -> None:
    """Of two names that touch each stays by itself, and so does a sign of another kind or place."""
    handle = [Piece(0, 1, "B-ORG", 0.8), Piece(1, 5, "B-ORG", 0.9)]
    assert merge_pieces(handle, "@NASA") == [Entity("ORG", 0, 5, "@NASA", pytest.approx(0.85))]
    touching = [Piece(0, 1, "B-LOC", 0.8), Piece(1, 2, "B-LOC", 0.9)]
    assert [one.text for one in merge_pieces(touching, "京都")] == ["京", "都"]
    apart = [Piece(0, 1, "B-ORG", 0.8), Piece(2, 6, "B-ORG", 0.9)]
    assert [one.text for one in merge_pieces(apart, "@ NASA")] == ["@", "NASA"]
    other = [Piece(0, 1, "B-PER", 0.8), Piece(1, 5, "B-ORG", 0.9)]
    assert [one.text for one in merge_pieces(other, "@NASA")] == ["@", "NASA"]


LONG = "It was in the spring of that year, after the last of the rain,"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("John\nMary", ["John", "Mary"]),
        ("John \r\n Mary", ["John", "Mary"]),
        (f"{LONG} John\nSmith", ["John\nSmith"]),
        (f"{LONG}\nJohn\nMary", ["John", "Mary"]),
        (f"{LONG} John\n\nSmith", ["John", "Smith"]),
        (f"{LONG} John\n \nSmith", ["John", "Smith"]),
        ("John;Mary ; Ada", ["John", "Mary", "Ada"]),
        ("AT&amp;T", ["AT&amp;T"]),
    ],
)
def test_what_ends_an_entity(text: str, expected: list[str]) -> None:
    """A blank line, the end of a line that was not wrapped, and a semicolon do."""
    parts = [(found.start(), found.end()) for found in re.finditer(r"\w+|[^\w\s]", text)]
    first = text.index(expected[0])
    named = [Piece(start, end, "I-X", 0.5) for start, end in parts if start >= first]
    entities = merge_pieces(named, text)
    assert [one.text for one in entities] == expected
    tags = [word.tag for word in tag_words(text, parts, entities)]
    assert tags.count("B-X") == len(expected)


@pytest.mark.parametrize(
    ("text", "found", "expected"),
    [
        ("Moon Jae-in won.", ["Moon Jae-"], ["Moon Jae-in"]),
        ("Saint-Germain-des-Prés.", ["Saint-"], ["Saint-Germain-des-Prés"]),
        ("Moon Jae-in won.", ["Moon Jae-", "in"], ["Moon Jae-", "in"]),
        ("the F-16 flew", ["F-"], ["F-"]),
        ("in Paris - or", ["Paris -"], ["Paris -"]),
        ("King's Road", ["s"], []),
        ("King’s Road", ["’s", "Road"], ["Road"]),
        ("the S is red", ["S"], ["S"]),
        ("King's Road", ["King's Road"], ["King's Road"]),
    ],
)
def test_entities_of_whole_words(text: str, found: list[str], expected: list[str]) -> None:
    """A hyphenated word is not cut unless its rest is another entity; an s is none."""
    places = [(text.rindex(one), one) for one in found]
    entities = [Entity("X", start, start + len(one), one, 0.5) for start, one in places]
    whole = of_whole_words(entities, text)
    assert [one.text for one in whole] == expected
    assert all(text[one.start : one.end] == one.text for one in whole)


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("B-PER", ("B", "PER")),
        ("I-WORK-OF-ART", ("I", "WORK-OF-ART")),
        ("O", ("", "O")),
        ("X-PER", ("", "X-PER")),
        ("B-", ("", "B-")),
        ("LABEL_1", ("", "LABEL_1")),
    ],
)
def test_splitting_labels(label: str, expected: tuple[str, str]) -> None:
    """Only the known prefixes are prefixes."""
    assert split_label(label) == expected


PROBABILITIES = np.array([[0.6, 0.3, 0.1], [0.1, 0.2, 0.7], [0.2, 0.5, 0.3]])
OFFSETS = np.array([[0, 2], [2, 4], [5, 6]])


@pytest.mark.parametrize(
    ("aggregate", "expected"),
    [
        (Aggregate.NONE, ["x 0.6", "z 0.7", "y 0.5"]),
        (Aggregate.SIMPLE, ["x 0.6", "z 0.7", "y 0.5"]),
        (Aggregate.FIRST, ["x 0.6", "y 0.5"]),
        (Aggregate.MAX, ["z 0.7", "y 0.5"]),
        (Aggregate.AVERAGE, ["z 0.4", "y 0.5"]),
    ],
)
def test_how_the_tokens_of_a_word_agree(aggregate: Aggregate, expected: list[str]) -> None:
    """A word of two tokens and a word of one, under each rule, by hand."""
    found = label_pieces(PROBABILITIES, OFFSETS, np.array([0, 0, 1]), ("x", "y", "z"), aggregate)
    assert [f"{one.label} {one.score:.1f}" for one in found] == expected
    if aggregate is Aggregate.FIRST:
        assert [(one.start, one.end) for one in found] == [(0, 4), (5, 6)]


def windows_of(tokens: int, capacity: int) -> list[Window]:
    """Return the windows of a text behind one special token each."""
    none = np.zeros(0, np.int64)
    return [Window(none, none, start, end, 1) for start, end in cuts(tokens, capacity, 0.5)]


def test_stitching_by_hand() -> None:
    """Windows 0 to 6 and 2 to 8: tokens 2 and 3 are surer in the first, 4 and 5 in the second."""
    none = np.zeros(0, np.int64)
    windows = [Window(none, none, 0, 6, 1), Window(none, none, 2, 8, 1)]
    outputs = [np.full((8, 1), 1, np.float32), np.full((8, 1), 2, np.float32)]
    assert stitch(windows, outputs)[:, 0].tolist() == [1, 1, 1, 1, 2, 2, 2, 2]


@given(st.integers(0, 300), st.integers(2, 60))
def test_stitching_takes_the_right_row(tokens: int, capacity: int) -> None:
    """Every token gets its own row, from a window in which it stands furthest inside."""
    windows = windows_of(tokens, capacity)
    outputs = []
    for number, window in enumerate(windows):
        rows = np.arange(window.start - 1, window.end + 1, dtype=np.float32)
        outputs.append(np.stack([rows, np.full(len(rows), number, np.float32)], -1))
    found = stitch(windows, outputs)
    assert found[:, 0].tolist() == list(range(tokens))

    def context(window: Window, token: int) -> float:
        left = token - window.start if window.start else np.inf
        right = window.end - 1 - token if window.end < tokens else np.inf
        return min(left, right)

    for token, number in enumerate(found[:, 1].astype(int).tolist()):
        holding = [w for w in windows if w.start <= token < w.end]
        best = max(context(window, token) for window in holding)
        assert context(windows[number], token) == best


class Names:
    """An encoder that knows names by their ids, but only in the middle of a window."""

    head = Head.TOKEN

    def __init__(self, first: int, inside: int, margin: int) -> None:
        self.first, self.inside, self.margin = first, inside, margin

    def encode(self, windows: Any, reduce: Any = None) -> Iterator[np.ndarray]:
        """Label two ids as the beginning and the inside of a name, `margin` off the edges."""
        for window in windows:
            logits = np.zeros((len(window), 3), np.float32)
            logits[:, 0] = 1
            inner = slice(1 + self.margin, len(window) - 1 - self.margin)
            logits[inner, 1] += 5 * (window.ids[inner] == self.first)
            logits[inner, 2] += 5 * (window.ids[inner] == self.inside)
            yield logits


@pytest.mark.parametrize("before", range(0, 90, 3))
def test_an_entity_on_a_seam_is_found_once_and_whole(before: int, bert: Ner) -> None:
    """Wherever a name stands in a long text, it is one entity: windows of 20 give what 300 give."""
    text = "the " * before + "ada turing " + "the " * 60
    ids = [bert.tokenizer.id("ada"), bert.tokenizer.id("turing")]
    margin = 2 if before >= 2 else 0
    task = replace(bert, encoder=Names(*ids, margin), labels=("O", "B-PER", "I-PER"))  # type: ignore[arg-type]
    (short,) = results(replace(task, window=20), records([text]))
    (whole,) = results(replace(task, window=300), records([text]))
    assert [(e.label, e.text) for e in short.entities] == [("PER", "ada turing")]
    assert [e.nested() for e in short.entities] == [e.nested() for e in whole.entities]
    assert short.reading.windows > 1
    assert short.reading.cut_tokens == 0


def test_what_truncation_cuts(bert: Ner) -> None:
    """Cut, a text has entities in its beginning only, and says how much was not read."""
    text = " ".join(SENTENCES * 2)
    (found,) = results(replace(bert, long=Long.TRUNCATE), records([text]))
    assert found.reading.cut_tokens == found.reading.tokens - 62
    tokens = bert.tokenizer.tokenize([text])[0]
    assert all(entity.end <= int(tokens.offsets[61, 1]) for entity in found.entities)


def test_words_with_their_tags() -> None:
    """IOB2: two entities of one type side by side both begin with B."""
    text = "Ada Lovelace Turing of London"
    spans = [(0, 3), (4, 12), (13, 19), (20, 22), (23, 29)]
    entities = [
        Entity("PER", 0, 12, "Ada Lovelace", 1),
        Entity("PER", 13, 19, "Turing", 1),
        Entity("LOC", 23, 29, "London", 1),
    ]
    assert tag_words(text, spans, entities) == [
        Word("Ada", "B-PER"),
        Word("Lovelace", "I-PER"),
        Word("Turing", "B-PER"),
        Word("of", "O"),
        Word("London", "B-LOC"),
    ]


@pytest.mark.parametrize("model_type", ["bert", "roberta", "xlm-roberta"])
@pytest.mark.parametrize("aggregate", list(Aggregate))
def test_no_entity_is_empty_or_begins_with_a_space(
    aggregate: Aggregate, model_type: str, tiny_checkpoint: Any
) -> None:
    """Runs of spaces, line ends and emoji make no entities of nothing."""
    folder = tiny_checkpoint(model_type, Head.TOKEN)
    task = Ner(*loaded(folder, Head.TOKEN), labels_of(folder), aggregate)
    text = "Ada   of\n\n London 😀  巴黎 cafe\u0301\tzoo "
    (found,) = results(task, records([text]))
    for entity in found.entities:
        assert text[entity.start : entity.end] == entity.text
        assert aggregate is Aggregate.NONE or entity.text.strip() == entity.text != ""
    assert [word.text for word in found.words][:3] == ["Ada", "of", "London"]
    assert all(word.text for word in found.words)


@pytest.mark.parametrize("text", ["", "  ", "\u200b"])
def test_texts_without_words(text: str, bert: Ner) -> None:
    """Nothing in, nothing found."""
    (found,) = results(bert, records([text]))
    assert (found.entities, found.words) == ((), ())
    assert isinstance(bert.plan(records([text]))[0], Plan)
