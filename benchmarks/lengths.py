"""Texts per second by their length: embed, classify and ner beside the usual libraries.

python benchmarks/lengths.py --rounds 3

All texts of a row have the same number of tokens, frame included, and every row has about the same
number of tokens in all. Both sides are loaded already and use all cores; transformers' pipelines
get the batch size of 1, 8 and 32 that suits them best. bf16 is measured where the processor
computes in it.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from builtins_as_folders import merged
from pipelines import SIZES, by_bertcli, by_pipeline, task_of
from sentence_transformers import SentenceTransformer
from timing import SEED, Timed, alternate, table

from bertcli.checkpoints.catalog import base_folder
from bertcli.checkpoints.load import load_tokenizer
from bertcli.cli.embed import build_embed
from bertcli.cli.options import ModelFlags
from bertcli.cli.recipe import choose_checkpoint
from bertcli.engine.choices import Long, Precision

LENGTHS = {"embed": (8, 32, 128, 256), "classify": (8, 32, 128, 512), "ner": (8, 32, 128, 512)}
"""all-MiniLM-L6-v2 embeds 256 tokens at most."""


def main() -> None:
    """Print a row for each task and length."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="counted runs of each contestant")
    parser.add_argument("--tokens", type=int, default=16_384, help="tokens in each row")
    parser.add_argument("--only", nargs="+", default=list(LENGTHS), help="tasks to run")
    given = parser.parse_args()
    precisions = [Precision.FP32, Precision.INT8]
    if torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported():
        precisions.append(Precision.BF16)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for task in given.only:
            model = "" if task == "embed" else merged(task, Path(folder))
            for length in LENGTHS[task]:
                texts = texts_of(length, max(1, given.tokens // length))
                rows.append(row(task, model, length, texts, precisions, given.rounds))
    print(f"{os.cpu_count()} cores, {given.tokens:,} tokens a row; the median of {given.rounds}.\n")
    ours = [part for each in precisions for part in (str(each), "ratio")]
    print(table(["task", "tokens", "theirs, texts/s", *ours], rows))


def row(
    task: str,
    model: str,
    length: int,
    texts: Sequence[str],
    precisions: Sequence[Precision],
    rounds: int,
) -> list[str]:
    """Return what each side reaches on these texts, and the ratios."""
    theirs = peers(task, model, texts)
    ours = {str(each): contestant(task, model, texts, each) for each in precisions}
    timed = {each.name: each for each in alternate({**theirs, **ours}, rounds)}
    best: Timed = min((timed[name] for name in theirs), key=lambda one: one.median)
    rates = [
        part
        for name in ours
        for part in (
            f"{len(texts) / timed[name].median:.0f}",
            f"{best.median / timed[name].median:.2f}",
        )
    ]
    return [task, str(length), f"{len(texts) / best.median:.0f}", *rates]


def peers(task: str, model: str, texts: Sequence[str]) -> dict[str, Callable[[], object]]:
    """Return the usual library's ways to do it."""
    if task == "embed":
        encoder = SentenceTransformer(str(base_folder()), device="cpu")
        return {"encode": partial(encoder.encode, list(texts))}
    return {f"pipeline, {size}": partial(by_pipeline, task, model, texts, size) for size in SIZES}


def contestant(
    task: str, model: str, texts: Sequence[str], precision: Precision
) -> Callable[[], object]:
    """Return bertcli's way."""
    if task != "embed":
        return partial(by_bertcli, task_of(task, model, precision), texts)
    flags = ModelFlags(precision=precision, long=Long.TRUNCATE)
    return partial(build_embed(choose_checkpoint(flags, "embed"), flags).vectors, texts)


def texts_of(length: int, count: int) -> list[str]:
    """Return texts of words that are one token each, `length` with [CLS] and [SEP]."""
    tokenizer = load_tokenizer(choose_checkpoint(ModelFlags(), "embed"))
    rng = random.Random(SEED)
    lines = (base_folder() / "vocab.txt").read_text(encoding="utf-8").splitlines()
    words = [word for word in lines if word.isascii() and word.isalpha() and len(word) > 2]
    texts = [" ".join(rng.choices(words, k=length - 2)) for _ in range(count)]
    assert all(len(ids) == length - 2 for ids in tokenizer.ids(texts))
    return texts


if __name__ == "__main__":
    main()
