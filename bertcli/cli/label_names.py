"""`--map OLD=NEW`: the labels of a file under the names that a checkpoint, or another file, has."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from bertcli.cli.recipe import warn
from bertcli.errors import DataError, UsageError
from bertcli.inputs.rows import named

if TYPE_CHECKING:
    from bertcli.records import LabelledText, Place, TaggedText

UNKNOWN_TOLD = 3

LabelMap = Annotated[
    list[str] | None,
    typer.Option(
        "--map", help="LABEL_OF_THE_FILE=LABEL_OF_THE_MODEL, nothing to leave it out; repeatable."
    ),
]


def label_map(pairs: list[str] | None, labels: Iterable[str]) -> dict[str, str]:
    """Return the new name of each old one, empty for a label to be left out.

    Old names that are none of the file's `labels` are told: most probably they are misspelt.
    """
    found: dict[str, str] = {}
    known = set(labels)
    for pair in pairs or ():
        ways = [(pair[:at].strip(), pair[at + 1 :].strip()) for at in _equals_signs(pair)]
        if not ways or not ways[0][0]:
            raise UsageError(f"--map {pair}: expected OLD=NEW, as in --map POS=positive")
        old, new = next((way for way in ways if way[0] in known), ways[0])
        if found.setdefault(old, new) != new:
            raise UsageError(f"--map {pair}: {old} is called {found[old]} already")
    if idle := found.keys() - known:
        warn(f"--map {min(idle)}=…: no such label in the data, which has {named(sorted(known))}")
    return found


def _equals_signs(pair: str) -> list[int]:
    """Return where a text has an equals sign; a label may have some of its own."""
    return [at for at, sign in enumerate(pair) if sign == "="]


def check_known(
    model: str,
    names: Mapping[str, str],
    unknown: Mapping[str, Place],
    labels: Collection[str],
    own: Iterable[str],
) -> None:
    """Say which of a file's `labels` a checkpoint never gives: most probably they are called else.

    Raises DataError where it gives none of them: `own` are those that it has.
    """
    if unknown and len(unknown) == len(labels):
        first = min(unknown.values(), key=lambda place: place.line or 0)
        example = shlex.quote(f"{min(unknown)}=NAME")
        raise DataError(
            f"{first}: {model} has none of the labels of the data, {named(sorted(unknown))}: its "
            f"labels are {named(sorted(own))}; say what each is called there with --map {example}"
        )
    for label, place in sorted(unknown.items())[:UNKNOWN_TOLD]:
        called = names.get(label, label)
        warn(
            f"{place}: {model} has no label {called!r}; say what it is called there with "
            f"--map {shlex.quote(f'{label}=NAME')}"
        )


def warn_of_twins(labels: Iterable[str]) -> None:
    """Say which labels differ by their capitals alone: most probably they are meant to be one."""
    spellings: dict[str, list[str]] = {}
    for label in labels:
        spellings.setdefault(label.casefold(), []).append(label)
    for twins in spellings.values():
        if len(twins) > 1:
            warn(f"{named(twins)} differ by their capitals alone, and are learnt as several labels")


def span_labels(texts: Iterable[TaggedText]) -> Iterator[str]:
    """Yield the labels of all spans."""
    return (label for text in texts for _, _, label in text.spans)


def mapped_texts(
    pairs: list[str] | None, texts: Sequence[LabelledText]
) -> tuple[list[LabelledText], dict[str, str]]:
    """Return texts without labels that are to be left out, and the new name of each other one.

    A text that has no other label is left out: with `--map neutral=` what is neutral is not
    measured on.
    """
    names = label_map(pairs, (label for text in texts for label in text.labels))
    found = []
    for text in texts:
        labels = tuple(one for one in text.labels if names.get(one, one))
        if labels or not text.labels:
            found.append(replace(text, labels=labels))
    return found, names


def of_several(texts: Iterable[LabelledText]) -> LabelledText | None:
    """Return the first text that has several labels, or none; None where each has one."""
    return next((text for text in texts if len(text.labels) != 1), None)


def labels_of(text: LabelledText) -> str:
    """Return how many labels a text has, in words."""
    return f"{len(text.labels)} labels" if text.labels else "no label"


def check_one_label(texts: Iterable[LabelledText], name: str) -> None:
    """Raise DataError for the first text with other than one label, which a checkpoint gives."""
    if odd := of_several(texts):
        raise DataError(
            f"{odd.place}: {labels_of(odd)}, and {name} gives each text one: leave such rows out, "
            "or give a checkpoint that was trained on several labels"
        )


def renamed(text: TaggedText, names: Mapping[str, str]) -> TaggedText:
    """Return a text with the labels of its spans renamed, and without those to be left out."""
    spans = [(start, end, names.get(label, label)) for start, end, label in text.spans]
    return replace(text, spans=tuple(span for span in spans if span[2]))
