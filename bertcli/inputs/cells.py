"""Lists and objects in the columns of a row."""

from __future__ import annotations

import json
from contextlib import suppress

from bertcli.errors import DataError
from bertcli.inputs.rows import Row


def as_list(cell: object) -> object:
    """Return the list that a cell of CSV is written as, `["a", "b"]`; everything else as it is."""
    if isinstance(cell, str) and cell.startswith("[") and cell.endswith("]"):
        with suppress(ValueError, RecursionError):  # nested too deep, it is no list of ours
            return json.loads(cell)
    return cell


def list_in(row: Row, value: object, name: str) -> list[object]:
    """Return a list that a row has under a name; raises `DataError` for anything else."""
    value = as_list(value)
    if isinstance(value, list | tuple):
        return list(value)
    raise DataError(f'{row.place}: "{name}" is not a list')


def object_in(row: Row, value: object, name: str) -> dict[str, object]:
    """Return an object that a row has under a name; raises `DataError` for anything else."""
    if isinstance(value, dict):
        return value
    raise DataError(f'{row.place}: "{name}" holds something that is not an object')
