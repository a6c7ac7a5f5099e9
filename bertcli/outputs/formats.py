"""The formats that bertcli writes, and how one is chosen."""

from __future__ import annotations

from enum import StrEnum
from pathlib import PurePath

from bertcli.errors import UsageError


class OutputFormat(StrEnum):
    """What `-f` takes."""

    TABLE = "table"
    JSONL = "jsonl"
    JSON = "json"
    CSV = "csv"
    TSV = "tsv"
    TEXT = "text"
    PARQUET = "parquet"
    NPY = "npy"
    CONLL = "conll"
    TREC = "trec"


SUFFIXES = {
    ".jsonl": OutputFormat.JSONL,
    ".ndjson": OutputFormat.JSONL,
    ".json": OutputFormat.JSON,
    ".csv": OutputFormat.CSV,
    ".tsv": OutputFormat.TSV,
    ".txt": OutputFormat.TEXT,
    ".parquet": OutputFormat.PARQUET,
    ".npy": OutputFormat.NPY,
    ".conll": OutputFormat.CONLL,
    ".trec": OutputFormat.TREC,
}
COMPRESSIONS = (".gz", ".xz")
BINARY = frozenset({OutputFormat.PARQUET, OutputFormat.NPY})
BARE = frozenset({OutputFormat.TEXT, OutputFormat.CONLL, OutputFormat.TREC, OutputFormat.NPY})
"""Formats in which a failed record does not say why."""


def is_stdout(path: str | None) -> bool:
    """Return whether `-o` is missing, or names stdout.

    >>> is_stdout("-")
    True
    """
    return path in (None, "-", "/dev/stdout")


def choose_format(explicit: OutputFormat | None, path: str | None, terminal: bool) -> OutputFormat:
    """Return the format to write: `-f`, else the suffix of `-o`, else a table or JSON lines.

    `terminal` says whether stdout is one. A path without any suffix gets JSON lines.

    Raises:
        UsageError: the suffix is unknown, or a binary format would go to a terminal.
    """
    if path is not None and not is_stdout(path):
        return explicit or _format_of(path)
    chosen = explicit or (OutputFormat.TABLE if terminal else OutputFormat.JSONL)
    refuse_binary_on_terminal(chosen, terminal)
    return chosen


def refuse_binary_on_terminal(fmt: OutputFormat, terminal: bool) -> None:
    """Raise a UsageError where Parquet or npy would be shown on a terminal."""
    if terminal and fmt in BINARY:
        raise UsageError(
            f"{fmt} is binary and would garble the terminal; "
            f"write it to a file with -o answers.{fmt}, or send it into a pipe"
        )


def compression_of(path: str) -> str | None:
    """Return `.gz` or `.xz` where the path ends so.

    >>> compression_of("answers.jsonl.gz")
    '.gz'
    """
    suffix = PurePath(path).suffix.lower()
    return suffix if suffix in COMPRESSIONS else None


def _format_of(path: str) -> OutputFormat:
    """Return the format that a file's name asks for.

    >>> _format_of("answers.csv.gz").value
    'csv'
    """
    name = PurePath(path)
    inner = PurePath(name.stem) if compression_of(path) else name
    suffix = inner.suffix.lower()
    if not suffix:
        return OutputFormat.JSONL
    if suffix in SUFFIXES:
        return SUFFIXES[suffix]
    raise UsageError(
        f"cannot tell the format of {path} from {suffix}; the known suffixes are "
        f"{', '.join(SUFFIXES)} (each also with .gz or .xz), or say it with -f"
    )
