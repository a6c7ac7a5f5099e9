"""Options that several commands share, as dataclasses that a command takes whole.

`@grouped` unfolds every parameter that is one of these into its fields, so that Typer sees the
options and the command sees the group.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from bertcli.cli.dashes import refuse_glued
from bertcli.engine.choices import BATCH_TOKENS, Engine, Long, Precision
from bertcli.errors import UsageError
from bertcli.inputs.formats import InputFormat
from bertcli.outputs.formats import OutputFormat

if TYPE_CHECKING:
    from bertcli.inputs.labelled import Columns


OF_TEXTS = frozenset({"texts", "questions"})
"""The arguments that are texts themselves."""


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with its dataclass parameters unfolded into single options.

    One that takes texts refuses those that were read as an option and its value.
    """
    hints = get_type_hints(command, include_extras=True)
    names = list(inspect.signature(command).parameters)
    groups = {name: hints[name] for name in names if dataclasses.is_dataclass(hints[name])}
    context = next((name for name in names if hints[name] is typer.Context), None)
    takes_texts = not OF_TEXTS.isdisjoint(names)
    own = [p for n, p in inspect.signature(command).parameters.items() if n not in groups]
    own = [p.replace(annotation=hints[p.name], kind=p.KEYWORD_ONLY) for p in own]
    shared = [p for group in groups.values() for p in _parameters(group)]

    @wraps(command)
    def unfolded(**values: Any) -> None:
        if context is not None and takes_texts:
            refuse_glued(values[context])
        built = {
            name: group(**{f.name: values.pop(f.name) for f in dataclasses.fields(group)})
            for name, group in groups.items()
        }
        command(**values, **built)

    parameters = own + shared
    unfolded.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    unfolded.__annotations__ = {p.name: p.annotation for p in parameters}
    del unfolded.__wrapped__
    return unfolded


def _parameters(group: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=hints[f.name]
        )
        for f in dataclasses.fields(group)
    ]


def given(context: typer.Context, parameters: Collection[str]) -> list[str]:
    """Return those options of these parameters that stand on the command line.

    A user's own defaults are of all commands, so that nobody need be told of them.
    """
    return [
        max(one.opts, key=len)
        for one in context.command.params
        if (one.name or "") in parameters
        and getattr(context.get_parameter_source(one.name or ""), "name", "") == "COMMANDLINE"
    ]


Texts = Annotated[
    list[str] | None, typer.Argument(help="Text itself; for files use -i.", show_default=False)
]


FIELD = "text"
Field = Annotated[str, typer.Option(help="Column that holds the text.")]
Format = Annotated[
    InputFormat | None, typer.Option(help="Format of the data, whatever their suffix.")
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="No notes on stderr.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show a traceback on failure.")]


@dataclass(frozen=True, slots=True)
class InputFlags:
    """Where the records come from."""

    inputs: Annotated[
        list[str] | None,
        typer.Option("-i", "--input", help="File, glob, folder, or - for stdin; repeatable."),
    ] = None
    input_format: Annotated[
        InputFormat | None, typer.Option(help="Format of the input, whatever its suffix.")
    ] = None
    field: Field = FIELD
    whole_file: Annotated[
        bool, typer.Option("--whole-file", help="One record per text file, not per line.")
    ] = False


@dataclass(frozen=True, slots=True)
class LabelledFlags:
    """In which columns labelled texts, or pairs of them, stand."""

    field: Field = FIELD
    pair_field: Annotated[str | None, typer.Option(help="Column of the second text of pairs.")] = (
        None
    )
    label_field: Annotated[str, typer.Option(help="Column of the right label.")] = "label"
    label_sep: Annotated[
        str | None, typer.Option(help="What divides several labels in one cell.")
    ] = None
    input_format: Format = None

    def __post_init__(self) -> None:
        if self.label_sep == "":
            raise UsageError("--label-sep: expected a sign that stands between labels, such as ;")

    @property
    def columns(self) -> Columns:
        """The columns as the readers take them."""
        from bertcli.inputs.labelled import Columns

        return Columns(
            self.field,
            self.pair_field,
            self.label_field,
            self.label_sep,
            input_format=self.input_format,
        )


