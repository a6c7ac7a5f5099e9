"""Tables for people: one page decides the widths, then every record is shown as it comes."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.style import Style
from rich.table import Table
from rich.text import Text

from bertcli.outputs.fields import placed_error
from bertcli.outputs.layouts import Column, Layout, Marked, Row, layout_of, subject_of
from bertcli.outputs.visible import shorten, visible
from bertcli.results import Answer

PAGE = 50
GAP = 2
NARROWEST = 6  # a flexible column is not squeezed below this
SHORTEST = 12  # a column that gives way is left out rather than shown in less
NUMBER = Column("#", number=True, style="dim")
STRONG, WEAK = "bold yellow", "dim"
LINE = re.compile(r":\d+( p\.\d+(–\d+)?)?$")
HEADING_LINES = 12  # of one record alone; of one among several, three


@dataclass(frozen=True, slots=True)
class Page:
    """The columns of a table with their widths, and whether records carry their number.

    A column of width 0 is not shown.
    """

    layout: Layout
    columns: tuple[Column, ...]
    widths: tuple[int, ...]
    several: bool


def render_table(
    answers: Iterable[Answer], width: int, color: bool, page_size: int = PAGE
) -> Iterator[str]:
    """Yield the lines of each record, none wider than `width`, with the titles at the very top.

    The widths follow the first `page_size` answers; later pages only widen what would not fit. A
    failed record is an error in red. A page of one is for records that come while one watches.
    """
    console, stream = _console(width, color), iter(answers)
    several = page_size == 1
    page: Page | None = None
    started = titled = False
    while chunk := list(islice(stream, page_size)):
        several = several or len(chunk) > 1
        page = _settled(page, chunk, width, several, more=len(chunk) == page_size)
        for answer in chunk:
            if answer.result is None or page is None:
                yield _printed(console, _error_line(answer, several))
            else:
                gap = "\n" if started and _headed(page) else ""
                yield gap + _record(answer, page, console, titled)
                titled = titled or bool(page.layout.rows(answer.result))
            started = True


def _console(width: int, color: bool) -> Console:
    """Return a console that prints into memory and reads nothing from the environment."""
    return Console(
        file=io.StringIO(),
        width=width,
        color_system="standard" if color else None,
        force_terminal=color,
        no_color=not color,
        legacy_windows=False,
        markup=False,
        emoji=False,
        highlight=False,
        _environ={},
    )


def _printed(console: Console, *parts: RenderableType) -> str:
    """Return the parts as lines of text without blanks at their ends."""
    with console.capture() as captured:
        for part in parts:
            console.print(part)
    return "".join(
        f"{line.rstrip(' ')}\n" for line in captured.get().removesuffix("\n").split("\n")
    )


def _headed(page: Page) -> bool:
    """Return whether every record has a heading."""
    return page.layout.heading is not None and (page.several or page.layout.always_headed)


def _record(answer: Answer, page: Page, console: Console, titled: bool) -> str:
    """Return the lines of one good record; titles unless they were shown before."""
    table = _table(_rows(answer, page), page, titled)
    parts: list[RenderableType] = [table] if table.row_count else []
    if page.layout.heading is not None and _headed(page):
        heading = page.layout.heading(answer, console.color_system is not None)
        parts = [*_wrapped(_headline(heading, answer, page, console.width), console), *parts]
    return _printed(console, *parts)


def _wrapped(text: Text, console: Console) -> list[Text]:
    """Return the lines of a text, without coloured blanks at their ends."""
    lines = list(text.wrap(console, console.width))
    for line in lines:
        line.rstrip()
    return lines


def _headline(heading: Text, answer: Answer, page: Page, width: int) -> Text:
    """Return a record's heading with its number where there are several, cut if very long."""
    lines = 3 if page.several else HEADING_LINES
    numbered = (
        Text.assemble((f"#{answer.record.id + 1}  ", NUMBER.style)) if page.several else Text()
    )
    whole = numbered.append_text(heading)
    whole.truncate(width * lines - lines, overflow="ellipsis")
    return whole


def _error_line(answer: Answer, several: bool) -> Text:
    """Return the line of a failed record."""
    number = f"#{answer.record.id + 1}  " if several else ""
    return Text(f"{number}error: {visible(placed_error(answer))}", style="red", overflow="fold")


def _settled(
    page: Page | None, chunk: list[Answer], width: int, several: bool, more: bool
) -> Page | None:
    """Return the page for these answers: a new one, or the old one wide enough; None for errors."""
    good = [answer for answer in chunk if answer.result is not None]
    if not good:
        return page
    known = page or _opened(good, several)
    needs, tails = _needs(good, known)
    if page is None:
        widths = fitted(known.columns, needs, width, fill=more, tails=tails)
        return replace(known, widths=widths)
    wider = [
        now if column.flexible or not now else max(now, need)
        for column, now, need in zip(page.columns, page.widths, needs, strict=True)
    ]
    titled = [replace(column, gives_way=False) for column in page.columns]  # it is there to stay
    return replace(page, widths=fitted(titled, wider, width, tails=tails))


def _opened(good: list[Answer], several: bool) -> Page:
    """Return a page without widths, with the columns for these answers."""
    layout = max((layout_of(a, several) for a in good), key=lambda one: len(one.columns))
    if layout.heading is not None or not several:
        return Page(layout, layout.columns, (), several)
    subject = [Column(layout.subject, flexible=True)] if layout.subject else []
    return Page(layout, (NUMBER, *subject, *layout.columns), (), several)


