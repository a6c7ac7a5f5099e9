"""JSON lines and JSON: one object per record."""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, time

from bertcli.outputs.fields import NestedRows
from bertcli.results import Answer


def render_jsonl(answers: Iterable[Answer]) -> Iterator[str]:
    """Yield one JSON object and a newline per record."""
    rows = NestedRows()
    for answer in answers:
        yield as_json(rows.row(answer)) + "\n"


def render_json(answers: Iterable[Answer]) -> Iterator[str]:
    """Yield the parts of one JSON array, an object per line."""
    opening, rows = "[", NestedRows()
    for answer in answers:
        yield f"{opening}\n  {as_json(rows.row(answer))}"
        opening = ","
    yield "[]\n" if opening == "[" else "\n]\n"


def as_json(value: object) -> str:
    """Return a value as valid JSON on one line; what JSON cannot say becomes null or text.

    >>> as_json({"when": date(2024, 2, 29), "score": float("nan")})
    '{"when": "2024-02-29", "score": null}'
    """
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_speakable)
    except (TypeError, ValueError):  # a NaN or an infinity, or a key that is not text
        return json.dumps(_cleaned(value), ensure_ascii=False, default=_speakable)


def _speakable(value: object) -> object:
    """Return a stand-in for a value that JSON has no form for, as found in Parquet columns."""
    if isinstance(value, date | time):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, bytes):
        return _bytes_as_text(value)
    if hasattr(value, "tolist"):  # numpy's arrays and numbers
        return _cleaned(value.tolist())
    return list(value) if isinstance(value, set | frozenset) else str(value)


def _bytes_as_text(value: bytes) -> str:
    """Return bytes as UTF-8 text, or as base64 where they are not text."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return b64encode(value).decode()


def _cleaned(value: object) -> object:
    """Return the value with null for every NaN and infinity, and text for every key."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _cleaned(item) for key, item in value.items()}
    return [_cleaned(item) for item in value] if isinstance(value, list | tuple) else value
