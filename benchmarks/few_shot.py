"""How good `train classify --method head` is with few examples of each label, and its seconds.

python benchmarks/few_shot.py train.jsonl.gz test.jsonl.gz --examples 8 16 64

Both commands run as a user runs them, in processes of their own; the seconds are those of training,
with the start of Python in them. Every draw takes other examples. With --setfit the package setfit
is trained on the same rows, if it is installed, with the same base and its own defaults, but for
--setfit-steps at most.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import mean, stdev

from timing import BERTCLI, PEERS, table

from bertcli.inputs.labelled import read_labelled
from bertcli.records import LabelledText

SETFIT = PEERS / "setfit_train.py"


def main() -> None:
    """Print a table of accuracy and seconds for each number of examples."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("train", help="labelled texts, in any format of bertcli train classify")
    parser.add_argument("test", help="labelled texts to measure on")
    parser.add_argument("--examples", type=int, nargs="+", default=[8, 16, 64])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--setfit", action="store_true")
    parser.add_argument("--setfit-steps", type=int, default=-1)
    asked = parser.parse_args()
    rows = list(read_labelled([asked.train]))
    lines = []
    for count in asked.examples:
        setfit = partial(_setfit, asked.setfit_steps)
        for name, run in [("head", _head), ("setfit", setfit)][: 1 + asked.setfit]:
            found = [
                run(draw(rows, count, seed), rows_of(asked.test)) for seed in range(asked.draws)
            ]
            accuracies, seconds = zip(*found, strict=True)
            spread = stdev(accuracies) if len(found) > 1 else 0.0
            lines.append(
                (str(count), name, f"{mean(accuracies):.3f} ± {spread:.3f}", f"{mean(seconds):.1f}")
            )
    print(table(("examples a label", "by", "accuracy", "seconds"), lines))


def rows_of(file: str) -> list[LabelledText]:
    """Return the labelled texts of a file."""
    return list(read_labelled([file]))


def draw(rows: Sequence[LabelledText], count: int, seed: int) -> list[LabelledText]:
    """Return so many rows of each label, or all of a label that has fewer."""
    groups: dict[str, list[LabelledText]] = defaultdict(list)
    for row in rows:
        groups[row.labels[0]].append(row)
    rng = random.Random(seed)
    return [one for group in groups.values() for one in rng.sample(group, min(count, len(group)))]


def _head(chosen: Sequence[LabelledText], test: Sequence[LabelledText]) -> tuple[float, float]:
    """Return the accuracy on the test texts, and the seconds of training."""
    with tempfile.TemporaryDirectory() as folder:
        train_file, test_file = _written(chosen, folder, "train"), _written(test, folder, "test")
        bertcli = [BERTCLI]
        output = str(Path(folder) / "head")
        began = time.perf_counter()
        # One row is held out: what the command measures by itself would be part of its seconds.
        valid = _written(test[:1], folder, "valid")
        how = ["--method", "head", "--valid", valid, "-o", output]
        subprocess.run(
            [*bertcli, "train", "classify", train_file, *how], check=True, capture_output=True
        )
        seconds = time.perf_counter() - began
        measured = subprocess.run(
            [*bertcli, "eval", "classify", test_file, "-m", output],
            check=True,
            capture_output=True,
            text=True,
        )
        return json.loads(measured.stdout)["accuracy"], seconds


def _setfit(
    steps: int, chosen: Sequence[LabelledText], test: Sequence[LabelledText]
) -> tuple[float, float]:
    """Return the same of setfit, after so many steps at most."""
    with tempfile.TemporaryDirectory() as folder:
        files = _written(chosen, folder, "train"), _written(test, folder, "test")
        ran = subprocess.run(
            [sys.executable, str(SETFIT), *files, str(steps)],
            check=True,
            capture_output=True,
            text=True,
        )
        found = json.loads(ran.stdout.splitlines()[-1])
        return found["accuracy"], found["seconds"]


def _written(rows: Sequence[LabelledText], folder: str, name: str) -> str:
    path = Path(folder) / f"{name}.jsonl"
    lines = (json.dumps({"text": one.text, "label": one.labels[0]}) + "\n" for one in rows)
    path.write_text("".join(lines), encoding="utf-8")
    return str(path)


if __name__ == "__main__":
    main()
