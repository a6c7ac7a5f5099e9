"""`bertcli eval embed`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bertcli.cli.embed import build_embed
from bertcli.cli.eval.report import (
    Data,
    EvalFlags,
    between,
    other_model,
    show,
    write_differences,
    write_errors,
)
from bertcli.cli.options import ModelFlags, PairFlags, grouped
from bertcli.cli.recipe import choose_checkpoint, some
from bertcli.errors import DataError

if TYPE_CHECKING:
    from bertcli.evaluate.embed import EmbedScore
    from bertcli.records import ScoredPair

SAME_COSINE = 1e-4
FARTHEST = 100


@grouped
def embed(
    files: Data,
    model: ModelFlags,
    flags: EvalFlags,
    paired: PairFlags,
    score_field: Annotated[str, typer.Option(help="Column of the people's score.")] = "score",
) -> None:
    """Measure embeddings: the rank correlation of cosines with scores that people gave to pairs.

    With --errors the 100 pairs whose ranks differ most are written.

    \b
    bertcli eval embed pairs.csv
    bertcli eval embed sts-dev.tsv --first-field sentence1 --second-field sentence2
    bertcli eval embed pairs.jsonl -m ./my-embedder --compare all-MiniLM-L6-v2
    """
    from bertcli.evaluate.embed import measure_embed
    from bertcli.evaluate.intervals import paired_bootstrap
    from bertcli.inputs.labelled import read_pairs

    flags.keep_apart(files)
    pairs = some(read_pairs(files, paired.columns(score_field)), files, "pair")

    if len({one.score for one in pairs}) == 1:
        raise DataError(
            f"all {len(pairs):,} pairs have the score {pairs[0].score:g}: there is no order of "
            "them that cosines could keep to"
        )

    def measured(chosen: ModelFlags) -> tuple[str, EmbedScore]:
        checkpoint = choose_checkpoint(chosen, "embed")
        return checkpoint.name, measure_embed(build_embed(checkpoint, chosen), pairs)

    name, score = measured(model)
    found: dict[str, Any] = {
        "model": name,
        "pairs": len(pairs),
        "spearman": score.spearman,
        "spearman_95": between(score.spearman_interval),
        "pearson": score.pearson,
    }
    differences: list[dict[str, Any]] = []
    if flags.compare is not None:
        other_name, other = measured(other_model(model, flags.compare))
        differences = _differences(pairs, score, other)
        difference = paired_bootstrap(len(pairs), score.spearman_of, other.spearman_of)
        found |= {
            "other": other_name,
            "other_spearman": other.spearman,
            "spearman_minus_other": score.spearman - other.spearman,
            "spearman_minus_other_95": between(difference),
        }
    show(found)
    far = "whose ranks differ most"
    write_errors(flags.errors, _farthest(pairs, score), f"pair {far}", f"pairs {far}")
    write_differences(flags, differences)


def _farthest(pairs: Sequence[ScoredPair], score: EmbedScore) -> list[dict[str, Any]]:
    order = sorted(range(len(pairs)), key=lambda i: -score.rank_distances[i])[:FARTHEST]
    return [_row(pairs[i]) | {"cosine": float(score.cosines[i])} for i in order]


def _differences(
    pairs: Sequence[ScoredPair], score: EmbedScore, other: EmbedScore
) -> list[dict[str, Any]]:
    """Return the pairs on whose cosines two differ, those they differ on most first."""
    apart = abs(score.cosines - other.cosines)
    return [
        _row(pairs[i])
        | {"cosine": float(score.cosines[i]), "other_cosine": float(other.cosines[i])}
        for i in sorted(range(len(pairs)), key=lambda i: -apart[i])
        if apart[i] > SAME_COSINE
    ]


def _row(pair: ScoredPair) -> dict[str, Any]:
    texts = {"text1": pair.first, "text2": pair.second}
    return texts | {"score": pair.score, "place": str(pair.place)}
