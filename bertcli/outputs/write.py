"""From answers to bytes: every format, one door."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from bertcli.outputs.delimited import render_csv, render_tsv
from bertcli.outputs.formats import OutputFormat, refuse_binary_on_terminal
from bertcli.outputs.jsonl import render_json, render_jsonl
from bertcli.outputs.sink import Destination, Sink, open_sink
from bertcli.outputs.text import render_conll, render_text, render_trec
from bertcli.outputs.vectors import write_npy
from bertcli.outputs.visible import visible_lines
from bertcli.results import Answer, Result

__all__ = ["Destination", "Tally", "write_answers"]

Writer = Callable[[Iterable[Answer], Sink, Destination], None]


@dataclass(frozen=True, slots=True)
class Tally:
    """What a run wrote: records, failed ones among them, tokens read, and what was cut."""

    records: int = 0
    errors: int = 0
    tokens: int = 0
    cut_texts: int = 0
    cut_tokens: int = 0

    def plus(self, answer: Answer) -> Tally:
        """Return the tally with one answer more."""
        if answer.result is None:
            return replace(self, records=self.records + 1, errors=self.errors + 1)
        reading = answer.result.reading
        return replace(
            self,
            records=self.records + 1,
            tokens=self.tokens + reading.tokens,
            cut_texts=self.cut_texts + (reading.cut_tokens > 0),
            cut_tokens=self.cut_tokens + reading.cut_tokens,
        )


class Counted:
    """Answers that are counted while they pass."""

    def __init__(self, answers: Iterable[Answer]) -> None:
        self.tally = Tally()
        self._answers = answers

    def __iter__(self) -> Iterator[Answer]:
        for answer in self._answers:
            self.tally = self.tally.plus(answer)
            yield answer


def write_answers(answers: Iterable[Answer], fmt: OutputFormat, destination: Destination) -> Tally:
    """Write every answer in a format, as they come, and return the counts.

    A file is opened before the first answer is asked for, and appears only when all are written.

    Raises:
        OutputError: the destination cannot be written, or the format cannot hold the answers.
        UsageError: the format is for another task, or binary on a terminal.
        BrokenPipeError: nobody reads stdout any more.
    """
    refuse_binary_on_terminal(fmt, destination.on_screen)
    counted = Counted(answers)
    with open_sink(destination) as sink:
        WRITERS[fmt](counted, sink, destination)
    return counted.tally


def _lines_of(render: Callable[[Iterable[Answer]], Iterator[str]]) -> Writer:
    """Return a writer for a format whose renderer needs nothing but the answers.

    What a terminal would obey is made visible there; elsewhere everything is written as it is.
    """

    def write(answers: Iterable[Answer], sink: Sink, destination: Destination) -> None:
        pieces: Iterable[str] = render(answers)
        if destination.on_screen:
            pieces = map(visible_lines, pieces)
        _write_pieces(pieces, sink, destination.live)

    return write


def _rows_of(render: Callable[[Iterable[Answer], Result | None], Iterator[str]]) -> Writer:
    """Return a writer for a format whose columns are known even where there are no answers."""

    def write(answers: Iterable[Answer], sink: Sink, destination: Destination) -> None:
        lines = _lines_of(lambda answers: render(answers, destination.like))
        lines(answers, sink, destination)

    return write


def _write_pieces(pieces: Iterable[str], sink: Sink, live: bool) -> None:
    r"""Write text as UTF-8; half a surrogate pair, which UTF-8 has no bytes for, as `\udXXX`."""
    for piece in pieces:
        sink.write(piece.encode("utf-8", "backslashreplace"))
        if live:
            sink.flush()


def _write_table(answers: Iterable[Answer], sink: Sink, destination: Destination) -> None:
    """Write a table, widths settled by the first page, or by the first record when live."""
    from bertcli.outputs.table import PAGE, render_table

    page = 1 if destination.live else PAGE
    pieces = render_table(answers, destination.width, destination.color, page)
    _write_pieces(pieces, sink, destination.live)


def _write_parquet(answers: Iterable[Answer], sink: Sink, destination: Destination) -> None:
    """Write Parquet; pyarrow is imported only now."""
    from bertcli.outputs.parquet import write_parquet

    write_parquet(answers, sink, destination.types, destination.like)


def _write_npy(answers: Iterable[Answer], sink: Sink, destination: Destination) -> None:
    """Write a numpy array."""
    write_npy(answers, sink)


WRITERS: dict[OutputFormat, Writer] = {
    OutputFormat.TABLE: _write_table,
    OutputFormat.JSONL: _lines_of(render_jsonl),
    OutputFormat.JSON: _lines_of(render_json),
    OutputFormat.CSV: _rows_of(render_csv),
    OutputFormat.TSV: _rows_of(render_tsv),
    OutputFormat.TEXT: _lines_of(render_text),
    OutputFormat.CONLL: _lines_of(render_conll),
    OutputFormat.TREC: _lines_of(render_trec),
    OutputFormat.PARQUET: _write_parquet,
    OutputFormat.NPY: _write_npy,
}
