"""Cutting a long text into chunks that fit the model's window."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bertcli.errors import UsageError
from bertcli.records import Document, Heading, sought_text

Offsets = Sequence[tuple[int, int]] | NDArray[np.integer]

# A sentence ends at .!? before a space, or at its CJK form before anything; quotes and brackets may
# close after it.
_SENTENCE_END = re.compile(r"""(?:[.!?…]["'”’»)\]]*\s+|[。！？｡…][”’」』）】》]*\s*)$""")
_LOOK_BEHIND = 8

WITHIN_CHARACTER, WITHIN_WORD, WORD, LINE, SENTENCE, PARAGRAPH = range(-1, 5)
"""What ends where a text may be cut, the best place last."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Characters `start` to `end` (half-open) of a text; `line` is its first line, from 1.

    `heading` is the way to it through the document's headings, `page` its first page, from 1.
    `context` is what of that way its own text does not say.
    """

    start: int
    end: int
    line: int
    heading: str | None = None
    page: int | None = None
    context: str | None = None

    def sought(self, text: str) -> str:
        """Return what it is found by, of the text that it was cut from."""
        return sought_text(text[self.start : self.end], self.context)


PATH_SIGN = " > "


def divide(document: Document, token_offsets: Offsets, size: int, overlap: int) -> list[Chunk]:
    """Cut a document into chunks, each within one section, see `split`.

    A heading goes with the text below it, and with that of its first subsection where it has none
    of its own. A chunk leaves room for the headings above it, the innermost that take up to half of
    `size`, and shares as much less with its neighbour. The same document and settings always give
    the same chunks.

    >>> text = "# One\\nText.\\n# Two\\nMore."
    >>> headings = (Heading(0, 1, "One"), Heading(12, 1, "Two"))
    >>> [(c.start, c.end, c.heading) for c in divide(Document(text, headings), [], 8, 0)]
    [(0, 11, 'One'), (12, 23, 'Two')]
    """
    text = document.text
    offsets = np.asarray(token_offsets, dtype=np.int64).reshape(-1, 2)
    starts = np.maximum.accumulate(offsets[:, 0]) if len(offsets) else offsets[:, 0]
    chunks = []
    for begin, end, path in _sections(document):
        first, last = np.searchsorted(starts, (begin, end))
        local = np.maximum(offsets[first:last] - begin, 0)
        above, taken = _inner(path, text, starts, size // 2)
        room = size - taken
        heading = _joined(one.title for one in path)
        for chunk in split(text[begin:end], local, room, overlap * room // size):
            start, stop = chunk.start + begin, chunk.end + begin
            page = bisect_right(document.pages, start) or None
            unsaid = _joined(one.title for one in above if not start <= one.start < stop)
            chunks.append(Chunk(start, stop, 1, heading, page, unsaid))
    return _numbered(text, chunks)


def _inner(
    path: Sequence[Heading], text: str, starts: NDArray[np.integer], most: int
) -> tuple[Sequence[Heading], int]:
    """Return the innermost headings of a way with `most` tokens, and how many they have."""
    taken = 0
    for number, heading in enumerate(reversed(path)):
        at = max(text.find(heading.title, heading.start), heading.start)
        first, last = np.searchsorted(starts, (at, at + len(heading.title)))
        tokens = int(last - first) + 1  # and the sign that parts it from the next
        if taken + tokens > most:
            return path[len(path) - number :], taken
        taken += tokens
    return path, taken


def _sections(document: Document) -> Iterator[tuple[int, int, Sequence[Heading]]]:
    """Yield first and last character of each section, and the way to it through the headings."""
    text, headings = document.text, document.headings
    begin, path = 0, list[Heading]()
    for number, heading in enumerate(headings):
        if text[begin : heading.start].strip() and not _bare(text, headings, number):
            yield begin, heading.start, path
            begin = heading.start
        path = [one for one in path if one.level < heading.level] + [heading]
    if begin < len(text):
        yield begin, len(text), path


def _bare(text: str, headings: Sequence[Heading], number: int) -> bool:
    """Return whether a section is nothing but a heading, and the next one is below it."""
    above = headings[number - 1] if number else None
    if above is None or above.level >= headings[number].level:
        return False
    body = text[above.start : headings[number].start].strip()
    return "\n" not in body.replace("\r", "") or body == above.title


def _joined(titles: Iterable[str]) -> str | None:
    return PATH_SIGN.join(titles) or None


def _numbered(text: str, chunks: Sequence[Chunk]) -> list[Chunk]:
    """Return chunks with the line of the whole text on which each begins."""
    numbered, line, seen = [], 1, 0
    for chunk in chunks:
        line += text.count("\n", seen, chunk.start) if chunk.start >= seen else 0
        line -= text.count("\n", chunk.start, seen) if chunk.start < seen else 0
        seen = chunk.start
        numbered.append(replace(chunk, line=line))
    return numbered


def split(text: str, token_offsets: Offsets, size: int, overlap: int) -> list[Chunk]:
    """Cut a text into chunks of at most `size` tokens, neighbours sharing about `overlap` tokens.

    `token_offsets` `(n, 2)` are the characters of each token, without special tokens. A chunk ends
    where a paragraph, else a sentence, else a line, else a word ends in the last third of the
    budget. Every character that is not white space is in some chunk; chunks neither begin nor end
    with white space. A text of white space has no chunk.

    >>> tokens = [(0, 3), (4, 7), (7, 8), (9, 14), (15, 19), (19, 20)]
    >>> [(c.start, c.end) for c in split("One two. Three four.", tokens, 4, 0)]
    [(0, 8), (9, 20)]
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
    return _numbered(text, [Chunk(start, end, 1) for start, end in spans if start < end])


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
    """Return the token with which the next chunk begins, within the overlap.

    The first with which a sentence begins, else a line, else a word.
    """
    within = range(max(first + 1, cut - overlap), cut)
    kinds = [min(_boundary(text, ends[one - 1], starts[one]), SENTENCE) for one in within]
    best = max(kinds, default=WITHIN_WORD)
    return cut if best <= WITHIN_WORD else within[kinds.index(best)]


def _boundary(text: str, end: int, start: int) -> int:
    """Return how good a cut is between a token's end and the next one's start."""
    if start < end:
        return WITHIN_CHARACTER
    gap = text[end:start]
    if gap.count("\n") > 1:
        return PARAGRAPH
    if _SENTENCE_END.search(text[max(0, end - _LOOK_BEHIND) : start]):
        return SENTENCE
    if gap:
        return LINE if "\n" in gap else WORD
    return WORD if start < len(text) and text[start] >= "\u2e80" else WITHIN_WORD


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())
