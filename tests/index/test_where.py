"""Conditions of `--where`: what they mean, and that nothing typed is SQL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertcli.errors import UsageError
from bertcli.index.chunks import Chunk
from bertcli.index.content import Entry, NewDocument
from bertcli.index.folder import IndexFolder
from bertcli.index.query import parse
from bertcli.index.where import compile_where

from .samples import build, unit_vectors

ROWS: list[dict[str, Any]] = [
    {"lang": "zh", "year": 2024, "draft": True, "my column": "x"},
    {"lang": "zh", "year": "2022", "draft": False, "at": "2020-01-01 09:30:00"},
    {"lang": "en", "year": "unknown", "tags": "a,b", "at": "2020-01-01T15:00:00"},
    {"lang": "EN", "year": 2023.5, "it's": "o'clock"},
    {},
]
NAMES = ["notes/a.txt", "notes/b.txt", "mail/c.txt", "mail/d.txt", "e.txt"]


def entries(rows: list[dict[str, Any]], names: list[str]) -> Any:
    """Yield a document of one chunk for each row of columns."""
    vectors = unit_vectors(len(rows))
    for number, (row, name) in enumerate(zip(rows, names, strict=True)):
        text = f"text {number}"
        document = NewDocument(name, text, number + 1, row)
        yield Entry(document, [Chunk(0, len(text), 1)], vectors[number][None])


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> IndexFolder:
    """An index of documents with columns of several kinds, and one without."""
    return IndexFolder.open(build(tmp_path_factory.mktemp("w") / "i", entries(ROWS, NAMES)))


def found(index: IndexFolder, where: str) -> set[int]:
    """Return the numbers of the documents that a condition leaves, the same in every mode."""
    condition = compile_where(where)
    vector = unit_vectors(1, seed=5)
    dense = index.search(vector, 9, condition)[0]
    words = index.find(parse("text"), None, 9, condition)
    both = index.find(parse("text"), vector[0], 9, condition)
    kept = [{int(hit.text[5:]) for hit in hits} for hits in (dense, words, both)]
    assert kept[0] == kept[1] == kept[2]
    return kept[0]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("lang = 'zh'", {0, 1}),
        ("lang == 'zh' and year >= 2023", {0}),
        ("lang = 'zh' AND (year >= 2023 OR draft = false)", {0, 1}),
        ("year > 2022", {0, 3}),
        ("year = 2022", {1}),
        ("year = '2024'", {0}),
        ("year between 2022 and 2024", {0, 1, 3}),
        ("year < 1e9", {0, 1, 3}),
        ("year != 2024", {1, 2, 3}),
        ("year not in (2024)", {1, 2, 3}),
        ("year not between 2023 and 2024", {1, 2}),
        ("lang != 'zh'", {2, 3}),
        ("lang in ('zh', 'en')", {0, 1, 2}),
        ("lang not in ('zh', 'en')", {3}),
        ("lang not like 'e%'", {0, 1}),
        ("not (lang like 'e%')", {0, 1, 4}),
        ("draft != true", {1}),
        ("draft != false", {0}),
        ("draft = 'true'", {0}),
        ("draft in ('x', 'false')", {1}),
        ("draft != 'true'", {1}),
        ("not draft = true", {1, 2, 3, 4}),
        ("not lang = 'zh'", {2, 3, 4}),
        ("lang like 'e%'", {2, 3}),
        ("lang like 'e!%' escape '!'", set()),
        ("path like 'notes!/%' escape '!' and lang is not null", {0, 1}),
        ("path like 'notes/%'", {0, 1}),
        ("path not like '%/%'", {4}),
        ("line <= 2", {0, 1}),
        ("tags is null", {0, 1, 3, 4}),
        ("tags is not null and lang = 'en'", {2}),
        ("draft", {0}),
        ("not draft", {1, 2, 3, 4}),
        ("\"my column\" = 'x'", {0}),
        ("\"it's\" = 'o''clock'", {3}),
        ("nothing = 1", set()),
        ("year > 2022 and not (lang = 'zh')", {3}),
        ("at >= '2020-01-01T12:00:00'", {2}),
        ("at < '2020-01-01 12:00:00'", {1}),
        ("at in ('2020-01-01T09:30:00', '2020-01-01 15:00:00')", {1, 2}),
        ("at between '2020-01-01' and '2020-01-01T15:00:00'", {1, 2}),
        ("line = 1 or line = 2 and lang = 'en'", {0}),
    ],
)
def test_what_conditions_mean(index: IndexFolder, where: str, expected: set[int]) -> None:
    """As in SQL, but that numbers in texts are numbers.

    What is missing is neither equal nor unequal, neither in nor not in; `not` before a condition
    turns that round too.
    """
    assert found(index, where) == expected


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("", "at its end (character 1): expected the name of a column"),
        ("lang =", "at its end (character 7): expected a value"),
        ("lang = zh", 'at "zh" (character 8): expected a value'),
        ("lang = 'zh", "this is no name, value or sign"),
        ("lang = 'zh' year = 2", 'at "year = 2" (character 13): expected and, or'),
        ("(lang = 'zh'", "expected )"),
        ("lang = null", "nothing equals null: write is null"),
        ("lang like 5", "like needs a text"),
        ("lang like 'a' escape 'no'", "escape needs one sign"),
        ("lang like 'a' escape 'a'", "escape needs one sign"),
        ("lang not = 'x'", "expected in, like or between"),
        ("and = 1", "expected the name of a column"),
        ("lang = 'x'; DROP TABLE words", "this is no name"),
        ("(" * 60 + "a = 1" + ")" * 60, "nested more than 15 deep"),
        (" or ".join(["a = 1"] * 400), "more than 1,000"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(where: str, message: str) -> None:
    """Where it stands, and what was expected there."""
    with pytest.raises(UsageError) as told:
        compile_where(where)
    assert message in str(told.value)


PARTS = """
lang year path 'zh' 'it''s' 2023 -1.5 and or not in like escape '!'
is null true between ( ) , = <= != "a\\" ?
"""
WORDS = st.sampled_from(PARTS.split())


@settings(deadline=None)
@given(st.lists(WORDS, max_size=12).map(" ".join) | st.text(max_size=30))
def test_anything_typed_is_a_condition_or_an_error_of_use(index: IndexFolder, where: str) -> None:
    """SQLite never sees what it cannot run, and a condition only ever leaves fewer."""
    try:
        condition = compile_where(where)
    except UsageError:
        return
    hits = index.search(unit_vectors(1), 9, condition)[0]
    assert {hit.text for hit in hits} <= {f"text {number}" for number in range(len(ROWS))}


def test_a_long_list_is_read(index: IndexFolder) -> None:
    """As many values as a condition may have are within SQLite's own limits."""
    values = ", ".join(str(number) for number in range(2_000, 2_490))
    assert found(index, f"year in ({values})") == {0, 1}


@settings(deadline=None, max_examples=25)
@given(kept=st.lists(st.booleans(), min_size=1, max_size=60), k=st.integers(1, 10))
def test_a_filter_never_empties_a_result_that_exists(
    kept: list[bool], k: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """It is applied before the best k are taken: brute force over what it leaves is the oracle."""
    rows: list[dict[str, Any]] = [{"keep": one} for one in kept]
    names = [f"{number}.txt" for number in range(len(rows))]
    vectors, query = unit_vectors(len(rows)), unit_vectors(1, seed=3)[0]
    cosines: Mapping[int, float] = {
        number: float(vectors[number] @ query) for number, one in enumerate(kept) if one
    }
    best = sorted(cosines.values(), reverse=True)[:k]
    path = build(tmp_path_factory.mktemp("f") / "i", entries(rows, names))
    with IndexFolder.open(path) as index:
        hits = index.search(query[None], k, compile_where("keep = true"))[0]
    assert np.allclose([hit.score for hit in hits], best, atol=1e-6)
    assert len(hits) == len(best)
