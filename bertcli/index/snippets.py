"""Which words of a passage a query asked for, and which sentence says it best."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bertcli.index.query import any_of
from bertcli.index.words import full_text, table_of

Span = tuple[int, int]
_OPEN, _CLOSE = "\ue000", "\ue001"  # private characters: no tokenizer sees a word in them
_LETTER = re.compile("(?s).[\u0300-\u036f\u3099\u309a\uff9e\uff9f]*")
"""With the accents and voicing marks that follow, which may become one with it."""
_SENTENCE = re.compile(
    r"(?s)\S.*?(?:[.!?…]+[\"'”’»)\]]*(?=\s)|[。！？｡]+[”’」』）】》]*|\n\s*\n|\Z)"
)


def matches(texts: Sequence[str], phrases: Sequence[str]) -> list[list[Span]]:
    """Return for each text where it has one of the phrases, as the full-text table sees words.

    >>> matches(["He runs, she ran."], ["run"])
    [[(3, 7)]]
    """
    found: list[list[Span]] = [[] for _ in texts]
    if not phrases:
        return found
    spelled = [_spelled(text) for text in texts]
    with table_of((number, text) for number, (text, _) in enumerate(spelled)) as table:
        marked = table.execute(
            f"SELECT rowid, highlight(words, 0, '{_OPEN}', '{_CLOSE}') FROM words "
            "WHERE words MATCH ?",
            (any_of(phrases),),
        ).fetchall()
    for number, text in marked:
        found[number] = _spans(text, spelled[number][1])
    return found


def sentences(text: str) -> list[Span]:
    """Return the sentences of a text, without the white space around them.

    >>> sentences("One. Two!  第三。四")
    [(0, 4), (5, 9), (11, 14), (14, 15)]
    """
    spans = []
    for match in _SENTENCE.finditer(text):
        said = match[0].rstrip()
        spans.append((match.start(), match.start() + len(said)))
    return spans


def best_sentence(text: str, found: Sequence[Span]) -> Span | None:
    """Return the sentence with the most different matching words, the first of equals.

    None where no word matches.
    """
    if not found:
        return None

    def different(sentence: Span) -> int:
        return len({text[a:b].lower() for a, b in found if sentence[0] <= a < sentence[1]})

    return max(sentences(text), key=different, default=None)


def _spelled(text: str) -> tuple[str, list[Span]]:
    """Return the text as the full-text table has it, and which characters each came from."""
    parts, origins = [], list[Span]()
    for found in _LETTER.finditer(text):
        letter = found[0]
        folded = full_text(letter) if letter > "\x7f" else letter
        folded = folded.replace(_OPEN, " ").replace(_CLOSE, " ").replace("\0", " ")
        parts.append(folded)
        origins += [found.span()] * len(folded)
    return "".join(parts), origins


def _spans(marked: str, origins: Sequence[Span]) -> list[Span]:
    """Return the marked characters of a text as characters of the one that it came from."""
    spans, at, start = list[Span](), 0, 0
    for letter in marked:
        if letter == _OPEN:
            start = at
        elif letter == _CLOSE:
            spans.append((origins[start][0], origins[at - 1][1]))
        else:
            at += 1
    return spans
