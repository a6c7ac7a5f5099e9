"""Parquet, a few hundred rows at a time."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, cast

from bertcli.errors import DataError
from bertcli.inputs.lines import check_not_empty
from bertcli.inputs.rows import BadRow, Row, check_columns
from bertcli.records import Place

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
            check_columns(table.schema_arrow.names, need, Place(name))
            batches = table.iter_batches(batch_size=BATCH_ROWS)
            rows = (columns for batch in batches for columns in batch.to_pylist())
            for number, columns in enumerate(rows, 1):
                yield Row(columns, Place(name, number))
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        reason = str(error).partition("\n")[0].rstrip(". ")
        raise DataError(f"{name}: is not a whole Parquet file ({reason})") from error


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
