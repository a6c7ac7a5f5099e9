"""`bertcli search`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from bertcli.cli.index.open import IndexOption, open_index
from bertcli.cli.options import InputFlags, ModelFlags, OutputFlags, Texts, grouped
from bertcli.cli.recipe import finish, read_items
from bertcli.index.places import place_of
from bertcli.records import BadRecord, Item, Record
from bertcli.results import Answer, EmbedResult, Reading, SearchResult

if TYPE_CHECKING:
    from bertcli.index.folder import IndexFolder
    from bertcli.index.query import Query
    from bertcli.index.where import Filter


class Mode(StrEnum):
    """What a passage is found by."""

    HYBRID = "hybrid"
    DENSE = "dense"
    KEYWORD = "keyword"


ModeOption = Annotated[
    Mode, typer.Option(help="By meaning and words fused, by meaning alone, or by words alone.")
]


@grouped
def search(
    context: typer.Context,
    source: InputFlags,
    model: ModelFlags,
    out: OutputFlags,
    index: IndexOption,
    texts: Texts = None,
    top_k: Annotated[int, typer.Option("-k", "--top-k", min=1, help="Passages per query.")] = 10,
    mode: ModeOption = Mode.HYBRID,
    where: Annotated[
        str | None, typer.Option(help="Only documents for whose columns this holds.")
    ] = None,
    prompt: Annotated[
        str, typer.Option(help="Text before every query; that of the passages is not used here.")
    ] = "",
) -> None:
    """Find the passages of an index that fit a query best, in meaning and in words.

    "Words in quotes" are sought together, -words are kept out. The score is the cosine of query and
    passage; by words alone it is their BM25.

    \b
    bertcli search "how do I reset my password" --index my-index
    bertcli search '"town hall" opening hours -christmas' --index my-index
    bertcli search "opening hours" --where "lang = 'en' and year >= 2023" --index my-index
    bertcli search -i queries.txt --index my-index -k 3 -f csv
    bertcli search --prompt "query: " "password reset" --index my-e5-index
    """
    from bertcli.index.folder import IndexFolder
    from bertcli.index.where import compile_where
    from bertcli.tasks.run import answers

    condition = None if where is None else compile_where(where)
    items = read_items(context, texts, source)
    if mode is Mode.KEYWORD:
        with IndexFolder.open(place_of(index)) as folder:
            finish(_by_words(items, folder, top_k, condition), out, items)
        return
    folder, embed = open_index(index, model, items.few)
    asked: dict[int, Query] = {}
    with folder:
        meanings = items if mode is Mode.DENSE else _meanings(items, asked)
        embedded = answers(replace(embed, prompt=prompt), meanings)
        finish(_found(embedded, folder, top_k, asked, condition), out, items)


def _meanings(items: Iterable[Item], asked: dict[int, Query]) -> Iterator[Item]:
    """Yield each query's meaning to be embedded, and note what it asks of the words."""
    from bertcli.index.query import parse

    for item in items:
        if isinstance(item, Record):
            asked[item.id] = parse(item.text)
            item = replace(item, text=asked[item.id].meaning)
        yield item


def _found(
    embedded: Iterable[Answer],
    folder: IndexFolder,
    count: int,
    asked: dict[int, Query],
    where: Filter | None,
) -> Iterator[Answer]:
    """Yield each embedded query with its passages in place of its vector."""
    for answer in embedded:
        record, result = answer.record, answer.result
        query = asked.pop(record.id, None)
        if isinstance(record, Record) and query is not None:
            record = replace(record, text=query.text)
        if not isinstance(result, EmbedResult) or not isinstance(record, Record):
            yield replace(answer, record=record)
            continue
        if query is None:
            (hits,) = folder.search(result.vector[None], count, where)
        else:
            hits = folder.find(query, result.vector, count, where)
        yield Answer(record, SearchResult(record.text, tuple(hits), result.reading))


def _by_words(
    items: Iterable[Item], folder: IndexFolder, count: int, where: Filter | None
) -> Iterator[Answer]:
    """Yield each query with the passages that have its words; no model is loaded."""
    from bertcli.index.query import parse

    for item in items:
        if isinstance(item, BadRecord):
            yield Answer(item, error=item.error)
        elif isinstance(item, Record):
            hits = folder.find(parse(item.text), None, count, where)
            yield Answer(item, SearchResult(item.text, tuple(hits), Reading(0, 0)))