def _needs(answers: Sequence[Answer], page: Page) -> tuple[list[int], list[int]]:
    """Return how wide each column would like to be, and how much of its ends is never cut."""
    rows = [row for answer in answers for row in _rows(answer, page)]
    cells = list(zip(*rows, strict=True)) if rows else [()] * len(page.columns)
    needs = [
        max(map(cell_len, (column.title, *column_cells)))
        for column, column_cells in zip(page.columns, cells, strict=True)
    ]
    tails = [
        max(map(_tail, column_cells), default=0) if column.keep_end and not column.gives_way else 0
        for column, column_cells in zip(page.columns, cells, strict=True)
    ]
    return needs, tails


def _tail(place: str) -> int:
    """Return the width of the line and the pages at the end of a place.

    >>> _tail("notes/mill.pdf:12 p.3")
    7
    """
    found = LINE.search(place)
    return cell_len(found[0]) if found else 0


def fitted(
    columns: Sequence[Column],
    needs: Sequence[int],
    width: int,
    fill: bool = False,
    tails: Sequence[int] | None = None,
) -> tuple[int, ...]:
    """Return the width of each column so that a line has at most `width` terminal columns.

    Numbers come first. Flexible columns get what the others leave, at least a third of the line
    as far as they need it; with `fill`, all of it even if they need less. One that gives way gets 0
    where there is no room, and one that needs 0 is not there at all. `tails` is how much of each is
    never cut.

    >>> fitted([Column("text", flexible=True), Column("score", number=True)], [300, 6], 80)
    (72, 6)
    """
    gaps = GAP * (sum(need > 0 for need in needs) - 1)
    if not fill and sum(needs) + gaps <= width:
        return tuple(needs)
    numbers = {i: needs[i] for i, one in enumerate(columns) if one.number}
    texts = {i: needs[i] for i, one in enumerate(columns) if one.flexible}
    names = {
        i: min(needs[i], max(NARROWEST, width // 3))
        for i in range(len(columns))
        if i not in numbers and i not in texts
    }
    spare = width - gaps - sum(numbers.values())
    kept = min(width if fill else sum(texts.values()), width // 3) if texts else 0
    firm = {i: need for i, need in names.items() if not columns[i].gives_way}
    least = {i: max(NARROWEST, tails[i] + 1 if tails else 0) for i in firm}
    given = numbers | _shared(firm, spare - kept, least)
    spare -= sum(given[i] for i in firm)
    for i in names.keys() - firm.keys():
        room = spare - kept
        given[i] = min(names[i], room) if room >= min(names[i], SHORTEST) else 0
        spare -= given[i] if given[i] else -GAP  # its gap goes with it
    wants = dict.fromkeys(texts, max(spare, NARROWEST)) if fill else texts
    given |= _shared(wants, spare, dict.fromkeys(texts, NARROWEST))
    return tuple(given[i] for i in range(len(columns)))


def _shared(wants: Mapping[int, int], room: int, least: Mapping[int, int]) -> dict[int, int]:
    """Return what each gets of the room: equal parts, and what one leaves goes to the others."""
    given: dict[int, int] = {}
    for left, i in enumerate(sorted(wants, key=wants.__getitem__)):
        part = max(least[i], room // (len(wants) - left))
        given[i] = min(wants[i], part)
        room -= given[i]
    return given


def _rows(answer: Answer, page: Page) -> list[Row]:
    """Return a record's cells; its number and its text stand in its first row only."""
    rows = [tuple(map(_seen, row)) for row in page.layout.rows(answer.result)]
    lead = len(page.columns) - len(page.layout.columns)
    first = (str(answer.record.id + 1), subject_of(answer))[:lead]
    return [(*(first if i == 0 else ("",) * lead), *row) for i, row in enumerate(rows)]


def _seen(cell: str) -> str:
    return cell.seen() if isinstance(cell, Marked) else visible(cell)


def _table(rows: list[Row], page: Page, titled: bool) -> Table:
    """Return rows as a table of fixed widths; with the titles unless they were shown before."""
    table = Table(
        box=SIMPLE_HEAD,
        show_header=not titled,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    shown = [i for i, width in enumerate(page.widths) if width]
    for column, width in ((page.columns[i], page.widths[i]) for i in shown):
        table.add_column(
            column.title,
            width=width,
            justify="right" if column.number else "left",
            style=column.style,
        )
    for row in rows:
        table.add_row(*(_cell(row[i], page.columns[i], page.widths[i]) for i in shown))
    return table


def _cell(text: str, column: Column, width: int) -> Text:
    """Return a cell that says what is in it and nothing else: no markup, no escape codes."""
    if column.lines > 1:
        room = width * column.lines - column.lines
        if isinstance(text, Marked):
            return _marked_cell(text, room)
        return Text(shorten(text, room), overflow="fold")
    short = shorten(text, width, column.keep_end)
    link = Style(link=text.link) if isinstance(text, Marked) and text.link else ""
    return Text(short, link, no_wrap=True, overflow="ellipsis")


def _marked_cell(cell: Marked, room: int) -> Text:
    """Return a text with its marks, from its focus on where it does not fit as a whole."""
    begin = cell.focus if cell_len(cell[: 4 * room]) > room else 0
    lead = "…" if begin else ""
    shown = Text(lead + shorten(cell[begin:], room - len(lead)), overflow="fold")
    shift = len(lead) - begin
    if cell.lit is not None:
        start, end = cell.lit[0] + shift, cell.lit[1] + shift
        shown.stylize(WEAK, 0, max(start, 0))
        shown.stylize(WEAK, max(end, 0))
    for start, end in cell.strong:
        if end + shift > 0:
            shown.stylize(STRONG, max(start + shift, 0), end + shift)
    return shown
