"""Records per second of `classify` and `ner` and of transformers' pipelines on the same weights.

python benchmarks/pipelines.py --rounds 3

Both are loaded already and use all cores. The pipelines run at each of several batch sizes, and the
best one counts.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import transformers
from builtins_as_folders import KINDS, merged
from timing import Timed, alternate, precisions, read_texts, table

from bertcli.cli.classify import classify_task
from bertcli.cli.ner import ner_task
from bertcli.cli.options import ModelFlags
from bertcli.engine.choices import Aggregate, Long, Precision
from bertcli.records import Record
from bertcli.results import ClassifyResult, NerResult
from bertcli.tasks.classify import Choice
from bertcli.tasks.run import Task, answers

SIZES = (1, 8, 32)
Labels = list[object]


def main() -> None:
    """Print a table of rates, with the share of records on which both sides agree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="counted runs of each contestant")
    parser.add_argument("--texts", type=Path, help="file with a text per line")
    parser.add_argument("--count", type=int, default=600, help="texts to label")
    given = parser.parse_args()
    texts = read_texts(given.texts, given.count)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for task in ("classify", "ner"):
            rows += contest(task, merged(task, Path(folder)), texts, given.rounds)
    print(f"{len(texts)} texts, {os.cpu_count()} cores; pipelines at batches of {SIZES}.\n")
    headings = ["task", "bertcli", "records/s", "best pipeline", "records/s", "ratio", "agree on"]
    print(table(headings, rows))


def contest(task: str, model: str, texts: Sequence[str], rounds: int) -> list[list[str]]:
    """Return the rows of one task, for each precision."""
    theirs = {f"pipeline, {size}": partial(by_pipeline, task, model, texts, size) for size in SIZES}
    ours: dict[str, Callable[[], Labels]] = {
        str(each): partial(by_bertcli, task_of(task, model, each), texts) for each in precisions()
    }
    timed = {each.name: each for each in alternate({**theirs, **ours}, rounds)}
    best = min((timed[name] for name in theirs), key=lambda one: one.median)
    right = theirs[best.name]()
    return [
        [
            *(task, name, rate(timed[name], len(texts)), best.name, rate(best, len(texts))),
            *(f"{best.median / timed[name].median:.2f}", agreement(found(), right)),
        ]
        for name, found in ours.items()
    ]


def rate(timed: Timed, count: int) -> str:
    """Return records per second: median, lowest and highest."""
    median, low, high = (count / one for one in (timed.median, timed.worst, timed.best))
    return f"{median:.0f} ({low:.0f} … {high:.0f})"


def agreement(one: Labels, other: Labels) -> str:
    """Return on how many records both say the same."""
    return f"{100 * sum(a == b for a, b in zip(one, other, strict=True)) / len(one):.2f} %"


_PIPELINES: dict[str, object] = {}


def by_pipeline(task: str, model: str, texts: Sequence[str], size: int) -> Labels:
    """Return what transformers' pipeline says, its texts cut where the model ends."""
    if model not in _PIPELINES:
        more = {"aggregation_strategy": "first"} if task == "ner" else {"truncation": True}
        kind = KINDS[task].pipeline
        _PIPELINES[model] = transformers.pipeline(kind, model=model, tokenizer=model, **more)  # type: ignore[call-overload]
    found = _PIPELINES[model](list(texts), batch_size=size)  # type: ignore[operator]
    if task == "classify":
        return [one["label"] for one in found]
    return [{(e["entity_group"], e["start"], e["end"]) for e in each} for each in found]


def task_of(task: str, model: str, precision: Precision) -> Task:
    """Return bertcli's task on the same folder."""
    flags = ModelFlags(model=model, precision=precision, long=Long.TRUNCATE)
    if task == "classify":
        return classify_task(flags, {}, choice=Choice(1)).task
    return ner_task(flags, Aggregate.FIRST)[1]


def by_bertcli(task: Task, texts: Sequence[str]) -> Labels:
    """Return what bertcli says."""
    found: Labels = []
    for answer in answers(task, (Record(i, text) for i, text in enumerate(texts))):
        if isinstance(answer.result, ClassifyResult):
            found.append(answer.result.labels[0].label)
        elif isinstance(answer.result, NerResult):
            found.append({(e.label, e.start, e.end) for e in answer.result.entities})
    return found


if __name__ == "__main__":
    main()
