"""What a query asks of the words, and how words and meaning are fused."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertcli.index.folder import IndexFolder
from bertcli.index.query import fuse, parse, words_of

from .samples import MANIFEST, build, entry, unit_vectors


@pytest.mark.parametrize(
    ("text", "wanted", "unwanted", "meaning"),
    [
        ("red house", ("red", "house"), (), "red house"),
        ('the "town hall" -rent', ("town hall",), ("rent",), "the town hall"),
        ("to be or not to be", ("to", "be", "or", "not"), (), "to be or not to be"),
        ('who are "the who"', ("the who",), (), "who are the who"),
        ('-"for sale" house', ("house",), ("for sale",), "house"),
        ("well-known state-of-the-art", ("well", "known", "state", "art"), (), None),
        ("house - rent", ("house", "rent"), (), "house - rent"),
        ("2 -3", ("2",), ("3",), "2"),
        ("C++ & f(x)!", ("C", "f", "x"), (), "C++ & f(x)!"),
        ("東京", ("東 京",), (), "東京"),
        ("京", ("京",), (), "京"),
        ("東京都庁", ("東 京", "京 都", "都 庁"), (), "東京都庁"),
        ("iPhone手机 ＯＫ", ("iPhone", "手 机", "OK"), (), "iPhone手机 ＯＫ"),
        ('"东京都"', ("东 京 都",), (), "东京都"),
        ("house house", ("house",), (), "house house"),
        ("-rent", (), ("rent",), "-rent"),
        ("code -.NET -#tag -@me -(foo) --", ("code",), ("NET", "tag", "me", "foo"), "code --"),
        ("--flag", ("flag",), (), "--flag"),
        ("!?", (), (), "!?"),
        ('"never closed', ("never", "closed"), (), "never closed"),
        ('"" ""', (), (), '"" ""'),
        ("I don't think, you CAN’T!", ("think",), (), None),
        ("can't", ("can t",), (), None),
        ('it won\'t be "option t"', ("option t",), (), "it won't be option t"),
        ("the company's, she'll O’Brien", ("company", "Brien"), (), None),
        ("I've lost it, I'll find it", ("lost", "find"), (), None),
        ("5'UTR don't/won't cafe\u0301's", ("5", "UTR", "café"), (), None),
        ("l'amour d’été rock'n'roll", ("amour", "été", "rock", "roll"), (), None),
        ("vitamin C's 'quoted' Qur'an", ("vitamin", "C", "quoted", "Qur"), (), None),
    ],
)
def test_what_a_query_asks(
    text: str, wanted: tuple[str, ...], unwanted: tuple[str, ...], meaning: str | None
) -> None:
    """Words, phrases in quotes, exclusions, and pairs of characters where nothing is spaced."""
    found = parse(text)
    assert (found.wanted, found.unwanted) == (wanted, unwanted)
    assert found.meaning == (text if meaning is None else meaning)


def test_what_must_be_there() -> None:
    """Phrases, whichever quotes they are in."""
    assert parse('red "town hall" “so be it” -"x y"').needed == ("town hall", "so be it")
    assert parse('"" the "never closed').needed == ()
    assert words_of('"town hall"').needed == ()


def test_words_alone_have_no_signs() -> None:
    """A question from a collection is sought as it is, hyphens and quotes and all."""
    found = words_of('is "it" -really so?')
    assert (found.wanted, found.unwanted) == (("really",), ())


@given(st.text(max_size=40))
def test_any_text_is_a_query(text: str) -> None:
    """Nothing that can be typed is an error of the full-text table's language."""
    import sqlite3

    from bertcli.index.query import any_of
    from bertcli.index.schema import WORDS_TABLE

    query = parse(text)
    table = sqlite3.connect(":memory:")
    table.execute(WORDS_TABLE)
    for phrases in (query.wanted, query.unwanted, words_of(text).wanted):
        if phrases:
            table.execute("SELECT * FROM words WHERE words MATCH ?", (any_of(phrases),)).fetchall()


@given(st.lists(st.permutations(range(6)), min_size=1, max_size=3))
def test_fusion_is_the_sum_of_reciprocal_ranks(rankings: list[list[int]]) -> None:
    """Cormack's formula, over what each ranking has."""
    kept = [ranking[:4] for ranking in rankings]
    score = {
        row: sum(1 / (61 + ranking.index(row)) for ranking in kept if row in ranking)
        for row in range(6)
    }
    expected = sorted((row for row in range(6) if score[row]), key=lambda row: (-score[row], row))
    assert fuse(kept) == expected


