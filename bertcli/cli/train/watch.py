"""What is seen of a training: lines or a live table on stderr, TensorBoard's events, a plot."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertcli.cli.recipe import check_folder, warn
from bertcli.errors import OutputError
from bertcli.outputs.plot import check_plot, draw_training, need_package
from bertcli.outputs.progress import clock_time

if TYPE_CHECKING:
    from rich.table import Table

    from bertcli.train.loop import Progress, Scores

NOTE_EVERY = 50
ROWS = 12
HISTORY = "history.jsonl"

Watcher = Callable[["Progress"], None]


def check_watch(plot: Path | None, tensorboard: Path | None) -> None:
    """Raise UsageError when something could not be drawn, before anything is trained."""
    if plot:
        check_plot(plot)
    if tensorboard:
        need_package("tensorboard", "--tensorboard")
        check_folder(tensorboard, "--tensorboard")


@contextmanager
def watch(work: Path, plot: Path | None, tensorboard: Path | None) -> Iterator[Watcher]:
    """Give a function to be told of each step of a training.

    The curves lie in the folder `work` until the run is finished, so that one that was resumed is
    drawn whole.
    """
    history = History(work / HISTORY)
    with ExitStack() as stack:
        told: list[Watcher] = [history.add]
        told.append(stack.enter_context(_live()) if sys.stderr.isatty() else _line)
        if tensorboard:
            told.append(stack.enter_context(_events(tensorboard)))

        def tell(progress: Progress) -> None:
            if progress.step % NOTE_EVERY and progress.step != 1 and progress.scores is None:
                return
            for one in told:
                one(progress)

        yield tell
    if plot:
        try:  # the checkpoint is not yet written, and worth more than its picture
            draw_training(plot, *history.curves())
        except OutputError as error:
            warn(str(error))


class History:
    """The curves of a run, kept in a file; those of an earlier part of the run are gone on with."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._points: list[dict[str, Any]] | None = None

    def add(self, progress: Progress) -> None:
        """Add the state after a step; what an interrupted run noted of later ones is dropped."""
        if self._points is None:
            self._points = [one for one in self._noted() if one["step"] < progress.step]
            lines = "".join(f"{json.dumps(one)}\n" for one in self._points)
            self._path.write_text(lines, encoding="utf-8")
        scores = dict(progress.scores or {})
        point = {"step": progress.step, "loss": progress.loss, "scores": scores}
        self._points.append(point)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(point)}\n")

    def curves(self) -> tuple[list[tuple[int, float]], dict[str, list[tuple[int, float]]]]:
        """Return the loss, and each score, over the steps.

        Of a run that had ended before it was gone on with they are all noted already.
        """
        loss: list[tuple[int, float]] = []
        scores: dict[str, list[tuple[int, float]]] = {}
        for point in self._noted() if self._points is None else self._points:
            loss.append((point["step"], point["loss"]))
            for name, value in point["scores"].items():
                scores.setdefault(name, []).append((point["step"], value))
        return loss, scores

    def _noted(self) -> Iterator[dict[str, Any]]:
        if not self._path.is_file():
            return
        for line in self._path.read_text(encoding="utf-8").splitlines():
            try:
                yield json.loads(line)
            except ValueError:  # the run was interrupted while it wrote this line
                return


def note_scores(scores: Scores) -> None:
    """Tell on stderr what was measured on held-out data."""
    sys.stderr.write(f"held out: {_said(scores)}\n")


def _said(scores: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in scores.items())


def _line(progress: Progress) -> None:
    if progress.step % NOTE_EVERY == 0 or progress.step == 1:
        sys.stderr.write(
            f"step {progress.step:,}  loss {progress.loss:.3f}  "
            f"rate {progress.learning_rate:.1e}  {progress.tokens_per_second:,.0f} tokens/s  "
            f"{progress.done:.0%} done\n"
        )
    if progress.scores is not None:
        note_scores(progress.scores)


@contextmanager
def _live() -> Iterator[Watcher]:
    """Draw a table of the measurements and of where the run is now, and keep it up to date."""
    from rich.console import Console
    from rich.live import Live

    measured: list[Progress] = []
    began: tuple[float, float] | None = None

    with Live(console=Console(stderr=True), auto_refresh=False) as live:

        def draw(progress: Progress) -> None:
            nonlocal began
            now = time.monotonic()
            began = began or (now, progress.done)
            gone, share = now - began[0], progress.done - began[1]
            left = clock_time(gone * (1 - progress.done) / share) if share > 0 else ""
            if progress.scores is not None:
                measured.append(progress)
            rows = measured if progress.scores is not None else [*measured, progress]
            live.update(training_table(rows[-ROWS:], left), refresh=True)

        yield draw


def training_table(rows: list[Progress], left: str) -> Table:
    """Return the table of a run: its last row is now, and `left` the time that it still takes."""
    from rich.table import Table

    names = list(dict.fromkeys(name for row in rows for name in row.scores or ()))
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("step", "loss", *names, "rate", "tokens/s", "done", "left"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        scores = row.scores or {}
        shown = [f"{scores[name]:.4g}" if name in scores else "" for name in names]
        table.add_row(
            f"{row.step:,}",
            f"{row.loss:.3f}",
            *shown,
            f"{row.learning_rate:.1e}",
            f"{row.tokens_per_second:,.0f}",
            f"{row.done:.0%}",
            left if row is rows[-1] else "",
        )
    return table


@contextmanager
def _events(folder: Path) -> Iterator[Watcher]:
    """Write TensorBoard's events."""
    from torch.utils.tensorboard import SummaryWriter

    try:
        writer = SummaryWriter(str(folder))
    except OSError as error:
        raise OutputError(
            f"--tensorboard {folder}: cannot be written ({error.strerror})"
        ) from error

    def write(progress: Progress) -> None:
        values = {
            "loss": progress.loss,
            "learning rate": progress.learning_rate,
            "tokens per second": progress.tokens_per_second,
            **{f"held out/{name}": value for name, value in (progress.scores or {}).items()},
        }
        for name, value in values.items():
            writer.add_scalar(name, value, progress.step)

    with writer:
        yield write
