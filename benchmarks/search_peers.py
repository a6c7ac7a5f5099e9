"""Search beside other tools: building over the same texts, and one answer from a cold process.

python benchmarks/search_peers.py --texts 1000 --python PEERS/bin/python

Every tool embeds with the same weights (bm25s has no vectors), in whole processes, in turn. The
peers may live in an environment of their own, whose Python `--python` names: pip install txtai
chromadb bm25s llm llm-sentence-transformers there. Those that are not there are left out.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from timing import BERTCLI, PEERS, alternate, environment, read_texts, table

from bertcli.checkpoints.catalog import base_folder

QUERY = "how to open a file for writing"
TOOLS = {
    "txtai": "txtai",
    "chromadb": "chromadb",
    "semantic_search": "sentence-transformers",
    "bm25s": "bm25s",
    "llm": "llm",
}


def main() -> None:
    """Print a table of seconds and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--python", default=sys.executable, help="Python of the peers")
    arguments = parser.parse_args()
    print(compare(arguments.texts, arguments.rounds, arguments.python))


def compare(count: int, rounds: int, python: str = sys.executable) -> str:
    """Return the table."""
    there = [tool for tool, package in TOOLS.items() if version(python, package)]
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        texts = place / "texts.txt"
        lines = read_texts(None, count)
        texts.write_text("\n".join(lines) + "\n", encoding="utf-8")
        builds = {"bertcli": lambda: build_bertcli(place, texts)}
        builds |= {tool: lambda t=tool: build_peer(python, t, place, texts) for tool in there}
        asks = {"bertcli": lambda: ask_bertcli(place)}
        asks |= {tool: lambda t=tool: ask_peer(python, t, place) for tool in there}
        building = alternate(builds, max(1, rounds // 2), warm_up=0)
        asking = alternate(asks, rounds)
    ours = building[0].median, asking[0].median
    rows = [
        [
            f"{one.name} {version(python, TOOLS[one.name])}" if one.name in TOOLS else one.name,
            f"{one.median:.1f} s",
            f"{one.median / ours[0]:.1f}",
            f"{other.median:.2f} s ({other.best:.2f} … {other.worst:.2f})",
            f"{other.median / ours[1]:.1f}",
        ]
        for one, other in zip(building, asking, strict=True)
    ]
    titles = [f"{len(lines):,} texts", "build", "ratio", "cold answer", "ratio"]
    return table(titles, rows)


def build_bertcli(place: Path, texts: Path) -> None:
    """Build with bertcli, records from a file of lines."""
    fresh = str(place / "bertcli")
    call([BERTCLI, "index", "build", fresh, "-i", str(texts), "--overwrite", "-q"])


def ask_bertcli(place: Path) -> None:
    """Ask bertcli, by meaning and words."""
    call([BERTCLI, "search", QUERY, "--index", str(place / "bertcli"), "-f", "jsonl"])


def build_peer(python: str, tool: str, place: Path, texts: Path) -> None:
    """Build with a peer, from nothing."""
    shutil.rmtree(place / tool, ignore_errors=True)
    step(python, tool, "build", place / tool, str(texts))


def ask_peer(python: str, tool: str, place: Path) -> None:
    """Ask a peer."""
    step(python, tool, "ask", place / tool, QUERY)


def step(python: str, tool: str, what: str, folder: Path, given: str) -> None:
    """Run one step of a peer."""
    script = str(PEERS / "search_tools.py")
    call([python, script, tool, what, str(folder), str(base_folder()), given])


def call(command: list[str]) -> None:
    """Run a command and stop where it fails."""
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")


def version(python: str, package: str) -> str:
    """Return the version of a package in an environment, nothing where it is not there."""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


if __name__ == "__main__":
    main()
