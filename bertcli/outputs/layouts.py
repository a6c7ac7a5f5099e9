"""What a table shows of each task's results: its columns, its rows and, for some, a heading."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

from bertcli.outputs.visible import visible
from bertcli.records import BadRecord, Record
from bertcli.results import (
    Answer,
    ClassifyResult,
    EmbedResult,
    Entity,
    FillMaskResult,
    FoundAnswers,
    GroupResult,
    Hit,
    NerResult,
    PairResult,
    QaResult,
    SearchResult,
    UniqueResult,
)

if TYPE_CHECKING:
    from rich.text import Text

FIRST_NUMBERS = 3
SNIPPET_LINES, WHOLE_LINES = 3, 10_000
WHOLE = 1_000
"""As many lines as it takes: an answer is what was asked for."""
SHOWN_LETTERS, LEAD_LETTERS = 100, 20
"""So much of a long sentence is surely seen; so much of it stands before a word that matches."""
CLUSTER_ROWS = 3
"""How many members of a cluster a table shows; all are in the other formats."""
ENTITY_COLOURS = {"PER": "blue", "LOC": "green", "ORG": "magenta", "MISC": "cyan"}
OTHER_COLOURS = ("blue", "green", "magenta", "cyan", "yellow", "red")

Row = Sequence[str]


class Marked(str):
    """A cell's text with half-open characters to be marked: strongly, or all else weakly.

    Where it is too long it is shown from `focus` on. `link` is the address behind it.
    """

    strong: tuple[tuple[int, int], ...] = ()
    lit: tuple[int, int] | None = None
    focus: int = 0
    link: str | None = None

    def seen(self) -> Marked:
        """Return the cell safe for a terminal."""
        return marked(visible(self), self.strong, self.lit, self.focus, self.link)


def marked(
    text: str,
    strong: tuple[tuple[int, int], ...] = (),
    lit: tuple[int, int] | None = None,
    focus: int = 0,
    link: str | None = None,
) -> Marked:
    """Return a cell's text with what is to be marked in it."""
    cell = Marked(text)
    cell.strong, cell.lit, cell.focus, cell.link = strong, lit, focus, link
    return cell


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    `flexible` columns share the width that the others leave. `lines` is how many lines a cell may
    take. `keep_end` shortens from the left, as for paths. `number` is never shortened. One that
    `gives_way` is left out where the flexible ones need its room.
    """

    title: str
    number: bool = False
    flexible: bool = False
    lines: int = 1
    keep_end: bool = False
    gives_way: bool = False
    style: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """How one task's results look.

    `rows` takes a result. `subject` is the title of the column that shows a record's text when
    there are several records; None where the rows speak for themselves. `heading`, instead, is a
    line above each record's rows, also above those of a record alone if `always_headed`.
    """

    columns: tuple[Column, ...]
    rows: Callable[[Any], list[Row]]
    subject: str | None = None
    heading: Callable[[Answer, bool], Text] | None = None
    always_headed: bool = False


def score_cell(score: float | None) -> str:
    """Return a score with four decimals.

    >>> score_cell(0.98765)
    '0.9877'
    """
    return "" if score is None else f"{score:.4f}"


def _fill_mask_rows(result: FillMaskResult) -> list[Row]:
    """Return mask, rank, token, score and the sentence, each mask alone, then all together."""
    shown = ("mask", "rank", "token", "score", "filled")
    rows = [row | {"score": f"{row['score']:.4f}"} for row in result.rows()]
    return [[str(row[name]) for name in shown] for row in rows]


def _classify_rows(result: ClassifyResult) -> list[Row]:
    """Return label and score, best first; a dash where no label reached the threshold."""
    return [(one.label, score_cell(one.score)) for one in result.labels] or [("–", "")]


def _ner_rows(result: NerResult) -> list[Row]:
    """Return what was found, its label, where it stands, and its score."""
    return [(e.text, e.label, f"{e.start}-{e.end}", score_cell(e.score)) for e in result.entities]


def _qa_rows(result: QaResult) -> list[Row]:
    """Return answer, score and line; one row with the score of "no answer" where there is none."""
    found: list[Row] = [
        (span.text, score_cell(span.score), str(span.line)) for span in result.answers
    ]
    return found or [("(no answer)", score_cell(result.no_answer), "")]


def _found_rows(result: FoundAnswers) -> list[Row]:
    """Return answer, its score, the passage's and the place; one row where there is none."""
    found: list[Row] = [
        (
            one.text,
            score_cell(one.score),
            score_cell(one.passage_score),
            _place(one.document, one.line) + _pages(one.page),
        )
        for one in result.answers
    ]
    return found or [("(no answer found)", score_cell(result.no_answer), "", "")]


