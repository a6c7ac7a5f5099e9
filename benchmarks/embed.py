"""Texts per second of `bertcli embed` and of `SentenceTransformer.encode` on the same weights.

python benchmarks/embed.py --rounds 5
python benchmarks/embed.py --texts my-texts.txt

Everything runs on all the cores there are. sentence-transformers is timed as a library that is
loaded already, at its default batch of 32; bertcli both so, over the records of a file, and as the
whole command with its start-up, its reading and its writing.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from timing import BERTCLI, TEXTS, Timed, alternate, precisions, read_texts, run, table

from bertcli.checkpoints.catalog import base_folder
from bertcli.cli.embed import build_embed
from bertcli.cli.options import ModelFlags
from bertcli.cli.recipe import choose_checkpoint
from bertcli.engine.choices import Long, Precision
from bertcli.inputs.records import read_records
from bertcli.inputs.source import InputOptions
from bertcli.results import EmbedResult
from bertcli.tasks.embed import Embed
from bertcli.tasks.run import answers

PEER = "SentenceTransformer.encode, fp32"

Vectors = NDArray[np.float32]


def main() -> None:
    """Print a table of rates, and how far the vectors are from the peer's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="counted runs of each contestant")
    parser.add_argument("--texts", type=Path, help="file with a text per line")
    parser.add_argument("--count", type=int, default=TEXTS, help="texts to embed")
    arguments = parser.parse_args()
    texts = read_texts(arguments.texts, arguments.count)
    model = SentenceTransformer(str(base_folder()), device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "texts.txt"
        source.write_text("\n".join(texts), encoding="utf-8")
        peer = {PEER: partial(model.encode, texts)}
        ours = in_process(source)
        contestants: dict[str, Callable[[], object]] = {**peer, **ours, **whole_commands(source)}
        timed = alternate(contestants, arguments.rounds)
        vectors = {
            name: embedded() for name, embedded in zip(precisions(), ours.values(), strict=True)
        }
    tokens = [len(ids) for ids in model.tokenizer(texts, truncation=True)["input_ids"]]
    print(
        f"{len(texts)} texts of {np.mean(tokens):.0f} tokens on average "
        f"({min(tokens)} … {max(tokens)}), {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} torch threads.\n"
    )
    print(rates(timed, len(texts)))
    print()
    print(distances(np.asarray(model.encode(texts)), vectors))


def in_process(source: Path) -> dict[str, Callable[[], Vectors]]:
    """Return the embedding of a file's records by a model that is loaded already."""
    flags = {each: ModelFlags(precision=each, long=Long.TRUNCATE) for each in precisions()}
    return {
        f"bertcli in process, {each}": partial(
            embed_file, build_embed(choose_checkpoint(flags[each], "embed"), flags[each]), source
        )
        for each in precisions()
    }


def whole_commands(source: Path) -> dict[str, Callable[[], str]]:
    """Return the same as command lines; long texts are cut as sentence-transformers cuts them."""
    files = ["-i", str(source), "-o", str(source.with_suffix(".npy")), "--long", "truncate"]
    return {
        f"`bertcli embed -i FILE -o out.npy`, {each}": partial(
            run, [BERTCLI, "embed", *files, "--precision", each.value]
        )
        for each in precisions()
    }


def embed_file(task: Embed, source: Path) -> Vectors:
    """Return the vectors (n, d) of a file's lines."""
    found = answers(task, read_records(InputOptions(inputs=(str(source),))))
    return np.stack([each.result.vector for each in found if isinstance(each.result, EmbedResult)])


def rates(timed: list[Timed], count: int) -> str:
    """Return the table of texts per second, with each median over the peer's."""
    peer = next(each for each in timed if each.name == PEER)
    rows = [
        [each.name]
        + [f"{count / seconds:.0f}" for seconds in (each.median, each.worst, each.best)]
        + [f"{peer.median / each.median:.2f}", f"{peer.best / each.best:.2f}"]
        for each in timed
    ]
    headings = ["contestant", "texts/s, median", "min", "max", "ratio of medians", "of best runs"]
    return table(headings, rows)


def distances(peer: Vectors, ours: Mapping[Precision, Vectors]) -> str:
    """Return the table of cosines; all vectors have length one."""
    exact = ours[Precision.FP32]
    pairs = {"fp32 to sentence-transformers": (exact, peer)}
    pairs |= {f"{name} to fp32": (one, exact) for name, one in ours.items() if one is not exact}
    rows = [
        [name, f"{cosines.mean():.6f}", f"{cosines.min():.6f}"]
        for name, (a, b) in pairs.items()
        if len(cosines := (a * b).sum(axis=1))
    ]
    return table(["cosine", "mean", "min"], rows)


if __name__ == "__main__":
    main()
