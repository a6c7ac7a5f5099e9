"""Texts per second of bulk embedding beside the tools that people take for it, on the same weights.

python benchmarks/embed_peers.py --python PEERS/bin/python --onnx-python OTHER/bin/python

Each tool has a process of its own that has loaded the model, and they take turns on the same texts,
each at its default batch. The peers may live in environments of their own: `--python` names one
with txtai, fastembed, onnxscript and sentence-transformers, `--onnx-python` one with
sentence-transformers and optimum-onnx, which wants an older transformers. What is not there is left
out.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from embed import embed_file
from search_peers import call, version
from timing import PEERS, alternate, environment, read_texts, table

from bertcli.checkpoints.catalog import base_folder
from bertcli.cli.embed import build_embed
from bertcli.cli.options import ModelFlags
from bertcli.cli.recipe import choose_checkpoint
from bertcli.engine.choices import Long, Precision

OURS = "bertcli"
TOOLS = {
    "sentence-transformers": "sentence-transformers",
    "txtai": "txtai",
    "fastembed": "fastembed",
    "sentence-transformers-onnx": "optimum-onnx",
    "sentence-transformers-int8": "optimum-onnx",
}


@dataclass(frozen=True, slots=True)
class Peer:
    """A process that embeds the texts whenever a line is written to it."""

    name: str
    process: subprocess.Popen[str]
    vectors: Path

    def embed(self) -> None:
        """Let it embed everything once."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        if not self.process.stdout.readline():
            sys.exit(f"{self.name} ended")


def main() -> None:
    """Print a table of rates and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=Path, help="file with a text per line")
    parser.add_argument("--count", type=int, default=600, help="texts to embed")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--python", default=sys.executable, help="Python of the peers")
    parser.add_argument("--onnx-python", default=sys.executable, help="Python with optimum-onnx")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        texts = place / "texts.txt"
        lines = read_texts(given.texts, given.count)
        texts.write_text("\n".join(lines) + "\n", encoding="utf-8")
        peers = started(given.python, given.onnx_python, place, texts)
        print(compare(peers, texts, len(lines), given.rounds))
        for peer in peers:
            peer.process.kill()


def started(python: str, onnx_python: str, place: Path, texts: Path) -> list[Peer]:
    """Return the peers that are there, their models loaded."""
    peers = []
    for tool, package in TOOLS.items():
        its = onnx_python if package == "optimum-onnx" else python
        if not (found := version(its, package)):
            continue
        model = str(base_folder())
        if tool == "fastembed":
            model = str(place / "onnx")
            call([its, str(PEERS / "export_onnx.py"), str(base_folder()), model])
        vectors = place / f"{tool}.npy"
        process = subprocess.Popen(
            [its, str(PEERS / "embed_texts.py"), tool, model, str(texts), str(vectors)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        assert process.stdout
        said = ""
        while said != "ready\n":
            said = process.stdout.readline()
            if not said:
                sys.exit(f"{tool} did not start")
        shown = version(its, "sentence-transformers") if package == "optimum-onnx" else found
        peers.append(Peer(f"{tool} {shown}", process, vectors))
    return peers


def compare(peers: Sequence[Peer], texts: Path, count: int, rounds: int) -> str:
    """Return the table; the ratio is how many times bertcli's rate in fp32 and int8 is a tool's."""
    ours = {}
    for each in (Precision.FP32, Precision.INT8):
        flags = ModelFlags(precision=each, long=Long.TRUNCATE)
        embed = build_embed(choose_checkpoint(flags, "embed"), flags)
        ours[f"{OURS}, {each}"] = partial(embed_file, embed, texts)
    timed = alternate({**ours, **{peer.name: peer.embed for peer in peers}}, rounds)
    full = ours[f"{OURS}, {Precision.FP32}"]()
    vectors = {name: found() for name, found in ours.items()}
    vectors |= {peer.name: np.load(peer.vectors) for peer in peers}
    quickest = [one.median for one in timed[:2]]
    rows = [
        [
            one.name,
            f"{count / one.median:.0f} ({count / one.worst:.0f} … {count / one.best:.0f})",
            *(f"{one.median / own:.2f}" for own in quickest),
            f"{(vectors[one.name] * full).sum(1).mean():.4f}",
        ]
        for one in timed
    ]
    titles = [f"{count} texts", "texts/s", "fp32 is", "int8 is", "cosine to fp32"]
    return table(titles, rows)


if __name__ == "__main__":
    main()
