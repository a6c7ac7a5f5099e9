"""`--map OLD=NEW`: the labels of a file under the names that a checkpoint, or another file, has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from bertcli.errors import UsageError

if TYPE_CHECKING:
    from bertcli.records import TaggedText

LabelMap = Annotated[
    list[str] | None,
    typer.Option("--map", help="LABEL_OF_THE_FILE=LABEL_OF_THE_MODEL; repeatable."),
]


def label_map(pairs: list[str] | None) -> dict[str, str]:
    """Return the new name of each old one, empty for a label to be left out."""
    found = {}
    for pair in pairs or ():
        old, equals, new = pair.partition("=")
        if not equals or not old.strip():
            raise UsageError(f"--map {pair}: expected OLD=NEW, as in --map POS=positive")
        found[old.strip()] = new.strip()
    return found


def renamed(text: TaggedText, names: Mapping[str, str]) -> TaggedText:
    """Return a text with the labels of its spans renamed, and without those to be left out."""
    spans = [(start, end, names.get(label, label)) for start, end, label in text.spans]
    return replace(text, spans=tuple(span for span in spans if span[2]))