def _embed_rows(result: EmbedResult) -> list[Row]:
    """Return the number of dimensions, the length, and the first few numbers."""
    norm = float((result.vector.astype("f8") ** 2).sum() ** 0.5)
    first = " ".join(f"{x:.4f}" for x in result.vector[:FIRST_NUMBERS])
    more = " …" if result.vector.size > FIRST_NUMBERS else ""
    return [(str(result.vector.size), f"{norm:.4f}", first + more)]


def _search_rows(result: SearchResult) -> list[Row]:
    """Return rank, score, place and text of every hit; those of a document together if grouped."""
    return [
        (str(rank), score_cell(_shown_score(hit)), _place_cell(hit), _passage_cell(hit))
        for rank, hit in result.ranked()
    ] or [("", "", "", "(nothing found)")]


def _headed_search_rows(result: SearchResult) -> list[Row]:
    """Return the rows with the heading before the text."""
    headings: dict[str, str] = {_place_cell(hit): hit.heading or "" for hit in result.hits}
    return [(*row[:3], headings.get(row[2], ""), row[3]) for row in _search_rows(result)]


def _pair_rows(result: PairResult) -> list[Row]:
    """Return the score, and place and text of both."""
    one, other = result.first, result.second
    return [(score_cell(result.score), one.place, one.text, other.place, other.text)]


def _group_rows(result: GroupResult) -> list[Row]:
    """Return place and text of every member, the group's number and terms in its first row."""
    name = "–" if result.number is None else str(result.number)
    lead = (name, str(len(result.members)), ", ".join(result.terms or ()))
    kept = lead if result.terms is not None else lead[:2]
    blank = ("",) * len(kept)
    shown = result.members if result.terms is None else result.members[:CLUSTER_ROWS]
    return [(*(blank if i else kept), one.place, one.text) for i, one in enumerate(shown)]


def _unique_rows(result: UniqueResult) -> list[Row]:
    """Return how many texts this one stands for."""
    return [(str(result.count),)]


def _shown_score(hit: Hit) -> float:
    return hit.score if hit.rerank_score is None else hit.rerank_score


def _place_cell(hit: Hit) -> Marked:
    """Return where a passage stands, with a link to its file."""
    place = hit.place + _pages(hit.page, hit.last_page)
    file = Path(hit.path or "")  # which an index that others made may have without its folders
    return marked(place, link=file.as_uri() if file.is_absolute() else None)


def _passage_cell(hit: Hit) -> str:
    """Return a passage with its context, the words that match, and its best sentence."""
    shift = len(hit.before)
    text = hit.before + hit.text + hit.after
    if hit.copies:
        text += f" (also {', '.join(hit.copies)})"
    strong = tuple((start + shift, end + shift) for start, end in hit.matches)
    lit = hit.sentence and (hit.sentence[0] + shift, hit.sentence[1] + shift)
    return marked(text, strong, lit, _focus(text, strong, lit) if lit and not hit.before else 0)


def _focus(text: str, strong: tuple[tuple[int, int], ...], sentence: tuple[int, int]) -> int:
    """Return where to begin: at the best sentence, in a long one before most words that match."""
    start, end = sentence
    inside = [(a, b) for a, b in strong if start <= a < end]

    def different(at: int) -> tuple[int, int]:
        """Tell how many words match from there on, and how close they are: more is better."""
        seen, reach = set[str](), 0
        for a, b in inside:
            if at <= a and b <= at + SHOWN_LETTERS and (word := text[a:b].casefold()) not in seen:
                seen.add(word)
                reach = b - at
        return len(seen), -reach

    within = different(start)[0] == len({text[a:b].casefold() for a, b in inside})
    first = start if within else max((a for a, _ in inside), key=different)
    if first - start <= LEAD_LETTERS:
        return start
    blank = text.find(" ", first - LEAD_LETTERS, first)
    return first if blank < 0 else blank + 1


def _place(document: str, line: int | None) -> str:
    """Return `document:line`."""
    return document if line is None else f"{document}:{line}"


def _pages(first: int | None, last: int | None = None) -> str:
    """Return the words for the pages of a place, nothing where it has none.

    >>> _pages(1, 12)
    ' p.1–12'
    """
    if first is None:
        return ""
    return f" p.{first}" if last in (None, first) else f" p.{first}–{last}"


def _highlighted(answer: Answer, color: bool) -> Text:
    """Return the record's text with every entity marked: on colour, or `[Paris LOC]` without."""
    from rich.text import Text

    shown, at = Text(), 0
    text = visible(answer.record.text) if isinstance(answer.record, Record) else ""
    entities = answer.result.entities if isinstance(answer.result, NerResult) else ()
    for entity in sorted(entities, key=lambda e: e.start):
        if entity.start < at:  # one inside another: the rows below have it
            continue
        shown.append(text[at : entity.start])
        shown.append_text(_marked(entity, text, color))
        at = entity.end
    return shown.append(text[at:])


