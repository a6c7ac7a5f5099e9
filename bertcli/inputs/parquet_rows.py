"""Parquet, a few hundred rows at a time."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from bertcli.errors import DataError, first_line
from bertcli.inputs.formats import InputFormat
from bertcli.inputs.lines import check_not_empty
from bertcli.inputs.rows import BadRow, Row, check_columns, distinct_names
from bertcli.records import Place

if TYPE_CHECKING:
    from pyarrow import DataType, RecordBatch

    from bertcli.inputs.source import Source

BATCH_ROWS = 256


def read_parquet(
    stream: io.BufferedReader, name: str, need: Sequence[str] = ()
) -> Iterator[Row | BadRow]:
    """Yield one row per row of the table; `place.line` is its number, from 1.

    Raises `DataError` where the table lacks a column of `need` or the file is not whole.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    check_not_empty(stream.peek(1), name)
    try:
        with _seekable(stream) as file:
            table = pq.ParquetFile(file)
            names = distinct_names(table.schema_arrow.names)
            check_columns(names, need, Place(name))
            number = 0
            for batch in table.iter_batches(batch_size=BATCH_ROWS):
                for columns in _rows(_readable(batch).rename_columns(names)):
                    number += 1
                    place = Place(name, number)
                    yield (
                        Row(columns, place) if isinstance(columns, dict) else BadRow(columns, place)
                    )
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        reason = first_line(error).rstrip(". ")
        raise DataError(f"{name}: is not a whole Parquet file ({reason})") from error


def column_types(sources: Sequence[Source]) -> dict[str, DataType]:
    """Return the types of the columns of Parquet files, as rows are read; none where they differ.

    There are none either where another format is among them, a pipe, or what cannot be read. Times
    of nanoseconds are read in microseconds.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    found: list[dict[str, DataType]] = []
    for source in sources:
        if source.compression or source.format is not InputFormat.PARQUET:
            return {}
        if source.path is None or not Path(source.path).is_file():
            return {}  # what is read from a pipe is gone
        try:
            schema = pq.read_schema(source.path)
        except (pa.ArrowException, OSError, ValueError):
            return {}
        types = [_in_microseconds(kind) for kind in schema.types]
        found.append(dict(zip(distinct_names(schema.names), types, strict=True)))
    return found[0] if found and all(one == found[0] for one in found) else {}


def _in_microseconds(kind: DataType) -> DataType:
    import pyarrow as pa

    nanoseconds = pa.types.is_timestamp(kind) and kind.unit == "ns"
    return pa.timestamp("us", kind.tz) if nanoseconds else kind


def _readable(batch: RecordBatch) -> RecordBatch:
    """Return a batch with times of nanoseconds in Python's microseconds, or as text if these lose
    something."""
    import pyarrow as pa

    for at, column in enumerate(batch.schema):
        if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
            coarse = pa.timestamp("us", column.type.tz)
            try:
                values = batch.column(at).cast(coarse)
            except pa.ArrowInvalid:
                values = batch.column(at).cast(pa.string())
            batch = batch.set_column(at, column.name, values)
    return batch


def _rows(batch: RecordBatch) -> Iterator[dict[str, Any] | str]:
    """Yield the values of each row by column, or what is wrong with it."""
    try:
        yield from batch.to_pylist()
    except (ValueError, OverflowError):  # such as a date before the year 1, or after 9999
        for number in range(batch.num_rows):
            try:
                yield from batch.slice(number, 1).to_pylist()
            except (ValueError, OverflowError) as error:
                yield f"a value that cannot be read ({first_line(error)})"


@contextmanager
def _seekable(stream: io.BufferedReader) -> Iterator[BinaryIO]:
    """Lend the stream if it is a plain file, else a temporary copy: Parquet starts at the end."""
    if isinstance(stream.raw, io.FileIO) and stream.seekable():
        yield stream
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(stream, copy)
        copy.seek(0)
        yield cast(BinaryIO, copy)
