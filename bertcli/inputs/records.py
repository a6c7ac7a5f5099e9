"""Rows to records: the text of each row, or what is wrong with it, numbered in input order."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import BinaryIO

from bertcli.errors import DataError, EmptyError, RecordError
from bertcli.inputs.formats import InputFormat, read_stream
from bertcli.inputs.rows import BadRow, Row, missing_column, named
from bertcli.inputs.source import (
    STDIN,
    InputOptions,
    Source,
    find_sources,
    open_source,
    stdin_among,
)
from bertcli.records import BadRecord, Place, Record

QUESTION_OPTION = "--question-field"
CONTEXT_OPTION = "--context-field"
PAIR_OPTION = "--pair-field"


def read_records(
    options: InputOptions, stdin: BinaryIO | None = None
) -> Iterator[Record | BadRecord]:
    """Yield the texts the user asked for: those on the command line, then the inputs, else stdin.

    Inputs are looked for at once, so that a missing file is told before a model is loaded; they
    are read as the records are asked for. Raises `DataError` for an input that cannot be read and
    where the very first row has no text column; a later row without one is a `BadRecord`, and so
    is an empty file among others.
    """
    return _text_records(_rows(options, stdin, (options.field,)), options.field, "--field")


def read_rows(options: InputOptions, stdin: BinaryIO | None = None) -> Iterator[Row | BadRow]:
    """Yield the rows themselves, for tasks that need several columns; see `read_records`."""
    return _rows(options, stdin, ())


def sound_rows(files: Sequence[str], input_format: InputFormat | None = None) -> Iterator[Row]:
    """Yield the rows of files; raises `DataError` for the first that cannot be read."""
    options = InputOptions(inputs=tuple(files), input_format=input_format)
    for row in read_rows(options, stdin_among(files)):
        if isinstance(row, BadRow):
            raise DataError(str(row))
        yield row


def asked_records(
    rows: Iterable[Row | BadRow], question_field: str
) -> Iterator[Record | BadRecord]:
    """Yield a record per row, or line of plain text, whose text is the question alone."""
    return _text_records(rows, question_field, QUESTION_OPTION)


def question_records(
    rows: Iterable[Row | BadRow], question_field: str = "question", context_field: str = "context"
) -> Iterator[Record | BadRecord]:
    """Yield a record per row with its question, the context being the text.

    Of SQuAD's JSON one per question. Raises DataError where that is not as it should be.
    """
    from bertcli.inputs.squad import questions_of

    options = {question_field: QUESTION_OPTION, context_field: CONTEXT_OPTION}
    asked = (
        one
        for row in rows
        for one in ((row,) if isinstance(row, BadRow) else questions_of(row, question_field))
    )
    for number, row in enumerate(_checked(asked, options)):
        found = _two_texts(number, row, (context_field, "context"), (question_field, "question"))
        yield found if isinstance(found, BadRecord) else replace(found[0], question=found[1])


def paired_records(
    rows: Iterable[Row | BadRow], field: str, pair_field: str
) -> Iterator[Record | BadRecord]:
    """Yield a record per row with its text and its second text."""
    options = {field: "--field", pair_field: PAIR_OPTION}
    for number, row in enumerate(_checked(rows, options)):
        found = _two_texts(number, row, (field, "text"), (pair_field, "second text"))
        yield found if isinstance(found, BadRecord) else replace(found[0], second=found[1])


def _rows(
    options: InputOptions, stdin: BinaryIO | None, need: Sequence[str]
) -> Iterator[Row | BadRow]:
    from_stdin = not options.texts and not options.inputs
    inputs = (STDIN,) if from_stdin else options.inputs
    sources = find_sources(inputs, options.input_format)
    return _all_rows(options, sources, stdin, need)


def _all_rows(
    options: InputOptions, sources: Sequence[Source], stdin: BinaryIO | None, need: Sequence[str]
) -> Iterator[Row | BadRow]:
    yield from map(_argument_row, options.texts)
    for source in sources:
        try:
            with open_source(source, stdin) as stream:
                yield from read_stream(
                    stream, source.name, source.format, need=need, whole_file=options.whole_file
                )
        except EmptyError:
            if len(sources) == 1 and not options.texts:
                raise
            yield BadRow("it is empty, expected at least one text", Place(source.name))


def _argument_row(text: str) -> Row | BadRow:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return BadRow("the text is not valid UTF-8; check the terminal's encoding", Place())
    return Row({}, Place(), text)


def _text_records(
    rows: Iterable[Row | BadRow], field: str, option: str
) -> Iterator[Record | BadRecord]:
    for number, row in enumerate(_checked(rows, {field: option}, bare_text=True)):
        yield _text_record(number, row, field)


def _text_record(number: int, row: Row | BadRow, field: str) -> Record | BadRecord:
    if isinstance(row, BadRow):
        return BadRecord(number, row.error, {}, row.place)
    try:
        text = text_of(row, field) if row.text is None else _filled(row.text, "text")
    except RecordError as error:
        return BadRecord(number, str(error), row.columns, row.place)
    return Record(number, text, row.columns, row.place)


def _two_texts(
    number: int, row: Row | BadRow, first: tuple[str, str], second: tuple[str, str]
) -> tuple[Record, str] | BadRecord:
    """Return the record of one column's text, and another's; each with its part in the task."""
    if isinstance(row, BadRow):
        return BadRecord(number, row.error, {}, row.place)
    try:
        other = text_of(row, *second)
        return Record(number, text_of(row, *first), row.columns, row.place), other
    except RecordError as error:
        return BadRecord(number, str(error), row.columns, row.place)


def _checked(
    rows: Iterable[Row | BadRow], options: dict[str, str], bare_text: bool = False
) -> Iterator[Row | BadRow]:
    """Yield rows; raise `DataError` if the first that can be read lacks a column of `options`."""
    unseen = True
    for row in rows:
        if unseen and isinstance(row, Row):
            unseen = False
            if not (bare_text and row.text is not None):
                _check_columns(row, options)
        yield row


def _check_columns(row: Row, options: dict[str, str]) -> None:
    """Raise `DataError` if a row lacks a column; `options` choose each column."""
    if row.text is not None:
        wanted = f"expected rows with the columns {named(options)}"
        raise DataError(f"{row.place}: plain text has no columns, {wanted}; use jsonl or csv")
    for name, option in options.items():
        if name not in row.columns:
            raise missing_column(name, row.columns, row.place, option)


def text_of(row: Row, field: str, what: str = "text") -> str:
    """Return a column as text; `what` is its part in the task. Raises `RecordError`."""
    if field not in row.columns:
        raise RecordError(f'no column "{field}"; the row has {named(row.columns) or "none"}')
    return _filled(_as_text(row.columns[field], field), what)


def _as_text(value: object, field: str) -> str:
    """Return a cell as text: numbers and dates as they are written, null and NaN as nothing."""
    if isinstance(value, str):
        return value
    if value is None or value != value:
        return ""
    if value in (math.inf, -math.inf):
        raise RecordError(f'"{field}" is a number that is too large, expected text')
    if isinstance(value, bytes):
        return _decoded(value, field)
    if isinstance(value, bool | list | tuple | dict):
        kind = {"bool": "true or false", "dict": "an object"}.get(type(value).__name__, "a list")
        raise RecordError(f'"{field}" is {kind}, expected text')
    return str(value)


def _decoded(value: bytes, field: str) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RecordError(f'"{field}" is bytes that are not UTF-8, expected text') from error


def _filled(text: str, what: str) -> str:
    if not text or text.isspace():
        raise RecordError(f"empty {what}")
    return text
