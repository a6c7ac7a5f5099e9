"""Words in an index so large that not every chunk with one of them is scored."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bertcli.index import keywords
from bertcli.index.content import Entry
from bertcli.index.folder import IndexFolder
from bertcli.index.query import words_of
from bertcli.index.where import compile_where

from .samples import build, entry

WORDS = [f"word{number}" for number in range(60)]
COUNT = 400


def texts() -> list[str]:
    """Return passages of words by Zipf's law, of different lengths, some words many times."""
    dice = random.Random(3)
    weights = [1 / (rank + 1) for rank in range(len(WORDS))]
    return [" ".join(dice.choices(WORDS, weights, k=dice.randint(4, 25))) for _ in range(COUNT)]


def _numbered(text: str, number: int) -> Entry:
    one = entry(text, [1, 0, 0, 0], line=number)
    return replace(one, document=replace(one.document, columns={"n": number}))


@pytest.fixture
def index(tmp_path: Path) -> IndexFolder:
    """An index of 400 passages."""
    entries = [_numbered(text, i) for i, text in enumerate(texts())]
    return IndexFolder.open(build(tmp_path / "i", entries))


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Have hits count as many, and words as common that half of the passages have."""
    monkeypatch.setattr(keywords, "MANY_HITS", 100)
    monkeypatch.setattr(keywords, "COMMON", 2)
    return monkeypatch


QUERIES = ["word40 word50", "word3 word20 word30 word7", "word1 word2", "word44 absent"]


def found(index: IndexFolder, query: str, where: str | None = None) -> list[tuple[int, float]]:
    """Return the lines of the best ten passages and their scores."""
    condition = None if where is None else compile_where(where)
    hits = index.find(words_of(query), None, 10, condition)
    return [(hit.line or 0, round(hit.score, 9)) for hit in hits]


@pytest.mark.parametrize("query", QUERIES)
def test_scores_are_those_of_fts5(
    index: IndexFolder, query: str, request: pytest.FixtureRequest
) -> None:
    """With room for all chunks in the pool the ranking is the whole table's, score for score."""
    expected = found(index, query)
    large = request.getfixturevalue("large")
    large.setattr(keywords, "POOL", COUNT)
    assert found(index, query) == expected
    assert len(expected) > 1


@pytest.mark.parametrize("query", QUERIES)
def test_a_small_pool_holds_the_best(
    index: IndexFolder, query: str, request: pytest.FixtureRequest
) -> None:
    """Chunks whose words weigh most are looked at: the best of all is among them."""
    expected = found(index, query)
    request.getfixturevalue("large").setattr(keywords, "POOL", 40)
    assert found(index, query)[0] == expected[0]


def test_common_words_alone_still_find(index: IndexFolder, large: pytest.MonkeyPatch) -> None:
    """Where there are no rarer words chunks are found by these."""
    large.setattr(keywords, "COMMON", 10**9)
    assert len(found(index, "word0 word1")) == 10
    assert found(index, "absent missing") == []


@pytest.mark.parametrize("query", QUERIES)
def test_a_filter_leaves_what_fits(
    index: IndexFolder, query: str, request: pytest.FixtureRequest
) -> None:
    """The best of the passages that it holds for, of words that are too common too."""
    expected = found(index, query, "n >= 350")
    request.getfixturevalue("large").setattr(keywords, "POOL", 40)
    assert found(index, query, "n >= 350")[:1] == expected[:1]
    assert len(found(index, query, "n >= 350")) == len(expected)


def odd(index: IndexFolder, number: int, text: str) -> None:
    """Add a passage."""
    index.add([_numbered(text, 1000 + number)])


@pytest.mark.parametrize(
    ("phrases", "passages"),
    [
        (("ha ha", "beta"), ("ha ha ha ha beta", "ha ha beta", "beta ha gamma")),  # overlapping
        (("東 東", "alpha"), ("東東東東 alpha", "東東 alpha", "alpha 東")),
        (("alpha", "beta"), ("beta \0 alpha alpha alpha", "alpha beta", "alpha \0 beta")),
        (tuple(WORDS[:30]), (" ".join(WORDS[:30]),)),  # more than there are bits for
        (("alpha", "alpha", "beta"), ("alpha beta", "beta beta alpha")),  # asked for twice
    ],
)
def test_odd_phrases_have_the_scores_of_fts5(
    index: IndexFolder,
    phrases: tuple[str, ...],
    passages: tuple[str, ...],
    request: pytest.FixtureRequest,
) -> None:
    """Occurrences that overlap, texts with NUL, many phrases, the same one again."""
    for number, text in enumerate(passages):
        odd(index, number, text)

    def matched() -> list[tuple[int, float]]:
        found = index.documents.matching(phrases, 5)
        return [(row, round(score, 9)) for row, score in found]

    expected = matched()
    request.getfixturevalue("large").setattr(keywords, "POOL", COUNT * 2)
    assert matched() == expected
    assert expected[0][0] >= COUNT


def test_the_best_of_many_alike_are_found_with_a_filter_too(
    index: IndexFolder, large: pytest.MonkeyPatch
) -> None:
    """More passages have the same words than are looked at: not the first ones, the best."""
    for number in range(60):
        odd(index, number, "apple " + "filler " * (60 - number))
    large.setattr(keywords, "POOL", 15)
    assert found(index, "apple absent")[0][0] == 1059
    assert found(index, "apple absent", "n < 1055")[0][0] == 1054
    assert found(index, "apple absent -word0", "n < 1055")[0][0] == 1054


@pytest.mark.parametrize("are_many", [True, False])
def test_words_without_a_chunk_are_passed_over(index: IndexFolder, are_many: bool) -> None:
    """The first one's and the last one's, in a damaged index."""
    documents = index.documents
    with documents.writing():
        documents.connection.execute(f"DELETE FROM chunks WHERE id IN (1, {COUNT})")
    with pytest.MonkeyPatch.context() as large:
        large.setattr(keywords, "MANY_HITS", 100 if are_many else 10**6)
        for query in QUERIES:
            for live in (None, np.ones(COUNT, bool)):
                found = documents.matching(words_of(query).wanted, 400, live)
                assert found and not {0, COUNT - 1} & {row for row, _ in found}


def test_what_is_kept_of_words_follows_the_index(
    tmp_path: Path, index: IndexFolder, large: pytest.MonkeyPatch
) -> None:
    """A passage that was added after a query is found by the next one, whoever added it."""
    query = "word40 word50"
    found(index, query)
    with IndexFolder.open(tmp_path / "i") as other:
        other.add([entry("word40 word50", [0, 1, 0, 0], line=999)])
    assert found(index, query)[0][0] == 999
    with IndexFolder.open(tmp_path / "i") as again:
        assert found(again, query) == found(index, query)


def test_what_is_kept_has_bounds(index: IndexFolder, large: pytest.MonkeyPatch) -> None:
    """The words that were asked for longest ago are read again."""
    large.setattr(keywords, "KEPT", 50)
    for query in QUERIES * 2:
        first = found(index, query)
        assert found(index, query) == first
    kept = index.documents._keywords._holders
    assert sum(map(len, kept.values())) <= 50 or len(kept) == 1
