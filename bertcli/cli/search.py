"""`bertcli search`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bertcli.cli.index import open_index
from bertcli.cli.options import InputFlags, ModelFlags, OutputFlags, Texts, grouped
from bertcli.cli.recipe import finish, read_items
from bertcli.records import Record
from bertcli.results import Answer, EmbedResult, SearchResult

if TYPE_CHECKING:
    from bertcli.index.folder import IndexFolder


@grouped
def search(
    context: typer.Context,
    source: InputFlags,
    model: ModelFlags,
    out: OutputFlags,
    index: Annotated[
        Path, typer.Option("--index", help="Folder of the index.", show_default=False)
    ],
    texts: Texts = None,
    top_k: Annotated[int, typer.Option("-k", "--top-k", min=1, help="Passages per query.")] = 10,
    prompt: Annotated[
        str, typer.Option(help="Text before every query; that of the passages is not used here.")
    ] = "",
) -> None:
    """Find the passages of an index that are nearest in meaning to a query.

    \b
    bertcli search "how do I reset my password" --index my-index
    bertcli search -i queries.txt --index my-index -k 3 -f csv
    bertcli search --prompt "query: " "password reset" --index my-e5-index
    """
    from bertcli.tasks.run import answers

    items = read_items(context, texts, source)
    folder, embed = open_index(index, model, items.few)
    with folder:
        embedded = answers(replace(embed, prompt=prompt), items)
        finish(_found(embedded, folder, top_k), out, items)


def _found(embedded: Iterable[Answer], folder: IndexFolder, count: int) -> Iterator[Answer]:
    """Yield each embedded query with its passages in place of its vector."""
    for answer in embedded:
        if not isinstance(answer.result, EmbedResult) or not isinstance(answer.record, Record):
            yield answer
            continue
        (hits,) = folder.search(answer.result.vector[None], count)
        found = SearchResult(answer.record.text, tuple(hits), answer.result.reading)
        yield Answer(answer.record, found)
