"""Corpora as blocks of token ids, and the masks drawn over them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bertcli.errors import DataError, OutputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bertcli.engine.tokens import TextTokenizer

PARAGRAPHS_AT_ONCE = 2_000
ROWS_AT_ONCE = 100_000
NO_TOKEN = 0xFFFFFFFF
"""Fills up the block of a text that is shorter, where each text has blocks of its own."""


@dataclass(frozen=True, slots=True)
class MaskRates:
    """Which share of the tokens is to be predicted, and what the model sees in their place.

    Of the selected positions the share `mask` becomes the mask token, `random` a random token, and
    the rest stays as it is. The defaults are BERT's (Devlin et al. 2019, section 3.1).
    """

    select: float = 0.15
    mask: float = 0.8
    random: float = 0.1


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The ids that framing and masking need: the frame's, the mask's, and those never masked.

    `padding` is one of the latter.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    mask: int
    size: int
    special: frozenset[int]
    padding: int = 0


def write_tokens(
    paragraphs: Iterable[str], tokenizer: TextTokenizer, path: Path, apart: int | None = None
) -> int:
    """Write the token ids of all paragraphs to one flat file and return how many there are.

    Ids are little-endian uint32, without special tokens, in the order of the paragraphs: a corpus
    may be larger than the memory. With `apart` each paragraph is filled up to blocks of so many.
    The file appears only when it is complete. Raises OutputError when it cannot be written.
    """
    written = 0
    partial = path.with_suffix(".partial")
    stream = iter(paragraphs)
    try:
        with partial.open("wb") as file:
            while batch := list(islice(stream, PARAGRAPHS_AT_ONCE)):
                for ids in tokenizer.ids(batch):
                    file.write(ids.astype("<u4").tobytes())
                    written += len(ids)
                    if apart:
                        file.write(np.full(-len(ids) % apart, NO_TOKEN, "<u4").tobytes())
        partial.replace(path)
    except OSError as error:
        raise OutputError(
            f"{path}: the corpus cannot be written as tokens ({error.strerror}), four bytes each"
        ) from error
    return written


def open_blocks(path: Path, content: int) -> NDArray[np.uint32]:
    """Return a flat file as memory-mapped rows (blocks, content); a remnant at the end is left out.

    Raises DataError when the corpus does not fill a single block.
    """
    tokens = path.stat().st_size // 4
    if tokens < content:
        raise DataError(
            f"{tokens} tokens are too few for one block of {content}: "
            "give more text or a smaller --block"
        )
    blocks = tokens // content
    flat = np.memmap(path, dtype="<u4", mode="r", shape=(blocks * content,))
    return flat.reshape(blocks, content)


def lengths_of(rows: NDArray[np.uint32], vocabulary: Vocabulary) -> NDArray[np.int64]:
    """Return how many tokens each row (n, content) has once it is framed, (n,)."""
    stretches = range(0, len(rows), ROWS_AT_ONCE)
    counts = [(rows[at : at + ROWS_AT_ONCE] != NO_TOKEN).sum(axis=1) for at in stretches]
    frame = len(vocabulary.before) + len(vocabulary.after)
    return np.concatenate(counts) + frame


def framed(
    rows: NDArray[np.uint32], vocabulary: Vocabulary
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return ids (n, length), each row between the model's own special tokens, and lengths (n,).

    What is shorter than the longest is padded behind.
    """
    lengths = lengths_of(rows, vocabulary)
    before, after = np.array(vocabulary.before), np.array(vocabulary.after)
    counts = lengths - len(before) - len(after)
    ids = np.full((len(rows), int(lengths.max())), vocabulary.padding, np.int64)
    for row, whole, count in zip(ids, rows, counts, strict=True):
        found = np.concatenate([before, whole[:count], after])
        row[: len(found)] = found
    return ids, lengths


def draw_masks(
    ids: NDArray[np.int64], rates: MaskRates, vocabulary: Vocabulary, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return what the model sees of ids (n, length), and where it must predict the original.

    Special tokens are never selected; one token always is, since a loss over none is no number.
    """
    free = ~np.isin(ids, list(vocabulary.special))
    selected = (rng.random(ids.shape) < rates.select) & free
    if not selected.any():
        selected.flat[rng.choice(np.flatnonzero(free))] = True
    fate = rng.random(ids.shape)
    seen = np.where(selected & (fate < rates.mask), vocabulary.mask, ids)
    swapped = selected & (fate >= rates.mask) & (fate < rates.mask + rates.random)
    seen[swapped] = rng.integers(0, vocabulary.size, size=int(swapped.sum()))
    return seen, selected
