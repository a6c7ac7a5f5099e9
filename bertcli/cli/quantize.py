"""`bertcli quantize`: what int8 changes, and a checkpoint that runs in int8 where it is little."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bertcli.checkpoints.resolve import name_of_base
from bertcli.cli.models import Name
from bertcli.cli.options import FIELD, Debug, Field, ModelFlags
from bertcli.cli.recipe import Sound, check_folder, choose_checkpoint, warn
from bertcli.engine.choices import Precision
from bertcli.engine.families import PRECISION, TEXT_PAIRS, Head
from bertcli.errors import BertcliError, DataError, OutputError, UsageError

if TYPE_CHECKING:
    from bertcli.checkpoints.layout import Checkpoint
    from bertcli.evaluate.drift import Drift
    from bertcli.records import Record
    from bertcli.results import Result
    from bertcli.tasks.run import Task

RECORDS = 1_000


def quantize(
    name: Name,
    check: Annotated[
        list[str], typer.Option(help="File of records to answer in fp32 and in int8; repeatable.")
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="New checkpoint that runs in int8.")
    ] = None,
    field: Field = FIELD,
    question_field: Annotated[str, typer.Option(help="qa: column of the questions.")] = "question",
    context_field: Annotated[str, typer.Option(help="qa: column of the contexts.")] = "context",
    limit: Annotated[int, typer.Option(min=2, help="Only the first so many records.")] = RECORDS,
    force: Annotated[bool, typer.Option("--force", help="Write -o whatever the drift is.")] = False,
    debug: Debug = False,
) -> None:
    """Measure how far int8 drifts from fp32; with -o write a checkpoint that runs in int8.

    The task is the checkpoint's own: labels that agree, the F1 of entities or answers, cosines and
    shared neighbours, first words. Beyond a bound the exit code is 1 and nothing is written.

    \b
    bertcli quantize sentiment --check reviews.csv --field review
    bertcli quantize ./my-ner --check dev.txt -o ./my-ner-int8
    bertcli quantize qa --check squad.jsonl
    """
    from bertcli.evaluate.drift import measure_drift
    from bertcli.inputs.records import question_records, read_records, read_rows
    from bertcli.inputs.source import InputOptions

    if output is not None:
        if output.exists():
            raise UsageError(f"{output}: exists already; name a new folder with -o")
        check_folder(output, "-o")
    flags = ModelFlags(model=name)
    checkpoint = choose_checkpoint(flags, "embed")
    if output is not None and checkpoint.linear is not None:
        raise UsageError(f"{checkpoint.name}: a linear head runs in int8 with --precision int8")
    if checkpoint.config.get(TEXT_PAIRS):
        raise UsageError(f"{checkpoint.name} reads pairs of texts, which cannot be measured here")
    options = InputOptions(inputs=tuple(check), field=field)
    if checkpoint.head is Head.QA:
        items = question_records(read_rows(options), question_field, context_field)
    else:
        items = read_records(options)
    sound = Sound(islice(items, limit))
    records = _records(checkpoint, sound, check)
    full, quantised = (
        _results(checkpoint, replace(flags, precision=one), records)
        for one in (Precision.FP32, Precision.INT8)
    )
    one, other = _both(full, quantised)
    if failed := len(records) - len(one):
        sound.bad += failed
        warn(f"{failed} of {len(records)} records failed, and are left out")
    found = measure_drift(one, other)
    _show(checkpoint, found)
    if not (all(one.passes for one in found) or force):
        worst = next(one for one in found if not one.passes)
        raise BertcliError(
            f"int8 drifts too far: {worst.measure} is {worst.value:.4f}, expected at least "
            f"{worst.bound}; stay with fp32"
            + ("" if output is None else f", {output} was not written")
        )
    if output is not None:
        _write(checkpoint, output)
    sound.leave()


def _records(checkpoint: Checkpoint, sound: Sound, files: list[str]) -> list[Record]:
    """Return records as the checkpoint's task takes them."""
    from bertcli.evaluate.drift import masked_records

    found = list(sound)
    if checkpoint.head is Head.MASKED_LM:
        found = list(masked_records(found))
    if len(found) < 2:
        raise DataError(f"{', '.join(files)}: {len(found)} records, at least 2 are needed")
    return found


def _task(checkpoint: Checkpoint, flags: ModelFlags) -> Task:
    from bertcli.cli.classify import classify_task
    from bertcli.cli.embed import build_embed
    from bertcli.cli.ner import ner_task
    from bertcli.cli.qa import qa_task
    from bertcli.cli.recipe import load_model
    from bertcli.engine.choices import Aggregate
    from bertcli.tasks.classify import Choice
    from bertcli.tasks.fill_mask import FillMask

    if checkpoint.linear is not None or checkpoint.head is Head.SEQUENCE:
        return classify_task(flags, {}, choice=Choice(1)).task
    match checkpoint.head:
        case Head.TOKEN:
            return ner_task(flags, Aggregate.FIRST)[1]
        case Head.QA:
            return qa_task(flags)[1]
        case Head.MASKED_LM:
            return FillMask(*load_model(checkpoint, Head.MASKED_LM, flags), top_k=1)
    return build_embed(checkpoint, flags)


def _results(
    checkpoint: Checkpoint, flags: ModelFlags, records: Sequence[Record]
) -> list[Result | None]:
    from bertcli.tasks.run import answers

    return [answer.result for answer in answers(_task(checkpoint, flags), records)]


def _both(
    full: Sequence[Result | None], quantised: Sequence[Result | None]
) -> tuple[list[Result], list[Result]]:
    """Return the results of the records that both precisions answered."""
    pairs = [(a, b) for a, b in zip(full, quantised, strict=True) if a and b]
    if not pairs:
        raise DataError("no record could be answered")
    return [a for a, _ in pairs], [b for _, b in pairs]


def _show(checkpoint: Checkpoint, found: Sequence[Drift]) -> None:
    """Write the measures as lines for a person on a terminal, as JSON lines into a pipe."""
    terminal = sys.stdout.isatty()
    if terminal:
        typer.echo(f"{'int8 and fp32':20} {'alike':>8} {'at least':>8} {'of':>8}")
    for one in found:
        if terminal:
            typer.echo(f"{one.measure:20} {one.value:8.4f} {one.bound:8.2f} {one.count:8,}")
        else:
            row = {"model": checkpoint.name, **asdict(one), "passes": one.passes}
            typer.echo(json.dumps(row, ensure_ascii=False))


def _write(checkpoint: Checkpoint, output: Path) -> None:
    """Copy a checkpoint with the note that it runs in int8; the folder appears when complete."""
    from bertcli.checkpoints.layout import ADAPTER_CONFIG

    folder = checkpoint.adapter.folder if checkpoint.adapter else checkpoint.folder
    draft = output.with_name(f".{output.name}.partial")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        shutil.copytree(folder, draft)
        noted = {**checkpoint.config, PRECISION: Precision.INT8.value}
        (draft / "config.json").write_text(json.dumps(noted, indent=2) + "\n", encoding="utf-8")
        if adapter := checkpoint.adapter:  # the base is found from there too
            named = {**adapter.config, "base_model_name_or_path": name_of_base(checkpoint)}
            text = json.dumps(named, indent=2) + "\n"
            (draft / ADAPTER_CONFIG).write_text(text, encoding="utf-8")
        draft.replace(output)
    except OSError as error:  # copytree lists what it could not copy
        why = error.args[0][0][2] if isinstance(error, shutil.Error) else error.strerror
        raise OutputError(f"{output}: cannot be written ({why}); nothing was left") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    typer.echo(str(output))
