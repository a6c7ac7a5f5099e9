"""How many records an input has, where that is cheap to know: for a progress line's time left."""

from __future__ import annotations

from pathlib import Path

from bertcli.inputs.formats import InputFormat
from bertcli.inputs.source import InputOptions, Source, find_sources

BLOCK = 1 << 20
BY_LINE = frozenset({InputFormat.TXT, InputFormat.JSONL, InputFormat.CSV, InputFormat.TSV})


def expected_records(options: InputOptions) -> int | None:
    """Return about how many records there are to come; None for pipes and compressed files.

    Lines are counted, so blank ones and line ends within quotes make it a little too many.
    """
    if not options.inputs:
        return len(options.texts) or None
    counts = [
        _count(source, options.whole_file)
        for source in find_sources(options.inputs, options.input_format)
    ]
    known = [count for count in counts if count is not None]
    return len(options.texts) + sum(known) if len(known) == len(counts) else None


def _count(source: Source, whole_file: bool) -> int | None:
    if source.path is None or source.compression is not None or not Path(source.path).is_file():
        return None  # what is read from a pipe is gone
    if source.format is InputFormat.PARQUET:
        return _parquet_rows(source.path)
    if source.format not in BY_LINE:
        return None
    if whole_file and source.format is InputFormat.TXT:
        return 1
    header = source.format in (InputFormat.CSV, InputFormat.TSV)
    return max(0, _lines(source.path) - header)


def _lines(path: str) -> int:
    count, last = 0, b"\n"
    with Path(path).open("rb") as file:
        while block := file.read(BLOCK):
            count += block.count(b"\n")
            last = block[-1:]
    return count + (last != b"\n")


def _parquet_rows(path: str) -> int | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return int(pq.ParquetFile(path).metadata.num_rows)
    except (pa.ArrowException, OSError):
        return None
