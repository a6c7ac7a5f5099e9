"""The best answer spans over all windows of a context, as probabilities over all legal spans."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bertcli.engine.encoder import Logits
from bertcli.engine.windows import Window

CANDIDATES = 20
"""So many of the likeliest spans are compared; with 40 or 100 the answers were no better."""
CELLS = 4
"""So many spans of tokens are looked at for each one of whole words."""
EXACT = 0.5
"""What counts of two answers: in equal parts that they are the same, and the tokens they share."""
ACROSS_SENTENCES = 0.22
"""An answer over the end of a sentence is so much less likely to be one than its ends tell."""


@dataclass(frozen=True, slots=True)
class TokenSpan:
    """An answer as a half-open range of context tokens, with its probability."""

    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class SpanTable:
    """Logits of all legal spans: `scores[s, w]` is the span of `w + 1` tokens that starts at `s`.

    −inf marks what no window holds whole. `null` is the logit of "not in this context".
    """

    scores: NDArray[np.float64]
    null: float

    @property
    def log_total(self) -> float:
        """The logarithm of the sum of exponentials over all spans and the null answer."""
        top = max(self.null, float(self.scores.max(initial=-np.inf)))
        return top + float(np.log(np.exp(self.scores - top).sum() + np.exp(self.null - top)))

    @property
    def no_answer(self) -> float:
        """The probability that the context does not hold the answer."""
        return float(np.exp(self.null - self.log_total))


def span_table(windows: Sequence[Window], outputs: Sequence[Logits], longest: int) -> SpanTable:
    """Return the logits of all spans of up to `longest` tokens over all windows.

    A span's logit is start + end (Devlin et al. 2019, section 4.2), the best of the windows that
    hold it; the null answer's is that of the first token in the window that wants it least.
    """
    tokens = max(window.end for window in windows)
    scores = np.full((tokens, longest), -np.inf)
    null = np.inf
    for window, output in zip(windows, outputs, strict=True):
        start, end = output.astype(np.float64).T
        null = min(null, float(start[0] + end[0]))
        count = window.end - window.start
        inner = slice(window.first, window.first + count)
        own = _spans_of_window(start[inner], end[inner], longest)
        rows = scores[window.start : window.end]
        np.maximum(rows, own, out=rows)
    return SpanTable(scores, null)


@dataclass(frozen=True, slots=True)
class Said:
    """What is known of a context's n tokens beside their logits.

    `words` are the numbers of their words, `sentences` of their sentences (n,); each answer has a
    token that is `saying` something. `alike` gives what two answers have in common that say the
    same, of a half-open range of tokens.
    """

    words: NDArray[np.int64]
    sentences: NDArray[np.int64]
    saying: NDArray[np.bool_]
    alike: Callable[[int, int], str]


def best_spans(table: SpanTable, count: int, said: Said) -> list[TokenSpan]:
    """Return the best answers, best first, of whole words, none in two and none twice.

    The best is not the most probable span but the one that agrees most with what is probable
    (minimum Bayes risk; Kumar & Byrne 2004): start and end are chosen apart, so that the top span
    may begin in one answer and end in another, and the variants of an answer share its probability.
    Its score is the probability of all likely spans that overlap it or say the same, of those over
    the end of a sentence a part.
    """
    log_total, found = table.log_total, list[TokenSpan]()
    scores = np.where(_holding(said.saying, table.scores.shape), table.scores, -np.inf)
    told = set[str]()
    while len(found) < count:
        spans, logits = _likeliest(scores, said.words)
        if not len(spans):
            break
        texts = [said.alike(start, end) for start, end in spans.tolist()]
        probable = np.exp(logits - log_total)
        crossing = said.sentences[spans[:, 0]] != said.sentences[spans[:, 1] - 1]
        weights = np.where(crossing, ACROSS_SENTENCES, 1.0) * probable
        shared, same = _agreement(spans, texts)
        agreed = int(((1 - EXACT) * shared @ weights + EXACT * same @ weights).argmax())
        best = int(np.flatnonzero(same[agreed])[0])  # of those that say the same the likeliest
        if texts[best] not in told:
            score = float(weights[(shared[agreed] > 0) | (shared[best] > 0)].sum())
            found.append(TokenSpan(int(spans[best, 0]), int(spans[best, 1]), score))
            told.add(texts[best])
        for start, end in spans[same[best]].tolist():
            _forbid(scores, start, end)
    return found


def _likeliest(
    scores: NDArray[np.float64], words: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the likeliest spans (k, 2), widened to whole words, and their logits (k,)."""
    flat = scores.ravel()
    most = min(CELLS * CANDIDATES, flat.size)
    cells = np.argpartition(-flat, most - 1)[:most] if most else np.empty(0, np.int64)
    cells = cells[np.argsort(-flat[cells], kind="stable")]
    found: dict[tuple[int, int], float] = {}
    for cell in cells.tolist():
        if len(found) == CANDIDATES or flat[cell] == -np.inf:
            break
        start, width = divmod(cell, scores.shape[1])
        span = widened(start, start + width + 1, words)
        found[span] = np.logaddexp(found.get(span, -np.inf), flat[cell])
    spans = np.array(list(found), np.int64).reshape(-1, 2)
    logits = np.array(list(found.values()))
    order = np.argsort(-logits, kind="stable")
    return spans[order], logits[order]


def _agreement(
    spans: NDArray[np.int64], texts: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return for every two of k spans the F1 of their tokens (k, k), and whether they say the same.

    Those that say the same agree wholly, wherever they stand.
    """
    start, end = spans.T
    common = np.minimum(end[:, None], end) - np.maximum(start[:, None], start)
    lengths = end - start
    kinds = np.unique(texts, return_inverse=True)[1]
    same = kinds[:, None] == kinds
    shared = 2 * common.clip(0) / (lengths[:, None] + lengths)
    return np.where(same, 1.0, shared), same


def widened(start: int, end: int, words: NDArray[np.int64]) -> tuple[int, int]:
    """Return a range of tokens with the rest of its first and of its last word.

    >>> widened(1, 2, np.array([0, 0, 0, 1]))
    (0, 3)
    """
    while start and words[start - 1] == words[start]:
        start -= 1
    while end < len(words) and words[end - 1] == words[end]:
        end += 1
    return start, end


def _holding(saying: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return which spans `(tokens, longest)` have one of these tokens."""
    before = np.concatenate([[0], np.cumsum(saying[: shape[0]])])
    starts = np.arange(shape[0])[:, None]
    ends = np.minimum(starts + 1 + np.arange(shape[1]), shape[0])
    return np.asarray(before[ends] > before[starts])


def _spans_of_window(
    start: NDArray[np.float64], end: NDArray[np.float64], longest: int
) -> NDArray[np.float64]:
    padded = np.concatenate([end, np.full(longest, -np.inf)])
    ends = np.lib.stride_tricks.sliding_window_view(padded, longest)[: len(end)]
    return np.asarray(start[:, None] + ends)


def _forbid(scores: NDArray[np.float64], start: int, end: int) -> None:
    """Strike every span that shares a token with the one from `start` to `end`."""
    longest = int(scores.shape[1])
    scores[start:end] = -np.inf
    for before in range(max(0, start - longest + 1), start):
        scores[before, start - before :] = -np.inf
