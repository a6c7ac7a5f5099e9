"""What the readers hand on: one row of a file, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from bertcli.errors import DataError
from bertcli.records import Place

SHOWN_NAMES = 12
SHOWN_LETTERS = 40


@dataclass(frozen=True, slots=True)
class Row:
    """One row with its columns, or, where a row is nothing but text, its bare `text`."""

    columns: dict[str, object]
    place: Place
    text: str | None = None


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be read; `str()` puts its place before the error.

    >>> str(BadRow("not valid JSON", Place("reviews.jsonl", 7)))
    'reviews.jsonl:7: not valid JSON'
    """

    error: str
    place: Place

    def __str__(self) -> str:
        """Return the place and the error, as the user is shown them."""
        return f"{self.place}: {self.error}"


def named(names: Collection[str]) -> str:
    """Return column names for a message, quoted; long names and long lists are shortened.

    >>> named(["text", "stars"])
    '"text", "stars"'
    """
    shown = [f'"{_short(name)}"' for name in list(names)[:SHOWN_NAMES]]
    rest = len(names) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def missing_column(
    name: str, columns: Collection[str], place: Place, option: str = "--field"
) -> DataError:
    """Return the error that says which column is missing, which there are and how to choose one."""
    there = f"the columns are {named(columns)}" if columns else "there are no columns"
    return DataError(f'{place}: no column "{name}"; {there}; choose one with {option} NAME')


def check_columns(columns: Collection[str], need: Iterable[str], place: Place) -> None:
    """Raise `DataError` for the first column of `need` that a header does not have."""
    for name in need:
        if name not in columns:
            raise missing_column(name, columns, place)


def _short(name: str) -> str:
    return name if len(name) <= SHOWN_LETTERS else name[: SHOWN_LETTERS - 1] + "…"


def distinct_names(names: Sequence[str]) -> list[str]:
    """Number the names that come again, so that no column is lost.

    >>> distinct_names(["text", "label", "text", "text.2"])
    ['text', 'label', 'text.3', 'text.2']
    """
    taken = set(names)
    last: dict[str, int] = {}
    distinct = []
    for name in names:
        number = last.get(name, 0) + 1
        while number > 1 and f"{name}.{number}" in taken:
            number += 1
        last[name] = number
        distinct.append(name if number == 1 else f"{name}.{number}")
    return distinct
