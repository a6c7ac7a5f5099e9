"""`bertcli eval search`."""

from __future__ import annotations

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
    write_lines,
)
from bertcli.cli.options import ModelFlags, grouped
from bertcli.cli.recipe import choose_checkpoint
from bertcli.errors import UsageError

if TYPE_CHECKING:
    from bertcli.evaluate.search import SearchScore
    from bertcli.tasks.embed import Embed

DEPTH = 100
AT_ONCE = 256

Run = dict[str, dict[str, float]]


@grouped
def search(
    folder: Annotated[
        Path, typer.Argument(help="BEIR folder: corpus.jsonl, queries.jsonl, qrels.tsv.")
    ],
    model: ModelFlags,
    flags: EvalFlags,
    run: Annotated[
        Path | None, typer.Option(help="Measure this TREC run file instead of a checkpoint.")
    ] = None,
    qrels: Annotated[
        Path | None, typer.Option(help="Judgements, BEIR's or TREC's; default the folder's.")
    ] = None,
    save_run: Annotated[
        Path | None, typer.Option(help="Write what was found as a TREC run file.")
    ] = None,
) -> None:
    """Measure search: nDCG@10, recall, MRR@10 and MAP over judged queries.

    Every passage is one vector, and the 100 nearest by cosine are found for each query.

    \b
    bertcli eval search ./beir/scifact
    bertcli eval search ./beir/scifact -m ./my-embedder --compare all-MiniLM-L6-v2
    bertcli eval search ./beir/scifact --run bm25.trec
    """
    from bertcli.evaluate.intervals import mean_difference
    from bertcli.evaluate.search import read_run, run_lines, score_run
    from bertcli.inputs.beir import QRELS, beir_file, read_judgements

    if flags.errors is not None:
        raise UsageError("--errors is not for search: --save-run writes what was found")
    judgements = read_judgements(qrels or beir_file(folder, *QRELS))

    def measured(chosen: ModelFlags) -> tuple[str, Run, SearchScore]:
        checkpoint = choose_checkpoint(chosen, "embed")
        found = _found(folder, build_embed(checkpoint, chosen, normalize=True))
        return checkpoint.name, found, score_run(found, judgements)

    if run is not None:
        name, found = str(run), read_run(run)
        score = score_run(found, judgements)
    else:
        name, found, score = measured(model)
    report: dict[str, Any] = {"model": name, "queries": len(score.queries)}
    for measure in score.values:
        report[measure] = score.mean(measure)
        report[f"{measure}_95"] = between(score.interval(measure))
    differences: list[dict[str, Any]] = []
    if flags.compare is not None:
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
    write_differences(flags, differences)
    if save_run is not None:
        write_lines(save_run, run_lines(found, "bertcli"))


def _found(folder: Path, embed: Embed) -> Run:
    """Return the nearest passages of every query, with their cosines."""
    import numpy as np

    from bertcli.inputs.beir import beir_file, read_passages

    passages = list(read_passages(beir_file(folder, "corpus.jsonl")))
    queries = list(read_passages(beir_file(folder, "queries.jsonl")))
    names = [name for name, _ in passages]
    corpus, asked = (
        embed.vectors([text or " " for _, text in part]) for part in (passages, queries)
    )
    found: Run = {}
    for at in range(0, len(queries), AT_ONCE):
        cosines = asked[at : at + AT_ONCE] @ corpus.T
        nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :DEPTH]
        for (query, _), row, best in zip(queries[at : at + AT_ONCE], cosines, nearest, strict=True):
            found[query] = {names[i]: float(row[i]) for i in best}
    return found
