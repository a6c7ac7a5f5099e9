"""`bertcli eval search`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bertcli.cli.embed import build_embed
from bertcli.cli.eval.report import (
    EvalFlags,
    between,
    other_model,
    show,
    write_differences,
    write_errors,
    write_lines,
)
from bertcli.cli.index.open import identity
from bertcli.cli.options import ModelFlags, given, grouped
from bertcli.cli.recipe import choose_checkpoint, warn
from bertcli.cli.search import Mode, ModeOption
from bertcli.errors import DataError, UsageError

if TYPE_CHECKING:
    from bertcli.checkpoints.layout import Checkpoint
    from bertcli.evaluate.search import Judgements, SearchScore
    from bertcli.index.folder import IndexFolder
    from bertcli.results import Hit
    from bertcli.tasks.embed import Embed

DEPTH = 100

OF_ONE = frozenset({"model", "revision"})
OF_ALL = frozenset(
    {"mode", "engine", "precision", "device", "batch_tokens", "long", "allow_pickle"}
)
"""The options of the checkpoint that is measured, and those of one that is compared with, too."""

Run = dict[str, dict[str, float]]


@grouped
def search(
    context: typer.Context,
    folder: Annotated[
        Path, typer.Argument(help="BEIR folder: corpus.jsonl, queries.jsonl, qrels.tsv.")
    ],
    model: ModelFlags,
    flags: EvalFlags,
    mode: ModeOption = Mode.HYBRID,
    run: Annotated[
        Path | None, typer.Option(help="Measure this TREC run file instead of a checkpoint.")
    ] = None,
    qrels: Annotated[
        Path | None, typer.Option(help="Judgements, BEIR's or TREC's; default the folder's.")
    ] = None,
    save_run: Annotated[
        Path | None, typer.Option(help="Write what was found as a TREC run file, scored by 1/rank.")
    ] = None,
    recall_at: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            help="Among how many passages to count the relevant ones, 10 and 100; repeatable.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Measure search: nDCG@10, recall, MRR@10 and MAP over judged queries.

    Every passage is one of an index made for it, and 100 of them are found for each query, or as
    many as --recall-at needs.
    --errors writes the queries that have nothing relevant among the first ten.

    \b
    bertcli eval search ./beir/scifact
    bertcli eval search ./beir/scifact --mode dense
    bertcli eval search ./beir/scifact -m ./my-embedder --compare all-MiniLM-L6-v2
    bertcli eval search ./beir/scifact --run bm25.trec
    """
    from bertcli.evaluate.intervals import mean_difference
    from bertcli.evaluate.search import RECALLS, misses, run_lines, score_run
    from bertcli.inputs.beir import QRELS, beir_file, read_judgements, read_run

    if run is not None and (idle := given(context, OF_ONE if flags.compare else OF_ONE | OF_ALL)):
        raise UsageError(f"{', '.join(idle)}: no checkpoint is asked where --run is measured")
    if mode is Mode.KEYWORD and flags.compare is not None and run is None:
        raise UsageError("--compare: by words alone every checkpoint finds the same")
    judged = qrels or beir_file(folder, *QRELS)
    read = [
        judged,
        *folder.glob("corpus.jsonl*"),
        *folder.glob("queries.jsonl*"),
        *filter(None, [run]),
    ]
    flags.keep_apart(map(str, read), save_run=save_run)
    judgements = read_judgements(judged)
    recalls = sorted(set(recall_at or RECALLS))

    def measured(chosen: ModelFlags) -> tuple[str, Run, SearchScore]:
        checkpoint = choose_checkpoint(chosen, "embed")
        embed = build_embed(checkpoint, chosen, normalize=True)
        found = _found(folder, checkpoint, embed, mode, max(DEPTH, *recalls))
        return checkpoint.name, found, score_run(found, judgements, recalls)

    if run is not None:
        name, found = str(run), read_run(run)
        score = score_run(found, judgements, recalls)
    else:
        name, found, score = measured(model)
    _check_judged(judged, judgements, found, score.queries, str(run or folder))
    report: dict[str, Any] = {
        "model": name,
        "judged_by": str(judged),
        "queries": len(score.queries),
    }
    for measure in score.values:
        report[measure] = score.mean(measure)
        report[f"{measure}_95"] = between(score.interval(measure))
    differences: list[dict[str, Any]] = []
    if flags.compare is not None:
        if run is not None and Path(flags.compare).is_file():
            other_name = flags.compare
            other = score_run(read_run(Path(other_name)), judgements, recalls)
        else:
            other_name, _, other = measured(other_model(model, flags.compare))
        one, two = score.values["ndcg@10"], other.values["ndcg@10"]
        difference = mean_difference(one, two)
        report |= {
            "other": other_name,
            "other_ndcg@10": other.mean("ndcg@10"),
            "ndcg@10_minus_other": score.mean("ndcg@10") - other.mean("ndcg@10"),
            "ndcg@10_minus_other_95": between(difference),
            "differ": int((one != two).sum()),
        }
        differences = [
            {"query": query, "ndcg@10": float(one[i]), "other_ndcg@10": float(two[i])}
            for i, query in enumerate(score.queries)
            if one[i] != two[i]
        ]
    show(report)
    missed = misses(found, judgements, score)
    write_errors(flags.errors, missed, "query without a hit", "queries without a hit")
    write_differences(flags, differences)
    if save_run is not None:
        write_lines(save_run, run_lines(found, "bertcli"))


