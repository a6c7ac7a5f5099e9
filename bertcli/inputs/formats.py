"""The formats an input may have, told by the file's name, and the reader of each.

Every reader takes the opened stream, the name to show in messages and the columns that must be
there, and yields rows one by one. The readers are imported when they are needed: this module is
imported to print `--help`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import PurePath
from typing import Literal

from bertcli.inputs.rows import BadRow, Row

Compression = Literal["gz", "xz"]


class InputFormat(StrEnum):
    """How the texts stand in a file."""

    TXT = "txt"
    JSONL = "jsonl"
    JSON = "json"
    CSV = "csv"
    TSV = "tsv"
    PARQUET = "parquet"


SUFFIXES: dict[str, InputFormat] = {
    ".txt": InputFormat.TXT,
    ".text": InputFormat.TXT,
    ".md": InputFormat.TXT,
    ".log": InputFormat.TXT,
    ".conll": InputFormat.TXT,
    ".conllu": InputFormat.TXT,
    ".bio": InputFormat.TXT,
    ".iob": InputFormat.TXT,
    ".iob2": InputFormat.TXT,
    ".jsonl": InputFormat.JSONL,
    ".ndjson": InputFormat.JSONL,
    ".json": InputFormat.JSON,
    ".csv": InputFormat.CSV,
    ".tsv": InputFormat.TSV,
    ".parquet": InputFormat.PARQUET,
}

COMPRESSIONS: dict[str, Compression] = {".gz": "gz", ".xz": "xz"}


def compression_of(path: str) -> Compression | None:
    """Return how a file is compressed, by the end of its name.

    >>> compression_of("reviews.csv.gz")
    'gz'
    """
    return COMPRESSIONS.get(PurePath(path).suffix.lower())


def format_of(path: str) -> InputFormat | None:
    """Return a file's format by its suffix, before `.gz` or `.xz`; None for a suffix not known.

    >>> format_of("reviews.CSV.gz")
    <InputFormat.CSV: 'csv'>
    """
    plain = PurePath(path).stem if compression_of(path) else path
    return SUFFIXES.get(PurePath(plain).suffix.lower())


def read_stream(
    stream: io.BufferedReader,
    name: str,
    input_format: InputFormat,
    *,
    need: Sequence[str] = (),
    whole_file: bool = False,
) -> Iterator[Row | BadRow]:
    """Yield the rows of an opened stream.

    `need` are columns that a header must have. `whole_file` makes one row of a plain text; the
    other formats have rows of their own and ignore it. Raises `DataError` for a stream that is
    empty or not in the format at all.
    """
    match input_format:
        case InputFormat.TXT:
            from bertcli.inputs.lines import read_lines, read_whole_text

            return read_whole_text(stream, name) if whole_file else read_lines(stream, name)
        case InputFormat.JSONL:
            from bertcli.inputs.json_rows import read_jsonl

            return read_jsonl(stream, name)
        case InputFormat.JSON:
            from bertcli.inputs.json_rows import read_json

            return read_json(stream, name, need)
        case InputFormat.CSV | InputFormat.TSV:
            from bertcli.inputs.csv_rows import read_csv

            return read_csv(stream, name, need, "\t" if input_format is InputFormat.TSV else ",")
        case InputFormat.PARQUET:
            from bertcli.inputs.parquet_rows import read_parquet

            return read_parquet(stream, name, need)
