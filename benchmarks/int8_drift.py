"""How far int8 is from fp32, task by task, on texts of your own.

python benchmarks/int8_drift.py dev.txt.gz news.jsonl.gz --labels "World,Sports,Business"

Rows with a `label` column also tell how often each precision is right.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from timing import SEED, read_texts, table

from bertcli.checkpoints.load import LoadOptions, load_encoder, load_tokenizer
from bertcli.checkpoints.resolve import ModelChoice, resolve
from bertcli.cli.embed import build_embed
from bertcli.cli.options import ModelFlags
from bertcli.cli.recipe import choose_checkpoint
from bertcli.engine.choices import Precision
from bertcli.engine.families import Head
from bertcli.evaluate.fill_mask import guess_masked, score_guesses
from bertcli.inputs.records import read_records
from bertcli.inputs.source import InputOptions
from bertcli.records import Record
from bertcli.results import ClassifyResult, EmbedResult, FillMaskResult, Result
from bertcli.tasks.classify import ClassifyBySimilarity
from bertcli.tasks.embed import Embed
from bertcli.tasks.fill_mask import PLACEHOLDER, FillMask
from bertcli.tasks.run import Task, answers

LABELS = "politics,business,science,technology,sports,history,geography,arts"
BOTH = (Precision.FP32, Precision.INT8)

Row = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Settings:
    """What is asked of every file."""

    field: str
    limit: int
    labels: tuple[str, ...]
    fill_mask_model: str


def main() -> None:
    """Print a table of drift for every file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", metavar="FILE", help="texts, in any format of -i")
    parser.add_argument("--field", default="text", help="column that holds the text")
    parser.add_argument("--limit", type=int, default=2_000, help="texts of each file")
    parser.add_argument("--labels", default=LABELS, help="for zero-shot classification")
    parser.add_argument("--fill-mask-model", default="fill-mask", help="name or folder")
    given = parser.parse_args()
    labels = tuple(label.strip() for label in given.labels.split(","))
    settings = Settings(given.field, given.limit, labels, given.fill_mask_model)
    for file in given.files or [None]:
        records = read(file, settings)
        print(f"{Path(file).name if file else 'Paragraphs of the Python manual'}:\n")
        print(table(["", "int8 and fp32", "on"], measure(records, settings)))
        print()


def read(file: str | None, settings: Settings) -> list[Record]:
    """Return the records of a file; without one, the paragraphs of the other benchmarks."""
    if file is None:
        return [Record(i, text) for i, text in enumerate(read_texts(None, settings.limit))]
    items = read_records(InputOptions(inputs=(file,), field=settings.field))
    return list(islice((item for item in items if isinstance(item, Record)), settings.limit))


def measure(records: Sequence[Record], settings: Settings) -> Iterator[Row]:
    """Yield the rows of one file's table."""
    count = f"{len(records)} texts"
    embeds = [embed_with(precision) for precision in BOTH]
    full, quantised = (
        np.stack([r.vector for r in results(task, records) if isinstance(r, EmbedResult)])
        for task in embeds
    )
    cosines = (full * quantised).sum(axis=1)
    yield "embed: cosine, mean", f"{cosines.mean():.4f}", count
    yield "embed: cosine, worst", f"{cosines.min():.4f}", count
    labels = settings.labels
    chosen = [
        [r.labels[0].label for r in results(task, records) if isinstance(r, ClassifyResult)]
        for task in (ClassifyBySimilarity(e, labels, e.vectors(labels)) for e in embeds)
    ]
    yield "classify zero-shot: same label", share(*chosen), count
    right = [str(record.columns.get("label")) for record in records]
    if set(right) <= set(labels):
        correct = " and ".join(share(right, labels) for labels in reversed(chosen))
        yield "classify zero-shot: right", correct, count
    yield from measure_masks(records, settings.fill_mask_model)


def measure_masks(records: Sequence[Record], model: str) -> Iterator[Row]:
    """Yield the rows for fill-mask: one word of each text, and the built-in evaluation."""
    checkpoint = resolve(ModelChoice(model))
    tokenizer, window = load_tokenizer(checkpoint), checkpoint.window
    encoders = [load_encoder(checkpoint, Head.MASKED_LM, LoadOptions(precision=p)) for p in BOTH]
    masked = list(with_masks(records))
    words = [
        [r.masks[0].fills[0].token for r in results(task, masked) if isinstance(r, FillMaskResult)]
        for task in (FillMask(encoder, tokenizer, window, top_k=1) for encoder in encoders)
    ]
    yield "fill-mask: same first word", share(*words), f"{len(masked)} masks"
    texts = [record.text for record in records]
    full, quantised = (score_guesses(guess_masked(e, tokenizer, texts, window)) for e in encoders)
    count = f"{full.tokens} masks"
    yield "fill-mask: top-1 right", f"{quantised.top1:.4f} and {full.top1:.4f}", count
    yield "fill-mask: top-1 difference", f"{quantised.top1 - full.top1:+.4f}", count
    yield "fill-mask: perplexity", f"{quantised.perplexity:.2f} and {full.perplexity:.2f}", count


def embed_with(precision: Precision) -> Embed:
    """Return the task of `bertcli embed --normalize --precision`."""
    flags = ModelFlags(precision=precision)
    return build_embed(choose_checkpoint(flags, "embed"), flags, normalize=True)


def results(task: Task, records: Sequence[Record]) -> list[Result]:
    """Return a task's results; a text that one precision cannot answer, neither can the other."""
    return [answer.result for answer in answers(task, records) if answer.result is not None]


def with_masks(records: Sequence[Record]) -> Iterator[Record]:
    """Yield each text with one of its words masked, the same at every call."""
    rng = random.Random(SEED)
    for record in records:
        words = record.text.split()
        if len(words) > 3:
            words[rng.randrange(len(words))] = PLACEHOLDER
            yield Record(record.id, " ".join(words))


def share(one: Sequence[str], other: Sequence[str]) -> str:
    """Return how many of two lists' entries are the same, in percent."""
    return f"{100 * np.mean([a == b for a, b in zip(one, other, strict=True)]):.1f} %"


if __name__ == "__main__":
    main()
