"""Text as the full-text table wants it, so that Chinese, Japanese and Korean words are found."""

from __future__ import annotations

import re
import sqlite3
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager

# Han, kana and Hangul syllables. SQLite's unicode61 tokenizer takes a run of them for one word, and
# its trigram tokenizer finds nothing shorter than three characters; one token per character, with a
# phrase query for a word, finds words of every length.
UNSPACED = re.compile(
    "[\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
    "\U00020000-\U0003ffff]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")

TOKENIZER = "porter unicode61 remove_diacritics 2"


def full_text(text: str) -> str:
    """Return the text for the full-text table: full-width forms folded, CJK characters spaced.

    A chunk is taken out of the table by handing in the same string again, so a change here needs
    the table to be filled anew from the documents.

    >>> full_text("去東京ＯＫ")
    ' 去  東  京 OK'
    """
    return UNSPACED.sub(r" \g<0> ", unicodedata.normalize("NFKC", text))


@contextmanager
def table_of(texts: Iterable[tuple[int, str]]) -> Iterator[sqlite3.Connection]:
    """Give a full-text table `words` in memory, with a `body` for each number.

    It sees words as that of an index does, and keeps the texts.
    """
    with closing(sqlite3.connect(":memory:")) as table:
        table.execute(f"CREATE VIRTUAL TABLE words USING fts5 (body, tokenize='{TOKENIZER}')")
        table.executemany("INSERT INTO words (rowid, body) VALUES (?, ?)", texts)
        yield table


def storable(text: str) -> str:
    """Return the text with lone surrogates, which UTF-8 cannot hold, replaced one for one.

    Every other character keeps its offset.
    """
    return _SURROGATE.sub("\ufffd", text)
