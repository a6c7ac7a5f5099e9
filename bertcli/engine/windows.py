"""What an encoder is given: one window of tokens each, and how a long text is cut into several."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bertcli.engine.choices import Long
from bertcli.engine.tokens import Frame
from bertcli.errors import RecordError

OVERLAP = 0.25
"""The share of a window that it has in common with the next one."""


@dataclass(frozen=True, slots=True)
class Window:
    """One sequence for the encoder.

    `ids` and `types` (length,) int64 with special tokens; `start` and `end` are the range of the
    text's own tokens that it shows, which begin at position `first`; `masks` are the positions
    whose logits are wanted (masked language modelling only).
    """

    ids: NDArray[np.int64]
    types: NDArray[np.int64]
    start: int
    end: int
    first: int
    masks: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)


def cuts(tokens: int, capacity: int, overlap: float = OVERLAP) -> list[tuple[int, int]]:
    """Return half-open ranges of at most `capacity` that cover all tokens; neighbours overlap.

    The last one is moved back to be full, so that no window is a short remnant without context.

    >>> cuts(10, 4, 0.25)
    [(0, 4), (3, 7), (6, 10)]
    """
    if tokens <= capacity:
        return [(0, tokens)]
    step = max(1, capacity - int(capacity * overlap))
    starts = [*range(0, tokens - capacity, step), tokens - capacity]
    return [(start, start + capacity) for start in starts]


def ranges(tokens: int, capacity: int, long: Long) -> list[tuple[int, int]]:
    """Return the ranges in which a text is read, as `--long` wants it.

    Raises RecordError for a text over the capacity when long texts are refused.
    """
    if tokens <= capacity or long is Long.WINDOW:
        return cuts(tokens, capacity)
    if long is Long.TRUNCATE:
        return [(0, capacity)]
    raise RecordError(
        f"the text has {tokens} tokens and the model reads {capacity}: "
        "use --long window or --long truncate"
    )


def frame_text(
    ids: NDArray[np.int64],
    start: int,
    end: int,
    frame: Frame,
    types: NDArray[np.int64] | None = None,
) -> Window:
    """Return the window of a text's tokens `ids` (n,) from `start` to `end` between special tokens.

    `types` (n,) are the token types of the text's tokens, 0 where nothing is given.
    """
    framed = np.concatenate([frame.before, ids[start:end], frame.after]).astype(np.int64)
    first, framed_types = len(frame.before), np.zeros(len(framed), np.int64)
    if types is not None:
        framed_types[first : first + end - start] = types[start:end]
    return Window(framed, framed_types, start, end, first)


def pair_windows(
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    frame: Frame,
    second_type: int,
    window: int,
    long: Long,
) -> tuple[Window, ...]:
    """Return the windows of a pair, `first` (n,) and `second` (m,): both whole, or parts of them.

    Those are each range of one text with each of the other.

    As long as the shorter one leaves a quarter of the window it is not divided. With `truncate` the
    longer one is cut, and both where even halves are too little. A window's own range is that of
    the longer text. Raises RecordError for a pair over the window when long texts are refused.
    """
    room = window - frame.pair
    slides = len(second) >= len(first)
    shorter, longer = sorted((len(first), len(second)))
    if shorter + longer > room and long is Long.ERROR:
        raise RecordError(
            f"the two texts have {len(first)} and {len(second)} tokens and the model reads {room} "
            "in all: use --long window or --long truncate"
        )
    share = shorter if room - shorter >= room // 4 else room // 2
    if long is Long.TRUNCATE:
        share = min(shorter, max(room // 2, room - longer))
    found = []
    for start, end in ranges(shorter, max(share, 1), long):
        for span in ranges(longer, room - (end - start), long):
            kept = (first[start:end], second) if slides else (first, second[start:end])
            found.append(_pair(*kept, span, slides, frame, second_type))
    return tuple(found)


def _pair(
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    span: tuple[int, int],
    slides: bool,
    frame: Frame,
    second_type: int,
) -> Window:
    """Return the window of a range of the second text, where that `slides`, or of the first."""
    start, end = span
    if slides:
        return frame_pair(first, second, span, frame, second_type)
    shown = frame_pair(first[start:end], second, (0, len(second)), frame, second_type)
    return replace(shown, start=start, end=end, first=len(frame.before))


def frame_pair(
    head: NDArray[np.int64],
    ids: NDArray[np.int64],
    span: tuple[int, int],
    frame: Frame,
    second_type: int,
) -> Window:
    """Return the window of a whole first text `head` (n,) and a range of a second `ids` (m,)."""
    start, end = span
    lead = np.concatenate([frame.before, head, frame.between])
    framed = np.concatenate([lead, ids[start:end], frame.after]).astype(np.int64)
    types = np.zeros(len(framed), np.int64)
    types[len(lead) :] = second_type
    return Window(framed, types, start, end, len(lead))
