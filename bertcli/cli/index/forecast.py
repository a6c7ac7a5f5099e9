"""What an index would hold and cost: `bertcli index chunks`, and `--dry-run`."""

from __future__ import annotations

import resource
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bertcli.cli.bulk import PROBE_SECONDS, spread
from bertcli.cli.embed import build_embed
from bertcli.cli.index.files import files_of, reader
from bertcli.cli.index.open import ChunkTokens, Overlap, chunking_for, cutter, embedder
from bertcli.cli.options import FIELD, Debug, Field, ModelFlags, grouped
from bertcli.cli.recipe import ERRORS_SHOWN, choose_checkpoint, show_facts, warn
from bertcli.errors import DataError, UsageError

if TYPE_CHECKING:
    from bertcli.index.chunks import Chunk
    from bertcli.index.content import NewDocument
    from bertcli.index.files import Source
    from bertcli.index.manifest import Chunking
    from bertcli.index.update import Known
    from bertcli.tasks.embed import Embed

PROBE_TOKENS = 2048
"""About so many tokens of a file are embedded, so that there is time for more than one file; and so
many at once, of several files where they are short: with half as many the engine is a seventh
slower, with more than these no quicker."""
NOWHERE = Path("/nonexistent")
LARGE_BYTES = 4 << 20
EMPTY_BYTES = 100_000
"""What an index of nothing takes."""
TEXT_FACTOR = 2.0
"""Bytes on disk per byte of text: the text itself, its words, hashes and places; measured."""


