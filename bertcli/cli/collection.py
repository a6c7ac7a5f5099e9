"""`bertcli similar`, `dedupe` and `cluster`: what is alike in an index or in a file."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from math import isqrt
from typing import TYPE_CHECKING, Annotated

import typer

from bertcli.cli.bulk import all_made_with, answers_with, hashes_of, journal_of_run
from bertcli.cli.embed import build_embed
from bertcli.cli.options import InputFlags, ModelFlags, OutputFlags, Texts, grouped
from bertcli.cli.recipe import (
    Incoming,
    Watch,
    check_output,
    choose_checkpoint,
    finish,
    keep_apart,
    read_items,
    warn,
)
from bertcli.errors import UsageError
from bertcli.index.places import place_of
from bertcli.records import TEXT_NAME, Record
from bertcli.results import Answer, EmbedResult, GroupResult, Member, PairResult, UniqueResult

if TYPE_CHECKING:
    from bertcli.index.vectors import Vectors
    from bertcli.inputs.source import InputOptions
    from bertcli.results import Result

BAR = 40
MIN_SIZE = 5
NO_TEXT = Member("", "")
"""Stands in a result of which the columns alone count, where nothing is found."""


class Method(StrEnum):
    """How texts are put into clusters."""

    KMEANS = "kmeans"
    HDBSCAN = "hdbscan"


Index = Annotated[
    str | None, typer.Option(help="Take the passages of this index, instead of texts.")
]

Resume = Annotated[
    bool, typer.Option("--resume", help="After a kill, the same command goes on; needs -o.")
]


@grouped
def similar(
    context: typer.Context,
    source: InputFlags,
    model: ModelFlags,
    out: OutputFlags,
    texts: Texts = None,
    index: Index = None,
    resume: Resume = False,
    threshold: Annotated[
        float, typer.Option(min=-1, max=1, help="Only pairs of at least this cosine.")
    ] = 0.7,
    top_k: Annotated[int, typer.Option("-k", "--top-k", min=1, help="Pairs, the nearest.")] = 100,
) -> None:
    """Find the pairs of texts that are nearest in meaning, by cosine; all pairs are looked at.

    \b
    bertcli similar -i tickets.csv --threshold 0.8
    bertcli similar --index my-notes -k 20 -f csv -o pairs.csv
    """
    from bertcli.index.alike import best_pairs

    with _collection(context, texts, source, model, out, index, resume) as these:
        found = best_pairs(these.vectors, threshold, top_k)
        members = these.members
        pairs = [PairResult(one.score, members[one.first], members[one.second]) for one in found]
        if not pairs and not out.quiet:
            warn(f"no two of the {len(members)} texts have a cosine of {threshold:g} or more")
        _write(these, pairs, out, PairResult(0, NO_TEXT, NO_TEXT))
    these.leave(out)


@grouped
def dedupe(
    context: typer.Context,
    source: InputFlags,
    model: ModelFlags,
    out: OutputFlags,
    texts: Texts = None,
    index: Index = None,
    resume: Resume = False,
    threshold: Annotated[
        float | None,
        typer.Option(min=-1, max=1, help="Cosine from which two texts count as the same."),
    ] = None,
    unique: Annotated[
        bool, typer.Option("--unique", help="Write the texts themselves, near-duplicates once.")
    ] = False,
) -> None:
    """Group near-duplicates, or write texts without them.

    Chains of pairs make a group, whose lowest_score is the lowest cosine with its first text;
    --unique leaves out only what is like a text that stays.
    Which cosine makes two texts the same depends on the texts and the model. Without --threshold
    it is shown how their cosines lie, for you to choose.

    \b
    bertcli dedupe -i tickets.csv
    bertcli dedupe -i tickets.csv --threshold 0.95
    bertcli dedupe -i lines.txt --threshold 0.95 --unique -f text -o unique.txt
    bertcli dedupe --index my-notes --threshold 0.98
    """
    from bertcli.index.alike import groups_above

    with _collection(context, texts, source, model, out, index, resume) as these:
        if threshold is None:
            _show_distribution(these.vectors)
            raise UsageError(
                "choose a --threshold from the distribution above: texts whose cosine reaches it "
                "count as the same"
            )
        groups = groups_above(these.vectors, threshold)
        if unique:
            _write_unique(these, groups, threshold, out)
        else:
            _write_groups(these, groups, out)
    these.leave(out)


@grouped
def cluster(
    context: typer.Context,
    source: InputFlags,
    model: ModelFlags,
    out: OutputFlags,
    texts: Texts = None,
    index: Index = None,
    resume: Resume = False,
    method: Annotated[
        Method, typer.Option(help="A number of clusters, or as many as lie close together.")
    ] = Method.KMEANS,
    clusters: Annotated[
        int | None,
        typer.Option("-k", "--clusters", min=1, help="kmeans: how many; default √(n/2)."),
    ] = None,
    min_size: Annotated[
        int | None, typer.Option(min=2, help="hdbscan: texts in the smallest cluster; default 5.")
    ] = None,
    terms: Annotated[int, typer.Option(min=0, help="Key terms of each cluster.")] = 5,
    seed: Annotated[int | None, typer.Option(min=0, help="kmeans: random seed; default 0.")] = None,
) -> None:
    """Put texts into clusters by meaning, each with the terms that tell it from the others.

    \b
    bertcli cluster -i tickets.csv
    bertcli cluster --index my-notes -k 12 -f csv -o clusters.csv
    bertcli cluster -i tickets.csv --method hdbscan --min-size 8
    """
    from bertcli.index.clusters import hdbscan, key_terms, kmeans

    if method is Method.KMEANS and min_size is not None:
        raise UsageError("--min-size is for --method hdbscan; kmeans takes -k")
    if method is Method.HDBSCAN and (clusters is not None or seed is not None):
        raise UsageError("-k and --seed are for --method kmeans; hdbscan takes --min-size")
    with _collection(context, texts, source, model, out, index, resume) as these:
        if method is Method.KMEANS:
            count = clusters or max(1, isqrt(len(these.members) // 2))
            found = kmeans(these.vectors, count, seed or 0)
            if len(found) < (clusters or 0) and not out.quiet:
                warn(f"{len(found)} clusters: no more of the texts differ")
        else:
            found = hdbscan(these.vectors, min_size or MIN_SIZE)
        its_texts = [[these.members[row].text for row in one.rows] for one in found]
        results = [
            GroupResult(one.number, tuple(these.members[row] for row in one.rows), tuple(its_terms))
            for one, its_terms in zip(found, key_terms(its_texts, terms), strict=True)
        ]
        _write(these, results, out)
    these.leave(out)


@dataclass(frozen=True, slots=True)
class _Collection:
    """Texts with their places and their vectors `(n, d)` of length one."""

    members: list[Member]
    vectors: Vectors
    records: list[Record]
    failed: int = 0
    options: InputOptions | None = None

    def leave(self, out: OutputFlags) -> None:
        """Leave with exit code 3 where a text could not be read."""
        if self.failed:
            if not out.quiet:
                warn(f"{self.failed} of {self.failed + len(self.members)} texts failed")
            raise typer.Exit(3)


@contextmanager
def _collection(
    context: typer.Context,
    texts: list[str] | None,
    source: InputFlags,
    model: ModelFlags,
    out: OutputFlags,
    index: str | None,
    resume: bool,
) -> Iterator[_Collection]:
    """Give the passages of an index, or the texts of a command line with their vectors.

    With `resume` these vectors are kept until the block has ended well, so that they need not be
    computed again after a kill.
    """
    from bertcli.inputs.source import STDIN
    from bertcli.tasks.run import answers

    check_output(out)
    if index is not None:
        if texts or source.inputs:
            raise UsageError("--index and texts both say what to look at: give one")
        if resume:
            raise UsageError("--resume: of an index nothing is computed twice: leave it out")
        yield _enough(_of_index(index, model))
        return
    keep_apart({"-o": out.output}, source.inputs or [STDIN])
    items = read_items(context, texts, source)
    checkpoint = choose_checkpoint(model, "embed")
    embed = build_embed(checkpoint, model, normalize=True)
    made = partial(all_made_with, context, partial(hashes_of, checkpoint))
    with journal_of_run(context, items, out, resume, made) as journal:
        found = answers_with(journal, partial(answers, embed), items)
        yield _enough(_of_answers(found, items, source.field, out))


def _enough(these: _Collection) -> _Collection:
    """Return a collection; raises UsageError where nothing in it can be compared."""
    if len(these.members) < 2:
        raise UsageError(f"{len(these.members)} texts: at least two can be compared")
    return these


def _of_index(name: str, model: ModelFlags) -> _Collection:
    """Return the passages of an index; raises where `-m` names another model than its own."""
    import numpy as np

    from bertcli.cli.index.open import identity, recorded_model
    from bertcli.index.folder import IndexFolder

    place = place_of(name)
    asked = None if model.model is None else identity(*recorded_model(place, model))
    with IndexFolder.open(place, asked) as folder:
        hits, vectors = folder.everything()
    members = [Member(hit.text, hit.document, hit.line, hit.id, hit.columns) for hit in hits]
    return _Collection(members, np.asarray(vectors), [])


def _of_answers(
    found: Iterator[Answer], items: Incoming, field: str, out: OutputFlags
) -> _Collection:
    import numpy as np

    members, vectors, records = list[Member](), [], list[Record]()
    watch = Watch(out, named=not out.quiet, rows=False)
    for answer in watch.over(found, lambda _: None):
        record = answer.record
        if not isinstance(answer.result, EmbedResult) or not isinstance(record, Record):
            continue
        place = record.place
        others = {name: one for name, one in record.columns.items() if name != field}
        members.append(Member(record.text, place.path or TEXT_NAME, place.line, None, others))
        vectors.append(answer.result.vector)
        records.append(record)
    rows = np.stack(vectors) if vectors else np.empty((0, 1), np.float32)
    return _Collection(members, rows, records, watch.errors, items.options)


def _group(these: _Collection, number: int, rows: Sequence[int]) -> GroupResult:
    first = these.vectors[rows[0]]
    lowest = float(min(these.vectors[row] @ first for row in rows[1:]))
    return GroupResult(number, tuple(these.members[row] for row in rows), None, lowest)


def _write(
    these: _Collection, results: Sequence[Result], out: OutputFlags, like: Result | None = None
) -> None:
    _finish(these, (Answer(Record(i, ""), one) for i, one in enumerate(results)), out, like)


def _finish(
    these: _Collection, answers: Iterable[Answer], out: OutputFlags, like: Result | None = None
) -> None:
    """Write answers; where there are none a file has the columns of results `like` this."""
    finish(answers, out, Incoming(iter(()), options=these.options), like)


def _write_groups(these: _Collection, groups: Sequence[Sequence[int]], out: OutputFlags) -> None:
    """Write each group of near-duplicates."""
    results = [_group(these, number, rows) for number, rows in enumerate(groups, 1)]
    if not out.quiet:
        repeated = sum(len(rows) - 1 for rows in groups)
        warn(f"{repeated} of {len(these.members)} texts are near-duplicates of others")
    _write(these, results, out, GroupResult(0, (NO_TEXT,), lowest_score=0))


def _write_unique(
    these: _Collection, groups: Sequence[Sequence[int]], threshold: float, out: OutputFlags
) -> None:
    """Write each text once, in the order of the input, with the columns it came with."""
    from bertcli.index.alike import standing_for_others

    repeated: dict[int, int] = {}
    for rows in groups:
        repeated |= standing_for_others(these.vectors, rows, threshold)
    dropped = {row for rows in groups for row in rows} - repeated.keys()
    records = these.records or [
        Record(
            number, one.text, columns={"document": one.document, "line": one.line, **one.columns}
        )
        for number, one in enumerate(these.members)
    ]
    kept = (
        Answer(replace(record, id=number), UniqueResult(record.text, repeated.get(row, 1)))
        for number, (row, record) in enumerate(
            (row, record) for row, record in enumerate(records) if row not in dropped
        )
    )
    _finish(these, kept, out)


def _show_distribution(vectors: Vectors) -> None:
    """Write on stderr how near each text's nearest other one is."""
    from bertcli.index.alike import distribution, nearest_cosines

    counts = distribution(nearest_cosines(vectors))
    most = max(count for _, count in counts) or 1
    typer.echo("cosine of each text with the one nearest to it (no probability):", err=True)
    for edge, count in counts:
        if count:
            bar = "#" * max(1, round(BAR * count / most))
            typer.echo(f"{edge:.2f} … {edge + 0.05:.2f} {count:8,} {bar}", err=True)
    sys.stderr.flush()
