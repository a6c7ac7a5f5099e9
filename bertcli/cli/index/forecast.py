"""What an index would hold and cost: `bertcli index chunks`, and `--dry-run`."""

from __future__ import annotations

import resource
import time
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bertcli.cli.bulk import PROBE_SECONDS, spread
from bertcli.cli.embed import build_embed
from bertcli.cli.index.files import files_of, reader
from bertcli.cli.index.open import ChunkTokens, Debug, Overlap, chunking_for, cutter, embedder
from bertcli.cli.options import ModelFlags, grouped
from bertcli.cli.recipe import choose_checkpoint, show_facts, warn
from bertcli.errors import DataError, UsageError

if TYPE_CHECKING:
    from bertcli.index.chunks import Chunk
    from bertcli.index.content import NewDocument
    from bertcli.index.files import Source
    from bertcli.index.manifest import Chunking
    from bertcli.tasks.embed import Embed

PROBE_TEXTS = 64
PROBE_BATCH = 8
NOWHERE = Path("/nonexistent")
EMPTY_BYTES = 100_000
"""What an index of nothing takes."""
TEXT_FACTOR = 2.0
"""Bytes on disk per byte of text: the text itself, its words, hashes and places; measured."""


@grouped
def chunks(
    file: Annotated[Path, typer.Argument(help="File to cut into passages.")],
    model: ModelFlags,
    field: Annotated[str, typer.Option(help="Column that holds the text.")] = "text",
    prompt: Annotated[str | None, typer.Option(help="Text before every passage.")] = None,
    chunk_tokens: ChunkTokens = None,
    overlap: Overlap = None,
    debug: Debug = False,
) -> None:
    """Show the passages that a file would become, without an index.

    \b
    bertcli index chunks handbook.md
    bertcli index chunks report.pdf --chunk-tokens 64 --overlap 0
    """
    checkpoint = choose_checkpoint(model, "embed")
    embed = build_embed(checkpoint, model, normalize=True, prompt=prompt, brief=True)
    chunking = chunking_for(embed, chunk_tokens, overlap)
    if file.is_dir():
        raise UsageError(f"{file} is a folder: name one file in it")
    failed: list[str] = []
    for document, its in _cut(reader(failed.append)(file, str(file), field), embed, chunking):
        for chunk in its:
            show_facts(_told(document, chunk))
    for line in failed:
        warn(line)
    if failed:
        raise typer.Exit(3)


def forecast(sources: Sequence[Source], embed: Embed, chunking: Chunking) -> None:
    """Say what indexing these sources would take, from a probe of two seconds."""
    if not sources:
        raise UsageError("--dry-run is for files and folders: name them after the index")
    files = [
        (path, name, source.field)
        for source in sources
        for path, name in files_of(source, NOWHERE, lambda folder, reason: None)
    ]
    total = sum(path.stat().st_size for path, _, _ in files)
    probe = _probe(files, embed, chunking)
    scale = total / probe.file_bytes if probe.file_bytes else 0.0
    passages = round(probe.passages * scale)
    vectors = passages * embed_dimension(embed) * 4
    facts: dict[str, object] = {
        "files": len(files),
        "bytes": total,
        "passages": passages,
        "tokens": round(probe.tokens * scale),
        "seconds": round(probe.seconds * scale, 3),
        "disk_bytes": round(vectors + probe.text_bytes * scale * TEXT_FACTOR + EMPTY_BYTES),
        "memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "probed_files": probe.files,
        "failed_files": len(probe.failed),
    }
    show_facts(facts)
    for line in probe.failed[:10]:
        warn(line)


def embed_dimension(embed: Embed) -> int:
    """Return how many numbers a vector of this model has."""
    return int(embed.vectors(["a"]).shape[1])


@dataclass(frozen=True, slots=True)
class _Probe:
    files: int
    file_bytes: int
    text_bytes: int
    passages: int
    tokens: int
    seconds: float
    failed: list[str]


def _probe(files: Sequence[tuple[Path, str, str]], embed: Embed, chunking: Chunking) -> _Probe:
    """Read, cut and embed files from all over the list until two seconds are over.

    Reading and embedding are timed apart: of the passages of one long file only some are embedded.
    """
    failed: list[str] = []
    read = reader(failed.append)
    count = file_bytes = text_bytes = passages = tokens = embedded = 0
    reading = embedding = 0.0
    for path, name, field in spread(files):
        if reading + embedding > PROBE_SECONDS:
            break
        began = time.perf_counter()
        try:
            cut = _cut(read(path, name, field), embed, chunking)
            texts = [d.text[c.start : c.end] for d, its in cut for c in its]
        except DataError as error:
            failed.append(str(error))
            texts = []
        count, file_bytes = count + 1, file_bytes + path.stat().st_size
        passages += len(texts)
        text_bytes += sum(len(text.encode("utf-8", "replace")) for text in texts)
        tokens += sum(map(len, embed.tokenizer.ids(texts))) if texts else 0
        between = time.perf_counter()
        reading += between - began
        some = texts[:: max(1, len(texts) // PROBE_TEXTS)]
        for at in range(0, len(some), PROBE_BATCH):
            embedder(embed)(some[at : at + PROBE_BATCH])
            embedded += len(some[at : at + PROBE_BATCH])
            if reading + embedding + time.perf_counter() - between > PROBE_SECONDS:
                break
        embedding += time.perf_counter() - between
    seconds = reading + (embedding / embedded * passages if embedded else 0.0)
    return _Probe(count, file_bytes, text_bytes, passages, tokens, seconds, failed)


def _cut(
    documents: Iterable[NewDocument], embed: Embed, chunking: Chunking
) -> Iterator[tuple[NewDocument, Sequence[Chunk]]]:
    cut = cutter(embed, chunking)
    for document in documents:
        yield document, cut([document])[0]


def _told(document: NewDocument, chunk: Chunk) -> dict[str, object]:
    text = document.text[chunk.start : chunk.end]
    first = chunk.line if document.line is None else document.line
    last = first + text.count("\n") if document.line is None else first
    last_page = None if chunk.page is None else bisect_right(document.pages, chunk.end - 1)
    facts = {
        "document": document.name,
        "lines": [first, last],
        "page": chunk.page,
        "last_page": None if last_page == chunk.page else last_page,
        "heading": chunk.heading,
        "start": chunk.start,
        "end": chunk.end,
        "text": text,
    }
    return {name: value for name, value in facts.items() if value is not None}
