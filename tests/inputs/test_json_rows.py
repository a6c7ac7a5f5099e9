"""JSON lines and JSON files."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bertcli.errors import DataError
from bertcli.inputs import json_rows
from bertcli.records import BadRecord, Record

from .conftest import Read, outcomes

DEEP = "[" * 200_000


def test_jsonl_rows_keep_their_columns(read: Read) -> None:
    """A row comes with all of its columns, the text's own included."""
    (record,) = read("a.jsonl", '{"text": "one", "stars": 5}\n')
    assert isinstance(record, Record)
    assert record.text == "one"
    assert record.columns == {"text": "one", "stars": 5}


def test_a_json_string_is_a_text(read: Read) -> None:
    """A line that is a JSON string is a text without columns."""
    (record,) = read("a.ndjson", '"line\\nbreak"\n')
    assert isinstance(record, Record)
    assert (record.text, record.columns) == ("line\nbreak", {})


def test_broken_lines_are_bad_and_the_rest_goes_on(read: Read) -> None:
    """Broken JSON, other JSON, deep JSON, huge numbers and bad UTF-8 cost one record each."""
    lines = [
        b'{"text": "one"}',
        b'{"text": "a" "b"}',
        b"17",
        b"[1]",
        b"",
        DEEP.encode(),
        b'{"text": ' + b"1" * 5000 + b"}",
        b'{"text": "\xff"}',
        b'{"text": "\\ud83d"}',
        b'{"text": "\\ud83d\\ude00"}',
    ]
    found = outcomes(read("reviews.jsonl", b"\n".join(lines)))
    assert found[0] == "1 one"
    assert found[1] == "2 !not valid JSON (Expecting ',' delimiter at column 14)"
    assert found[2].startswith("3 !the JSON is a number, expected an object such as")
    assert found[3].startswith("4 !the JSON is a list")
    assert found[4].startswith("6 !the JSON is nested too deeply")
    assert found[5].startswith("7 !not valid JSON (Exceeds the limit")
    assert found[6].startswith("8 !not valid UTF-8 (byte 0xff at byte 11 of the line)")
    assert found[7].startswith("9 !half of a surrogate pair")
    assert found[8] == "10 😀"


def test_a_bad_row_names_its_file_and_line(read: Read) -> None:
    """The place travels with the error."""
    (bad,) = read("reviews.jsonl", "\n\n{")
    assert isinstance(bad, BadRecord)
    assert str(bad.place) == "reviews.jsonl:3"


def test_the_first_row_without_the_column_ends_the_run(read: Read) -> None:
    """A wrong --field is told at once, with the columns there are."""
    with pytest.raises(DataError) as caught:
        read("a.jsonl", '{"review": "one", "stars": 5}\n')
    assert str(caught.value) == (
        'a.jsonl:1: no column "text"; the columns are "review", "stars"; '
        "choose one with --field NAME"
    )


def test_a_later_row_without_the_column_is_bad(read: Read) -> None:
    """Once a row had the column, one that lacks it costs only itself and keeps its columns."""
    items = read("a.jsonl", '{"text": "one"}\n{"title": "two"}\n{}\n')
    assert outcomes(items)[1:] == [
        '2 !no column "text"; the row has "title"',
        '3 !no column "text"; the row has none',
    ]
    assert items[1].columns == {"title": "two"}


def test_values_that_are_no_strings(read: Read) -> None:
    """Numbers are read as they are written, null is empty, the rest is no text."""
    values = ["5", "2.5", "null", '""', '" "', "true", "[1]", '{"a": 1}', "NaN"]
    found = outcomes(read("a.jsonl", "".join(f'{{"text": {value}}}\n' for value in values)))
    assert found == [
        "1 5",
        "2 2.5",
        "3 !empty text",
        "4 !empty text",
        "5 !empty text",
        '6 !"text" is true or false, expected text',
        '7 !"text" is a list, expected text',
        '8 !"text" is an object, expected text',
        "9 !empty text",
    ]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ('[\n {"text": "one"},\n\n "two", 3\n]\n', ["2 one", "4 two", "4 !the JSON is a number"]),
        ('{"text": "one", "data": [1]}', ["1 one"]),
        ('{"version": 2, "data": [{"text": "one"}, "two"]}', ["None one", "None two"]),
        ("[]", []),
        ('"one"', ["1 one"]),
    ],
)
def test_json_files(read: Read, data: str, found: list[str]) -> None:
    """An array, one object, one string and {"data": [...]} are all rows; items know their line."""
    outcome = outcomes(read("a.json", data))
    assert len(outcome) == len(found)
    assert all(one.startswith(start) for one, start in zip(outcome, found, strict=True))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ('[\n{"text": "a"}\n{"text": "b"}]', "a.json:3: not valid JSON (Expecting ',' delimiter"),
        ('["a",\n', "a.json:2: not valid JSON (Expecting value"),
        ('["a', "a.json:1: not valid JSON (Unterminated string starting at column 2)"),
        ('["a"] x', "a.json:1: not valid JSON (Extra data"),
        ('{"text": "a"}\n{"text": "b"}\n', "a.json:2: more JSON after the first object; if each"),
        ("", "a.json: is empty"),
        (" \n", "a.json: is empty"),
        (DEEP, "a.json: the JSON is nested too deeply"),
        (b'["a",\n"\xff"]', "a.json:2: not valid UTF-8 (byte 0xff at byte 2 of the line)"),
        ('"one"'.encode("utf-16"), "a.json: is UTF-16"),
    ],
)
def test_broken_json_files_are_refused(read: Read, data: bytes | str, message: str) -> None:
    """A file that is not JSON is told with its line, in one line."""
    with pytest.raises(DataError) as caught:
        read("a.json", data)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_record_that_is_too_long(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is one bad row of an array, and of a file that is one record."""
    monkeypatch.setattr(json_rows, "LINE_BYTES", 20)
    found = outcomes(read("a.json", f'["one",\n"{"x" * 30}", "two"]'))
    assert [found[0], found[2]] == ["1 one", "2 two"]
    assert found[1].startswith("2 !the record has more than")
    assert outcomes(read("a.json", f'{{"text": "{"x" * 30}"}}'))[0].startswith("1 !the record has")


def test_a_number_of_thousands_of_digits(read: Read) -> None:
    """It is one bad row, without Python's advice to its programmers."""
    (found,) = outcomes(read("a.jsonl", f'{{"text": "a", "n": {"1" * 5000}}}'))
    assert "not valid JSON (Exceeds the limit" in found
    assert "sys." not in found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(st.text().filter(lambda text: bool(text) and not text.isspace()), min_size=1),
    st.booleans(),
)
def test_json_lines_and_arrays_round_trip(read: Read, texts: list[str], ascii_only: bool) -> None:
    """What json.dumps writes comes back, escaped or not, as lines and as one array."""
    rows = [{"text": text} for text in texts]
    lines = "".join(json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in rows)
    array = json.dumps(rows, ensure_ascii=ascii_only, indent=1)
    for items in (read("a.jsonl", lines), read("a.json", array)):
        assert [item.text for item in items if isinstance(item, Record)] == texts


@pytest.mark.parametrize("wrap", ["[{}]", '{{"data": [{}]}}'])
def test_an_item_on_a_line_with_others_is_told_by_its_number(wrap: str, read: Read) -> None:
    """The line says nothing there."""
    found = read("a.json", wrap.format('{"text": "a"}, {"text": 3}, {"text": "b"}') + "\n")
    assert [str(one.place).rpartition(", ")[2] for one in found] == ["item 1", "item 2", "item 3"]