def _check_judged(
    file: Path, judgements: Judgements, found: Run, queries: Sequence[str], where: str
) -> None:
    """Raise DataError where the judgements are of other queries; say so where of other passages."""
    if found.keys().isdisjoint(queries):
        raise DataError(
            f'{file}: judges none of the queries of {where}: "{queries[0]}" is not there'
        )
    if lacking := [query for query in queries if query not in found]:
        warn(
            f"{file}: {len(lacking):,} of its queries are not among those of {where}, as "
            f'"{lacking[0]}": nothing was found for them'
        )
    if all(found.get(query, {}).keys().isdisjoint(judgements[query]) for query in queries):
        warn(f"{file}: judges none of the passages that were found: does it name those of {where}?")


def _found(folder: Path, checkpoint: Checkpoint, embed: Embed, mode: Mode, depth: int) -> Run:
    """Return the best passages of every query, by their ranks: the first has the highest score.

    They are found by `bertcli search`'s own index, one passage a document.
    """
    import numpy as np

    from bertcli.index.chunks import Chunk
    from bertcli.index.content import Entry, NewDocument
    from bertcli.index.folder import IndexFolder
    from bertcli.index.manifest import Chunking, Manifest
    from bertcli.inputs.beir import beir_file, read_passages

    passages = list(read_passages(beir_file(folder, "corpus.jsonl")))
    queries = list(read_passages(beir_file(folder, "queries.jsonl")))
    documents = [NewDocument(name, text) for name, text in passages]
    manifest = Manifest(identity(checkpoint, embed), Chunking(embed.window, 0))
    if mode is Mode.KEYWORD:
        vectors = np.zeros((len(documents), manifest.model.dimension), np.float32)
    else:
        vectors = embed.vectors([one.text or " " for one in documents])
    whole = zip(documents, vectors, strict=True)
    entries = (Entry(one, [Chunk(0, len(one.text), 1)], row[None]) for one, row in whole)
    with (
        tempfile.TemporaryDirectory() as place,
        IndexFolder.create(Path(place) / "index", manifest) as index,
    ):
        index.add(entries)
        return {
            name: {hit.document: 1 / rank for rank, hit in enumerate(hits, 1)}
            for name, hits in _asked(index, queries, embed, mode, depth)
        }


def _asked(
    index: IndexFolder, queries: Sequence[tuple[str, str]], embed: Embed, mode: Mode, depth: int
) -> Iterator[tuple[str, Sequence[Hit]]]:
    from bertcli.index.query import words_of

    vectors = None if mode is Mode.KEYWORD else embed.vectors([text or " " for _, text in queries])
    for number, (name, text) in enumerate(queries):
        vector = None if vectors is None else vectors[number]
        if mode is Mode.DENSE and vector is not None:
            yield name, index.search(vector[None], depth)[0]
        else:
            yield name, index.find(words_of(text), vector, depth)
