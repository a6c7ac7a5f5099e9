"""Adds documents to an index until it is killed: PATH BATCH OVERWRITE [STEPS].

A line on stdout says how many are committed. With STEPS the process kills itself at the STEPS-th
thing that it does to files or SQLite.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bertcli.index import folder
from bertcli.index.chunks import Chunk
from bertcli.index.content import Entry, NewDocument
from bertcli.index.manifest import Chunking, Manifest, ModelIdentity

MANIFEST = Manifest(ModelIdentity("mini", "a" * 64, "mean", True, 4, ""), Chunking(256, 32))


def endless(first: int) -> Iterator[Entry]:
    """Yield documents without end, saying before each batch how many are safe."""
    vectors = np.array([[0, 1, 0, 0]], np.float32)
    for number in itertools.count(first):
        if (number - first) % folder.COMMIT_CHUNKS == 0:
            sys.stdout.write(f"{number}\n")
            sys.stdout.flush()
        yield Entry(NewDocument("a", f"text {number}", number + 1), [Chunk(0, 6, 1)], vectors)


def die_at(step: int) -> None:
    """Arrange for a kill at the step-th audited call that opens, renames or removes something."""
    audited = {"open", "os.rename", "os.remove", "os.mkdir", "os.truncate", "sqlite3.connect"}
    count = itertools.count()
    root = sys.argv[1]

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if event in audited and root in str(arguments[0]) and next(count) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


if __name__ == "__main__":
    path, folder.COMMIT_CHUNKS = Path(sys.argv[1]), int(sys.argv[2])
    overwrite = sys.argv[3] == "1"
    if len(sys.argv) > 4:
        die_at(int(sys.argv[4]))
    if path.exists() and not overwrite:
        index = folder.IndexFolder.open(path)
    else:
        index = folder.IndexFolder.create(path, MANIFEST, overwrite=overwrite)
    index.add(endless(index.info().chunks))
