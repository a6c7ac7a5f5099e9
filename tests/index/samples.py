"""Small indexes to test with, and a child process to limit."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from bertcli.index.chunks import Chunk
from bertcli.index.content import Entry, NewDocument
from bertcli.index.folder import IndexFolder
from bertcli.index.manifest import Chunking, Manifest, ModelIdentity
from bertcli.index.vectors import Vectors

DIMENSION = 4
MODEL = ModelIdentity("mini", "a" * 64, "mean", True, DIMENSION, "")
MANIFEST = Manifest(MODEL, Chunking(tokens=256, overlap=32))
NOBODY = 65534


def unit_vectors(count: int, seed: int = 0, dimension: int = DIMENSION) -> Vectors:
    """Return random vectors of length one."""
    rows = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def entry(text: str, vector: Sequence[float], name: str = "a.txt", line: int | None = 1) -> Entry:
    """Return a document of one chunk."""
    vectors = np.asarray([vector], np.float32)
    return Entry(NewDocument(name, text, line), [Chunk(0, len(text), 1)], vectors)


def numbered(vectors: Vectors, first: int = 0) -> Iterator[Entry]:
    """Yield a document of one chunk per vector, its text the number of the row."""
    for number, vector in enumerate(vectors, first):
        yield entry(f"text {number}", vector.tolist(), line=number + 1)


def build(path: Path, entries: Iterable[Entry]) -> Path:
    """Make an index with these documents and close it."""
    with IndexFolder.create(path, MANIFEST) as index:
        index.add(entries)
    return path


def texts(index: IndexFolder, query: Sequence[float], k: int = 10) -> list[str]:
    """Return the texts found for one query, best first."""
    return [hit.text for hit in index.search(np.asarray([query], np.float32), k)[0]]


def in_child(action: Callable[[], str], *, nobody: bool = False) -> str:
    """Return what the action returns, or its error, from a child process.

    As `nobody` it owns nothing: the tests may run as root, whom no permission stops.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if nobody and os.getuid() == 0:
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            said = action()
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said
