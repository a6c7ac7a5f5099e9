"""Corpora as blocks, and masks over them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertcli.engine.tokens import TextTokenizer
from bertcli.errors import DataError, OutputError
from bertcli.train.blocks import (
    MaskRates,
    Vocabulary,
    draw_masks,
    framed,
    open_blocks,
    write_tokens,
)

VOCABULARY = Vocabulary(before=(1,), after=(2,), mask=3, size=100, special=frozenset({0, 1, 2, 3}))


def test_paragraphs_are_packed_into_full_blocks(tmp_path: Path, tiny_checkpoint: Any) -> None:
    """Paragraphs follow each other without a gap, so that no block is padded."""
    tokenizer = TextTokenizer(tiny_checkpoint() / "tokenizer.json")
    texts = ["the cat sat", "on the mat", "and the dog slept"]
    written = write_tokens(texts, tokenizer, tmp_path / "corpus.u32")
    expected = np.concatenate(tokenizer.ids(texts))
    blocks = open_blocks(tmp_path / "corpus.u32", 4)
    assert written == len(expected)
    assert blocks.ravel().tolist() == expected[: len(expected) // 4 * 4].tolist()


def test_a_corpus_that_cannot_be_written_is_told(tmp_path: Path, tiny_checkpoint: Any) -> None:
    """With the file, as on a full disk."""
    tokenizer = TextTokenizer(tiny_checkpoint() / "tokenizer.json")
    with pytest.raises(OutputError, match=r"corpus\.u32: the corpus cannot be written as tokens"):
        write_tokens(["the cat"], tokenizer, tmp_path / "missing" / "corpus.u32")


def test_a_corpus_smaller_than_a_block_is_refused(tmp_path: Path) -> None:
    """Too little text is said at once, not after training on nothing."""
    path = tmp_path / "corpus.u32"
    np.arange(5, dtype="<u4").tofile(path)
    with pytest.raises(DataError, match="5 tokens"):
        open_blocks(path, 6)


def test_blocks_stand_between_special_tokens() -> None:
    """The model sees each block framed as its tokenizer frames a text."""
    rows = np.array([[7, 8], [9, 10]], np.uint32)
    ids, lengths = framed(rows, VOCABULARY)
    assert ids.tolist() == [[1, 7, 8, 2], [1, 9, 10, 2]]
    assert lengths.tolist() == [4, 4]


def test_texts_apart_have_blocks_of_their_own(tmp_path: Path, tiny_checkpoint: Any) -> None:
    """A long one several; the rest of a block is padding, as much as a step needs."""
    tokenizer = TextTokenizer(tiny_checkpoint() / "tokenizer.json")
    texts = ["the cat sat on the mat", "and", "the dog slept"]
    write_tokens(texts, tokenizer, tmp_path / "corpus.u32", apart=5)
    blocks = open_blocks(tmp_path / "corpus.u32", 5)
    long, short, other = (ids.tolist() for ids in tokenizer.ids(texts))
    ids, lengths = framed(blocks, VOCABULARY)
    assert ids.tolist()[0] == [1, *long[:5], 2]
    assert [row[:n] for row, n in zip(ids.tolist(), lengths, strict=True)] == [
        [1, *one, 2] for one in (long[:5], long[5:], short, other)
    ]
    assert (ids[np.arange(ids.shape[1]) >= lengths[:, None]] == VOCABULARY.padding).all()
    assert framed(blocks[1:], VOCABULARY)[0].shape == (3, 2 + max(len(long) - 5, len(other)))


def test_masks_follow_their_rates() -> None:
    """Of 100,000 tokens 15 % are selected, and of these 80 % masked, 10 % swapped, 10 % kept."""
    ids = np.full((100, 1000), 50, np.int64)
    rng = np.random.default_rng(0)
    seen, selected = draw_masks(ids, MaskRates(), VOCABULARY, rng)
    assert selected.mean() == pytest.approx(0.15, abs=0.01)
    assert (seen[selected] == VOCABULARY.mask).mean() == pytest.approx(0.8, abs=0.02)
    assert (seen[selected] == 50).mean() == pytest.approx(0.1, abs=0.02)
    assert (seen[~selected] == 50).all()


def test_special_tokens_are_never_masked() -> None:
    """A frame or a padding token carries nothing to predict."""
    ids = np.tile(np.array([1, 50, 2, 0], np.int64), (200, 1))
    _, selected = draw_masks(ids, MaskRates(select=0.9), VOCABULARY, np.random.default_rng(0))
    assert not selected[:, [0, 2, 3]].any()
    assert selected[:, 1].any()
