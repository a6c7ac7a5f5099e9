"""Pictures of measurements whose labels are somebody's own words."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from bertcli.outputs.plot import draw_confusion, draw_training


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_labels_are_drawn_as_they_are(suffix: str, tmp_path: Path) -> None:
    """A $ is no mathematics, and a sign that the font lacks is no warning on stderr."""
    labels = ["$5_$ or $\\more", "a $", "标签", "fine"]
    confusion, curves = tmp_path / f"confusion.{suffix}", tmp_path / f"curves.{suffix}"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_confusion(confusion, labels, np.eye(4, dtype=np.int64))
        draw_training(curves, [(1, 0.5), (2, 0.25)], {label: [(2, 0.5)] for label in labels})
    assert confusion.stat().st_size and curves.stat().st_size
