"""Pictures of what was measured, drawn by matplotlib without a display."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from bertcli.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

SUFFIXES = (".png", ".svg", ".pdf")
DOTS_PER_INCH = 120
MOST_NUMBERED_LABELS = 20

Curve = Sequence[tuple[int, float]]
"""Points of a curve over the steps of a training."""


def check_plot(path: Path) -> None:
    """Raise UsageError when a picture could not be written here, before work is done for it."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--plot {path}: expected a name that ends in {', '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise UsageError(f"--plot {path}: there is no folder {path.parent}")
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UsageError(f"--plot {path}: no file can be written there")
    need_package("matplotlib", "--plot")


def need_package(name: str, option: str) -> None:
    """Raise UsageError with what to install when a package of the extra `plots` is missing."""
    if find_spec(name) is None:
        raise UsageError(f"{option} needs the package {name}: pip install 'bertcli[plots]'")


@contextmanager
def _words_as_they_are() -> Iterator[None]:
    """Draw a $ in a label as it is, not as mathematics, and boxes for what the font has not."""
    from matplotlib import rc_context

    with rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        yield


@_words_as_they_are()
def draw_training(path: Path, loss: Curve, scores: Mapping[str, Curve]) -> None:
    """Draw the loss of a training, and below it each score on held-out data, over the steps."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3 * (1 + bool(scores))), layout="constrained")
    axes = figure.subplots(1 + bool(scores), 1, sharex=True, squeeze=False)[:, 0]
    axes[0].plot(*_columns(loss))
    axes[0].set_ylabel("loss")
    for name, curve in scores.items():
        axes[-1].plot(*_columns(curve), marker="o", label=name)
    if scores:
        axes[-1].set_ylabel("on held-out data")
        axes[-1].legend()
    axes[-1].set_xlabel("step")
    _write(figure, path)


@_words_as_they_are()
def draw_confusion(path: Path, labels: Sequence[str], counts: NDArray[np.int64]) -> None:
    """Draw a confusion matrix, counts (labels, labels) of right by given; shades are row shares."""
    import numpy as np
    from matplotlib.figure import Figure

    side = max(3.0, 0.45 * len(labels) + 1.5)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(labels)), labels, rotation=90)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("given")
    axes.set_ylabel("right")
    if len(labels) <= MOST_NUMBERED_LABELS:
        for (row, column), count in np.ndenumerate(counts):
            shade = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{count:,}", ha="center", va="center", color=shade)
    _write(figure, path)


def _columns(curve: Curve) -> tuple[list[int], list[float]]:
    return [step for step, _ in curve], [value for _, value in curve]


def _write(figure: Figure, path: Path) -> None:
    from bertcli.outputs.sink import Destination, open_sink

    drawn = io.BytesIO()
    figure.savefig(drawn, format=path.suffix[1:].lower(), dpi=DOTS_PER_INCH)
    with open_sink(Destination(str(path))) as sink:
        sink.write(drawn.getvalue())
