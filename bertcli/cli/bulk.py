"""Long runs over files: a part of the records, a forecast, going on after a kill, a manifest."""

from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cache, partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from bertcli.cli.options import BulkFlags, OnError, OutputFlags, given
from bertcli.cli.recipe import Incoming, check_output, keep_apart, show_facts, write
from bertcli.errors import UsageError
from bertcli.records import BadRecord, Item, Pause, Record

if TYPE_CHECKING:
    import random

    from bertcli.checkpoints.layout import Checkpoint
    from bertcli.cli.replay import Recorder
    from bertcli.outputs.journal import Journal
    from bertcli.results import Answer

PROBE_SECONDS = 2.0
PROBE_READ = 20_000
PROBE_GROUP, PROBE_CHARACTERS = 64, 20_000
"""So many records, or so much text of them, are answered before the clock is looked at again."""
NOT_THE_RUN = frozenset(
    {
        "debug",
        "dry_run",
        "manifest",
        "no_progress",
        "offline",
        "output",
        "output_format",
        "quiet",
        "resume",
        "verbose",
    }
)
"""Parameters that do not change what a run computes."""
HEEDED = frozenset({"max_errors", "on_error"})
"""What is done with bad records: it changes what is written, but no answer."""

Compute = Callable[[Iterable[Item]], Iterator["Answer"]]
MadeWith = Callable[[], dict[str, str]]


def answer_all(
    context: typer.Context,
    compute: Compute,
    items: Incoming,
    out: OutputFlags,
    bulk: BulkFlags,
    made_with: MadeWith,
) -> None:
    """Answer the records of a command line, write the answers, and leave with the exit code.

    `compute` must give one answer per record, in their order, and treat groups of records as
    `look_ahead` makes them apart from each other, so that a run may go on between two of them.
    `made_with` tells the hashes of the checkpoints and of the index behind the answers; it is asked
    only where they are wanted.
    """
    from bertcli.inputs.source import STDIN
    from bertcli.outputs.sink import check_writable

    if bulk.sample is None and given(context, {"seed"}):
        raise UsageError("--seed: it draws the records of --sample, which was not given")
    if out.on_error is OnError.STOP and given(context, {"max_errors"}):
        raise UsageError("--max-errors: --on-error stop ends at the first: leave one of them out")
    read = [*(_inputs(context) or [STDIN]), *map(str, _files_named(context))]
    keep_apart({"--manifest": bulk.manifest, "-o": out.output}, read)
    if bulk.manifest is not None:
        check_writable(str(bulk.manifest))
    bounds = [one for one in (bulk.limit, bulk.sample) if one is not None]
    items = replace(items, items=_chosen(items, bulk), most=min(bounds, default=None))
    if bulk.dry_run:
        show_facts(_forecast(compute, items, bulk))
        return
    made = cache(partial(all_made_with, context, made_with))
    recorder = _recorder(context, bulk, made)
    if recorder is not None:
        items = replace(items, items=recorder.watch(items))
    with journal_of_run(context, items, out, bulk.resume, made) as journal:
        digest = recorder.digest(out) if recorder else None
        written = write(answers_with(journal, compute, items), out, items, digest)
        if recorder is not None:
            recorder.record(written, out)
    written.leave()


def hashes_of(checkpoint: Checkpoint) -> dict[str, str]:
    """Return the SHA-256 of a checkpoint's weights, of its settings and of its tokenizer."""
    from bertcli.checkpoints.hashes import file_sha256, joint_sha256, text_sha256

    return {
        f"checkpoint {checkpoint.name}": joint_sha256(checkpoint.files),
        f"settings of {checkpoint.name}": text_sha256(json.dumps(checkpoint.settings)),
        f"tokenizer of {checkpoint.name}": file_sha256(checkpoint.tokenizer),
    }