@grouped
def chunks(
    file: Annotated[Path, typer.Argument(help="File to cut into passages.")],
    model: ModelFlags,
    field: Field = FIELD,
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


def forecast(sources: Sequence[Source], embed: Embed, chunking: Chunking, known: Known) -> None:
    """Say what indexing these sources would take, from a probe of two seconds.

    `known` are the files that the index holds already.
    """
    if not sources:
        raise UsageError("--dry-run is for files and folders: name them after the index")
    files = list(_to_read(sources, known))
    total = sum(path.stat().st_size for path, _, _ in files)
    dimension = embed_dimension(embed)  # and the engine is warm
    probe = _probe(files, embed, chunking)
    read = sum(one.file_bytes for one in probe.kinds)
    of_kind = {one.kind: one for one in probe.kinds}

    def scaled(count: Callable[[_Kind], float]) -> float:
        """Return what files of each kind hold by their size, as those that were read do."""
        mean = sum(map(count, probe.kinds)) / read if read else 0.0
        found = 0.0
        for kind, size in sizes.items():
            one = of_kind.get(kind)
            found += size * (count(one) / one.file_bytes if one and one.file_bytes else mean)
        return found

    sizes = Counter[str]()
    for path, _, _ in files:
        sizes[path.suffix.lower()] += path.stat().st_size
    passages = round(scaled(lambda one: one.passages))
    tokens = scaled(lambda one: one.tokens)
    vectors = passages * dimension * 4
    seconds = scaled(lambda one: one.reading) + tokens * probe.seconds_per_token
    text_bytes = scaled(lambda one: one.text_bytes)
    facts: dict[str, object] = {
        "files": len(files),
        "bytes": total,
        "passages": passages,
        "tokens": round(tokens),
        "seconds": round(seconds, 3),
        "disk_bytes": round(vectors + text_bytes * TEXT_FACTOR + EMPTY_BYTES),
        "memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "probed_files": sum(one.files for one in probe.kinds),
        "failed_files": len(probe.failed),
    }
    show_facts(facts)
    for line in probe.failed[:ERRORS_SHOWN]:
        warn(line)
    if (more := len(probe.failed) - ERRORS_SHOWN) > 0:
        warn(f"{more} more cannot be read")


def _to_read(sources: Sequence[Source], known: Known) -> Iterator[tuple[Path, str, str]]:
    """Yield each file that would be read, once, with its name and the column of its text."""
    from bertcli.index.update import is_held

    seen: set[Path] = set()
    for source in sources:
        for path, name in files_of(source, NOWHERE, lambda *_: None, known):
            if path not in seen and not is_held(path, name, known):
                yield path, name, source.field
            seen.add(path)


def embed_dimension(embed: Embed) -> int:
    """Return how many numbers a vector of this model has."""
    return int(embed.vectors(["a"]).shape[1])


@dataclass(slots=True)
class _Kind:
    """What files of one suffix were found to hold, and the seconds that reading them took."""

    kind: str
    files: int = 0
    file_bytes: int = 0
    text_bytes: int = 0
    passages: int = 0
    tokens: int = 0
    reading: float = 0.0


@dataclass(frozen=True, slots=True)
class _Probe:
    kinds: list[_Kind]
    seconds_per_token: float
    failed: list[str]


def _probe(files: Sequence[tuple[Path, str, str]], embed: Embed, chunking: Chunking) -> _Probe:
    """Read, cut and embed files of every kind until two seconds are over.

    Reading and embedding are timed apart: of the passages of one long file only some are embedded,
    and none when half of the time went into it, for what files hold differs more than how quick
    the engine is.
    """
    from bertcli.index.update import chunk_texts

    failed: list[str] = []
    read = reader(failed.append)
    kinds: dict[str, _Kind] = {}
    waiting, waiting_tokens, embedded = list[str](), 0, 0
    reading = embedding = 0.0

    def embed_waiting() -> None:
        nonlocal waiting, waiting_tokens, embedded, embedding
        began = time.perf_counter()
        embedder(embed)(waiting)
        embedding += time.perf_counter() - began
        embedded += waiting_tokens
        waiting, waiting_tokens = [], 0

    for path, name, field in _in_turn(files):
        if reading + embedding > PROBE_SECONDS:
            break
        one = kinds.setdefault(path.suffix.lower(), _Kind(path.suffix.lower()))
        began = time.perf_counter()
        try:
            documents = list(read(path, name, field))
            chunked = cutter(embed, chunking)(documents)
            texts = chunk_texts(zip(documents, chunked, strict=True))
        except DataError as error:
            failed.append(str(error))
            texts = []
        lengths = list(map(len, embed.tokenizer.ids(texts))) if texts else []
        between = time.perf_counter()
        one.files, one.file_bytes = one.files + 1, one.file_bytes + path.stat().st_size
        one.passages += len(texts)
        one.text_bytes += sum(len(text.encode("utf-8", "replace")) for text in texts)
        one.tokens += sum(lengths)
        one.reading += between - began
        reading += between - began
        step = max(1, sum(lengths) // PROBE_TOKENS)
        for text, length in zip(texts[::step], lengths[::step], strict=True):
            if embedding > PROBE_SECONDS / 2:
                break
            waiting.append(text)
            waiting_tokens += length
            if waiting_tokens >= PROBE_TOKENS:
                embed_waiting()
    if waiting and not embedded:
        embed_waiting()
    return _Probe(list(kinds.values()), embedding / embedded if embedded else 0.0, failed)


def _in_turn(files: Sequence[tuple[Path, str, str]]) -> Iterator[tuple[Path, str, str]]:
    """Yield files of every suffix in turn, the more often the more bytes there are of it.

    Of each the largest comes first, then files from all over the list. One that would take longer
    than the probe itself waits for its turn.
    """
    kinds: dict[str, list[tuple[Path, str, str]]] = {}
    for one in spread(files):
        kinds.setdefault(one[0].suffix.lower(), []).append(one)
    turns = list[tuple[float, tuple[Path, str, str]]]()
    for its in kinds.values():
        sizes = [one[0].stat().st_size for one in its]
        small = [size if size <= LARGE_BYTES else -1 for size in sizes]
        its.insert(0, its.pop(small.index(max(small))))
        turns += (((number + 0.5) / (sum(sizes) + 1), one) for number, one in enumerate(its))
    yield from (one for _, one in sorted(turns, key=itemgetter(0)))


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
    return {
        "document": document.name,
        "lines": (first, last),
        "page": chunk.page,
        "last_page": None if last_page == chunk.page else last_page,
        "heading": chunk.heading,
        "start": chunk.start,
        "end": chunk.end,
        "text": text,
    }
