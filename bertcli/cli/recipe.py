"""The steps that every task's command has in common: read, load, answer, write, report."""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn, TypeVar

import typer

from bertcli.errors import BertcliError, CheckpointError, DataError, UsageError, counted
from bertcli.outputs.formats import BARE, OutputFormat, choose_format, is_stdout
from bertcli.records import BadRecord, Item, Record

if TYPE_CHECKING:
    from bertcli.checkpoints.layout import Checkpoint
    from bertcli.checkpoints.load import LoadOptions
    from bertcli.cli.options import InputFlags, ModelFlags, OutputFlags
    from bertcli.engine.encoder import Encoder
    from bertcli.engine.families import Head
    from bertcli.engine.tokens import TextTokenizer
    from bertcli.inputs.formats import InputFormat
    from bertcli.inputs.source import InputOptions
    from bertcli.outputs.write import Tally
    from bertcli.results import Answer, Result

Row = TypeVar("Row")
NARROWEST = 20  # columns in which a table still shows something
ERRORS_SHOWN = 10
NAMED = 3
"""So many files are named where none of them has what is sought."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """The records of a command line, and what is known of them beforehand.

    `live` where they come from a pipe that may make us wait; `few` where all of them stand on the
    command line; `options` where each of the input's rows is one record; `most` where no more than
    so many of them are asked for.
    """

    items: Iterator[Item]
    live: bool = False
    few: bool = False
    options: InputOptions | None = None
    most: int | None = None

    def __iter__(self) -> Iterator[Item]:
        return self.items


def stdin_or_help(context: typer.Context, given: bool) -> BinaryIO | None:
    """Return stdin when records come from it; show the command's help when there is no input.

    Stdin is read with `-i -`, and with neither text nor files where it is not a terminal.
    """
    if not given and (sys.stdin is None or sys.stdin.isatty()):
        show_help(context)
    return None if sys.stdin is None else sys.stdin.buffer


def show_help(context: typer.Context) -> NoReturn:
    """Show a command's help on stderr and leave with exit code 2."""
    typer.echo(context.get_help(), err=True)
    raise typer.Exit(UsageError.exit_code)


def input_options(texts: Iterable[str], flags: InputFlags) -> InputOptions:
    """Return what the readers are to read."""
    from bertcli.inputs.source import InputOptions

    return InputOptions(
        texts=tuple(texts),
        inputs=tuple(flags.inputs or ()),
        field=flags.field,
        whole_file=flags.whole_file,
        input_format=flags.input_format,
    )


def read_items(
    context: typer.Context,
    texts: list[str] | None,
    flags: InputFlags,
    pair_field: str | None = None,
    question_field: str | None = None,
) -> Incoming:
    """Return the records of a command line, with pauses where they come from a live pipe.

    With `pair_field` they are pairs, whose second text is in that column; with `question_field`
    they are questions, those of that column.
    """
    from bertcli.inputs.records import asked_records, paired_records, read_records, read_rows

    for text in texts or ():
        _hint_at_file(text)
    given = bool(texts or flags.inputs)
    stdin = stdin_or_help(context, given)
    options = input_options(texts or (), flags)
    if pair_field is not None:
        records = paired_records(read_rows(options, stdin), flags.field, pair_field)
    elif question_field is not None:
        records = asked_records(read_rows(options, stdin), question_field)
    else:
        records = read_records(options, stdin)
    from_stdin = not given or "-" in (flags.inputs or ())
    few = bool(texts) and not flags.inputs
    return replace(incoming(records, stdin, from_stdin), few=few, options=options)


@dataclass(slots=True)
class Sound:
    """The good ones of records to train or to measure on; bad ones are told, and passed over."""

    items: Iterable[Item]
    bad: int = 0

    def __iter__(self) -> Iterator[Record]:
        """Yield the good records."""
        for item in self.items:
            if isinstance(item, Record):
                yield item
            elif isinstance(item, BadRecord):
                self.bad += 1
                warn(f"{item.place}: {item.error}; passed over")

    def leave(self) -> None:
        """Leave with exit code 3 when a record was bad."""
        if self.bad:
            raise typer.Exit(3)


