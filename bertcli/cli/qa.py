"""`bertcli qa`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from bertcli.checkpoints.catalog import BASE_SHA256
from bertcli.checkpoints.layout import USUAL_THRESHOLD
from bertcli.cli.bulk import answer_all, hashes_of
from bertcli.cli.options import FIELD, BulkFlags, InputFlags, ModelFlags, OutputFlags, grouped
from bertcli.cli.recipe import (
    Incoming,
    choose_checkpoint,
    incoming,
    input_options,
    load_model,
    read_items,
    stdin_or_help,
)
from bertcli.engine.families import Head
from bertcli.errors import RecordError, UsageError
from bertcli.records import BadRecord, Item, Pause, Record
from bertcli.results import Answer, EmbedResult

if TYPE_CHECKING:
    from bertcli.checkpoints.layout import Checkpoint
    from bertcli.index.folder import IndexFolder
    from bertcli.index.where import Filter
    from bertcli.tasks.embed import Embed
    from bertcli.tasks.qa import Qa

PASSAGES = 8
NO_QUESTION = 'no question was asked: give one, as in bertcli qa "Who wrote it?" -i report.txt'

Questions = Annotated[
    list[str] | None,
    typer.Argument(help="Questions; none when the input has a column of them.", show_default=False),
]

NoAnswerThreshold = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="No answer above this probability of none, 1: always one; the checkpoint's own, or "
        f"{USUAL_THRESHOLD}.",
    ),
]


@dataclass(frozen=True, slots=True)
class PassageFlags:
    """Which passages of an index are read, where it is one that is asked."""

    index: Annotated[str | None, typer.Option(help="Find the passages to read in this index.")] = (
        None
    )
    passages: Annotated[
        int | None, typer.Option(min=1, help="With --index: how many passages to read; default 8.")
    ] = None
    where: Annotated[
        str | None, typer.Option(help="With --index: only documents for which this holds.")
    ] = None


@dataclass(frozen=True, slots=True)
class AnswerFlags:
    """How many answers are given, and when none is."""

    top_k: Annotated[
        int, typer.Option("-k", "--top-k", min=1, help="Answers per context, at most.")
    ] = 1
    no_answer_threshold: NoAnswerThreshold = None


@grouped
def qa(
    command: typer.Context,
    source: InputFlags,
    model: ModelFlags,
    out: OutputFlags,
    bulk: BulkFlags,
    find: PassageFlags,
    how: AnswerFlags,
    questions: Questions = None,
    context: Annotated[
        list[str] | None, typer.Option(help="Text to find the answer in; repeatable.")
    ] = None,
    question_field: Annotated[str, typer.Option(help="Column of the questions.")] = "question",
    context_field: Annotated[str, typer.Option(help="Column of the contexts.")] = "context",
    per_line: Annotated[
        bool, typer.Option("--per-line", help="Each line of a text file is a context of its own.")
    ] = False,
) -> None:
    """Answer questions from texts, word for word.

    \b
    bertcli qa "Who wrote the report?" -i report.txt
    bertcli qa "When was it built?" --context "The bridge was built in 1932."
    bertcli qa -i squad.jsonl -f csv -o answers.csv
    bertcli qa "How long do refunds take?" --index help
    """
    from bertcli.tasks.run import answers

    if find.index is not None:
        if context:
            raise UsageError("--context and --index both say what to read: give one")
        named = question_field if source.field == FIELD else source.field
        items = read_items(command, questions, source, question_field=named)
        _ask_index(command, items, find.index, find, how, model, out, bulk)
        return
    if find.where is not None or find.passages is not None:
        raise UsageError(
            "--where and --passages say what to read of an index: name it with --index"
        )
    if per_line and source.whole_file:
        raise UsageError("--per-line and --whole-file say two things: give one")
    source = replace(source, whole_file=not per_line)
    if questions:
        if not any(question.strip() for question in questions):
            raise UsageError(NO_QUESTION)
        if not all(question.strip() for question in questions):
            raise UsageError("one of the questions is empty: leave it out")
        contexts = _contexts(command, context or [], source)
        items = replace(contexts, items=_ask(questions, contexts))
    elif context:
        raise UsageError(NO_QUESTION)
    else:
        items = _read_questions(command, source, question_field, context_field)
    checkpoint, task = qa_task(model, how.top_k, how.no_answer_threshold, items.few)
    answer_all(command, partial(answers, task), items, out, bulk, partial(hashes_of, checkpoint))


def _ask_index(
    command: typer.Context,
    items: Incoming,
    index: str,
    find: PassageFlags,
    how: AnswerFlags,
    model: ModelFlags,
    out: OutputFlags,
    bulk: BulkFlags,
) -> None:
    """Answer questions from the passages that an index finds for them."""
    from bertcli.cli.index.open import note_state, open_index, unknown_columns
    from bertcli.index.where import compile_where

    condition = None if find.where is None else compile_where(find.where)
    folder, embed = open_index(index, replace(model, model=None, revision=None), items.few)
    # The checkpoint's own was measured of reading alone, without what the cosine says.
    threshold = USUAL_THRESHOLD if how.no_answer_threshold is None else how.no_answer_threshold
    checkpoint, task = qa_task(model, how.top_k, threshold, items.few)
    with folder:
        note_state(folder, out.quiet)
        compute = partial(
            _from_index,
            folder=folder,
            embed=replace(embed, prompt=""),
            task=task,
            condition=condition,
            passages=find.passages or PASSAGES,
            nothing_found=unknown_columns(folder, condition),
        )
        made_with = lambda: hashes_of(checkpoint) | folder.hashes()  # noqa: E731
        answer_all(command, compute, items, out, bulk, made_with)


def _from_index(
    items: Iterable[Item],
    folder: IndexFolder,
    embed: Embed,
    task: Qa,
    condition: Filter | None,
    passages: int,
    nothing_found: Callable[[], None],
) -> Iterator[Answer]:
    """Yield each question with its answers from the passages that an index finds for it."""
    from bertcli.index.query import words_of
    from bertcli.tasks.passages import BUILT_IN, Relevance, answer_from_passages
    from bertcli.tasks.run import answers

    model = folder.manifest.model
    of_built_in = model.weights_sha256 == BASE_SHA256 and model.normalize
    relevance = BUILT_IN if of_built_in else Relevance()
    for asked in answers(embed, items):
        if not isinstance(asked.result, EmbedResult) or not isinstance(asked.record, Record):
            yield asked
            continue
        question = asked.record.text
        hits = folder.find(words_of(question), asked.result.vector, passages, condition)
        if not hits:
            nothing_found()
        try:
            yield Answer(asked.record, answer_from_passages(task, question, hits, relevance))
        except RecordError as error:
            yield Answer(asked.record, error=str(error))


def qa_task(
    model: ModelFlags, top_k: int = 1, threshold: float | None = None, brief: bool = False
) -> tuple[Checkpoint, Qa]:
    """Return the checkpoint that a command line asks for, and the task on it.

    Without a `threshold` the checkpoint's own counts.
    """
    from bertcli.tasks.qa import Qa

    checkpoint = choose_checkpoint(model, "qa")
    encoder, tokenizer, window = load_model(checkpoint, Head.QA, model, brief)
    if threshold is None:
        threshold = checkpoint.no_answer_threshold
    return checkpoint, Qa(encoder, tokenizer, window, top_k, threshold, long=model.long)


def _contexts(command: typer.Context, texts: list[str], source: InputFlags) -> Incoming:
    from bertcli.inputs.records import read_records

    given = bool(texts or source.inputs)
    stdin = stdin_or_help(command, given)
    records = read_records(input_options(texts, source), stdin)
    from_stdin = not given or "-" in (source.inputs or ())
    return replace(incoming(records, stdin, from_stdin), few=bool(texts) and not source.inputs)


def _read_questions(
    command: typer.Context, source: InputFlags, question_field: str, context_field: str
) -> Incoming:
    from bertcli.inputs.records import question_records, read_rows

    stdin = stdin_or_help(command, bool(source.inputs))
    options = input_options((), source)
    rows = read_rows(options, stdin)
    records = question_records(rows, question_field, context_field)
    found = incoming(records, stdin, not source.inputs or "-" in source.inputs)
    return replace(found, options=options)


def _ask(questions: list[str], contexts: Iterable[Item]) -> Iterator[Item]:
    """Yield every question over every context, numbered anew in that order."""
    number = 0
    for item in contexts:
        if isinstance(item, Pause):
            yield item
            continue
        asked: list[Record | BadRecord] = (
            [item]
            if isinstance(item, BadRecord)
            else [replace(item, question=question) for question in questions]
        )
        for one in asked:
            yield replace(one, id=number)
            number += 1
