"""Tables fit the terminal and obey nothing that a text says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from bertcli.outputs.layouts import LAYOUTS, Column, Marked, _place_cell
from bertcli.outputs.table import fitted, render_table
from bertcli.outputs.visible import shorten, visible
from bertcli.results import (
    Answer,
    ClassifyResult,
    Entity,
    Hit,
    LabelScore,
    NerResult,
    QaResult,
    Reading,
    Result,
    SearchResult,
    Span,
)

from .samples import SAMPLES, answered, failed

FINE = ClassifyResult((LabelScore("fine", 0.75),), Reading(3))


def lines_of(answers: list[Answer], width: int = 80, page_size: int = 50) -> list[str]:
    """Return the lines of a table without colour."""
    return "".join(render_table(answers, width, False, page_size)).splitlines()


def results_with(text: str) -> list[Result]:
    """Return a result of each kind that repeats a user's text."""
    return [
        ClassifyResult((LabelScore(text, 0.5),), Reading(1)),
        NerResult((Entity(text, 0, len(text), text, 0.5),), Reading(1)),
        QaResult(text, (Span(text, 0, 1, 1, 0.5),), 0.1, Reading(1)),
        SearchResult(text, (), Reading(1)),
    ]


@pytest.mark.parametrize("page_size", [1, 50])
@pytest.mark.parametrize("width", [20, 33, 40, 80, 200])
@pytest.mark.parametrize("task", SAMPLES)
def test_no_line_is_wider_than_the_terminal(task: str, width: int, page_size: int) -> None:
    """Chinese counts double, and every line of every task fits."""
    long = [answered(7, "很长的中文文本" * 50, a.result) for a in SAMPLES[task]() if a.result]
    for line in lines_of(SAMPLES[task]() + long, width, page_size):
        assert cell_len(line) <= width


@given(st.text(st.characters(codec=None, exclude_categories=()), max_size=60))
def test_any_text_fits_and_is_harmless(text: str) -> None:
    """No text moves the cursor, opens a line of its own or breaks the width."""
    for result in results_with(text):
        for answer in (answered(0, text, result), failed(0, text, text)):
            printed = "".join(render_table([answer, answer], 40, False))
            assert not any(ord(c) < 32 and c != "\n" for c in printed)
            assert max(map(cell_len, printed.split("\n"))) <= 40
            printed.encode()


def test_escape_codes_are_shown_and_not_obeyed() -> None:
    """A text cannot colour, clear or retitle the terminal."""
    line = lines_of([answered(i, "\x1b[31mred\x07\u202e", FINE) for i in range(2)])[2]
    assert "␛[31mred␇\ufffd" in line


def test_markup_is_only_text() -> None:
    """What looks like rich's markup or an emoji code is printed as it stands."""
    line = lines_of([answered(i, "[bold]x[/bold] :smile: [/]", FINE) for i in range(2)])[2]
    assert "[bold]x[/bold] :smile: [/]" in line


def test_titles_come_once_and_columns_stay_put() -> None:
    """A stream longer than a page is one table: one title, scores under one another."""
    lines = lines_of([answered(i, "word " * (i % 40), FINE) for i in range(2000)])
    assert sum("label" in line for line in lines) == 1
    assert len(lines) == 2002
    assert {line.index("0.7500") + 6 for line in lines[2:]} == {80}


def test_a_number_is_never_cut() -> None:
    """Record 1000 is called 1000 although the first page was narrower."""
    lines = lines_of([answered(i, "x" * 200, FINE) for i in range(1000)])
    assert lines[-1].startswith("1000  xxx")
    assert lines[51].startswith("50  xxx")


def test_the_stream_is_not_read_ahead_when_live() -> None:
    """A live table shows a record before it asks for the next."""
    asked: list[int] = []

    def watched() -> Iterator[Answer]:
        for i in range(3):
            asked.append(i)
            yield answered(i, "x", FINE)

    pieces = render_table(watched(), 80, False, page_size=1)
    assert "0.7500" in next(pieces)
    assert asked == [0]


def test_failures_before_the_first_answer_are_shown_at_once() -> None:
    """An error needs no columns."""
    lines = lines_of([failed(0, "", "too long"), answered(1, "x", FINE)], page_size=1)
    assert lines[0] == "#1  error: too long"
    assert lines[-1].split() == ["2", "x", "fine", "0.7500"]


def test_one_entity_inside_another_does_not_repeat_the_text() -> None:
    """The marked text says every character once; the rows have both entities."""
    found = (Entity("ORG", 0, 10, "Bank of X.", 0.9), Entity("LOC", 8, 9, "X", 0.8))
    lines = lines_of([answered(0, "Bank of X. is open", NerResult(found, Reading(5)))])
    assert lines[0] == "[Bank of X. ORG] is open"
    assert len(lines) == 5