def some(rows: Iterable[Row], files: Sequence[str], what: str = "row") -> list[Row]:
    """Return what files hold to train or to measure on; raises DataError where there is nothing."""
    if not (listed := list(rows)):
        more = [f"{len(files) - NAMED} more"] if len(files) > NAMED else []
        raise DataError(f"{', '.join([*files[:NAMED], *more])}: there is no {what} to go by")
    return listed


def sound_records(files: list[str], field: str, input_format: InputFormat | None = None) -> Sound:
    """Return the good records of files."""
    from bertcli.inputs.records import read_records
    from bertcli.inputs.source import InputOptions, stdin_among

    options = InputOptions(inputs=tuple(files), field=field, input_format=input_format)
    return Sound(read_records(options, stdin_among(files)))


def incoming(
    records: Iterator[Record | BadRecord], stdin: BinaryIO | None, from_stdin: bool
) -> Incoming:
    """Return the records, with pauses where stdin is a pipe that may have to be waited for."""
    from bertcli.inputs.live import is_live, with_pauses

    live = from_stdin and is_live(stdin)
    return Incoming(with_pauses(records) if live else iter(records), live)


def choose_checkpoint(flags: ModelFlags, task: str) -> Checkpoint:
    """Return the checkpoint of `-m`, or the built-in one of a command."""
    from bertcli.checkpoints.catalog import builtin_for
    from bertcli.checkpoints.resolve import ModelChoice, builtin_checkpoint, resolve

    if flags.model is not None:
        return resolve(ModelChoice(flags.model, flags.revision, flags.offline, flags.allow_pickle))
    if flags.revision is not None:
        raise UsageError("--revision: of a checkpoint of the hub, which is named with -m")
    return builtin_checkpoint(builtin_for(task))


def load_options(flags: ModelFlags, brief: bool = False) -> LoadOptions:
    """Return how the checkpoint is to run; `brief` for a few texts."""
    from bertcli.checkpoints.load import LoadOptions

    if flags.device not in ("auto", "cpu", "cuda", "mps"):
        raise UsageError(f"--device {flags.device}: expected auto, cpu, cuda or mps")
    return LoadOptions(flags.device, flags.precision, flags.batch_tokens, brief, flags.engine)


def load_model(
    checkpoint: Checkpoint, head: Head, flags: ModelFlags, brief: bool = False
) -> tuple[Encoder, TextTokenizer, int]:
    """Return a checkpoint's encoder, its tokenizer, and the tokens it reads at once.

    `brief` where only a few texts are to be read: it starts sooner.
    """
    from bertcli.checkpoints.load import load_encoder, load_tokenizer, window_of

    tokenizer = load_tokenizer(checkpoint)
    encoder = load_encoder(checkpoint, head, load_options(flags, brief))
    known = checkpoint.config.get("vocab_size")
    if isinstance(known, int) and tokenizer.vocabulary_size > known:
        warn(
            f"{checkpoint.name}: its tokenizer.json has {tokenizer.vocabulary_size:,} tokens and "
            f"its config.json {known:,}: is it the tokenizer of another model?"
        )
    window = window_of(checkpoint, tokenizer)
    refuse_no_room(checkpoint, tokenizer, window)
    return encoder, tokenizer, window


def refuse_no_room(checkpoint: Checkpoint, tokenizer: TextTokenizer, window: int) -> None:
    """Raise CheckpointError where a window has tokens for nothing but what frames a text."""
    if window <= tokenizer.frame.single:
        raise CheckpointError(f"{checkpoint.name}: it reads {window} tokens, no room for a text")


@dataclass(frozen=True, slots=True)
class Written:
    """What a run wrote: counts, format, seconds, a table's width, SHA-256 of what no file has."""

    tally: Tally
    format: OutputFormat
    seconds: float
    width: int
    sha256: str | None = None

    def leave(self) -> None:
        """Leave with exit code 3 when a record failed."""
        if self.tally.errors:
            raise typer.Exit(3)


def finish(
    answers: Iterable[Answer], flags: OutputFlags, source: Incoming, like: Result | None = None
) -> None:
    """Write the answers and report on stderr; leaves with exit code 3 when a record failed."""
    write(answers, flags, source, like=like).leave()