def spread(items: Sequence[Any]) -> Iterator[Any]:
    """Yield items from all over a sequence, each once: first far apart, then between those.

    >>> list(spread("abcde"))
    ['a', 'e', 'c', 'b', 'd']
    """
    step = 1 << max(0, (len(items) - 1).bit_length())
    seen = set[int]()
    while step:
        for at in range(0, len(items), step):
            if at not in seen:
                seen.add(at)
                yield items[at]
        step //= 2


def answers_with(journal: Journal | None, compute: Compute, items: Incoming) -> Iterator[Answer]:
    """Yield the answers; those that a journal has, of the first groups, are not computed again."""
    if journal is None:
        yield from compute(items)
        return
    from bertcli.tasks.run import look_ahead

    groups = look_ahead(items)
    for number, group in enumerate(groups):
        found = journal.find(number, group)
        if found is None:
            yield from _kept(compute, chain([group], groups), number, journal)
        else:
            yield from found


def _kept(
    compute: Compute, groups: Iterable[list[Record | BadRecord]], number: int, journal: Journal
) -> Iterator[Answer]:
    """Yield the answers of groups, the first of which has this number, a group when it is kept."""
    waiting: deque[list[Record | BadRecord]] = deque()

    def items() -> Iterator[Item]:
        for group in groups:
            waiting.append(group)
            yield from group

    answers = compute(items())
    for answer in answers:
        rest = islice(answers, len(waiting[0]) - 1)
        done = [answer, *rest]
        journal.keep(number, waiting.popleft(), done)
        yield from done
        number += 1


def journal_of_run(
    context: typer.Context,
    items: Incoming,
    out: OutputFlags,
    resume: bool,
    made_with: MadeWith,
) -> AbstractContextManager[Journal | None]:
    """Return the journal that --resume wants, opened; none without it."""
    if not resume:
        return nullcontext()
    from bertcli import __version__
    from bertcli.outputs.formats import is_stdout
    from bertcli.outputs.journal import open_journal
    from bertcli.outputs.sink import is_device

    output = str(out.output)
    if is_stdout(out.output) or is_device(output):
        raise UsageError("--resume needs a file to write: name one with -o")
    check_output(out)
    if items.live:
        raise UsageError("--resume needs input that can be read again: name files with -i")
    run = {"bertcli": __version__} | {
        f"--{name.replace('_', '-')}": value
        for name, value in run_flags(context).items()
        if name not in HEEDED
    }
    return open_journal(output, run | made_with())


def _recorder(context: typer.Context, bulk: BulkFlags, made_with: MadeWith) -> Recorder | None:
    """Return what writes the manifest, where one is wanted."""
    if bulk.manifest is None:
        return None
    from bertcli.cli.replay import Recorder

    return Recorder(bulk.manifest, context, run_flags(context), _inputs(context), made_with())


