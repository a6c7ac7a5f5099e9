"""Search beside other tools, over passages whose vectors are given, so that no day of embedding is.

python benchmarks/search_given.py --sizes 100000 1000000 --python PEERS/bin/python

The passages and their vectors are the made-up ones of `search.py`; each tool takes both and keeps
them. Building and a cold answer, for which it embeds the query with the model, are whole processes,
in turn. Warm answers are to vectors, within one process (of txtai without the texts found);
recall@10 is against brute force. The peers are those of `search_peers.py`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from search import BLOCK, Corpus, elapsed, nearest, new_index
from search_peers import TOOLS, version
from timing import BERTCLI, PEERS, Cost, cost, environment, table

from bertcli.checkpoints.catalog import base_folder
from bertcli.index.chunks import Chunk
from bertcli.index.content import Entry, NewDocument
from bertcli.index.folder import IndexFolder

QUERY_SEED = 10**6
QUERIES = 20


def main() -> None:
    """Print a table for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000])
    parser.add_argument("--rounds", type=int, default=3, help="cold processes of each tool")
    parser.add_argument("--python", default=sys.executable, help="Python of the peers")
    parser.add_argument("--step", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        what, folder, given = arguments.step
        {"build": build, "warm": warm}[what](Path(folder), Path(given))
        return
    tools = ["bertcli", *(one for one in TOOLS if version(arguments.python, TOOLS[one]))]
    for size in arguments.sizes:
        with tempfile.TemporaryDirectory() as temporary:
            print(compare(size, arguments.rounds, tools, arguments.python, Path(temporary)))
            print(flush=True)


def compare(size: int, rounds: int, tools: list[str], python: str, place: Path) -> str:
    """Return the table of one size."""
    corpus, texts = Corpus(), place / "texts.txt"
    vectors = np.lib.format.open_memmap(
        texts.with_suffix(".npy"), "w+", np.float32, (size, corpus.topics.shape[1])
    )
    with texts.open("w", encoding="utf-8") as file:
        for first in range(0, size, BLOCK):
            some = slice(first, min(first + BLOCK, size))
            vectors[some] = corpus.vectors(first // BLOCK, BLOCK)[: some.stop - first]
            lines = corpus.texts(first // BLOCK, BLOCK)[: some.stop - first]
            file.writelines(f"{line}\n" for line in lines)
    del vectors  # a child's peak begins with what its parent holds
    queries = place / "queries.npy"
    np.save(queries, corpus.vectors(QUERY_SEED, QUERIES))
    right = nearest(corpus, np.load(queries), size)

    def command(tool: str, step: str, given: str) -> list[str]:
        if tool != "bertcli":
            script = str(PEERS / "search_tools.py")
            return [python, script, tool, step, str(place / tool), str(base_folder()), given]
        if step == "ask":
            return [BERTCLI, "search", given, "--index", str(place / tool), "-f", "jsonl"]
        return [sys.executable, __file__, "--step", step, str(place / tool), given]

    building: dict[str, Cost] = {}
    warmth: dict[str, tuple[str, str]] = {}
    asked: dict[str, list[Cost]] = {tool: [] for tool in tools}
    for tool in tools:
        print(f"{size:,}: {tool} …", file=sys.stderr)
        building[tool] = cost(command(tool, "build", str(texts)))
        warmth[tool] = warm_of(command(tool, "warm", str(queries)), right)
    for number in range(rounds):
        query = " ".join(corpus.texts(QUERY_SEED + number, 1)[0].split()[:6])
        for tool in tools[:: 1 if number % 2 == 0 else -1]:
            asked[tool].append(cost(command(tool, "ask", query)))
    rows = []
    ours = statistics.median(one.seconds for one in asked["bertcli"])
    for tool in tools:
        seconds = statistics.median(one.seconds for one in asked[tool])
        memory = max(one.megabytes for one in asked[tool])
        disk = sum(one.stat().st_size for one in (place / tool).rglob("*") if one.is_file()) / 1e6
        rows.append(
            [
                f"{tool} {version(python, TOOLS[tool])}" if tool in TOOLS else tool,
                f"{building[tool].seconds:,.0f} s, {building[tool].megabytes:,.0f} MB",
                f"{disk:,.0f} MB",
                f"{seconds:.2f} s, {memory:,.0f} MB",
                f"{seconds / ours:.1f}",
                *warmth[tool],
            ]
        )
        shutil.rmtree(place / tool)
    titles = [f"{size:,} passages", "build, peak", "disk", "cold answer, peak", "ratio"]
    return table([*titles, "warm", "recall@10"], rows)


def warm_of(command: list[str], right: np.ndarray) -> tuple[str, str]:
    """Return the median milliseconds of warm answers and their recall, as text."""
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    if not done.stdout.strip():
        return "", ""
    milliseconds, found = json.loads(done.stdout.splitlines()[-1])
    shares = [
        len(set(row) & set(best.tolist())) / 10 for row, best in zip(found, right, strict=True)
    ]
    return f"{statistics.median(milliseconds):,.1f} ms", f"{statistics.fmean(shares):.3f}"


def build(folder: Path, texts: Path) -> None:
    """Make an index of bertcli's from lines and their vectors."""
    vectors = np.load(texts.with_suffix(".npy"), mmap_mode="r")

    def entries() -> Iterator[Entry]:
        with texts.open(encoding="utf-8") as file:
            for row, line in enumerate(file):
                text = line.rstrip("\n")
                document = NewDocument("texts", text, row + 1, {})
                yield Entry(document, [Chunk(0, len(text), 1)], vectors[row : row + 1])

    with new_index(folder) as index:
        index.add(entries())


def warm(folder: Path, queries: Path) -> None:
    """Print the milliseconds of each answer to a vector, and the rows found."""
    milliseconds: list[float] = []
    found: list[list[int]] = []
    with IndexFolder.open(folder) as index:
        for query in np.load(queries):

            def answer(query: np.ndarray = query) -> None:
                found.append([(hit.line or 0) - 1 for hit in index.search(query[None], 10)[0]])

            milliseconds.append(elapsed(answer))
    print(json.dumps([milliseconds, found]))


if __name__ == "__main__":
    main()
