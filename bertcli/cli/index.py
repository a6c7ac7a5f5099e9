"""`bertcli index build | add | info`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bertcli.cli.embed import build_embed
from bertcli.cli.options import InputFlags, ModelFlags, grouped
from bertcli.cli.recipe import begun, choose_checkpoint, read_items, warn
from bertcli.engine.choices import Long
from bertcli.errors import UsageError

if TYPE_CHECKING:
    from bertcli.checkpoints.layout import Checkpoint
    from bertcli.index.documents import Entry
    from bertcli.index.folder import IndexFolder
    from bertcli.index.manifest import ModelIdentity
    from bertcli.records import Item, Record
    from bertcli.tasks.embed import Embed

OVERLAP_TOKENS = 32

app = typer.Typer(
    help="Build and look after search indexes.", rich_markup_mode=None, no_args_is_help=True
)
Folder = Annotated[Path, typer.Argument(help="Folder of the index.", show_default=False)]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="No notes on stderr.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show a traceback on failure.")]


@app.command("build")
@grouped
def build(
    context: typer.Context,
    folder: Folder,
    source: InputFlags,
    model: ModelFlags,
    prompt: Annotated[str | None, typer.Option(help="Text before every passage.")] = None,
    chunk_tokens: Annotated[
        int | None, typer.Option(min=8, help="Tokens in a passage; default what the model reads.")
    ] = None,
    overlap: Annotated[
        int | None, typer.Option(min=0, help="Tokens that neighbouring passages share; default 32.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an index that is there already.")
    ] = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Build an index over texts; a long text becomes several passages.

    \b
    bertcli index build my-index -i notes/
    bertcli index build my-index -i articles.jsonl --field body
    bertcli index build my-index -i "docs/*.md" --whole-file --chunk-tokens 128
    """
    from bertcli.index.folder import IndexFolder
    from bertcli.index.manifest import Chunking, Manifest

    items = read_items(context, None, source)
    checkpoint = choose_checkpoint(model, "embed")
    # Normalised whatever the checkpoint says: the score of a passage is a cosine.
    embed = build_embed(checkpoint, model, normalize=True, prompt=prompt)
    size = _chunk_size(embed, chunk_tokens)
    chunking = Chunking(size, min(OVERLAP_TOKENS, size // 4) if overlap is None else overlap)
    if chunking.overlap >= size:
        raise UsageError(
            f"--overlap {chunking.overlap} leaves nothing of passages of {size} tokens"
        )
    manifest = Manifest(identity(checkpoint, embed), chunking)
    items = begun(items)
    with IndexFolder.create(folder, manifest, overwrite=overwrite) as index:
        _fill(index, items, embed, source.field, quiet)


@app.command("add")
@grouped
def add(
    context: typer.Context,
    folder: Folder,
    source: InputFlags,
    model: ModelFlags,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Add texts to an index; texts that it holds already are passed over.

    \b
    bertcli index add my-index -i more.jsonl --field body
    """
    items = read_items(context, None, source)
    index, embed = open_index(folder, model)
    with index:
        _fill(index, items, embed, source.field, quiet)


@app.command("remove")
@grouped
def remove(
    folder: Folder,
    path: Annotated[
        list[str] | None,
        typer.Option(help="Documents of this path or glob; repeatable.", show_default=False),
    ] = None,
    where: Annotated[
        str | None, typer.Option(help="Documents for whose columns this holds.")
    ] = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Remove documents from an index, by path or by a condition on their columns.

    \b
    bertcli index remove my-index --path "drafts/*"
    bertcli index remove my-index --where "year < 2020 or status = 'withdrawn'"
    """
    from bertcli.index.folder import IndexFolder
    from bertcli.index.where import any_path, compile_where

    if bool(path) == (where is not None):
        raise UsageError("say which documents: with --path GLOB or with --where CONDITION")
    condition = any_path(path) if path else compile_where(where or "")
    with IndexFolder.open(folder) as index:
        removed = index.remove(condition)
        if not quiet:
            warn(f"{removed} documents removed; {_held(index)}")


@app.command("info")
def info(folder: Folder, debug: Debug = False) -> None:
    """Show what an index holds and which model made it.

    \b
    bertcli index info my-index
    """
    from bertcli.index.folder import IndexFolder

    with IndexFolder.open(folder) as index:
        found = index.info()
    facts: dict[str, object] = {
        "path": str(found.path),
        "documents": found.documents,
        "passages": found.chunks,
        "size_bytes": found.size_bytes,
        "complete": found.complete,
        **asdict(found.manifest.model),
        "chunk_tokens": found.manifest.chunking.tokens,
        "overlap": found.manifest.chunking.overlap,
        "created": found.manifest.created,
    }
    if not sys.stdout.isatty():
        typer.echo(json.dumps(facts, ensure_ascii=False))
        return
    for name, value in facts.items():
        typer.echo(f"{name:15} {value}")


def open_index(folder: Path, model: ModelFlags, brief: bool = False) -> tuple[IndexFolder, Embed]:
    """Return an index and the model that made it, found by its recorded name unless `-m` says one.

    Raises IndexFolderError when that model is not the one whose vectors the index holds.
    """
    from bertcli.engine.choices import Pooling
    from bertcli.index.folder import IndexFolder
    from bertcli.index.manifest import read_manifest

    recorded = read_manifest(folder).model
    chosen = replace(model, model=model.model or recorded.name)
    checkpoint = choose_checkpoint(chosen, "embed")
    pooling, prompt = Pooling(recorded.pooling), recorded.prompt
    embed = build_embed(checkpoint, chosen, pooling, recorded.normalize, prompt, brief)
    return IndexFolder.open(folder, identity(checkpoint, embed)), embed


def identity(checkpoint: Checkpoint, embed: Embed) -> ModelIdentity:
    """Return what an index must record of a model to recognise it."""
    from bertcli.checkpoints.hashes import joint_sha256
    from bertcli.index.manifest import ModelIdentity

    return ModelIdentity(
        name=checkpoint.name,
        weights_sha256=joint_sha256(checkpoint.files),
        pooling=embed.pooling.value,
        normalize=embed.normalize,
        dimension=int(embed.vectors(["a"]).shape[1]),
        prompt=embed.prompt,
    )


def _chunk_size(embed: Embed, asked: int | None) -> int:
    """Return the tokens of a passage: what the model reads less its frame and the prompt."""
    prompt = len(embed.tokenizer.ids([embed.prompt])[0])
    room = embed.window - embed.tokenizer.frame.single - prompt
    if asked is not None and asked > room:
        raise UsageError(
            f"--chunk-tokens {asked}: the model reads {room} tokens of a passage at most"
        )
    return asked or room


def _fill(index: IndexFolder, items: Iterable[Item], embed: Embed, field: str, quiet: bool) -> None:
    """Add records to an index and say on stderr what became of them."""
    failed: list[str] = []
    # A passage that was cut inside a word can have a token more when it is read by itself.
    whole = replace(embed, long=Long.WINDOW)
    added = index.add(_entries(index, items, whole, field, failed))
    for line in failed[:10]:
        warn(line)
    if not quiet:
        warn(f"{added} documents added; {_held(index)}")
    if failed:
        warn(f"{len(failed)} records failed")
        raise typer.Exit(3)


def _held(index: IndexFolder) -> str:
    held = index.info()
    return f"{held.documents} documents in {held.chunks} passages now"


def _entries(
    index: IndexFolder, items: Iterable[Item], embed: Embed, field: str, failed: list[str]
) -> Iterator[Entry]:
    """Yield each new record as a document with its passages and their vectors."""
    from bertcli.records import BadRecord
    from bertcli.tasks.run import look_ahead

    for group in look_ahead(items):
        failed += [f"{item.place}: {item.error}" for item in group if isinstance(item, BadRecord)]
        records = [item for item in group if not isinstance(item, BadRecord)]
        yield from _embedded(index, records, embed, field)


def _embedded(
    index: IndexFolder, records: list[Record], embed: Embed, field: str
) -> Iterator[Entry]:
    from bertcli.index.chunks import split
    from bertcli.index.documents import Entry, NewDocument

    documents = [
        NewDocument(
            record.place.path or "TEXT",
            record.text,
            record.place.line,
            {name: value for name, value in record.columns.items() if name != field},
        )
        for record in records
    ]
    new = [document for document in documents if not index.holds(document)]
    chunking = index.manifest.chunking
    tokenised = embed.tokenizer.tokenize([document.text for document in new])
    chunked = [
        split(document.text, tokens.offsets, chunking.tokens, chunking.overlap)
        for document, tokens in zip(new, tokenised, strict=True)
    ]
    texts = [
        d.text[c.start : c.end] for d, chunks in zip(new, chunked, strict=True) for c in chunks
    ]
    vectors, at = embed.vectors(texts) if texts else None, 0
    for document, chunks in zip(new, chunked, strict=True):
        if vectors is not None and chunks:
            yield Entry(document, chunks, vectors[at : at + len(chunks)])
        at += len(chunks)
