"""CSV and TSV: one row per found thing, with the record's own columns repeated."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from bertcli.errors import OutputError
from bertcli.outputs.fields import Fields, failed_row, free_name, names_of, own_fields
from bertcli.outputs.jsonl import as_json
from bertcli.results import Answer, Result


@dataclass(frozen=True, slots=True)
class Header:
    """The columns of a file, settled by its first answered record, for all that follow.

    `own` are the records' own columns, `found` maps a result's key to its column, and `error` is
    the name of the last column.
    """

    own: tuple[str, ...]
    found: Mapping[str, str]
    error: str

    @classmethod
    def of(cls, own: Iterable[str], found: Mapping[str, str]) -> Header:
        """Return the header for these columns, with a free name for the error."""
        columns = tuple(dict.fromkeys(own))
        return cls(columns, found, free_name("error", (*columns, *found.values())))

    @property
    def names(self) -> tuple[str, ...]:
        """All columns in their order."""
        return (*self.own, *self.found.values(), self.error)


def render_csv(
    answers: Iterable[Answer], like: Result | None = None, delimiter: str = ","
) -> Iterator[str]:
    r"""Yield the header with the first record, then each record's rows.

    Rows end in "\n". Records that fail before any is answered wait for the header. For no records
    there is the header of results `like` this, or nothing.

    Raises:
        OutputError: a later record has columns that the header lacks.
    """
    header: Header | None = None
    waiting: list[Answer] = []
    for answer in answers:
        if header is None:
            if answer.result is None:
                waiting.append(answer)
                continue
            own = own_fields(answer)
            header = Header.of(own, names_of(own, answer.result.rows()[0]))
            yield _line(header.names, delimiter)
            yield from (_lines(early, header, delimiter) for early in waiting)
        yield _lines(answer, header, delimiter)
    if header is None and waiting:
        yield from _only_errors(waiting, delimiter)
    elif header is None and like is not None:
        yield _line(Header.of((), names_of({}, like.rows()[0])).names, delimiter)


def render_tsv(answers: Iterable[Answer], like: Result | None = None) -> Iterator[str]:
    """Yield the same rows as CSV, with tabs between the cells."""
    return render_csv(answers, like, "\t")


def _only_errors(failed: list[Answer], delimiter: str) -> Iterator[str]:
    """Yield the file of a run in which nothing could be answered."""
    header = Header.of((name for answer in failed for name in own_fields(answer)), {})
    yield _line(header.names, delimiter)
    yield from (_lines(answer, header, delimiter) for answer in failed)


def _lines(answer: Answer, header: Header, delimiter: str) -> str:
    """Return the lines of one record; a failed one has one line, with its error."""
    if answer.result is None:
        rows = [failed_row(answer, header.own, header.found, header.error)]
    else:
        own = own_fields(answer)
        rows = [_row(own, one, header, answer) for one in answer.result.rows()]
    return "".join(
        _line([_cell(row.get(name)) for name in header.names], delimiter) for row in rows
    )


def _row(own: Fields, found: Mapping[str, object], header: Header, answer: Answer) -> Fields:
    """Return a row of a good answer: its own columns, and what was found under the file's names."""
    extra = [name for name in own if name not in header.own]
    extra += [name for key, name in names_of(own, found).items() if key not in header.found]
    if extra:
        raise OutputError(
            f"{answer.record.place} has the column {extra[0]}, which the first record has not; "
            "a table needs the same columns in every row, so write -f jsonl instead"
        )
    return own | {header.found[key]: found[key] for key in found if key in header.found}


def _cell(value: object) -> str:
    """Return a value as the text of a cell: nothing for null, JSON for what is not flat.

    >>> _cell(True), _cell(0.5), _cell(["a"]), _cell(None)
    ('true', '0.5', '["a"]', '')
    """
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    said = as_json(value)
    return str(json.loads(said)) if said.startswith('"') else said


def _line(cells: Iterable[str], delimiter: str) -> str:
    r"""Return one line of cells, quoted where they must be.

    The writer is told "\r\n" so that it quotes lone carriage returns too; the file gets "\n".
    """
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter, lineterminator="\r\n").writerow(cells)
    return buffer.getvalue().removesuffix("\r\n") + "\n"