def write(
    answers: Iterable[Answer],
    flags: OutputFlags,
    source: Incoming,
    digest: Any = None,
    like: Result | None = None,
) -> Written:
    """Write the answers, report on stderr, and return what there was.

    Answers to a live `source` are handed on one by one. `digest`, of hashlib, is told of the bytes
    that go to stdout, or to a pipe. `like` is a result with the columns that a file gets where
    there are no answers.
    """
    from bertcli.inputs.size import expected_records
    from bertcli.outputs.progress import progress
    from bertcli.outputs.write import Destination, write_answers

    terminal = sys.stdout.isatty()
    on_screen = terminal and is_stdout(flags.output)
    fmt = choose_format(flags.output_format, flags.output, terminal)
    destination = Destination(
        path=flags.output,
        live=source.live,
        terminal=terminal,
        width=max(shutil.get_terminal_size().columns, NARROWEST),
        color=on_screen and digest is None and not os.environ.get("NO_COLOR"),
        digest=digest,
        types=_types_of(source) if fmt is OutputFormat.PARQUET else None,
        like=like,
    )
    shows_progress = sys.stderr.isatty() and not (flags.quiet or flags.no_progress)
    began = time.perf_counter()
    named = fmt in BARE or not (flags.quiet or (on_screen and fmt is OutputFormat.TABLE))
    shown = shows_progress and not on_screen
    total = expected_records(source.options) if shown and source.options else None
    if total is not None and source.most is not None:
        total = min(total, source.most)
    watch = Watch(flags, named, bare=fmt in BARE)
    with progress(shown, total) as advance:
        tally = write_answers(watch.over(answers, advance), fmt, destination)
    tally = replace(tally, records=tally.records + watch.left_out, errors=watch.errors)
    seconds = time.perf_counter() - began
    _report(tally, flags, seconds)
    sha256 = digest.hexdigest() if digest else None
    return Written(tally, fmt, seconds, destination.width, sha256)


def _types_of(source: Incoming) -> Mapping[str, Any] | None:
    """Return the types that a Parquet input says its columns have."""
    from bertcli.inputs.parquet_rows import column_types
    from bertcli.inputs.source import find_sources

    options = source.options
    if options is None or options.texts or not options.inputs:
        return None
    return column_types(find_sources(options.inputs, options.input_format))


def check_output(flags: OutputFlags) -> None:
    """Raise, before any work is done, what writing the answers would raise in the end."""
    from bertcli.outputs.sink import check_writable, is_device

    choose_format(flags.output_format, flags.output, sys.stdout.isatty())
    if flags.output is not None and not is_stdout(flags.output) and not is_device(flags.output):
        check_writable(flags.output)