def _marked(entity: Entity, text: str, color: bool) -> Text:
    """Return one entity with its label."""
    from rich.text import Text

    words, label = text[entity.start : entity.end], visible(entity.label)
    if not color:
        return Text(f"[{words} {label}]")
    hue = _colour(entity.label)
    return Text.assemble((f" {words} ", f"black on {hue}"), (f" {label}", f"bold {hue}"))


def _colour(label: str) -> str:
    """Return the colour of a label, the same in every run."""
    other = OTHER_COLOURS[crc32(label.encode("utf-8", "replace")) % len(OTHER_COLOURS)]
    return ENTITY_COLOURS.get(label, other)


def _query(answer: Answer, color: bool) -> Text:
    """Return the query as a heading."""
    from rich.text import Text

    query = answer.result.query if isinstance(answer.result, SearchResult) else subject_of(answer)
    return Text(visible(query), "bold" if color else "")


def subject_of(answer: Answer) -> str:
    """Return what a record asks, fit to be shown: its question, or else its text.

    Where that alone would not tell one record from the next, its file stands in front.
    """
    record = answer.record
    if isinstance(record, BadRecord):
        return ""
    asked = answer.result.question if isinstance(answer.result, QaResult) else record.question
    text = record.text if asked is None else asked
    from_file = record.file or (asked and not record.columns and record.place.path)
    return visible(f"{record.place}: {text}" if from_file else text)


SCORE = Column("score", number=True, style="cyan")
LAYOUTS: dict[type[object], Layout] = {
    FillMaskResult: Layout(
        (
            Column("mask", number=True),
            Column("rank", number=True),
            Column("token", style="bold"),
            SCORE,
            Column("filled", flexible=True),
        ),
        _fill_mask_rows,
    ),
    ClassifyResult: Layout((Column("label", style="bold"), SCORE), _classify_rows, "text"),
    NerResult: Layout(
        (
            Column("entity", flexible=True),
            Column("label", style="bold"),
            Column("place", number=True),
            SCORE,
        ),
        _ner_rows,
        heading=_highlighted,
        always_headed=True,
    ),
    QaResult: Layout(
        (
            Column("answer", flexible=True, lines=WHOLE, style="bold"),
            SCORE,
            Column("line", number=True),
        ),
        _qa_rows,
        "question",
    ),
    FoundAnswers: Layout(
        (
            Column("answer", flexible=True, lines=WHOLE, style="bold"),
            SCORE,
            Column("passage", number=True),
            Column("place", keep_end=True),
        ),
        _found_rows,
        "question",
    ),
    EmbedResult: Layout(
        (Column("dimensions", number=True), Column("norm", number=True), Column("first numbers")),
        _embed_rows,
        "text",
    ),
    PairResult: Layout(
        (
            SCORE,
            Column("first place", keep_end=True),
            Column("first", flexible=True, lines=2),
            Column("second place", keep_end=True),
            Column("second", flexible=True, lines=2),
        ),
        _pair_rows,
    ),
    UniqueResult: Layout((Column("count", number=True),), _unique_rows, "text"),
    GroupResult: Layout(
        (
            Column("group", number=True),
            Column("size", number=True),
            Column("place", keep_end=True),
            Column("text", flexible=True, lines=2),
        ),
        _group_rows,
    ),
    SearchResult: Layout(
        (
            Column("rank", number=True),
            SCORE,
            Column("place", keep_end=True),
            Column("text", flexible=True, lines=SNIPPET_LINES),
        ),
        _search_rows,
        heading=_query,
    ),
}


def layout_of(answer: Answer, several: bool) -> Layout:
    """Return the layout for a good answer; one text with one mask needs no mask numbers."""
    layout, result = LAYOUTS[type(answer.result)], answer.result
    if isinstance(result, GroupResult) and result.terms is not None:
        terms = Column("terms", flexible=True, lines=3, style="bold")
        return replace(layout, columns=(*layout.columns[:2], terms, *layout.columns[2:]))
    if isinstance(result, SearchResult) and any(hit.heading for hit in result.hits):
        text = Column("text", flexible=True, lines=_lines(result))
        heading = Column("heading", keep_end=True, gives_way=True, style="dim")
        columns = (*layout.columns[:3], heading, text)
        return replace(layout, columns=columns, rows=_headed_search_rows)
    if isinstance(result, SearchResult):
        text = Column("text", flexible=True, lines=_lines(result))
        return replace(layout, columns=(*layout.columns[:3], text))
    if several or not isinstance(result, FillMaskResult) or len(result.masks) > 1:
        return layout
    return replace(layout, columns=layout.columns[1:], rows=_one_mask_rows)


def _lines(result: SearchResult) -> int:
    """Return how many lines a passage may take: all where lines around it were asked for."""
    around = any(one.before or one.after for one in result.hits)
    return WHOLE_LINES if around else SNIPPET_LINES


def _one_mask_rows(result: FillMaskResult) -> list[Row]:
    """Return the rows without the number of the mask."""
    return [row[1:] for row in _fill_mask_rows(result)]
