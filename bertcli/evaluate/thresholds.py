"""From which probability a label should be given: chosen on labelled texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bertcli.evaluate.classify import ClassifyScore, LabelCounts

ROUNDING = 1e-12  # 14 of 25 are 0.56


def best_thresholds(
    score: ClassifyScore, multi_label: bool, precision: float | None = None
) -> dict[str, float]:
    """Return a threshold in 0…1 for each label that some text has.

    The one with the highest F1 or, with `precision`, the lowest at which the label is right that
    often; 1 where it never is. Texts without a label say nothing of where it should begin. Of one
    label a text only the most probable is given, so only there does a threshold matter.
    """
    probabilities = _probabilities(score, multi_label)
    return {
        label: _threshold(probabilities[:, i], score.gold[:, i], precision)
        for i, label in enumerate(score.labels)
        if score.gold[:, i].any()
    }


def counts_at(
    score: ClassifyScore, multi_label: bool, thresholds: Mapping[str, float]
) -> list[LabelCounts]:
    """Return the counts of each label that has a threshold, were it given from there on."""
    least = np.array([thresholds.get(label, np.inf) for label in score.labels])
    given = replace(score, predicted=_probabilities(score, multi_label) >= least)
    return [one for one in given.counts if one.label in thresholds]


def _probabilities(score: ClassifyScore, multi_label: bool) -> NDArray[np.float64]:
    """Return the probabilities (n, k), -1 where a label would not be given at any threshold."""
    found = score.probabilities
    if multi_label:
        return found
    best = np.arange(found.shape[1]) == found.argmax(axis=1)[:, None]
    return np.where(best, found, -1.0)


def _threshold(
    given: NDArray[np.float64], gold: NDArray[np.bool_], precision: float | None
) -> float:
    """Return the threshold of one label from its probabilities (n,); below 0 it is not given."""
    order = np.argsort(-given, kind="stable")
    ranked, hits = given[order], np.cumsum(gold[order])
    counts = np.arange(1, len(order) + 1)
    # A threshold takes all texts of its probability, so it stands at the last one of each.
    last = np.append(ranked[1:] != ranked[:-1], True) & (ranked >= 0)
    if precision is None:
        merit = np.where(last, 2 * hits / (counts + max(int(gold.sum()), 1)), -1.0)
        chosen = int(merit.argmax()) if len(merit) and merit.max() > 0 else None
    else:
        enough = np.flatnonzero(last & (hits / counts >= precision - ROUNDING))
        chosen = int(enough[-1]) if len(enough) else None
    if chosen is None:
        return 1.0
    below = ranked[chosen + 1] if chosen + 1 < len(ranked) and ranked[chosen + 1] >= 0 else 0.0
    return float((ranked[chosen] + below) / 2)
