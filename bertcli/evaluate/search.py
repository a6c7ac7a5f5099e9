"""How well passages are found: nDCG, recall, MRR and MAP, computed by pytrec_eval."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertcli.errors import DataError, UsageError
from bertcli.evaluate.intervals import Interval, mean_interval

CUT = 10
RECALLS = (10, 100)

Judgements = Mapping[str, Mapping[str, int]]
"""For each query the passages that people judged, with their grades; 0 is not relevant."""
Run = Mapping[str, Mapping[str, float]]
"""For each query the passages that were found, with their scores."""


@dataclass(frozen=True, slots=True)
class SearchScore:
    """Each measure of each judged query that was asked, (n,) each, in 0…1."""

    queries: tuple[str, ...]
    values: Mapping[str, NDArray[np.float64]]

    def mean(self, measure: str) -> float:
        """Return the mean of a measure over the queries."""
        return float(self.values[measure].mean()) if self.queries else 0.0

    def interval(self, measure: str) -> Interval:
        """Return the 95 % interval of a measure's mean."""
        return mean_interval(self.values[measure])


def score_run(run: Run, judgements: Judgements, recalls: Iterable[int] = RECALLS) -> SearchScore:
    """Return the scores of a run; a judged query for which it has nothing scores 0.

    `recalls` are the numbers of passages among which relevant ones are counted, 1 or more.
    Queries without a relevant passage are left out, as trec_eval does.
    """
    try:
        import pytrec_eval
    except ImportError as error:
        raise UsageError(
            'search is measured by pytrec_eval: pip install "bertcli[eval]"'
        ) from error
    asked = tuple(q for q, passages in judgements.items() if any(g > 0 for g in passages.values()))
    if not asked:
        raise DataError("no query has a relevant passage: nothing can be measured")
    judged = {q: dict(judgements[q]) for q in asked}
    measures = {
        f"ndcg@{CUT}": f"ndcg_cut_{CUT}",
        "map": "map",
        **{f"recall@{k}": f"recall_{k}" for k in recalls},
        f"mrr@{CUT}": "recip_rank",
    }
    evaluator = pytrec_eval.RelevanceEvaluator(judged, set(measures.values()))
    found = evaluator.evaluate({q: dict(run.get(q, {})) for q in asked})
    values = {
        name: np.array([found.get(q, {}).get(key, 0.0) for q in asked], float)
        for name, key in measures.items()
    }
    reciprocal = values[f"mrr@{CUT}"]  # of any rank, and pytrec_eval knows no cut of it
    reciprocal[reciprocal < 1 / CUT] = 0
    return SearchScore(asked, values)


def misses(run: Run, judgements: Judgements, score: SearchScore) -> list[dict[str, Any]]:
    """Return the queries with nothing relevant among the first ten, and what stands there."""
    return [
        {
            "query": query,
            "relevant": [name for name, grade in judgements[query].items() if grade > 0],
            "found": [name for name, _ in _ranked(run.get(query, {}))[:CUT]],
        }
        for query, gain in zip(score.queries, score.values[f"mrr@{CUT}"], strict=True)
        if gain == 0
    ]


def run_lines(run: Run, name: str) -> list[str]:
    """Return a run as the lines of a TREC run file, the best passage of each query first."""
    return [
        f"{query} Q0 {passage} {rank} {score:.6f} {name}"
        for query, passages in run.items()
        for rank, (passage, score) in enumerate(_ranked(passages), 1)
    ]


def _ranked(passages: Mapping[str, float]) -> Sequence[tuple[str, float]]:
    """Return passages by score; equal ones by name backwards, as trec_eval does."""
    return sorted(passages.items(), key=lambda one: (one[1], one[0]), reverse=True)
