"""Matching words and best sentences."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertcli.index.query import parse
from bertcli.index.snippets import best_sentence, matches, sentences

TEXT = "Cats sleep. The cat eats fish and cats like fish! Nothing else."


@pytest.mark.parametrize(
    ("text", "query", "found"),
    [
        (TEXT, "cat", ["Cats", "cat", "cats"]),
        (TEXT, '"eats fish"', ["eats fish"]),
        (TEXT, "eating", ["eats"]),
        ("Ein Café, zwei CAFES", "cafe", ["Café", "CAFES"]),
        ("Eine Straße in Łódź.", "strasse lodz", ["Straße", "Łódź"]),
        ("我爱北京天安门", "北京", ["北京"]),
        ("ＡＢＣ and 東京ＯＫ", "ok abc", ["ＡＢＣ", "ＯＫ"]),
        ("検索ｴﾝｼﾞﾝ 2", "エンジン", ["ｴﾝｼﾞﾝ"]),
        ("Η οδός, cafe\u0301 की", "οδος café की", ["οδός", "cafe\u0301", "की"]),
        (TEXT, "dog", []),
        ("", "cat", []),
    ],
)
def test_matching_words(text: str, query: str, found: list[str]) -> None:
    """What is marked is what the full-text table would find: stems, accents, widths, CJK."""
    ((spans),) = matches([text], parse(query).wanted)
    assert [text[start:end] for start, end in spans] == found


def test_the_sentence_with_most_of_the_words() -> None:
    """Different words count once each; without a match there is none."""
    (spans,) = matches([TEXT], parse("cats fish").wanted)
    start, end = best_sentence(TEXT, spans) or (0, 0)
    assert TEXT[start:end] == "The cat eats fish and cats like fish!"
    assert best_sentence(TEXT, []) is None


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_sentences_cover_the_text(text: str) -> None:
    """Every character that is not white space is in one sentence, in order."""
    spans = sentences(text)
    assert all(a < b for a, b in spans)
    assert all(one[1] <= other[0] for one, other in pairwise(spans))
    held = {at for a, b in spans for at in range(a, b)}
    assert all(at in held for at, letter in enumerate(text) if not letter.isspace())


@given(st.text(st.characters(codec="utf-8"), max_size=60), st.text(max_size=20))
def test_any_text_and_query_can_be_marked(text: str, query: str) -> None:
    """Spans are within the text, whatever signs are in it."""
    (spans,) = matches([text], parse(query).wanted)
    assert all(0 <= start < end <= len(text) for start, end in spans)
