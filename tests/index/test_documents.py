"""What is in the SQLite file now, so that the next commands need no other format."""

from __future__ import annotations

import json
import sqlite3
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertcli.index import documents
from bertcli.index.chunks import Chunk
from bertcli.index.content import Entry, NewDocument
from bertcli.index.folder import IndexFolder
from bertcli.index.query import parse
from bertcli.index.where import Filter, any_path, compile_where
from bertcli.index.words import full_text, storable

from .samples import build, entry, numbered, texts, unit_vectors


def database(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path / "documents-1.sqlite")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def matches(path: Path, phrase: str) -> list[int]:
    """Return the chunks that hold a phrase, as keyword search will ask for them."""
    query = '"' + full_text(phrase).replace('"', '""') + '"'
    rows = database(path).execute("SELECT rowid FROM words WHERE words MATCH ?", (query,))
    return [row for (row,) in rows]


@pytest.mark.parametrize(
    ("phrase", "found"),
    [
        ("北京", [1]),
        ("京", [1, 2]),
        ("天安门", [1]),
        ("京北", []),
        ("東", [2]),
        ("タワー", [2]),
        ("한국", [3]),
        ("CAFE", [4]),
        ("ＯＫ", [4]),
        ("𠮷", [4]),
        ("οδος", [5]),
        ("ΟΔΌΣ", [5]),
        ("елка", [6]),
        ("мои", []),
        ("العربيه", []),
        ("العربية", [7]),
        ("שלום", [8]),
        ("की", [9]),
        ("का", []),
        ("क", []),
        ("lodz", [10]),
        ("Łódź", [10]),
        ("strasse", [10]),
        ("STRAẞE", [10]),
        ("soren", [11]),
        ("Aeon", [11]),
        ("orestad", [11]),
    ],
)
def test_words_of_every_script_are_found(tmp_path: Path, phrase: str, found: list[int]) -> None:
    """The full-text table finds one and two characters of Chinese, and words without accents."""
    lines = ["我爱北京天安门", "東京タワー", "한국어 문장", "a café is ok 𠮷野家\x00"]
    lines += ["Η οδός", "Мой ёлка", "العَرَبِيَّـــة", "שָׁלוֹם", "की किताब"]
    lines += ["ŁÓDŹ, die Straße", "Søren an æon, Ǿrestad"]
    build(tmp_path / "i", (entry(text, [1, 0, 0, 0]) for text in lines))
    assert sorted(matches(tmp_path / "i", phrase)) == found


def test_a_passage_knows_its_pages(tmp_path: Path) -> None:
    """The first and the last one, and that of each character; a passage of a text has none."""
    pages, text = (0, 4, 4, 8), "one two six"
    chunks = [Chunk(2, 11, 1, None, 1), Chunk(4, 7, 1, None, 3)]
    paged = Entry(NewDocument("a.pdf", text, pages=pages), chunks, unit_vectors(2))
    plain = Entry(NewDocument("a.txt", text), [Chunk(0, 11, 1)], unit_vectors(1))
    path = build(tmp_path / "i", [paged, plain])
    with IndexFolder.open(path) as index:
        found = {(hit.document, hit.start): hit for hit in index.everything()[0]}
    long, short, none = found["a.pdf", 2], found["a.pdf", 4], found["a.txt", 0]
    assert (long.page, long.last_page, long.page_of(1), long.page_of(2)) == (1, 4, 1, 3)
    assert (short.page, short.last_page, none.page, none.last_page) == (3, 3, None, None)


def test_a_deleted_document_is_not_found(tmp_path: Path) -> None:
    """Deleting touches only rows of SQLite: dead vectors are skipped, the words are taken out."""
    rows = unit_vectors(20)
    path = build(tmp_path / "i", numbered(rows))
    with IndexFolder.open(path) as index:
        assert index.remove(compile_where("line = 8")) == 1
    with database(path) as connection:
        connection.execute("INSERT INTO words (words) VALUES ('integrity-check')")
    with IndexFolder.open(path) as index:
        found = texts(index, rows[7].tolist(), 30)
        assert len(found) == 19 and "text 7" not in found
        index.add([entry("new", rows[7].tolist())])
        assert texts(index, rows[7].tolist(), 1) == ["new"]
        assert index.info().chunks == 20
    assert matches(path, "text 7") == []


