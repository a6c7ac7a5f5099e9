"""CSV and TSV."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bertcli.errors import DataError
from bertcli.inputs import csv_rows, lines
from bertcli.records import Record

from .conftest import Read, outcomes


def test_rows_keep_their_columns(read: Read) -> None:
    """Each row below the header is a record with every column as text."""
    (record,) = read("a.csv", "id,review\r\n7,fine\r\n", field="review")
    assert isinstance(record, Record)
    assert (record.text, record.columns) == ("fine", {"id": "7", "review": "fine"})
    assert str(record.place) == "a.csv:2"


def test_a_row_stands_where_its_first_line_is(read: Read) -> None:
    """Line breaks in quotes and blank lines count, so that an editor finds the row."""
    data = 'text,n\n"one\nmore",1\n\ntwo,2\n"three\n\n",3\nfour,4\n'
    found = outcomes(read("a.csv", data))
    assert found == ["2 one\nmore", "5 two", "6 three\n\n", "9 four"]


def test_tabs_and_semicolons(read: Read) -> None:
    """TSV splits at tabs; a header with semicolons and no commas splits at semicolons."""
    assert outcomes(read("a.tsv", "n\ttext\n1\tone, two\n")) == ["2 one, two"]
    assert outcomes(read("a.csv", "n;text\n1;one, two\n")) == ["2 one, two"]


def test_a_mark_before_the_header_is_no_part_of_its_name(read: Read) -> None:
    """Excel's UTF-8 byte order mark does not hide the first column, quoted or not."""
    assert outcomes(read("a.csv", b"\xef\xbb\xbftext,n\none,1\n")) == ["2 one"]
    assert outcomes(read("a.csv", b'\xef\xbb\xbf"text",n\none,1\n')) == ["2 one"]


def test_ragged_rows(read: Read) -> None:
    """Too many cells make a bad row; too few leave the missing columns None."""
    items = read("a.csv", "text,n\none,two,3\nfour\n")
    assert outcomes(items)[0].startswith("2 !3 cells, expected the header's 2")
    assert outcomes(items)[1] == "3 four"
    assert items[1].columns == {"text": "four", "n": None}


def test_empty_cells_and_missing_cells_are_empty_texts(read: Read) -> None:
    """A row without text is answered by an error, not passed over."""
    found = outcomes(read("a.csv", "n,text\n1,\n2\n3, \n4,four\n"))
    assert found == ["2 !empty text", "3 !empty text", "4 !empty text", "5 four"]


def test_a_cell_of_two_megabytes(read: Read) -> None:
    """The standard library's limit of 131,072 characters does not hold."""
    (record,) = read("a.csv", "text\n" + "x" * 2_000_000 + "\n")
    assert isinstance(record, Record)
    assert len(record.text) == 2_000_000


def test_a_line_that_is_too_long(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is one bad row, its rest is none of its own, and the lines below keep their numbers."""
    monkeypatch.setattr(lines, "LINE_BYTES", 20)
    monkeypatch.setattr(csv_rows, "LINE_BYTES", 20)
    found = outcomes(read("a.csv", f"text\none\n{'x' * 90}\ntwo\n"))
    assert [found[0], found[2]] == ["2 one", "4 two"]
    assert found[1].startswith("3 !not valid CSV (a line has more than")
    with pytest.raises(DataError, match=r"a\.csv:1: .*a line has more than .* header line"):
        read("a.csv", "x" * 90)


def test_a_quote_that_is_not_closed_swallows_a_part_only(
    read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory holds no more than a row may have, and what comes after is read again."""
    monkeypatch.setattr(csv_rows, "LINE_BYTES", 20)
    found = outcomes(read("a.csv", 'text,n\none,1\n"two,2\n' + "three,3\n" * 3))
    assert found[0] == "2 one"
    assert found[1].startswith("3 !not valid CSV (a row with a quote that is not closed has more")
    assert found[2:] == ["6 three"]


def test_a_row_that_is_not_utf8_is_bad_and_the_rest_goes_on(read: Read) -> None:
    """One Latin-1 cell costs one row."""
    found = outcomes(read("a.csv", b"text,n\none,1\ncaf\xe9,2\nthree,3\n"))
    assert found[0] == "2 one"
    assert found[1].startswith("3 !not valid UTF-8")
    assert found[2] == "4 three"


def test_a_quote_that_is_never_closed_is_told(read: Read) -> None:
    """The row that swallows the rest of the file is bad, not a huge text."""
    found = outcomes(read("a.csv", 'text,n\none,1\n"two,2\nthree,3\n'))
    assert found[0] == "2 one"
    assert found[1].startswith("3 !a quote that opens in this row is never closed")
    assert len(found) == 2


def test_a_lone_carriage_return_is_a_bad_row(read: Read) -> None:
    """What the csv module refuses costs one row."""
    found = outcomes(read("a.csv", b"text,n\na\rb,1\nthree,3\n"))
    assert found[0].startswith("2 !not valid CSV (a carriage return stands alone in it")
    assert found[1] == "3 three"


def test_columns_of_the_same_name_are_numbered(read: Read) -> None:
    """No column is lost because another has its name."""
    (record,) = read("a.csv", "text,x,x\none,1,2\n")
    assert record.columns == {"text": "one", "x": "1", "x.2": "2"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "a.csv: is empty"),
        (b"\xef\xbb\xbf\n\n", "a.csv: is empty"),
        (b"review,stars\n", 'a.csv:1: no column "text"; the columns are "review", "stars"'),
        (b"review\none\n", 'a.csv:1: no column "text"; the columns are "review"; choose one with'),
        (b"caf\xe9,text\n", "a.csv:1: not valid UTF-8"),
        (b'"text\none\n', "a.csv:1: a quote that opens in this row is never closed"),
        ("text\none\n".encode("utf-16"), "a.csv: is UTF-16"),
        (b"PK\x03\x04\0\0", "a.csv: is compressed with zip"),
    ],
)
def test_broken_files_are_refused(read: Read, data: bytes, message: str) -> None:
    """A header that cannot serve is told before any row, even where there is none."""
    with pytest.raises(DataError) as caught:
        read("a.csv", data)
    assert str(caught.value).startswith(message)


def test_a_header_without_rows_is_no_record(read: Read) -> None:
    """A table may be empty."""
    assert read("a.csv", "text\n") == []


CELLS = st.text()
TEXTS = CELLS.filter(lambda text: bool(text) and not text.isspace())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(CELLS, TEXTS)), st.sampled_from([("a.csv", ","), ("a.tsv", "\t")]))
def test_tables_round_trip(read: Read, rows: list[tuple[str, str]], kind: tuple[str, str]) -> None:
    """What csv.writer writes comes back, whatever quotes, separators and breaks are in it."""
    name, delimiter = kind
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerows([("id", "text"), *rows])
    padding = f'"{"x" * 9000}"{delimiter}"padding"\r\n'  # so that a NUL is no sign of a binary
    data = text.getvalue().replace('"text"\r\n', '"text"\r\n' + padding, 1)
    items = read(name, data)[1:]
    assert [tuple(item.columns.values()) for item in items] == rows
