"""JSON lines, and JSON files that hold an array, one object, or `{"data": [...]}`."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Sequence

from bertcli.errors import DataError, EmptyError
from bertcli.inputs.lines import LINE_BYTES, not_utf8, read_lines, start_text
from bertcli.inputs.rows import BadRow, Row
from bertcli.records import Place

EXPECTED = 'expected an object such as {"text": "…"} or a string'
SPACE = re.compile(r"[ \t\r\n]*")
ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
KINDS = {"bool": "true or false", "int": "a number", "float": "a number", "NoneType": "null"}
DECODER = json.JSONDecoder()


def read_jsonl(stream: io.BufferedReader, name: str) -> Iterator[Row | BadRow]:
    """Yield one row per line of JSON; blank lines are passed over, broken ones are bad rows."""
    for line in read_lines(stream, name):
        yield line if isinstance(line, BadRow) else _parsed_line(line.text or "", line.place)


def read_json(
    stream: io.BufferedReader, name: str, need: Sequence[str] = ()
) -> Iterator[Row | BadRow]:
    """Yield the rows of a JSON file: the items of an array or of `"data"`, or the one object.

    The file is held in memory as text, its items are parsed one by one. Raises `DataError`, with
    the line, where the file is not JSON.
    """
    text = _json_text(stream, name)
    try:
        yield from _json_rows(text, name, need)
    except json.JSONDecodeError as error:
        raise _not_json(error, text, name) from error
    except RecursionError as error:
        raise DataError(f"{name}: the JSON is nested too deeply; {EXPECTED}") from error
    except ValueError as error:
        raise DataError(f"{name}: not valid JSON ({_too_long(error)})") from error


def _parsed_line(text: str, place: Place) -> Row | BadRow:
    try:
        return _row(json.loads(text), ESCAPED_SURROGATE.search(text) is not None, place)
    except json.JSONDecodeError as error:
        return BadRow(_said(error), place)
    except RecursionError:
        return BadRow(f"the JSON is nested too deeply; {EXPECTED}", place)
    except ValueError as error:  # an integer of thousands of digits
        return BadRow(f"not valid JSON ({_too_long(error)})", place)


def _too_long(error: ValueError) -> str:
    """Return what is wrong with a whole number of thousands of digits, without Python's advice."""
    return str(error).partition(";")[0]


def _row(value: object, escaped: bool, place: Place, letters: int = 0) -> Row | BadRow:
    """Return a parsed value as a row; `escaped` where its JSON may have half of a pair in it.

    `letters` is how long its JSON is, where no line has bounded that yet.
    """
    if letters > LINE_BYTES:
        return BadRow(f"the record has more than {LINE_BYTES >> 20} MB; divide it", place)
    if escaped and not _is_unicode(value):
        return BadRow("half of a surrogate pair (\\ud800 to \\udfff) is not a character", place)
    if isinstance(value, str):
        return Row({}, place, value)
    if isinstance(value, dict):
        return Row(value, place)
    kind = type(value).__name__
    return BadRow(f"the JSON is {KINDS.get(kind, f'a {kind}')}, {EXPECTED}", place)


def _is_unicode(value: object) -> bool:
    """Tell whether every string inside can be written as UTF-8."""
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _json_text(stream: io.BufferedReader, name: str) -> str:
    start_text(stream, name)
    raw = stream.read()
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(f"{Place(name, line)}: {not_utf8(error)}") from error


def _json_rows(text: str, name: str, need: Sequence[str]) -> Iterator[Row | BadRow]:
    start = _skip_space(text, 0)
    if text.startswith("[", start):
        line, counted = 1, 0
        on_one_line = "\n" not in text.strip()
        for number, (position, end, value) in enumerate(_array_items(text, start), 1):
            line, counted = line + text.count("\n", counted, position), position
            escaped = ESCAPED_SURROGATE.search(text, position, end) is not None
            place = Place(name, line, f"item {number}" if on_one_line else None)
            yield _row(value, escaped, place, end - position)
        return
    value, end = DECODER.raw_decode(text, start)
    _check_end(text, end)
    escaped = ESCAPED_SURROGATE.search(text) is not None
    items = _data_items(value, need)
    if items is None:
        place = Place(name, text.count("\n", 0, start) + 1)
        yield _row(value, escaped, place, end - start)
        return
    for number, item in enumerate(items, 1):
        yield _row(item, escaped, Place(name, part=f"item {number}"))


def _array_items(text: str, start: int) -> Iterator[tuple[int, int, object]]:
    """Yield start, end and value of each item of the array that opens at `start`."""
    position = _skip_space(text, start + 1)
    closed = text.startswith("]", position)
    while not closed:
        value, end = DECODER.raw_decode(text, position)
        yield position, end, value
        position = _skip_space(text, end)
        closed = text.startswith("]", position)
        if not closed and not text.startswith(",", position):
            raise json.JSONDecodeError("Expecting ',' delimiter", text, position)
        position = position if closed else _skip_space(text, position + 1)
    _check_end(text, position + 1)


def _data_items(value: object, need: Sequence[str]) -> list[object] | None:
    """Return the rows under `"data"`, or None where the value itself is the row."""
    if not isinstance(value, dict) or any(name in value for name in need):
        return None
    items = value.get("data")
    return items if isinstance(items, list) else None


def _skip_space(text: str, position: int) -> int:
    match = SPACE.match(text, position)
    return match.end() if match else position


def _check_end(text: str, end: int) -> None:
    rest = _skip_space(text, end)
    if rest < len(text):
        raise json.JSONDecodeError("Extra data", text, rest)


def _not_json(error: json.JSONDecodeError, text: str, name: str) -> DataError:
    place = Place(name, error.lineno)
    if error.msg == "Extra data" and text.startswith("{", _skip_space(text, 0)):
        hint = "if each line is an object of its own, say --input-format jsonl"
        return DataError(f"{place}: more JSON after the first object; {hint}")
    if not text.strip():
        return EmptyError(f"{name}: is empty, expected a JSON array or object")
    return DataError(f"{place}: {_said(error)}")


def _said(error: json.JSONDecodeError) -> str:
    """Return what is not valid, and where; some messages of json end in "at" themselves."""
    return f"not valid JSON ({error.msg.removesuffix(' at')} at column {error.colno})"
