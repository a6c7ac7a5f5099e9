"""The numbers that the hot paths were set to, each beside others: what they are worth here.

python benchmarks/settings.py --rounds 5

Each line is one setting of one number, everything else as it ships, on the work that the number is
for; the ratio is its time over that of the number that ships, of medians of runs in turn.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import product
from pathlib import Path
from unittest import mock

import numpy as np
from embed import embed_file
from timing import alternate, read_texts, table

from bertcli.checkpoints.load import load_tokenizer
from bertcli.checkpoints.resolve import base_checkpoint
from bertcli.cli.embed import build_embed
from bertcli.cli.options import ModelFlags
from bertcli.cli.recipe import choose_checkpoint
from bertcli.engine.choices import Precision
from bertcli.engine.families import Head
from bertcli.engine.windows import frame_text
from bertcli.index.vectors import ROW_TYPE, nearest, read_blocks
from bertcli.train.trainee import Trainee

ROWS, DIMENSION = 100_000, 384
Work = Callable[[Path], Callable[[], object]]


@dataclass(frozen=True, slots=True)
class Setting:
    """A number of a module, the others it is compared with, and the work it is for.

    `work` prepares with a folder of its own, while the number is set, and returns what is timed.
    """

    module: str
    name: str
    others: Sequence[int]
    what: str
    work: Work

    @property
    def shipped(self) -> int:
        """The number as it is."""
        return int(getattr(import_module(self.module), self.name))


def main() -> None:
    """Print a table for each setting."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="counted runs of each number")
    parser.add_argument("--only", nargs="+", help="names of settings")
    given = parser.parse_args()
    rows: list[list[str]] = []
    for setting in SETTINGS:
        if not given.only or setting.name in given.only:
            rows += compared(setting, given.rounds)
    print(f"{os.cpu_count()} cores; medians of {given.rounds} runs in turn.\n")
    print(table(["setting", "work", "number", "seconds", "min … max", "ratio"], rows))


def compared(setting: Setting, rounds: int) -> list[list[str]]:
    """Return a row for each number, that which ships first."""
    numbers = [setting.shipped, *setting.others]
    with tempfile.TemporaryDirectory() as folder:
        contestants = {str(one): prepared(setting, one, Path(folder)) for one in numbers}
        timed = alternate(contestants, rounds)
    shipped = timed[0].median
    return [
        [
            f"`{setting.name}`",
            setting.what,
            one.name if number else f"**{one.name}**",
            f"{one.median:.3f}",
            f"{one.best:.3f} … {one.worst:.3f}",
            f"{one.median / shipped:.2f}",
        ]
        for number, one in enumerate(timed)
    ]


def prepared(setting: Setting, number: int, folder: Path) -> Callable[[], None]:
    """Return work that is done with this number."""

    def with_number(stack: ExitStack) -> None:
        stack.enter_context(mock.patch(f"{setting.module}.{setting.name}", number))

    with ExitStack() as stack:
        with_number(stack)
        work = setting.work(folder)

    def timed() -> None:
        with ExitStack() as stack:
            with_number(stack)
            work()

    return timed


def embedding(texts: Sequence[str], precision: Precision, folder: Path) -> Callable[[], object]:
    """Return the embedding of texts, many times where they are few."""
    source = folder / "texts.txt"
    source.write_text("\n".join(texts), encoding="utf-8")
    flags = ModelFlags(precision=precision)
    task = build_embed(choose_checkpoint(flags, "embed"), flags)

    def work() -> None:
        for _ in range(max(1, 400 // len(texts))):
            embed_file(task, source)

    return work


def alike(count: int) -> list[str]:
    """Return so many texts of one length, of 19 tokens: windows of other lengths share no batch."""
    colours = ["red", "blue", "green", "black", "white", "brown", "pink", "grey"]
    animals = ["cat", "dog", "cow", "hen", "pig", "bird", "fish", "horse"]
    pairs = list(product(colours, animals))[:count]
    return [f"the {a} {b} sat on a mat in the house of my very old friend" for a, b in pairs]


def seeking(folder: Path) -> Callable[[], object]:
    """Return an exact search over the vectors of a file, for one query."""
    file = folder / "vectors.f32"
    rng = np.random.default_rng(0)
    if not file.exists():
        rng.standard_normal((ROWS, DIMENSION), np.float32).astype(ROW_TYPE).tofile(file)
    query = rng.standard_normal((1, DIMENSION), np.float32)

    def work() -> None:
        with file.open("rb", buffering=0) as opened:
            for _ in range(5):
                nearest(query, read_blocks(opened, ROWS, DIMENSION), 10, None)

    return work


def measuring(folder: Path) -> Callable[[], object]:
    """Return what a training computes when it measures on texts that were held out."""
    checkpoint = base_checkpoint()
    tokenizer = load_tokenizer(checkpoint)
    model = Trainee(checkpoint, Head.BASE, None, [], 0.0, 0, None)
    ids = tokenizer.ids(read_texts(None, 400))
    windows = [frame_text(one[:500], 0, len(one[:500]), tokenizer.frame) for one in ids]
    return lambda: list(model.encode(windows, lambda output: output[0]))


FEW = (
    (
        "bertcli.engine.onnx_encoder",
        "PARTS",
        (1, 2, 8),
        (4, 16),
    ),
    ("bertcli.engine.encoder", "LEAST_TOKENS", (16, 64), (2, 8)),
)
SETTINGS = (
    Setting(
        "bertcli.tasks.run",
        "LOOK_AHEAD_RECORDS",
        (128, 2048),
        "embed 4,000 texts, int8",
        partial(embedding, read_texts(None, 4_000), Precision.INT8),
    ),
    *(
        Setting(
            module,
            name,
            others,
            f"embed {count} texts of one length, {precision}",
            partial(embedding, alike(count), precision),
        )
        for module, name, others, counts in FEW
        for count in counts
        for precision in (Precision.FP32, Precision.INT8)
    ),
    Setting(
        "bertcli.index.vectors",
        "BLOCK_BYTES",
        (4 << 20, 512 << 20),
        "seek exactly among 100,000",
        seeking,
    ),
    Setting(
        "bertcli.train.trainee",
        "ENCODE_TOKENS",
        (1_024, 2_048, 8_192),
        "measure what trains on 400 texts",
        measuring,
    ),
)

if __name__ == "__main__":
    main()