def check_folder(folder: Path, option: str) -> None:
    """Raise UsageError where a folder cannot be made, or not be written to."""
    try:
        there = next(one for one in (folder, *folder.absolute().parents) if os.path.lexists(one))
        is_folder = stat.S_ISDIR(there.stat().st_mode)
    except OSError as error:
        raise UsageError(f"{option} {folder}: {error.strerror}") from error
    if not is_folder:
        raise UsageError(f"{option} {folder}: {there} is a file, not a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(f"{option} {folder}: no permission to write in {there}")


def warn(line: str) -> None:
    """Write one line to stderr, whatever signs the names in it have.

    Where stderr takes nothing any more, what there is to tell does not undo what was done.
    """
    from bertcli.outputs.visible import visible

    with suppress(OSError):
        typer.echo(f"bertcli: {visible(line)}", err=True)


class Watch:
    """Counts the bad records that pass, and does with them what the options say."""

    def __init__(
        self, flags: OutputFlags, named: bool, rows: bool = True, bare: bool = False
    ) -> None:
        """Name the first ones where they are to be `named`; with `rows` they may be written too.

        A `bare` format does not tell why.
        """
        self.errors = self.left_out = 0
        self._flags = flags
        self._named = named
        self._rows = rows and flags.on_error == "row"
        kept = "-f jsonl tells why they failed" if bare else "they have it in the output"
        self._where_else = kept if self._rows else "they are left out"

    def over(self, answers: Iterable[Answer], advance: Callable[[int], None]) -> Iterator[Answer]:
        """Yield the answers that are to be written."""
        for answer in answers:
            if answer.error is not None:
                self._heed(answer)
            if answer.error is None or self._rows:
                yield answer
            else:
                self.left_out += 1
            advance(1)

    def _heed(self, answer: Answer) -> None:
        """Name the first errors on stderr; stop at the first, or after too many."""
        self.errors += 1
        if self._flags.on_error == "stop":
            kept = "" if is_stdout(self._flags.output) else ": nothing was written"
            raise BertcliError(f"{_error_line(answer)} (--on-error stop{kept})")
        if self._named and self.errors <= ERRORS_SHOWN:
            warn(_error_line(answer))
        if self._named and self.errors == ERRORS_SHOWN + 1:
            warn(f"more bad records follow; {self._where_else}")
        most = self._flags.max_errors
        if most is not None and self.errors > most:
            raise BertcliError(
                f"stopped after {counted(self.errors, 'bad record')} (--max-errors {most}); "
                f"the last: {_error_line(answer)}"
            )


def _error_line(answer: Answer) -> str:
    place, error = str(answer.record.place), answer.error or ""
    return error if error.startswith(place) else f"{place}: {error}"


def _report(tally: Tally, flags: OutputFlags, seconds: float) -> None:
    """Say what there was, in full where the answers went to a file."""
    if flags.quiet:
        return
    if tally.cut_texts:
        warn(f"{tally.cut_texts} texts were cut, by {tally.cut_tokens} tokens in all")
    if tally.errors:
        left = ", and were left out" if flags.on_error == "skip" else ""
        warn(f"{tally.errors} of {tally.records} records failed{left}")
    if flags.verbose or not is_stdout(flags.output):
        rate = f"{tally.records / max(seconds, 1e-9):,.0f} records/s"
        done = f"{counted(tally.records, 'record')}, {counted(tally.tokens, 'token')}"
        warn(f"{done}, {seconds:.2f} s, {rate}")


def show_facts(facts: Mapping[str, object]) -> None:
    """Write facts for a person on a terminal, without missing ones; as a JSON line into a pipe.

    A tuple is a range of numbers.
    """
    if not sys.stdout.isatty():
        typer.echo(json.dumps(facts, ensure_ascii=False))
        return
    from bertcli.outputs.visible import visible

    for name, value in facts.items():
        if value is None:
            continue
        if isinstance(value, int | float) and not isinstance(value, bool):
            said = f"{value:,}"
        elif isinstance(value, tuple):
            said = "–".join(f"{one:,}" for one in dict.fromkeys(value))
        else:
            lines = value if isinstance(value, list) else [value]
            said = f"\n{'':16}".join(visible(str(line)) for line in lines)
        typer.echo(f"{name:15} {said}")
    typer.echo("")


def _hint_at_file(text: str) -> None:
    """Say that a text is also a file's name, or stdin's: most probably that was meant."""
    if text == "-":
        warn("- is taken as text; to read stdin use -i -")
    try:
        is_file = len(text) < 256 and Path(text).is_file()
    except (OSError, ValueError):
        return
    if is_file:
        warn(f"{text} is taken as text; to read the file of that name use -i {text}")


def keep_apart(written: Mapping[str, str | Path | None], read: Iterable[str]) -> None:
    """Raise UsageError where a file to be written is one that is read, or is written twice.

    `written` has the options that name files with what was given for each; `read` files, globs and
    folders.
    """
    options: dict[str, str] = {}
    for option, path in written.items():
        if path is None or is_stdout(str(path)):
            continue
        place = os.path.realpath(path)
        if place in options:
            raise UsageError(f"{options[place]} and {option} both name {path}: name two files")
        options[place] = option
    if not any(Path(place).is_file() for place in options):
        return
    for name in chain.from_iterable(map(_files_read, read)):
        if (place := os.path.realpath(name)) in options:
            raise UsageError(f"{options[place]} {name}: that file is read; write to another one")


def _files_read(given: str) -> list[str]:
    """Return the files behind an input; none where there are none, which its reader will tell."""
    from bertcli.inputs.source import STDIN, find_sources

    if given == STDIN:
        return ["/dev/stdin"]  # a link to the file, where the shell put one there
    with suppress(BertcliError):
        return [str(one.path) for one in find_sources([given])]
    return []


def begun(items: Incoming) -> Incoming:
    """Return the records once the first of them is read, so that an unusable input is told now."""
    return replace(items, items=chain(list(islice(items, 1)), items))
