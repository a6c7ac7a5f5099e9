"""Cutting a long text into chunks that fit the model's window."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bertcli.errors import UsageError

Offsets = Sequence[tuple[int, int]] | NDArray[np.integer]

# A sentence ends at .!? before a space, or at its CJK form before anything; quotes and brackets may
# close after it.
_SENTENCE_END = re.compile(r"""(?:[.!?…]["'”’»)\]]*\s+|[。！？｡…][”’」』）】》]*\s*)$""")
_LOOK_BEHIND = 8


@dataclass(frozen=True, slots=True)
class Chunk:
    """Characters `start` to `end` (half-open) of a text; `line` is its first line, from 1."""

    start: int
    end: int
    line: int


def split(text: str, token_offsets: Offsets, size: int, overlap: int) -> list[Chunk]:
    """Cut a text into chunks of at most `size` tokens, neighbours sharing about `overlap` tokens.

    `token_offsets` `(n, 2)` are the characters of each token, without special tokens. A chunk ends
    where a paragraph, else a sentence, else a line, else a word ends in the last third of the
    budget. Every character that is not white space is in some chunk; chunks neither begin nor end
    with white space. A text of white space has no chunk.

    >>> split("One two. Three four.", [(0, 3), (4, 7), (7, 8), (9, 14), (15, 19), (19, 20)], 4, 0)
    [Chunk(start=0, end=8, line=1), Chunk(start=9, end=20, line=1)]
    """
    if size < 1 or not 0 <= overlap < size:
        raise UsageError(
            f"chunks of {size} tokens cannot overlap by {overlap}: the overlap must be at least 0 "
            "and smaller than the chunk"
        )
    # Tokens go forward; a stray (0, 0), as special tokens have, must not lose text.
    offsets = np.asarray(token_offsets, dtype=np.int64).reshape(-1, 2)
    starts, ends = np.maximum.accumulate(offsets, axis=0).T.tolist()
    spans = _character_spans(text, starts, ends, size, overlap)
    return _with_lines(text, [span for span in spans if span[0] < span[1]])


def _character_spans(
    text: str, starts: Sequence[int], ends: Sequence[int], size: int, overlap: int
) -> list[tuple[int, int]]:
    """Return the stripped characters of each chunk; what lies between tokens goes to the left."""
    first, begin, spans = 0, 0, []
    while len(starts) - first > size:
        cut = _best_cut(text, starts, ends, first, size)
        spans.append(_stripped(text, begin, starts[cut]))
        first = _next_first(text, starts, ends, first, cut, overlap)
        begin = starts[first]
    return [*spans, _stripped(text, begin, len(text))]


def _best_cut(text: str, starts: Sequence[int], ends: Sequence[int], first: int, size: int) -> int:
    """Return the token before which to cut: the best kind of boundary, and of these the last."""
    lowest = first + max(1, size - size // 3)
    return max(
        range(lowest, first + size + 1),
        key=lambda token: (_boundary(text, ends[token - 1], starts[token]), token),
    )


def _next_first(
    text: str, starts: Sequence[int], ends: Sequence[int], first: int, cut: int, overlap: int
) -> int:
    """Return the token with which the next chunk begins: a word's first within the overlap."""
    for token in range(max(first + 1, cut - overlap), cut):
        if _boundary(text, ends[token - 1], starts[token]) > 0:
            return token
    return cut


def _boundary(text: str, end: int, start: int) -> int:
    """Return how good a cut is between a token's end and the next one's start, 4 the best.

    4 paragraph, 3 sentence, 2 line, 1 word, 0 within a word, -1 within a character.
    """
    if start < end:
        return -1
    gap = text[end:start]
    if gap.count("\n") > 1:
        return 4
    if _SENTENCE_END.search(text[max(0, end - _LOOK_BEHIND) : start]):
        return 3
    if gap:
        return 2 if "\n" in gap else 1
    return 1 if start < len(text) and text[start] >= "\u2e80" else 0


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())


def _with_lines(text: str, spans: Sequence[tuple[int, int]]) -> list[Chunk]:
    """Number the lines in one pass; spans come in the order of their starts."""
    chunks, line, seen = [], 1, 0
    for start, end in spans:
        line += text.count("\n", seen, start)
        seen = start
        chunks.append(Chunk(start, end, line))
    return chunks
