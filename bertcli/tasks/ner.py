"""Named entities: token labels merged into words, and words into entities."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bertcli.engine.choices import Aggregate, Long
from bertcli.engine.encoder import Encoder, Logits, unreduced
from bertcli.engine.tokens import TextTokenizer, Tokens, capitals
from bertcli.engine.windows import Window, frame_text, ranges
from bertcli.errors import RecordError
from bertcli.records import Record
from bertcli.results import Entity, NerResult, Word
from bertcli.tasks.probabilities import softmax
from bertcli.tasks.run import Plan, count_read

OUTSIDE = "O"
STARTS = frozenset("BSU")
ENDS = frozenset("ELSU")
HANDLES = frozenset("@#")
"""What is one name with the word behind it: @NASA."""
SIGN_OF_HTML = re.compile(r"&#?\w{2,8};")
WRAPPED = 60
"""A line of so many characters may have been wrapped; lists and addresses have shorter ones."""
OF_WORDS = frozenset({Aggregate.FIRST, Aggregate.AVERAGE, Aggregate.MAX})
REST_OF_WORD = re.compile(r"(?<=\w-)[^\W\d_]\w*(?:-\w+)*")
POSSESSIVE = re.compile(r"(?<=\w)['’]s|(?<=\w['’])s")


@dataclass(frozen=True, slots=True)
class Piece:
    """A token or a word with its best label: half-open characters, label, probability."""

    start: int
    end: int
    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Ner:
    """A token classifier. A token in several windows is judged where it stands furthest inside."""

    encoder: Encoder
    tokenizer: TextTokenizer
    window: int
    labels: Sequence[str]
    aggregate: Aggregate = Aggregate.FIRST
    long: Long = Long.WINDOW
    capitals: bool = False
    """Whether the token types tell the model which tokens have capitals."""

    def plan(self, records: Sequence[Record]) -> list[Plan | RecordError]:
        """Return every text's windows."""
        tokenised = self.tokenizer.tokenize([record.text for record in records])
        pairs = zip(tokenised, records, strict=True)
        return [self._plan_one(tokens, record.text) for tokens, record in pairs]

    reduce = staticmethod(unreduced)

    def decode(self, record: Record, plan: Plan, outputs: Sequence[Logits]) -> NerResult:
        """Return the entities from logits (length, labels) per window."""
        probabilities = softmax(stitch(plan.windows, outputs))
        seen = len(probabilities)
        offsets, words = plan.tokens.offsets[:seen], plan.tokens.words[:seen]
        pieces = label_pieces(probabilities, offsets, words, self.labels, self.aggregate)
        spans = [pieces] if self.aggregate is not Aggregate.NONE else [[piece] for piece in pieces]
        entities = [entity for part in spans for entity in self._merge(part, record.text)]
        if self.aggregate in OF_WORDS:
            entities = of_whole_words(entities, record.text)
        tagged = tag_words(record.text, word_spans(offsets, words), entities)
        return NerResult(tuple(entities), plan.reading, tuple(tagged))

    def _merge(self, pieces: Sequence[Piece], text: str) -> list[Entity]:
        if self.aggregate is not Aggregate.NONE:
            return merge_pieces(pieces, text)
        kept = (one for one in pieces if one.label != OUTSIDE and one.start < one.end)
        return [Entity(p.label, p.start, p.end, text[p.start : p.end], p.score) for p in kept]

    def _plan_one(self, tokens: Tokens, text: str) -> Plan | RecordError:
        frame = self.tokenizer.frame
        try:
            spans = ranges(len(tokens), self.window - frame.single, self.long)
        except RecordError as error:
            return error
        types = capitals(text, tokens.offsets) if self.capitals else None
        windows = tuple(frame_text(tokens.ids, start, end, frame, types) for start, end in spans)
        return Plan(windows, tokens, count_read(len(tokens), windows))


def stitch(windows: Sequence[Window], outputs: Sequence[Logits]) -> Logits:
    """Return one row of logits per token of the text, (tokens, labels).

    Where windows overlap a token's row comes from the window with the most context around it, so
    that an entity on a seam is seen once and whole.
    """
    seen = max(window.end for window in windows)
    stitched = np.zeros((seen, outputs[0].shape[1]), np.float32)
    context = np.full(seen, -1)
    for window, output in zip(windows, outputs, strict=True):
        count = window.end - window.start
        here = np.arange(count)
        margin = np.minimum(
            here if window.start else count,
            here[::-1] if window.end < seen else count,
        ) + np.zeros(count, int)
        better = margin > context[window.start : window.end]
        at = window.start + here[better]
        stitched[at] = output[window.first + here[better]]
        context[at] = margin[better]
    return stitched


def label_pieces(
    probabilities: NDArray[np.float64],
    offsets: NDArray[np.int64],
    words: NDArray[np.int64],
    labels: Sequence[str],
    aggregate: Aggregate,
) -> list[Piece]:
    """Return the labelled tokens, or words where `aggregate` is about words."""
    groups = _words(words) if aggregate in OF_WORDS else [(i, i + 1) for i in range(len(offsets))]
    if aggregate is Aggregate.AVERAGE:
        rows = [probabilities[first:last].mean(axis=0) for first, last in groups]
        probabilities = np.array(rows).reshape(-1, probabilities.shape[1])
    elif aggregate is Aggregate.MAX:
        tops = probabilities.max(axis=1)
        probabilities = probabilities[[a + int(tops[a:b].argmax()) for a, b in groups]]
    else:
        probabilities = probabilities[[first for first, _ in groups]]
    best, scores = probabilities.argmax(axis=1).tolist(), probabilities.max(axis=1).tolist()
    return [
        Piece(start, end, labels[label], score)
        for (start, end), label, score in zip(_spans(offsets, groups), best, scores, strict=True)
        # Byte-level tokenizers have a token for a space and nothing more.
        if start < end or aggregate is Aggregate.NONE
    ]


