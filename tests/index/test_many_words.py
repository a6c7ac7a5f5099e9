"""Words in an index so large that common ones are left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertcli.index import keywords
from bertcli.index.folder import IndexFolder
from bertcli.index.query import words_of

from .samples import build, entry

TEXTS = [f"common words and word{number}" + " third" * (number % 60 == 0) for number in range(200)]


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> IndexFolder:
    """An index of 200 passages that counts as large: rare is one in it, common is ten."""
    monkeypatch.setattr(keywords, "MANY_CHUNKS", 100)
    monkeypatch.setattr(keywords, "RARE", 0.01)
    monkeypatch.setattr(keywords, "COMMON", 0.05)
    entries = [entry(text, [1, 0, 0, 0], line=i) for i, text in enumerate(TEXTS)]
    return IndexFolder.open(build(tmp_path / "i", entries))


@pytest.mark.parametrize(
    ("query", "first", "found"),
    [
        ("common word7", "word7", 1),
        ("word7 word8", "word7", 2),
        ("word7 word60 third common", "word60 third", 2),
        ("third common", "word0 third", 4),
        ("common words", "word1", 10),
        ("common", "word1", 10),
        ("common absent", "word1", 10),
        ("absent missing", None, 0),
    ],
)
def test_rare_words_decide(index: IndexFolder, query: str, first: str | None, found: int) -> None:
    """A rare word is sought without the common ones; common ones alone still find."""
    hits = index.find(words_of(query), None, 10)
    assert len(hits) == found
    assert not first or hits[0].text.endswith(first)
