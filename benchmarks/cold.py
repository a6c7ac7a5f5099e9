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

from timing import BERTCLI, alternate, peer, read_texts, run, table

from bertcli.checkpoints.catalog import base_folder, builtin

MASKED = "Paris is the [MASK] of France."
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
    parser.add_argument("--fill-mask-model", help="folder of an adapter; default the built-in one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        duels = prepare(Path(folder), arguments.texts, arguments.fill_mask_model)
        verdicts = {duel.name: duel.agree() for duel in duels}
        print(start_up(arguments.rounds))
        print()
        print(answers(duels, verdicts, arguments.rounds))


def prepare(folder: Path, count: int, adapter: str | None) -> list[Duel]:
    """Return the duels, with the merged model, the index and the stored embeddings in place."""
    base = str(base_folder())
    merged, texts = str(folder / "merged"), folder / "texts.txt"
    index, vectors = str(folder / "index"), str(folder / "vectors.npy")
    found = builtin("fill-mask")
    save_merged(adapter or str(found.folder if found else ""), base, merged)
    texts.write_text("\n".join(read_texts(None, count)), encoding="utf-8")
    run([BERTCLI, "index", "build", index, "-i", str(texts)])
    run([BERTCLI, "embed", "-i", str(texts), "-o", vectors])
    model = ["-m", adapter] if adapter else []
    return [
        Duel(
            "fill-mask",
            [BERTCLI, "fill-mask", MASKED, *model],
            peer("fill_mask_pipeline.py", merged, MASKED),
            lambda said: [fill["token"] for fill in said["masks"][0]["fills"]],
        ),
        Duel(
            "embed",
            [BERTCLI, "embed", QUERY],
            peer("sentence_encode.py", base, QUERY),
            lambda said: list(said["embedding"]),
        ),
        Duel(
            "search",
            [BERTCLI, "search", QUERY, "--index", index],
            peer("semantic_search.py", base, vectors, str(texts), QUERY),
            lambda said: [hit["text"] for hit in said["hits"]],
        ),
    ]


def save_merged(adapter: str, base: str, folder: str) -> None:
    """Write the adapter merged into its base by PEFT, the quickest form for the pipeline."""
    run(peer("merge_adapter.py", base, adapter, folder))


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