def test_removed_documents_are_nowhere(tmp_path: Path) -> None:
    """Not by meaning, not by words; what is added afterwards is found, and the rest stays."""
    rows = unit_vectors(20)
    path = build(tmp_path / "i", numbered(rows))
    with IndexFolder.open(path) as index:
        assert index.remove(compile_where("line between 5 and 9 or line = 12")) == 6
        assert index.remove(compile_where("line = 12")) == 0
        found = texts(index, rows[7].tolist(), 30)
        assert {int(text[5:]) for text in found} == {*range(20)} - {4, 5, 6, 7, 8, 11}
        assert [hit.text for hit in index.find(parse('"text 7"'), None, 9)] == []
        assert [hit.text for hit in index.find(parse('"text 9"'), None, 9)] == ["text 9"]
        index.add([entry("new", rows[7].tolist())])
        assert texts(index, rows[7].tolist(), 1) == ["new"]
        assert index.remove(any_path(["a.*"])) == 15
        assert index.info().documents == index.info().chunks == 0
        assert texts(index, rows[7].tolist(), 3) == []
    with database(path) as connection:
        connection.execute("INSERT INTO words (words) VALUES ('integrity-check')")


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_filter_that_is_kept_sees_every_change(
    tmp_path: Path, elsewhere: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not computed again for the next query, but after whatever anybody has changed."""
    rows, computed = unit_vectors(20), count()
    path = build(tmp_path / "i", numbered(rows))
    real = documents.Documents.where

    def counted(self: documents.Documents, condition: Filter) -> Any:
        next(computed)
        return real(self, condition)

    late = compile_where("line > 15")
    with IndexFolder.open(path) as index:
        monkeypatch.setattr(documents.Documents, "where", counted)
        for _ in range(3):
            assert len(index.search(rows[:1], 30, late)[0]) == 5
        assert len(index.find(parse("-17 text"), rows[0], 30, late)) == 4
        assert len(index.search(rows[:1], 30, late)[0]) == 5
        assert next(computed) == 1
        if elsewhere:
            with IndexFolder.open(path) as other:
                other.remove(compile_where("line = 18"))
        else:
            index.remove(compile_where("line = 18"))
        assert len(index.search(rows[:1], 30, late)[0]) == 4


def test_a_removal_counts_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted in the middle, nothing is removed."""
    path = build(tmp_path / "i", numbered(unit_vectors(20)))
    real, calls = documents.full_text, count(1)

    def interrupted(text: str) -> str:
        if next(calls) == 9:
            raise KeyboardInterrupt
        return real(text)

    with IndexFolder.open(path) as index:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(documents, "full_text", interrupted)
            index.remove(any_path(["*"]))
        assert index.info().documents == 20
        assert len(index.find(parse("text"), None, 30)) == 20


def test_columns_come_back_and_sqlite_can_read_them(tmp_path: Path) -> None:
    """Columns survive as JSON that filters can ask: no NaN, and what JSON lacks as text."""
    one = entry("text", [1, 0, 0, 0])
    columns = {"year": 2023, "nan": float("nan"), "tags": ["a", Path("b")], "bad": "\ud800"}
    object.__setattr__(one.document, "columns", columns)
    path = build(tmp_path / "i", [one])
    year = database(path).execute("SELECT json_extract(metadata, '$.year') FROM documents")
    assert year.fetchone() == (2023,)
    with IndexFolder.open(path) as index:
        hit = index.search(np.array([[1, 0, 0, 0]], np.float32), 1)[0][0]
    expected = {"year": 2023, "nan": None, "tags": ["a", "b"], "bad": "\ud800"}
    assert json.dumps(hit.columns) == json.dumps(expected)


def test_lone_surrogates_keep_the_offsets() -> None:
    """A character that UTF-8 cannot hold is replaced by one character."""
    assert storable("a\ud800b") == "a\ufffdb"


def test_texts_of_every_kind_come_back(tmp_path: Path) -> None:
    """NUL bytes, emoji, combining characters and surrogates stay one character each."""
    text = "a\x00b 👩‍🚀 é \ud800 عربى 中文"
    path = build(tmp_path / "i", [entry(text, [1, 0, 0, 0])])
    again, other = (entry(one, [1, 0, 0, 0]).document for one in (text, "other"))
    with IndexFolder.open(path) as index:
        assert texts(index, [1, 0, 0, 0]) == [storable(text)]
        index.expect()
        assert index.missing([other, again]) == ([other], 0)