@dataclass(frozen=True, slots=True)
class TaggedFlags:
    """In which columns texts with marked names stand."""

    field: Annotated[
        str, typer.Option(help="Column of the text, where rows have their entities.")
    ] = FIELD
    tokens_field: Annotated[str, typer.Option(help="Column with the list of words.")] = "tokens"
    tags_field: Annotated[str, typer.Option(help="Column with the list of tags.")] = "tags"
    input_format: Format = None

    @property
    def columns(self) -> Columns:
        """The columns as the readers take them."""
        from bertcli.inputs.labelled import Columns

        return Columns(
            text=self.field,
            tokens=self.tokens_field,
            tags=self.tags_field,
            input_format=self.input_format,
        )


@dataclass(frozen=True, slots=True)
class PairFlags:
    """In which columns the two texts of a pair stand."""

    first_field: Annotated[str, typer.Option(help="Column of the first text.")] = "text1"
    second_field: Annotated[str, typer.Option(help="Column of the second text.")] = "text2"
    input_format: Format = None

    def columns(self, score: str | None) -> Columns:
        """The columns as the readers take them, with that of the scores."""
        from bertcli.inputs.labelled import Columns

        return Columns(
            first=self.first_field,
            second=self.second_field,
            score=score,
            input_format=self.input_format,
        )


@dataclass(frozen=True, slots=True)
class QuestionFlags:
    """In which columns questions, their contexts and answers stand."""

    question_field: Annotated[str, typer.Option(help="Column of the questions.")] = "question"
    context_field: Annotated[str, typer.Option(help="Column of the contexts.")] = "context"
    answers_field: Annotated[str, typer.Option(help="Column of the answers.")] = "answers"
    input_format: Format = None

    @property
    def columns(self) -> Columns:
        """The columns as the readers take them."""
        from bertcli.inputs.labelled import Columns

        return Columns(
            question=self.question_field,
            context=self.context_field,
            answers=self.answers_field,
            input_format=self.input_format,
        )


@dataclass(frozen=True, slots=True)
class ModelFlags:
    """Which checkpoint answers, and how it runs."""

    model: Annotated[
        str | None,
        typer.Option("-m", "--model", help="Built-in name, folder, or Hugging Face name."),
    ] = None
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit on the hub.")] = None
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False
    allow_pickle: Annotated[
        bool, typer.Option("--allow-pickle", help="Read pytorch_model.bin too, its tensors alone.")
    ] = False
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto"
    engine: Annotated[
        Engine, typer.Option(help="auto is ONNX Runtime where that can do it, else torch.")
    ] = Engine.AUTO
    precision: Annotated[
        Precision,
        typer.Option(help="auto is fp32; bf16 runs on OpenVINO where installed, else on torch."),
    ] = Precision.AUTO
    batch_tokens: Annotated[int, typer.Option(min=1, help="Tokens in one batch.")] = BATCH_TOKENS
    long: Annotated[
        Long, typer.Option(help="Text over the model's length: windows, a cut, or an error.")
    ] = Long.WINDOW


class OnError(StrEnum):
    """What becomes of a record that cannot be answered."""

    ROW = "row"
    SKIP = "skip"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class OutputFlags:
    """Where the answers go, and in which form."""

    output_format: Annotated[
        OutputFormat | None,
        typer.Option("-f", "--format", help="Table on a terminal, JSON lines in a pipe."),
    ] = None
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="File to write, replaced when complete.")
    ] = None
    max_errors: Annotated[
        int | None, typer.Option(min=0, help="Stop after more than this many bad records.")
    ] = None
    on_error: Annotated[
        OnError, typer.Option(help="A bad record: in its row, left out, or the end of the run.")
    ] = OnError.ROW
    quiet: Quiet = False
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Counts and rate at the end; always with -o.")
    ] = False
    no_progress: Annotated[bool, typer.Option("--no-progress", help="No progress line.")] = False
    debug: Debug = False


@dataclass(frozen=True, slots=True)
class BulkFlags:
    """What a long run over files needs beside its input and its output."""

    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many records.")] = None
    sample: Annotated[
        int | None, typer.Option(min=1, help="Only so many records, drawn at random.")
    ] = None
    seed: Annotated[int, typer.Option(min=0, help="Which random records.")] = 0
    resume: Annotated[
        bool, typer.Option("--resume", help="After a kill, the same command goes on; needs -o.")
    ] = False
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Predict the time by two seconds of work.")
    ] = False
    manifest: Annotated[
        Path | None, typer.Option(help="File to say how the run was made: see bertcli replay.")
    ] = None