def merge_pieces(pieces: Sequence[Piece], text: str) -> list[Entity]:
    """Return the entities of labelled pieces under BIO, IOB1 or BIOES/BILOU.

    An entity goes on while its type does, until a piece that starts one (B, S, U) or after one
    that ends it (E, L, S, U). Labels without a scheme's prefix count as inside. The sign of a
    handle that starts one belongs to the name behind it that starts one too. None goes over a
    semicolon, or over the end of a line that was not wrapped. The score is the mean of the
    pieces' probabilities.
    """
    entities: list[Entity] = []
    run: list[Piece] = []
    for piece in [*pieces, Piece(0, 0, OUTSIDE, 0.0)]:
        prefix, kind = split_label(piece.label)
        if text[piece.start : piece.end].strip() == ";" and not ends_sign(text, piece.end):
            kind = OUTSIDE
        last_prefix, last_kind = split_label(run[-1].label) if run else ("", OUTSIDE)
        goes_on = kind == last_kind and prefix not in STARTS and last_prefix not in ENDS
        if kind == last_kind and run:
            goes_on |= text[run[0].start : piece.start] in HANDLES
            goes_on &= not line_ends(text, run[-1].end, piece.start)
        if run and not goes_on:
            score = sum(one.score for one in run) / len(run)
            start, end = run[0].start, run[-1].end
            entities.append(Entity(last_kind, start, end, text[start:end], score))
            run = []
        if kind != OUTSIDE:
            run.append(piece)
    return entities


def ends_sign(text: str, end: int) -> bool:
    """Tell whether a sign as HTML writes it ends here, as in AT&amp;T.

    >>> ends_sign("AT&amp;T", 7), ends_sign("Corbyn; Swinson", 7)
    (True, False)
    """
    start = text.rfind("&", 0, end)
    return start >= 0 and SIGN_OF_HTML.fullmatch(text, start, end) is not None


def line_ends(text: str, start: int, end: int) -> bool:
    """Tell whether what was said in a line ends with it, somewhere in these characters.

    It does at a blank line and behind a short one; a long one may have been wrapped.

    >>> line_ends("Ada\\nTuring", 3, 4), line_ends("Ada Turing", 3, 4)
    (True, False)
    """
    breaks = text.count("\n", start, end)
    line = start - (text.rfind("\n", 0, start) + 1)
    return breaks > 1 or (breaks == 1 and line < WRAPPED)


def of_whole_words(entities: Sequence[Entity], text: str) -> list[Entity]:
    """Return entities that end in a hyphen with the rest of its word, and none of a possessive s.

    "Jae-" of "Jae-in" becomes "Jae-in"; the s of "King's" alone is no name.
    """
    found = []
    limits = [*(one.start for one in entities), len(text)][1:]
    for one, limit in zip(entities, limits, strict=True):
        rest = REST_OF_WORD.match(text, one.end)
        if rest and rest.end() <= limit:
            one = replace(one, end=rest.end(), text=text[one.start : rest.end()])
        if not POSSESSIVE.fullmatch(text, one.start, one.end):
            found.append(one)
    return found


def split_label(label: str) -> tuple[str, str]:
    """Return a label's scheme prefix and its type.

    >>> split_label("B-PER"), split_label("PER"), split_label("O")
    (('B', 'PER'), ('', 'PER'), ('', 'O'))
    """
    if len(label) > 2 and label[1] in "-_" and label[0] in "BIESLU":
        return label[0], label[2:]
    return "", label


def word_spans(offsets: NDArray[np.int64], words: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Return the characters of each word, from its tokens."""
    return [(start, end) for start, end in _spans(offsets, _words(words)) if start < end]


def tag_words(
    text: str, spans: Sequence[tuple[int, int]], entities: Sequence[Entity]
) -> list[Word]:
    """Return the words of a text with their IOB2 tags."""
    tagged, coming = [], list(reversed(entities))
    started = False
    for start, end in spans:
        while coming and coming[-1].end <= start:
            coming.pop()
            started = False
        inside = bool(coming) and coming[-1].start < end
        tag = f"{'I' if started else 'B'}-{coming[-1].label}" if inside else OUTSIDE
        started = inside
        tagged.append(Word(text[start:end].strip(), tag))
    return tagged


def _words(words: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Return the half-open runs of tokens with one word number."""
    edges = (np.flatnonzero(np.diff(words)) + 1).tolist()
    return list(pairwise([0, *edges, len(words)])) if len(words) else []


def _spans(
    offsets: NDArray[np.int64], groups: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, int]]:
    """Return the characters of each run of tokens."""
    starts, ends = offsets[:, 0].tolist(), offsets[:, 1].tolist()
    return ((starts[first], ends[last - 1]) for first, last in groups)
