"""Parquet files, made by pyarrow for the test."""

from __future__ import annotations

import gzip
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bertcli.errors import DataError
from bertcli.inputs.formats import InputFormat
from bertcli.inputs.records import read_records
from bertcli.inputs.source import InputOptions
from bertcli.records import BadRecord, Record

from .conftest import Read, outcomes


def parquet(columns: dict[str, Any]) -> bytes:
    """Return a table as the bytes of a Parquet file with two rows to a group."""
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, row_group_size=2)
    return file.getvalue()


def test_rows_come_with_their_columns_and_numbers(read: Read) -> None:
    """Rows of several groups are numbered from 1 throughout; a null is an empty text."""
    data = parquet({"text": ["a", None, "c"], "n": [1, 2, 3]})
    items = read("a.parquet", data)
    assert outcomes(items) == ["1 a", "2 !empty text", "3 c"]
    assert items[2].columns == {"text": "c", "n": 3}


def test_values_that_are_no_strings(read: Read) -> None:
    """Bytes are read as UTF-8, as older writers mean them; numbers as they are written."""
    assert outcomes(read("a.parquet", parquet({"text": [b"a", b"\xff"]}))) == [
        "1 a",
        '2 !"text" is bytes that are not UTF-8, expected text',
    ]
    assert outcomes(read("b.parquet", parquet({"text": [1.5, float("nan")]}))) == [
        "1 1.5",
        "2 !empty text",
    ]


def test_columns_of_one_name_are_both_kept(read: Read) -> None:
    """They are numbered as a CSV file's are."""
    file = io.BytesIO()
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    pq.write_table(table, file)
    (record,) = read("a.parquet", file.getvalue())
    assert record.columns == {"text": "a", "text.2": "b"}


def test_a_date_that_python_has_not_is_one_bad_row(read: Read) -> None:
    """The year 400,000 does not stop the rows around it."""
    years = pa.array([0, 400_000 * 365 * 86_400, 1], pa.timestamp("s"))
    data = parquet({"text": ["a", "b", "c"], "when": years})
    assert outcomes(read("a.parquet", data)) == [
        "1 a",
        "2 !a value that cannot be read (date value out of range)",
        "3 c",
    ]


def test_nanoseconds(read: Read) -> None:
    """Times that Python's microseconds hold are times; others are texts, with all their digits."""
    whole, finer = (pa.array([count], pa.timestamp("ns", "UTC")) for count in (5_000, 5_001))
    (record,) = read("a.parquet", parquet({"text": ["a"], "whole": whole, "finer": finer}))
    assert isinstance(record, Record)
    assert record.columns["whole"] == datetime(1970, 1, 1, microsecond=5, tzinfo=UTC)
    assert record.columns["finer"] == "1970-01-01 00:00:00.000005001Z"


def test_a_missing_column_is_told_with_those_there_are(read: Read) -> None:
    """The schema is looked at before any row."""
    with pytest.raises(DataError, match=r'a.parquet: no column "text"; the columns are "body"'):
        read("a.parquet", parquet({"body": ["a"]}))


@pytest.mark.parametrize("keep", [0, 3, 60, -1])
def test_a_truncated_file_is_refused(read: Read, keep: int) -> None:
    """Half a file is an error in one line, wherever it was cut."""
    with pytest.raises(DataError) as caught:
        read("a.parquet", parquet({"text": ["a"]})[:keep])
    assert "is empty" in str(caught.value) or "not a whole Parquet file" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_damaged_page_is_refused(read: Read) -> None:
    """Damage in the middle is found when its rows are read."""
    data = bytearray(parquet({"text": ["a" * 100, "b" * 100]}))
    data[4:40] = b"\xff" * 36
    with pytest.raises(DataError, match="not a whole Parquet file"):
        read("a.parquet", bytes(data))


def test_compressed_and_from_a_pipe(read: Read, tmp_path: Path) -> None:
    """A stream that cannot jump is copied first; the rows are the same."""
    data = parquet({"text": ["a"]})
    assert outcomes(read("a.parquet.gz", gzip.compress(data))) == ["1 a"]
    options = InputOptions(input_format=InputFormat.PARQUET)
    items: list[Record | BadRecord] = list(read_records(options, io.BytesIO(data)))
    assert outcomes(items) == ["1 a"]
    assert str(items[0].place) == "stdin:1"
