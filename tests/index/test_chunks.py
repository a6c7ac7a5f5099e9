"""Where long texts are cut."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertcli.errors import UsageError
from bertcli.index.chunks import Chunk, split


def tokens(text: str) -> list[tuple[int, int]]:
    """Return offsets as WordPiece gives them: pieces of words, single marks, single Han."""
    pattern = r"[\u3040-\u9fff]|[a-zA-Z]{1,4}|\d|[^\w\s]"
    return [match.span() for match in re.finditer(pattern, text)]


def pieces(text: str, size: int, overlap: int = 0) -> list[str]:
    return [text[c.start : c.end] for c in split(text, tokens(text), size, overlap)]


WRITING = st.text(st.sampled_from("abcde. !?\n\t,天地人。！é\x00🙂'\""), max_size=300)
SIZES = st.integers(1, 20).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n - 1)))


@given(WRITING, SIZES)
@settings(max_examples=150, deadline=None)
def test_every_visible_character_is_in_a_chunk(text: str, sizes: tuple[int, int]) -> None:
    """No text is lost between chunks, whatever the tokenizer passed over."""
    covered: set[int] = set()
    for chunk in split(text, tokens(text), *sizes):
        covered.update(range(chunk.start, chunk.end))
    assert {i for i, c in enumerate(text) if not c.isspace()} <= covered


@given(WRITING, SIZES)
@settings(max_examples=150, deadline=None)
def test_chunks_keep_the_budget_go_forward_and_know_their_line(
    text: str, sizes: tuple[int, int]
) -> None:
    """A chunk holds at most `size` tokens, is stripped, and starts after the one before."""
    offsets = tokens(text)
    chunks = split(text, offsets, *sizes)
    for chunk in chunks:
        inside = [o for o in offsets if chunk.start <= o[0] and o[1] <= chunk.end]
        assert len(inside) <= sizes[0]
        assert text[chunk.start : chunk.end] == text[chunk.start : chunk.end].strip() != ""
        assert chunk.line == text[: chunk.start].count("\n") + 1
    assert all(a.start < b.start for a, b in pairwise(chunks))
    assert chunks == split(text, offsets, *sizes)


@given(WRITING, st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), max_size=60), SIZES)
@settings(max_examples=100, deadline=None)
def test_odd_offsets_lose_no_text(
    text: str, offsets: list[tuple[int, int]], sizes: tuple[int, int]
) -> None:
    """Special tokens at (0, 0), and several tokens for one character, do no harm."""
    inside = [(min(a, len(text)), min(b, len(text))) for a, b in offsets]
    covered: set[int] = set()
    for chunk in split(text, inside, *sizes):
        covered.update(range(chunk.start, chunk.end))
    assert {i for i, c in enumerate(text) if not c.isspace()} <= covered


def test_a_short_text_is_one_chunk() -> None:
    """A text within the budget stays whole, without the white space around it."""
    assert split("  One.\n\nTwo. ", tokens("  One.\n\nTwo. "), 4, 1) == [Chunk(2, 12, 1)]


@pytest.mark.parametrize("text", ["", " \n\t "])
def test_an_empty_text_has_no_chunk(text: str) -> None:
    """White space is nothing to find."""
    assert split(text, [], 8, 0) == []


def test_a_text_without_tokens_is_one_chunk() -> None:
    """What the tokenizer drops altogether is still kept with the document."""
    assert split("\x00", [], 8, 0) == [Chunk(0, 1, 1)]


def test_a_paragraph_end_is_preferred() -> None:
    """Within the last third a paragraph end wins over a later sentence end."""
    assert pieces("a b c d e.\n\nx. y. z w v", 9) == ["a b c d e.", "x. y. z w v"]


def test_a_sentence_end_is_preferred() -> None:
    """A sentence is not torn when one ends in the last third; a closing quote belongs to it."""
    assert pieces('a b c "d e." f g h i j', 10) == ['a b c "d e."', "f g h i j"]


def test_chinese_sentences_are_kept_whole() -> None:
    """The full-width full stop ends a sentence without a space after it."""
    assert pieces("我去北京。你去上海！他去广州。", 6) == ["我去北京。", "你去上海！", "他去广州。"]


def test_words_are_kept_whole() -> None:
    """Where no sentence ends, a chunk ends between words."""
    assert pieces("abcdefgh ijklmnop qrstuvwx", 5) == ["abcdefgh ijklmnop", "qrstuvwx"]


def test_one_endless_word_is_cut_at_the_budget() -> None:
    """A word longer than the budget is cut, not dropped."""
    assert pieces("abcdefghijkl", 2) == ["abcdefgh", "ijkl"]


def test_neighbours_share_the_overlap() -> None:
    """The next chunk begins `overlap` tokens before the end of the last one."""
    assert pieces("a b c d e f g", 4, 2) == ["a b c d", "c d e f", "e f g"]


def test_the_overlap_begins_with_a_sentence() -> None:
    """Else with a line, else with a word: of a longer sentence as much as there is room for."""
    assert pieces("a b. c d. e f. g h.", 9, 5) == ["a b. c d. e f.", "e f. g h."]
    assert pieces("a b\nc d\ne f\ng h", 6, 3) == ["a b\nc d\ne f", "e f\ng h"]
    assert pieces("a b c d e f g.", 6, 3) == ["a b c d e f", "d e f g."]


def test_lines_are_counted_from_one() -> None:
    """A chunk carries the line that it starts on."""
    chunks = split("a b\n\nc d\n\ne f", tokens("a b\n\nc d\n\ne f"), 2, 0)
    assert [chunk.line for chunk in chunks] == [1, 3, 5]


@pytest.mark.parametrize(("size", "overlap"), [(0, 0), (4, 4), (4, -1)])
def test_impossible_sizes_are_refused(size: int, overlap: int) -> None:
    """An overlap as long as the chunk would never end."""
    with pytest.raises(UsageError, match="overlap"):
        split("text", [(0, 4)], size, overlap)