def run_flags(context: typer.Context) -> dict[str, str]:
    """Return the parameters of a command that decide what it computes, as text."""
    return {
        name: "; ".join(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in sorted(context.params.items())
        if name not in NOT_THE_RUN and value is not None
    }


def all_made_with(context: typer.Context, made_with: MadeWith) -> dict[str, str]:
    """Return the hashes of all that the answers depend on, beside the flags and the records."""
    from bertcli.checkpoints.hashes import fresh_sha256

    files = (path for path in _files_named(context) if path.is_file())
    return {f"file {path}": fresh_sha256(path) for path in files} | made_with()


def _inputs(context: typer.Context) -> list[str]:
    """Return the files, globs and folders of -i."""
    return list(context.params.get("inputs") or ())


def _files_named(context: typer.Context) -> list[Path]:
    """Return the files that options name to be read, such as --labels-file, without the input."""
    named = ((name, value) for name, value in context.params.items() if name not in NOT_THE_RUN)
    return [value for _, value in named if isinstance(value, Path)]


def _chosen(items: Incoming, bulk: BulkFlags) -> Iterator[Item]:
    """Return the records that --limit and --sample leave."""
    chosen: Iterator[Item] = iter(items)
    if bulk.limit is not None:
        chosen = _first(chosen, bulk.limit)
    if bulk.sample is not None:
        chosen = _sampled(chosen, bulk.sample, bulk.seed)
    return chosen


def _first(items: Iterator[Item], count: int) -> Iterator[Item]:
    left = count
    while left and (item := next(items, None)) is not None:
        left -= not isinstance(item, Pause)
        yield item


def _sampled(items: Iterator[Item], count: int, seed: int) -> Iterator[Item]:
    """Yield `count` records in the order of the input, each set of them equally likely."""
    import random

    records = (item for item in items if not isinstance(item, Pause))
    kept, _ = _drawn(records, count, random.Random(seed))
    yield from sorted(kept, key=lambda one: one.id)


def _drawn(
    records: Iterable[Record | BadRecord],
    count: int,
    rng: random.Random,
    seconds: float = math.inf,
) -> tuple[list[Record | BadRecord], int]:
    """Return `count` of the records that are read in so many seconds, and how many those are.

    Algorithm R (Vitter 1985, "Random sampling with a reservoir"): each set of them is equally
    likely, and memory holds the sample alone.
    """
    kept: list[Record | BadRecord] = []
    read, began = 0, time.perf_counter()
    for item in records:
        read += 1
        if read <= count:
            kept.append(item)
        elif (place := rng.randrange(read)) < count:
            kept[place] = item
        if _since(began) > seconds:
            break
    return kept, read


def _forecast(compute: Compute, items: Incoming, bulk: BulkFlags) -> dict[str, object]:
    """Return what a run would take, by answering records from all over what is soon read of it."""
    import random

    from bertcli.inputs.size import expected_records

    records = (item for item in items if not isinstance(item, Pause))
    head, read = _drawn(records, PROBE_READ, random.Random(0), PROBE_SECONDS)
    following = next(records, None)
    total = read if following is None else None
    if total is None and not (bulk.limit or bulk.sample) and items.options is not None:
        total = expected_records(items.options)
    if total is None:
        total = read + 1 + sum(1 for _ in records)
    list(compute(_shortened(head[:1])))  # what is done once only
    probes = spread(head)
    count = errors = 0
    tokens = seconds = 0.0
    began = time.perf_counter()
    while _since(began) < PROBE_SECONDS and (group := _probe(probes)):
        short, started = _shortened(group), time.perf_counter()
        found = list(compute(short))
        rest = _characters(group) / max(_characters(short), 1)
        seconds += _since(started) * rest
        tokens += sum(one.result.reading.tokens for one in found if one.result) * rest
        errors += sum(one.error is not None for one in found)
        count += len(found)
    scale = total / count if count else 0.0
    return {
        "records": total,
        "tokens": round(tokens * scale),
        "seconds": round(seconds * scale, 3),
        "records_per_second": round(count / seconds, 1) if seconds else 0.0,
        "bad_records": round(errors * scale),
        "probed_records": count,
    }


def _probe(records: Iterator[Record | BadRecord]) -> list[Record | BadRecord]:
    """Return the next records to try: little enough to be answered soon."""
    group: list[Record | BadRecord] = []
    while len(group) < PROBE_GROUP and _characters(group) < PROBE_CHARACTERS:
        if (one := next(records, None)) is None:
            break
        group.append(one)
    return group


def _shortened(group: Sequence[Record | BadRecord]) -> list[Record | BadRecord]:
    """Return records of which only the beginning is tried."""
    return [
        replace(one, text=one.text[:PROBE_CHARACTERS]) if isinstance(one, Record) else one
        for one in group
    ]


def _characters(group: Sequence[Record | BadRecord]) -> int:
    return sum(len(one.text) for one in group if isinstance(one, Record))


def _since(began: float) -> float:
    return time.perf_counter() - began
