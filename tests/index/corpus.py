"""A folder of files with an index over it, and a model of one line."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from bertcli.index.chunks import Chunk, divide
from bertcli.index.content import NewDocument
from bertcli.index.files import Source
from bertcli.index.folder import IndexFolder
from bertcli.index.update import Survey, kept, prepare, survey
from bertcli.index.vectors import Vectors

from .samples import DIMENSION, MANIFEST

Content = list[tuple[str, int, int, str, bytes]]


def embed(texts: Sequence[str]) -> Vectors:
    """Return a vector of length one for each text, another for every other text."""
    seeds = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) for text in texts]
    rows = np.stack([np.random.default_rng(seed).standard_normal(DIMENSION) for seed in seeds])
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def cut(documents: Sequence[NewDocument]) -> list[list[Chunk]]:
    """Cut at every third word."""
    words = [[m.span() for m in re.finditer(r"\S+", one.text)] for one in documents]
    return [divide(one.document, spans, 3, 0) for one, spans in zip(documents, words, strict=True)]


def read(path: Path, name: str, field: str) -> Iterator[NewDocument]:
    """Read a file as one document."""
    yield NewDocument(name, path.read_text())


def files_of(source: Source) -> Iterator[tuple[Path, str]]:
    """List a folder."""
    for path in sorted(Path(source.path).rglob("*")):
        if path.is_file():
            yield path, str(path.relative_to(source.path))


def changes_of(index: IndexFolder) -> Survey:
    """Return what changed in the files since the index saw them."""
    return survey(index.known_files(), index.sources(), files_of)


def update(index: IndexFolder) -> Survey:
    """Bring an index up to date and return what had changed."""
    index.begin_writing()
    changes = changes_of(index)
    fields = dict.fromkeys(index.sources(), "text")
    prepared = prepare(index, changes.to_read, fields, read, cut, embed, failed=print)
    with kept(changes, prepared, index.path) as (_, files):
        index.switch(changes, files)
    return changes


def build(place: Path, folder: Path) -> None:
    """Make an index over a folder."""
    with IndexFolder.create(place, MANIFEST, overwrite=True) as index:
        index.note_sources([Source(str(folder), folder.name)])
        update(index)


def content(index: IndexFolder) -> Content:
    """Return all that can be found in an index: places, texts and vectors."""
    with index.documents.reading():
        rows = [row.number for row in index.documents.checks()]
        passages = index.documents.passages(rows)
    vectors = index.vectors_of(rows)
    return sorted(
        (one.document, one.start, one.end, one.text, vector.tobytes())
        for one, vector in zip(passages, vectors, strict=True)
    )
