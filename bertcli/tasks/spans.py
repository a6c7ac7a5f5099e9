"""The best answer spans over all windows of a context, as probabilities over all legal spans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bertcli.engine.encoder import Logits
from bertcli.engine.windows import Window

MAX_ANSWER_TOKENS = 30


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


def span_table(
    windows: Sequence[Window], outputs: Sequence[Logits], longest: int = MAX_ANSWER_TOKENS
) -> SpanTable:
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


def best_spans(
    table: SpanTable, count: int, words: NDArray[np.int64], saying: NDArray[np.bool_]
) -> list[TokenSpan]:
    """Return the most probable spans, best first, widened to whole words, none in two answers.

    `words` are the word numbers of the tokens; each span has a token that is `saying` something.
    """
    log_total, found = table.log_total, list[TokenSpan]()
    scores = np.where(_holding(saying, table.scores.shape), table.scores, -np.inf)
    while len(found) < count and scores.size:
        start, width = np.unravel_index(int(scores.argmax()), scores.shape)
        score = scores[start, width]
        if score == -np.inf:
            break
        begin, end = widened(int(start), int(start + width + 1), words)
        found.append(TokenSpan(begin, end, float(np.exp(score - log_total))))
        _forbid(scores, begin, end)
    return found


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
