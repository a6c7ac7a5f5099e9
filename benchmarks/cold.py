"""From a cold process to the first answer, against scripts that do the same by the usual means.

python benchmarks/cold.py --rounds 5
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from builtins_as_folders import KINDS, merged
from timing import BERTCLI, alternate, peer, read_texts, run, table

from bertcli.checkpoints.catalog import base_folder

MASKED = "Paris is the [MASK] of France."
FILM = "What a lovely film."
NAMES = "Ada Lovelace was born in London and worked with Charles Babbage."
BRIDGE = "The bridge was designed by Ann Lee and built in 1932."
DESIGNER = "Who designed the bridge?"
QUERY = "how are exceptions handled"
CLOSE = 1e-4


@dataclass(frozen=True, slots=True)
class Duel:
    """One thing done twice: each side's command, and how its answer is read from its output."""

    name: str
    ours: list[str]
    theirs: list[str]
    ours_says: Callable[[Any], list[Any]]

    def agree(self) -> bool:
        """Tell whether both sides give the same answer."""
        ours = self.ours_says(json.loads(run(self.ours)))
        theirs = json.loads(run(self.theirs))
        if isinstance(ours[0], str):
            return list(ours) == list(theirs)
        return all(abs(a - b) < CLOSE for a, b in zip(ours, theirs, strict=True))


def main() -> None:
    """Print a table of the commands alone and one of the duels."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="counted runs of each contestant")
    parser.add_argument("--texts", type=int, default=1_000, help="passages in the index")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        duels = prepare(Path(folder), arguments.texts)
        verdicts = {duel.name: duel.agree() for duel in duels}
        print(start_up(arguments.rounds))
        print()
        print(answers(duels, verdicts, arguments.rounds))


def prepare(folder: Path, count: int) -> list[Duel]:
    """Return the duels, with merged models, the index and the stored embeddings in place.

    ner has its merged folder on both sides, since a pipeline cannot tell capitals.
    """
    base, texts = str(base_folder()), folder / "texts.txt"
    index, vectors = str(folder / "index"), str(folder / "vectors.npy")
    texts.write_text("\n".join(read_texts(None, count)), encoding="utf-8")
    run([BERTCLI, "index", "build", index, "-i", str(texts)])
    run([BERTCLI, "embed", "-i", str(texts), "-o", vectors, "-q"])
    plain = {task: merged(task, folder) for task in KINDS}
    theirs = {
        task: partial(peer, "answer.py", kind.pipeline, plain[task]) for task, kind in KINDS.items()
    }
    return [
        Duel(
            "fill-mask",
            [BERTCLI, "fill-mask", MASKED],
            theirs["fill-mask"](MASKED),
            lambda said: [fill["token"] for fill in said["masks"][0]["fills"]],
        ),
        Duel(
            "classify",
            [BERTCLI, "classify", FILM],
            theirs["classify"](FILM),
            lambda said: [said["label"]],
        ),
        Duel(
            "ner",
            [BERTCLI, "ner", NAMES, "-m", plain["ner"]],
            theirs["ner"](NAMES),
            lambda said: [one["text"] for one in said["entities"]],
        ),
        Duel(
            "qa",
            [BERTCLI, "qa", DESIGNER, "--context", BRIDGE],
            theirs["qa"](DESIGNER, BRIDGE),
            lambda said: [said["answer"]],
        ),
        Duel(
            "embed",
            [BERTCLI, "embed", QUERY],
            peer("sentence_encode.py", base, QUERY),
            lambda said: list(said["embedding"]),
        ),
        Duel(
            "search, by meaning",
            [BERTCLI, "search", QUERY, "--index", index, "--mode", "dense"],
            peer("semantic_search.py", base, vectors, str(texts), QUERY),
            lambda said: [hit["text"] for hit in said["hits"]],
        ),
    ]


def start_up(rounds: int) -> str:
    """Return the table of the commands that need no model."""
    commands = {
        f"bertcli {flag}": partial(run, [BERTCLI, flag]) for flag in ("--help", "--version")
    }
    rows = [
        [f"`{each.name}`", f"{each.median:.3f}", f"{each.best:.3f}", f"{each.worst:.3f}"]
        for each in alternate(commands, rounds)
    ]
    return table(["command", "median s", "min", "max"], rows)


def answers(duels: list[Duel], verdicts: dict[str, bool], rounds: int) -> str:
    """Return the table of the duels, each side's runs alternating with the other's."""
    rows = []
    for duel in duels:
        print(duel.name, file=sys.stderr)
        sides = {"ours": partial(run, duel.ours), "theirs": partial(run, duel.theirs)}
        ours, theirs = alternate(sides, rounds)
        rows.append(
            [duel.name]
            + [f"{t.median:.2f} ({t.best:.2f} … {t.worst:.2f})" for t in (ours, theirs)]
            + [f"{theirs.median / ours.median:.1f}", "yes" if verdicts[duel.name] else "**NO**"]
        )
    headings = ["one answer, cold", "bertcli: median s (min … max)"]
    return table([*headings, "transformers / sentence-transformers", "ratio", "same answer"], rows)


if __name__ == "__main__":
    main()