def test_a_very_long_text_is_cut_above_its_entities() -> None:
    """A whole book with one entity does not scroll the entity away."""
    found = (Entity("LOC", 0, 5, "Paris", 0.9),)
    lines = lines_of([answered(0, "Paris " * 5000, NerResult(found, Reading(5)))])
    assert len(lines) <= 16
    assert "…" in "".join(lines)


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("short", 5, "short"),
        ("longer", 5, "long…"),
        ("中文字", 5, "中文…"),
        ("中文", 2, "…"),
        ("a", 0, ""),
    ],
)
def test_shorten_counts_terminal_columns(text: str, width: int, expected: str) -> None:
    """A cut text ends in … and fits."""
    assert shorten(text, width) == expected


@given(st.text())
def test_visible_keeps_offsets(text: str) -> None:
    """One character for one character: entities are still where they were."""
    assert len(visible(text)) == len(text)


def test_flexible_columns_share_what_is_left() -> None:
    """A short text leaves its room to a long one."""
    columns = [Column("q", flexible=True), Column("a", flexible=True), Column("s", number=True)]
    assert fitted(columns, [10, 500, 6], 80) == (10, 60, 6)
    assert fitted(columns, [500, 500, 6], 80) == (35, 35, 6)
    assert fitted(columns, [10, 10, 6], 80) == (10, 10, 6)


@pytest.mark.parametrize("width", [50, 100])
def test_a_heading_gives_way_to_the_text(width: int) -> None:
    """Rank, score and line are whole, and a third of the line is the text's."""
    place = "model-railway/workshop/garden.md"
    hit = Hit(0.4711, "word " * 40, place, 1234, heading="Toys > For children > Rain")
    lines = lines_of([answered(0, "q", SearchResult("q", (hit,), Reading(1)))], width)
    assert lines[0].split()[0] == "rank"
    assert lines[2].split()[:2] == ["1", "0.4711"]
    assert "garden.md:1234 " in lines[2]
    assert width - lines[2].index("word") >= width // 3
    assert ("heading" in lines[0]) == (width == 100)


def test_a_heading_that_was_left_out_stays_out() -> None:
    """The titles of a stream stand at its top, once."""
    long = Hit(0.5, "word " * 40, "a.md", 1, heading="One > Two")
    short = Hit(0.5, "word", "a.md", 1, heading="One")
    results = [SearchResult("q", (hit,), Reading(1)) for hit in (long, short)]
    lines = lines_of([answered(i, "q", one) for i, one in enumerate(results)], 35, page_size=1)
    assert "One" not in "".join(lines)


def test_an_answer_is_never_cut() -> None:
    """A question gives way to it: it is known already."""
    answer = "from nine on Monday until five on Friday, but for the holidays in May and in June"
    result = QaResult("When is it open? " * 9, (Span(answer, 0, 9, 1, 0.5),), 0.1, Reading(1))
    lines = lines_of([answered(i, "", result) for i in range(2)], 50)
    cut = lines[2].index("…") + 3
    shown = " ".join(line[cut : lines[0].index(" score")].strip() for line in lines[2:])
    assert shown.split()[: len(answer.split())] == answer.split()


def test_the_end_of_a_line_is_not_coloured() -> None:
    """Where the marked text wraps before an entity none of its colour stays behind."""
    text = "The president of the company was seen in Paris"
    found = (Entity("LOC", 41, 46, "Paris", 0.9),)
    (answer,) = [answered(0, text, NerResult(found, Reading(9)))]
    first, second, *_ = "".join(render_table([answer], 43, True)).splitlines()
    assert first == "The president of the company was seen in"
    assert "Paris" in second


def test_a_long_sentence_is_shown_where_it_matches() -> None:
    """From shortly before most of the words that match; a short one from its beginning."""
    text = " ".join(f"line number {n}" for n in range(1, 300))
    spans = [found.span() for found in re.finditer(r"line|number|\b200\b", text)]
    cell = passage_of(text, spans, (0, len(text)))
    assert "line number 200" in cell[cell.focus : cell.focus + 60]
    short = "Cats sleep. Dogs bark."
    assert passage_of(short, [(17, 21)], (12, 22)).focus == 12


def passage_of(text: str, spans: list[tuple[int, int]], sentence: tuple[int, int]) -> Marked:
    """Return the cell of a passage with its words that match and its best sentence."""
    hit = Hit(0.5, text, "a.txt", 1, matches=tuple(spans), sentence=sentence)
    (row,) = LAYOUTS[SearchResult].rows(SearchResult("", (hit,), Reading(1)))
    assert isinstance(row[-1], Marked)
    return row[-1]


def test_a_file_that_is_not_named_in_full_has_no_link() -> None:
    """An index that others made may say anything of its files."""
    hit = Hit(0.5, "Dogs bark.", "dogs.csv", None)
    assert _place_cell(replace(hit, path="/of/dogs.csv")).link == "file:///of/dogs.csv"
    assert _place_cell(replace(hit, path="dogs.csv")).link is None