def test_bm25_by_hand(tmp_path: Path) -> None:
    """SQLite's formula (k1 1.2, b 0.75) on three passages of 2, 4 and 6 words."""
    lines = ["red fox", "red red blue box", "one two three four five fox"]
    path = build(tmp_path / "i", (entry(line, [1, 0, 0, 0]) for line in lines))
    with IndexFolder.open(path) as index:
        hits = index.find(parse("blue"), None, 9)
    frequency, length, mean = 1, 4, 4
    inverse = math.log((3 - 1 + 0.5) / (1 + 0.5))
    weight = frequency * 2.2 / (frequency + 1.2 * (1 - 0.75 + 0.75 * length / mean))
    assert [(hit.text, pytest.approx(hit.score, abs=1e-6)) for hit in hits] == [
        (lines[1], inverse * weight)
    ]


LINES = ["我爱北京天安门", "東京タワー", "a café in Paris", "running dogs", "the dog runs", "cats"]


@pytest.fixture
def index(tmp_path: Path) -> IndexFolder:
    """An index of lines in several scripts, with vectors all their own."""
    rows = unit_vectors(len(LINES))
    pairs = zip(LINES, rows.tolist(), strict=True)
    return IndexFolder.open(build(tmp_path / "i", (entry(*pair) for pair in pairs)))


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("北京", {0}),
        ("京", {0, 1}),
        ("天安门广场", {0}),
        ("CAFE", {2}),
        ("dog", {3, 4}),
        ('"dog runs"', {4}),
        ("dog -running -the", set()),
        ("cats -dog", {5}),
        ("zebra", set()),
        ("-dog", set()),
    ],
)
def test_words_find_what_has_them(index: IndexFolder, query: str, found: set[int]) -> None:
    """Without a vector only what holds a word is found, of any script, in any English form."""
    with index:
        assert {LINES.index(hit.text) for hit in index.find(parse(query), None, 9)} == found


def test_words_and_meaning_are_fused(index: IndexFolder) -> None:
    """The passage that is first in one ranking and second in the other wins; scores are cosines."""
    rows = unit_vectors(len(LINES))
    with index:
        hits = index.find(parse("dog"), rows[4], 9)
        assert hits[0].text == LINES[4]
        assert {hit.text for hit in hits} == set(LINES)
        for hit in hits:
            cosine = float(rows[4] @ rows[LINES.index(hit.text)])
            assert hit.score == pytest.approx(cosine, abs=1e-6)
        kept = index.find(parse("dog -runs"), rows[4], 9)
        assert {hit.text for hit in kept} == set(LINES) - {LINES[3], LINES[4]}


def test_more_passages_change_nothing_of_the_first(tmp_path: Path) -> None:
    """Whatever is asked for beyond comes after what was found before."""
    rows = unit_vectors(500, dimension=8)
    lines = [f"house {'and garden ' * (i % 7)}{'x ' * (i % 13)}" for i in range(500)]
    manifest = replace(MANIFEST, model=replace(MANIFEST.model, dimension=8))
    with IndexFolder.create(tmp_path / "i", manifest) as index:
        pairs = zip(lines, rows.tolist(), strict=True)
        index.add(entry(*pair, line=at) for at, pair in enumerate(pairs))
        for row in rows[:20]:
            few, many = (index.find(parse("garden x"), row, k) for k in (10, 400))
            assert [hit.id for hit in few] == [hit.id for hit in many[:10]]
            assert len({hit.id for hit in many}) == len(many) == 400


def test_exclusions_never_empty_what_exists(tmp_path: Path) -> None:
    """However many better passages are kept out, those that are left are found."""
    rows = unit_vectors(400)
    lines = [f"red house {'sold' if i < 380 else 'free'} {i}" for i in range(400)]
    pairs = zip(lines, rows.tolist(), strict=True)
    path = build(tmp_path / "i", (entry(*pair) for pair in pairs))
    with IndexFolder.open(path) as index:
        for vector in (None, rows[0]):
            hits = index.find(parse("house -sold"), vector, 20)
            assert {hit.text for hit in hits} == set(lines[380:])


def test_dense_search_is_the_oracle_of_the_dense_half(index: IndexFolder) -> None:
    """A query of no words fuses one ranking, which is that of plain search."""
    rows = unit_vectors(3, seed=9)
    with index:
        for row in rows:
            plain = index.search(np.asarray([row]), 4)[0]
            fused = index.find(parse("!"), row, 4)
            assert [hit.text for hit in fused] == [hit.text for hit in plain]
            assert [hit.score for hit in fused] == pytest.approx(
                [hit.score for hit in plain], abs=1e-7
            )
