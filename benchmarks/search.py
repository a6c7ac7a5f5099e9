"""Search at 1,000 to 1,000,000 passages: building, disk, memory, cold and warm answers, recall.

python benchmarks/search.py --sizes 1000 10000 100000 1000000

The passages are made up, so that a million of them cost no day of embedding: words as frequent as
in prose, vectors that lie around topics as those of texts do. Everything but the making of vectors
is bertcli's own. Cold answers are whole processes of `bertcli search`, with the model that embeds
the query. Recall is against brute force, for queries that were not used for tuning.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from timing import BERTCLI, cost, table

from bertcli.checkpoints.catalog import builtin_for
from bertcli.checkpoints.resolve import builtin_checkpoint
from bertcli.cli.embed import build_embed
from bertcli.cli.index.open import identity
from bertcli.cli.options import ModelFlags
from bertcli.index.chunks import Chunk
from bertcli.index.content import Entry, NewDocument
from bertcli.index.folder import IndexFolder
from bertcli.index.manifest import Chunking, Manifest
from bertcli.index.query import words_of
from bertcli.index.where import compile_where

DIMENSION = 384
TOPICS = 2_000
VOCABULARY = 50_000
WORDS = 60
BLOCK = 10_000
QUERIES = 100
YEARS = 20


@dataclass(frozen=True, slots=True)
class Measured:
    """What one size costs."""

    passages: int
    build_seconds: float
    build_megabytes: float
    disk_megabytes: float
    cold_seconds: float
    cold_megabytes: float
    warm_dense_ms: float
    warm_hybrid_ms: float
    first_filtered_ms: float
    warm_filtered_ms: float
    warm_filtered_hybrid_ms: float
    recall: float
    filtered_recall: float
    add_seconds: float
    kind: str


class Corpus:
    """Made-up passages: the same for the same numbers, block by block."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.topics = rng.standard_normal((TOPICS, DIMENSION)).astype(np.float32)
        self.topics /= np.linalg.norm(self.topics, axis=1, keepdims=True)
        letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
        self.words = np.array(
            ["".join(rng.choice(letters, rng.integers(3, 11))) for _ in range(VOCABULARY)]
        )
        weights = 1 / np.arange(2, VOCABULARY + 2)  # Zipf's law
        self.weights = weights / weights.sum()

    def vectors(self, seed: int, count: int) -> np.ndarray:
        """Return vectors of length one (count, d), half of each its topic and half its own."""
        rng = np.random.default_rng(seed)
        own = rng.standard_normal((count, DIMENSION)).astype(np.float32) / DIMENSION**0.5
        rows = self.topics[rng.zipf(1.3, count) % TOPICS] + own
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def texts(self, seed: int, count: int) -> list[str]:
        """Return passages of so many words."""
        rng = np.random.default_rng(seed)
        chosen = self.words[rng.choice(VOCABULARY, (count, WORDS), p=self.weights)]
        return [" ".join(row) for row in chosen]

    def entries(self, first: int, last: int) -> Iterator[Entry]:
        """Yield the passages from one number to another as documents of an index."""
        for block in range(first // BLOCK, (last + BLOCK - 1) // BLOCK):
            vectors, texts = self.vectors(block, BLOCK), self.texts(block, BLOCK)
            for row in range(max(first - block * BLOCK, 0), min(last - block * BLOCK, BLOCK)):
                number = block * BLOCK + row
                document = NewDocument("corpus", texts[row], number + 1, {"year": number % YEARS})
                yield Entry(document, [Chunk(0, len(texts[row]), 1)], vectors[row : row + 1])


def main() -> None:
    """Print a table of the sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=5, help="cold processes of each size")
    parser.add_argument("--keep", type=Path, help="leave the indexes here, and use those there")
    parser.add_argument("--build", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.build:
        build(Path(arguments.build[0]), *map(int, arguments.build[1:]))
        return
    found = []
    with tempfile.TemporaryDirectory() as temporary:
        place = arguments.keep or Path(temporary)
        for size in arguments.sizes:
            found.append(measure(place / f"i{size}", size, arguments.rounds))
            print(json.dumps(asdict(found[-1])), file=sys.stderr)
    print(report(found))


def build(path: Path, first: int, last: int) -> None:
    """Make an index, or add to it, and say what that took."""
    corpus = Corpus()
    making = 0.0

    def timed(entries: Iterator[Entry]) -> Iterator[Entry]:
        nonlocal making
        while True:
            began = time.perf_counter()
            entry = next(entries, None)
            making += time.perf_counter() - began
            if entry is None:
                return
            yield entry

    began = time.perf_counter()
    with IndexFolder.open(path) if first else new_index(path) as index:
        index.add(timed(corpus.entries(first, last)))
    seconds = time.perf_counter() - began - making
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "megabytes": peak}))


def new_index(path: Path) -> IndexFolder:
    """Make an empty index for the built-in model."""
    checkpoint = builtin_checkpoint(builtin_for("embed"))
    embed = build_embed(checkpoint, ModelFlags(), normalize=True)
    return IndexFolder.create(path, Manifest(identity(checkpoint, embed), Chunking(254, 32)))


def built(path: Path, first: int, last: int) -> dict[str, float]:
    """Build in a process of its own; return seconds without the making of data, and memory."""
    command = [sys.executable, __file__, "--build", str(path), str(first), str(last)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(path: Path, size: int, rounds: int) -> Measured:
    """Return what an index of this size costs, and how well it finds."""
    note = path.with_suffix(".json")
    if not note.exists():
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps(built(path, 0, size)))
    making = json.loads(note.read_text())
    disk = sum(one.stat().st_size for one in path.iterdir()) / 1e6
    corpus = Corpus()
    cold = [cold_answer(path, corpus, number) for number in range(rounds)]
    with IndexFolder.open(path) as index:
        info = index.info()
        quick = warm(index, corpus)
        recall = recall_of(index, corpus, info.chunks, None)
        filtered = recall_of(index, corpus, info.chunks, 7)
    added = built(path, info.chunks, info.chunks + 10_000)
    return Measured(
        size,
        making["seconds"],
        making["megabytes"],
        disk,
        statistics.median(seconds for seconds, _ in cold),
        max(megabytes for _, megabytes in cold),
        *quick,
        recall,
        filtered,
        added["seconds"],
        "exact" if info.ann is None else f"{info.ann.kind}, effort {info.ann.effort}",
    )


def cold_answer(path: Path, corpus: Corpus, number: int) -> tuple[float, float]:
    """Return seconds and megabytes of one `bertcli search`."""
    query = " ".join(corpus.texts(10**6 + number, 1)[0].split()[:6])
    command = [BERTCLI, "search", query, "--index", str(path), "-f", "jsonl"]
    took = cost(command)
    return took.seconds, took.megabytes


def warm(index: IndexFolder, corpus: Corpus) -> tuple[float, float, float, float, float]:
    """Return median milliseconds of an answer by meaning and by both, without and with a filter.

    With that the first is told apart: the index keeps what a filter leaves for the next query.
    """
    vectors = corpus.vectors(10**6, QUERIES)
    queries = [words_of(" ".join(text.split()[:6])) for text in corpus.texts(10**6, QUERIES)]
    year = compile_where("year = 7")
    both = list(zip(queries, vectors, strict=True))
    every = (
        [elapsed(lambda v=v: index.search(v[None], 10)) for v in vectors],
        [elapsed(lambda q=q, v=v: index.find(q, v, 10)) for q, v in both],
        [elapsed(lambda v=v: index.search(v[None], 10, year)) for v in vectors[:10]],
        [elapsed(lambda q=q, v=v: index.find(q, v, 10, year)) for q, v in both],
    )
    dense, hybrid, filtered, filtered_hybrid = (statistics.median(one) for one in every)
    return dense, hybrid, every[2][0], filtered, filtered_hybrid


def elapsed(action: object) -> float:
    """Return how many milliseconds something takes."""
    began = time.perf_counter()
    action()  # type: ignore[operator]
    return (time.perf_counter() - began) * 1000


def recall_of(index: IndexFolder, corpus: Corpus, passages: int, year: int | None) -> float:
    """Return recall@10 against brute force, over all passages or those of one year."""
    queries = corpus.vectors(10**6 + 1, QUERIES if year is None else 20)
    rows = nearest(corpus, queries, passages, year)
    condition = None if year is None else compile_where(f"year = {year}")
    shares = []
    for query, expected in zip(queries, rows, strict=True):
        found = {(hit.line or 0) - 1 for hit in index.search(query[None], 10, condition)[0]}
        shares.append(len(found & set(expected.tolist())) / 10)
    return statistics.fmean(shares)


def nearest(
    corpus: Corpus, queries: np.ndarray, passages: int, year: int | None = None
) -> np.ndarray:
    """Return the rows (queries, 10) of the nearest passages, of all or those of one year."""
    best = np.full((len(queries), 10), -2.0, np.float32)
    rows = np.zeros((len(queries), 10), np.int64)
    for block in range(0, (passages + BLOCK - 1) // BLOCK):
        vectors = corpus.vectors(block, BLOCK)[: passages - block * BLOCK]
        scores = queries @ vectors.T
        numbers = block * BLOCK + np.arange(len(vectors))
        if year is not None:
            scores[:, numbers % YEARS != year] = -2.0
        scores = np.concatenate([best, scores], axis=1)
        numbers = np.concatenate([rows, np.tile(numbers, (len(queries), 1))], axis=1)
        order = np.argsort(-scores, axis=1)[:, :10]
        best = np.take_along_axis(scores, order, 1)
        rows = np.take_along_axis(numbers, order, 1)
    return rows


def report(found: list[Measured]) -> str:
    """Return the table."""
    rows = [
        [
            f"{one.passages:,}",
            one.kind,
            f"{one.build_seconds:,.1f} s, {one.build_megabytes:,.0f} MB",
            f"{one.disk_megabytes:,.0f} MB",
            f"{one.cold_seconds:.2f} s, {one.cold_megabytes:.0f} MB",
            f"{one.warm_dense_ms:.1f}, {one.warm_hybrid_ms:.1f} ms",
            f"{one.first_filtered_ms:.0f}, {one.warm_filtered_ms:.1f}, "
            f"{one.warm_filtered_hybrid_ms:.1f} ms",
            f"{one.recall:.3f}, {one.filtered_recall:.3f}",
            f"{one.add_seconds:.1f} s",
        ]
        for one in found
    ]
    titles = [
        "passages",
        "search",
        "build, peak",
        "disk",
        "cold answer, peak",
        "warm: meaning, both",
        "filtered: first, next, both",
        "recall@10: all, filtered",
        "10,000 more",
    ]
    return table(titles, rows)


if __name__ == "__main__":
    main()
