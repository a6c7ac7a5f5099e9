"""CSV and TSV with a header line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import chain, zip_longest

from bertcli.errors import DataError
from bertcli.inputs.lines import LINE_BYTES, empty, not_utf8, raw_lines, start_text
from bertcli.inputs.rows import BadRow, Row, check_columns, distinct_names
from bertcli.records import Place

UNQUOTED = (
    ("Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"),
    ("index", "#1 ID", "#2 ID", "#1 String", "#2 String"),
    ("id", "qid1", "qid2", "question1", "question2", "is_duplicate"),
    ("id", "question1", "question2"),
    ("index", "question", "sentence", "label"),
    ("index", "question", "sentence"),
    ("index", "sentence1", "sentence2", "label"),
    ("index", "sentence1", "sentence2"),
    ("index", "sentence"),
    ("sentence", "label"),
)
UNQUOTED_LONG = (
    ("index", "promptID", "pairID", "genre"),
    ("index", "genre", "filename", "year"),
    ("index", "captionID", "pairID", "sentence1_binary_parse"),
)
"""The headers of GLUE's TSV files, and how the longer ones of MNLI, STS-B and SNLI begin.

In these files a quote at a cell's start is nothing but a quote.
"""
COLA = ("source", "label", "note", "sentence")
"""The columns of GLUE's CoLA, whose TSV files have no header."""

CELL_LIMIT = 2**31 - 1  # characters; the standard library stops at 131,072
NEVER_CLOSED = (
    "a quote that opens in this row is never closed, so the rest of the file is inside it; "
    'close it, or write a quote that is part of the text as ""'
)

LONE_RETURN = (
    "a carriage return stands alone in it; if all lines of the file end so, convert it with "
    "`tr '\\r' '\\n'`"
)


def read_csv(
    stream: io.BufferedReader, name: str, need: Sequence[str] = (), delimiter: str = ","
) -> Iterator[Row | BadRow]:
    """Yield one row per line below the header, with the line its first cell stands on.

    A row with too few cells has None in the missing columns; one with too many is a bad row. A
    comma file whose header has semicolons and no commas is read with semicolons, and a tab file
    that begins with a row of GLUE's CoLA has the columns of `COLA`. Raises `DataError` where the
    header lacks a column of `need`.
    """
    start_text(stream, name)
    rows = _cells(stream, name, delimiter)
    first = next(rows, None)
    if isinstance(first, tuple) and delimiter == "\t" and _is_cola(first[1]):
        rows, first = chain([first], rows), (first[0], list(COLA))
    header = _header(first, name, need)
    for row in rows:
        yield row if isinstance(row, BadRow) else _row(header, *row)


class _Unquoted(csv.excel):
    quoting = csv.QUOTE_NONE


class _Lines:
    """The decoded lines of a stream; `ended` once somebody has asked for more than there are.

    A row that is too long raises csv.Error at its last line, which counts in `too_long`.

    Bytes that are not UTF-8 are kept as lone surrogates, so that the row they are in can be told.
    """

    def __init__(self, stream: io.BufferedReader) -> None:
        self._lines = raw_lines(stream)
        self.ended = False
        self.too_long = 0
        self._of_row = 0

    def begin_row(self) -> None:
        """Count the bytes of a new row from here."""
        self._of_row = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        raw = next(self._lines, b"")
        self._of_row += len(raw)
        if self._of_row > LINE_BYTES:
            self.too_long += 1
            what = "a line" if len(raw) > LINE_BYTES else "a row with a quote that is not closed"
            raise csv.Error(f"{what} has more than {LINE_BYTES >> 20} MB")
        if not raw:
            self.ended = True
            raise StopIteration
        return raw.decode("utf-8", "surrogateescape")


def _cells(
    stream: io.BufferedReader, name: str, delimiter: str
) -> Iterator[tuple[Place, list[str]] | BadRow]:
    """Yield the cells of each row that is not blank, header included."""
    csv.field_size_limit(CELL_LIMIT)
    lines = _Lines(stream)
    try:
        first = next(lines, "")
    except csv.Error as error:
        yield BadRow(f"not valid CSV ({error})", Place(name, 1))
        return
    dialect: type[csv.Dialect] = csv.excel
    if delimiter == "\t" and _is_glue(first):
        dialect = _Unquoted
    separator = _delimiter(first, delimiter)
    reader = csv.reader(chain([first], lines), dialect, delimiter=separator)
    while True:
        place = Place(name, reader.line_num + lines.too_long + 1)
        lines.begin_row()
        try:
            cells = next(reader, None)
        except csv.Error as error:
            why = LONE_RETURN if "new-line character" in str(error) else str(error)
            yield BadRow(f"not valid CSV ({why})", place)
            continue
        if cells is None:
            return
        if cells:
            # The reader asks for a line after the last one only from inside an open quote.
            yield BadRow(NEVER_CLOSED, place) if lines.ended else _checked(place, cells)


def _checked(place: Place, cells: list[str]) -> tuple[Place, list[str]] | BadRow:
    try:
        "".join(cells).encode("utf-8")
    except UnicodeEncodeError as error:
        return BadRow(not_utf8(error), place)
    return place, cells


def _delimiter(first: str, delimiter: str) -> str:
    """Return the semicolon for the comma files that spreadsheets write in much of Europe."""
    return ";" if delimiter == "," and ";" in first and "," not in first else delimiter


def _is_glue(line: str) -> bool:
    cells = line.rstrip("\r\n").split("\t")
    return _is_cola(cells) or tuple(cells) in UNQUOTED or tuple(cells[:4]) in UNQUOTED_LONG


def _is_cola(cells: Sequence[str]) -> bool:
    """Tell a sentence with its source, 0 or 1, and a star or nothing from a header.

    >>> _is_cola(["gj04", "0", "*", "They drank the pub."])
    True
    """
    return len(cells) == len(COLA) and cells[1] in ("0", "1") and cells[2] in ("", "*")


def _header(
    first: tuple[Place, list[str]] | BadRow | None, name: str, need: Sequence[str]
) -> list[str]:
    if first is None:
        raise empty(name)
    if isinstance(first, BadRow):
        raise DataError(f"{first}; expected a header line with the names of the columns")
    place, cells = first
    header = distinct_names(cells)
    check_columns(header, need, place)
    return header


def _row(header: Sequence[str], place: Place, cells: Sequence[str]) -> Row | BadRow:
    if len(cells) > len(header):
        hint = "put a cell that has the separator in it between double quotes"
        return BadRow(f"{len(cells)} cells, expected the header's {len(header)}; {hint}", place)
    return Row(dict(zip_longest(header, cells)), place)
