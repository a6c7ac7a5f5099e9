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

# unicode61 folds the accents of Latin letters alone. Of Greek, Hebrew, Arabic and the Cyrillic yo
# they are written or left out as one likes, and to the tatweel nobody listens. Letters that Unicode
# takes apart no further are written in the second way where a keyboard lacks them.
_PLAIN = str.maketrans(
    dict(zip("ĐđÐðĦħŁłØøŦŧı", "DdDdHhLlOoTti", strict=True))
    | {"Æ": "AE", "æ": "ae", "Œ": "OE", "œ": "oe", "ẞ": "SS", "ß": "ss", "Þ": "Th", "þ": "th"}
)
_POINTED = "\u0370-\u03ff\u1f00-\u1fff\u0401\u0451\u0591-\u05f4\u0600-\u06ff"
_SPELLED_OTHERWISE = re.compile(f"[{_POINTED}{''.join(map(chr, _PLAIN))}ǢǣǼǽǾǿ]+")
_TATWEEL = "\u0640"

_INDIC = map(chr, range(0x0900, 0x0E00))
VOWEL_SIGNS = "".join(one for one in _INDIC if unicodedata.category(one) in ("Mn", "Mc"))
"""From Devanagari to Sinhala they are no letters in Unicode, and would divide words."""

TOKENIZER = f"porter unicode61 remove_diacritics 2 tokenchars '{VOWEL_SIGNS}'"
"""Stands between double quotes in SQL."""


def full_text(text: str) -> str:
    """Return the text for the full-text table: full-width forms and accents folded, CJK spaced.

    A chunk is taken out of the table by handing in the same string again: with a change here, or of
    TOKENIZER, an index has another format.

    >>> full_text("去東京ＯＫ"), full_text("οδός"), full_text("Łódź, Straße")
    (' 去  東  京 OK', 'οδος', 'Lódź, Strasse')
    """
    if text.isascii():
        return text  # what follows would change nothing
    folded = _SPELLED_OTHERWISE.sub(_bare, unicodedata.normalize("NFKC", text))
    return UNSPACED.sub(r" \g<0> ", folded)


def _bare(letters: re.Match[str]) -> str:
    """Return letters of the plain spelling, without the signs upon them."""
    apart = unicodedata.normalize("NFD", letters[0])
    bare = (one for one in apart if one != _TATWEEL and unicodedata.category(one) != "Mn")
    return "".join(bare).translate(_PLAIN)


@contextmanager
def table_of(texts: Iterable[tuple[int, str]]) -> Iterator[sqlite3.Connection]:
    """Give a full-text table `words` in memory, with a `body` for each number.

    It sees words as that of an index does, and keeps the texts.
    """
    with closing(sqlite3.connect(":memory:")) as table:
        table.execute(f'CREATE VIRTUAL TABLE words USING fts5 (body, tokenize="{TOKENIZER}")')
        table.executemany("INSERT INTO words (rowid, body) VALUES (?, ?)", texts)
        yield table


def storable(text: str) -> str:
    """Return the text with lone surrogates, which UTF-8 cannot hold, replaced one for one.

    Every other character keeps its offset.
    """
    return _SURROGATE.sub("\ufffd", text)
