"""What a query asks of the full-text table, and how two rankings become one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from bertcli.index.words import UNSPACED, VOWEL_SIGNS, full_text

RANK_CONSTANT = 60
_LITTLE = """
a about also an and any are as at be been but by can could did do does for from had has have he her
his how i if in into is it its just many may me might more most much must my no not of on only or
our shall she should so some such than that the their them then there these they this those to too
very was we were what when where which who whom whose why will with would you your
"""
FUNCTION_WORDS = frozenset(_LITTLE.split())
"""English words that say nothing of a subject: sought only where a query has no others."""
_STRAIGHT = str.maketrans(dict.fromkeys("“”„‟«»", '"'))
_PART = re.compile(
    r"""(?P<minus>(?<!\S)-(?!-)(?=[^\s\w"]*["\w]))?(?:"(?P<phrase>[^"]*)"|(?P<word>[^\s"]+))"""
)
_WORD = re.compile(rf"(?:[^\W_]|[{VOWEL_SIGNS}])+")
_SHORTENED = re.compile(
    r"\b[^\W\d_]['’](?!(?:ll|re|ve)\b)(?=[^\W_]{2})|(?<=[^\W_])['’](?:s|d|m|ll|re|ve)\b",
    re.IGNORECASE,
)
"""What an apostrophe ties to a word: *d'* of *d'été*, *'s* and *'ll* of *she's* and *she'll*."""
_VERB = (
    "(?:ai|are|ca|could|dare|did|does|do|had|has|have|is|might|must|need|ought|sha|should|was|were"
    "|wo|would)n"
)
_NOT = re.compile(rf"\b{_VERB}['’]t(?:['’]ve)?\b", re.IGNORECASE)
_NOT_SOUGHT = re.compile(f"{_VERB} t", re.IGNORECASE)
"""A verb with *n't*, as it is written and as the full-text table has it: a function word."""


@dataclass(frozen=True, slots=True)
class Query:
    """A query as it was typed, and what of it is sought, kept out, and must be there.

    `wanted`, `unwanted` and `needed` are phrases for the full-text table; `meaning` is the text
    without quotes and without what is kept out, for the embedding model.
    """

    text: str
    wanted: tuple[str, ...]
    unwanted: tuple[str, ...]
    meaning: str
    needed: tuple[str, ...] = ()

    @property
    def narrows(self) -> bool:
        """Whether some passages are left out, however near."""
        return bool(self.unwanted or self.needed)


def parse(text: str) -> Query:
    """Return a query of words, "phrases in quotes", which must be there, and -exclusions.

    A word of Chinese, Japanese or Korean is sought by each two of its characters, since nobody
    marks where words end.

    >>> query = parse('red "town hall" -rent')
    >>> query.wanted, query.needed, query.unwanted, query.meaning
    (('red', 'town hall'), ('town hall',), ('rent',), 'red town hall')
    """
    wanted: dict[str, None] = {}
    unwanted: dict[str, None] = {}
    needed: dict[str, None] = {}
    meaning = []
    for part in _PART.finditer(text.translate(_STRAIGHT)):
        phrase, word = part["phrase"], part["word"]
        said = word if phrase is None else phrase
        if part["minus"]:
            unwanted |= dict.fromkeys(_phrase(said))
            continue
        meaning.append(said)
        found = dict.fromkeys(_words(said) if phrase is None else _phrase(said))
        wanted |= found
        needed |= {} if phrase is None else found
    plain = " ".join(" ".join(meaning).split())
    return Query(text, _telling(wanted), tuple(unwanted), plain or text, tuple(needed))


def words_of(text: str) -> Query:
    """Return a query of words alone, whose quotes and hyphens mean nothing."""
    wanted = dict.fromkeys(phrase for word in text.split() for phrase in _words(word))
    return Query(text, _telling(wanted), (), text)


def any_of(phrases: Iterable[str]) -> str:
    """Return the full-text table's expression for texts that hold at least one of the phrases."""
    return " OR ".join(f'"{phrase}"' for phrase in phrases)


def all_of(phrases: Iterable[str]) -> str:
    """Return the full-text table's expression for texts that hold all of the phrases."""
    return " AND ".join(f'"{phrase}"' for phrase in phrases)


def fuse(rankings: Iterable[Sequence[int]]) -> list[int]:
    """Return what several rankings found, best first, by reciprocal rank.

    The score of a row is the sum of `1 / (60 + rank)`, with ranks from 1 (Cormack, Clarke and
    Büttcher 2009, who found 60). Equal scores come in the order of the rows.

    >>> fuse([[7, 8], [8, 9]])
    [8, 7, 9]
    """
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, row in enumerate(ranking, 1):
            scores[row] = scores.get(row, 0.0) + 1 / (RANK_CONSTANT + rank)
    return sorted(scores, key=lambda row: (-scores[row], row))


def _telling(phrases: Iterable[str]) -> tuple[str, ...]:
    listed = tuple(phrases)
    return tuple(one for one in listed if not _says_nothing(one)) or listed


def _says_nothing(phrase: str) -> bool:
    return phrase.lower() in FUNCTION_WORDS or bool(_NOT_SOUGHT.fullmatch(phrase))


def _phrase(text: str) -> list[str]:
    """Return a phrase as the table's tokenizer sees it, nothing where it has no letter or digit."""
    words = _WORD.findall(full_text(text))
    return [" ".join(words)] if words else []


def _words(text: str) -> Iterable[str]:
    """Yield what is sought of a word: its parts between signs, and pairs of unspaced characters.

    Of a shortened one what is left, and one with *n't* as it is.
    """
    spelled = full_text(text).replace("  ", "")
    for verb in _NOT.findall(spelled):
        yield from _phrase(verb)
    for run in _WORD.findall(_SHORTENED.sub("", _NOT.sub(" ", spelled))):
        unspaced = "".join(UNSPACED.findall(run))
        yield from _WORD.findall(UNSPACED.sub(" ", run))
        if len(unspaced) <= 2:
            yield from [" ".join(unspaced)] if unspaced else []
        else:
            yield from (f"{one} {two}" for one, two in pairwise(unspaced))
