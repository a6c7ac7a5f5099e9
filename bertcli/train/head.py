"""A linear classifier on frozen embeddings: seconds to train, good with few examples."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertcli.checkpoints.layout import HEAD_CONFIG, Checkpoint
from bertcli.checkpoints.resolve import name_of_encoder
from bertcli.train.save import Card, write_whole

STRENGTH = 10.0
"""Inverse regularisation, for vectors of length one.

With 8, 16 and 64 examples a label of banking77, SST-2 and TREC it was the best of 1, 10, 100 and
1,000, or within half a point of the best, and better than choosing by cross-validation.
"""
MOST_ITERATIONS = 1_000
MOST_TARGETS = 50_000_000
"""Texts times labels that are fitted together: scikit-learn takes some 32 bytes for each."""
SURE = 10.0
"""The logit of a label that every text of the training data has."""


def fit_head(
    vectors: NDArray[np.float32],
    targets: NDArray[np.bool_],
    multi_label: bool,
    balance: bool,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the weight (k, d) and bias (k,) of a logistic regression on vectors (n, d).

    `targets` are the labels of each, 0 and 1, (n, k).
    """
    kind = "balanced" if balance else None
    if multi_label:
        rows = [_fit_one(vectors, column, kind) for column in targets.T.astype(int)]
        return (
            np.stack([coef for coef, _ in rows]).astype(np.float32),
            np.array([bias for _, bias in rows], np.float32),
        )
    fit = _fit(vectors, targets.argmax(axis=1), kind)
    weight, bias = fit.coef_, fit.intercept_
    if len(weight) == 1:  # of two labels scikit-learn keeps the second's logit alone
        weight, bias = np.stack([-weight[0], weight[0]]) / 2, np.array([-bias[0], bias[0]]) / 2
    return weight.astype(np.float32), bias.astype(np.float32)


def save_head(
    weight: NDArray[np.float32],
    bias: NDArray[np.float32],
    settings: dict[str, Any],
    base: Checkpoint,
    folder: Path,
    card: Card,
) -> None:
    """Write a linear head; its folder names its base as an adapter's does."""
    from safetensors.numpy import save_file

    def write(into: Path) -> None:
        # safetensors writes an array as it lies in memory, in Fortran's order too.
        tensors = {"weight": np.ascontiguousarray(weight), "bias": bias}
        save_file(tensors, into / "head.safetensors")
        config = {"base_model_name_or_path": name_of_encoder(base)} | settings
        text = json.dumps(config, indent=2, ensure_ascii=False)
        (into / HEAD_CONFIG).write_text(text + "\n", encoding="utf-8")
        (into / "README.md").write_text(card.text(), encoding="utf-8")

    write_whole(folder, write)


def _fit_one(
    vectors: NDArray[np.float32], column: NDArray[Any], kind: str | None
) -> tuple[NDArray[Any], float]:
    """Return the weights and the bias of one label; of one that all or none have, a sure answer."""
    if column.min() == column.max():
        return np.zeros(vectors.shape[1]), SURE if column[0] else -SURE
    fit = _fit(vectors, column, kind)
    return fit.coef_[0], float(fit.intercept_[0])


def _fit(vectors: NDArray[np.float32], classes: NDArray[Any], kind: str | None) -> Any:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=STRENGTH, max_iter=MOST_ITERATIONS, class_weight=kind)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The number of unique classes")  # with a text or two each
        return model.fit(vectors, classes)
