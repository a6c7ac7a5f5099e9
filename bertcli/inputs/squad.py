"""SQuAD's JSON, of version 1 and 2: articles with paragraphs, and questions on each of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bertcli.errors import DataError
from bertcli.inputs.cells import list_in, object_in
from bertcli.inputs.rows import Row


def questions_of(row: Row, field: str) -> Iterator[Row]:
    """Yield the questions of a row that has articles of SQuAD; the row itself where it has `field`.

    Each question has the columns that SQuAD gives it, its title and its context; its place names
    its id, or its number in the article. Raises DataError where an article is not as SQuAD has it.
    """
    if field in row.columns or not {"paragraphs", "data"} & row.columns.keys():
        yield row
    elif "paragraphs" in row.columns:
        yield from _of_article(row)
    else:
        for article in list_in(row, row.columns["data"], "data"):
            yield from _of_article(Row(object_in(row, article, "data"), row.place))


def _of_article(row: Row) -> Iterator[Row]:
    title = str(row.columns.get("title") or "")
    article = Row(row.columns, replace(row.place, part=f'article "{title}"'))
    number = 0
    for paragraph in _needed(article, row.columns, "paragraphs"):
        inside = object_in(article, paragraph, "paragraphs")
        for asked in _needed(article, inside, "qas"):
            number += 1
            found = object_in(article, asked, "qas")
            name = found.get("id") or f'{number} of "{title}"'
            part = f'question {name} "{str(found.get("question"))[:40]}"'
            cells = {"title": title, **found, "context": inside.get("context")}
            yield Row(cells, replace(row.place, part=part))


def _needed(row: Row, cells: dict[str, object], name: str) -> list[object]:
    """Return a list that must be there."""
    if name not in cells:
        raise DataError(f'{row.place}: no "{name}", which SQuAD\'s files have there')
    return list_in(row, cells[name], name)
