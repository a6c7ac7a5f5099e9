"""Chunks follow the headings of a document."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from bertcli.index.chunks import Chunk, divide
from bertcli.records import Document, Heading, sought_text

TEXT = "Intro words.\n# One\n\nUnder one.\n\n## Sub\nBelow sub.\n# Two\n## Deep\nLast.\n"


def words(text: str) -> list[tuple[int, int]]:
    """Return the characters of each word, as tokens."""
    return [match.span() for match in re.finditer(r"\S+", text)]


def document(text: str) -> Document:
    """Return a text with the headings that its number signs make."""
    found = re.finditer(r"^(#+) (.+)$", text, re.MULTILINE)
    return Document(text, tuple(Heading(m.start(), len(m[1]), m[2]) for m in found))


def divided(text: str, size: int, overlap: int = 0) -> list[Chunk]:
    """Return the chunks of a text with number signs."""
    return divide(document(text), words(text), size, overlap)


def test_each_section_is_a_chunk_with_its_way() -> None:
    """No chunk crosses a heading; one that has no text of its own goes with the next."""
    found = [(TEXT[c.start : c.end], c.heading, c.line) for c in divided(TEXT, 50)]
    assert found == [
        ("Intro words.", None, 1),
        ("# One\n\nUnder one.", "One", 2),
        ("## Sub\nBelow sub.", "One > Sub", 6),
        ("# Two\n## Deep\nLast.", "Two > Deep", 8),
    ]


def test_a_long_section_is_several_chunks_of_the_same_way() -> None:
    """The budget holds within a section too, and leaves room for the heading in each of them."""
    text = "# A\n" + "word " * 20
    chunks = divided(text, 8)
    assert {chunk.heading for chunk in chunks} == {"A"} and len(chunks) == 4
    assert [chunk.context for chunk in chunks] == [None, "A", "A", "A"]


def test_long_headings_leave_room_and_share_less() -> None:
    """Where they take half of the budget, passages are half as long and there are twice as many."""
    text = "# " + "title " * 15 + "\n" + "word " * 640
    plain, headed = divided("word " * 640, 32, 16), divided(text, 32, 16)
    assert len(headed) <= 2 * len(plain) + 4
    for chunk in headed:
        assert len(sought_text(text[chunk.start : chunk.end], chunk.context).split()) <= 32


def test_a_chunk_is_found_by_the_headings_above_it() -> None:
    """By those that its own text does not have, of too long a way by the innermost."""
    text = "# Rome\nA journey.\n## Hotel\nQuiet.\n# Oslo\n## Food in Oslo\nFish."
    found = [(chunk.heading, chunk.context) for chunk in divided(text, 20)]
    assert found == [("Rome", None), ("Rome > Hotel", "Rome"), ("Oslo > Food in Oslo", None)]
    assert [chunk.context for chunk in divided("# Go\nOn.\n## Install\nGood.", 20)] == [None, "Go"]
    assert sought_text("## Hotel\nQuiet.", "Rome") == "Rome\n## Hotel\nQuiet."
    deep = "# A very long way for all of us\n## Rome\n### Hotel\nQuiet.\n### Food\nGood."
    assert [chunk.context for chunk in divided(deep, 24)] == [None, "Rome"]


def test_pages() -> None:
    """A chunk has the page on which it begins."""
    text = "one two\n\nthree four"
    chunks = divide(Document(text, pages=(0, 9)), words(text), 2, 0)
    assert [chunk.page for chunk in chunks] == [1, 2]


@given(
    st.lists(
        st.sampled_from(["# a", "## b", "### c", "x y z", "word. Next", "", "é 漢字"]), max_size=20
    ),
    st.integers(1, 9),
    st.integers(0, 4),
)
def test_nothing_is_lost_and_lines_are_right(lines: list[str], size: int, overlap: int) -> None:
    """Every word is in a chunk of at most the budget, and each chunk knows its line."""
    text = "\n".join(lines)
    chunks = divided(text, size, min(overlap, size - 1))
    held = {at for chunk in chunks for at in range(chunk.start, chunk.end)}
    assert all(start in held for start, _ in words(text))
    for chunk in chunks:
        assert chunk.line == text.count("\n", 0, chunk.start) + 1
        sought = sought_text(text[chunk.start : chunk.end], chunk.context)
        assert len(sought.split()) <= size
    assert chunks == divided(text, size, min(overlap, size - 1))
