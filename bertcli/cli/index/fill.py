"""`bertcli index build | add | update`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bertcli.cli.embed import build_embed
from bertcli.cli.index.files import files_of, reader
from bertcli.cli.index.forecast import forecast
from bertcli.cli.index.open import (
    ChunkTokens,
    Name,
    Overlap,
    chunking_for,
    cutter,
    embedder,
    identity,
    open_index,
    recorded_model,
)
from bertcli.cli.options import Debug, InputFlags, ModelFlags, Quiet, grouped
from bertcli.cli.recipe import begun, choose_checkpoint, read_items, warn
from bertcli.errors import CheckpointError, DataError, UsageError, counted
from bertcli.index.choices import Kind
from bertcli.index.places import place_of
from bertcli.records import TEXT_NAME, BadRecord

if TYPE_CHECKING:
    from bertcli.cli.recipe import Incoming
    from bertcli.index.content import Entry, NewDocument
    from bertcli.index.files import Source
    from bertcli.index.folder import IndexFolder
    from bertcli.index.update import Found, Known, Survey
    from bertcli.records import Item, Record
    from bertcli.tasks.embed import Embed

FAILURES_SHOWN = 100

Sources = Annotated[
    list[str] | None,
    typer.Argument(help="Folders and files to index whole.", show_default=False),
]
Include = Annotated[
    list[str] | None, typer.Option(help="Only files and folders that fit this glob; repeatable.")
]
Exclude = Annotated[
    list[str] | None, typer.Option(help="No files and folders that fit this glob; repeatable.")
]
AnnOption = Annotated[
    Kind,
    typer.Option(
        help="Exact or approximate search; auto is exact up to 100,000 passages, then IVF."
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Write nothing; say what it would take.")]


@grouped
def build(
    context: typer.Context,
    name: Name,
    source: InputFlags,
    model: ModelFlags,
    sources: Sources = None,
    include: Include = None,
    exclude: Exclude = None,
    prompt: Annotated[str | None, typer.Option(help="Text before every passage.")] = None,
    chunk_tokens: ChunkTokens = None,
    overlap: Overlap = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an index that is there already.")
    ] = False,
    ann: AnnOption = Kind.AUTO,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Build an index over files and folders; a long text becomes several passages.

    Folders are read to any depth, without what is hidden or named by .gitignore: text, Markdown,
    reStructuredText, HTML, PDF, Word, EPUB, Jupyter and source code whole, CSV, JSON lines and
    Parquet row by row.
    With -i every record is a text of its own, which `index update` does not come back to.

    \b
    bertcli index build my-notes notes/
    bertcli index build ./docs-index docs/ --include "*.md" --exclude "drafts/*"
    bertcli index build articles -i articles.jsonl --field body
    bertcli index build my-notes notes/ --dry-run
    """
    from bertcli.index.folder import IndexFolder
    from bertcli.index.manifest import Manifest

    given = _given(sources or [], include, exclude, source.field, quiet)
    items = _records(context, source, bool(given))
    checkpoint = choose_checkpoint(model, "embed")
    # Normalised whatever the checkpoint says: the score of a passage is a cosine.
    embed = build_embed(checkpoint, model, normalize=True, prompt=prompt)
    chunking = chunking_for(embed, chunk_tokens, overlap)
    if dry_run:
        forecast(given, embed, chunking, {})
        return
    manifest = Manifest(
        identity(checkpoint, embed), chunking, ann=ann, asked=_reading(source, given)
    )
    items = None if items is None else begun(items)
    with IndexFolder.create(place_of(name), manifest, overwrite=overwrite) as index:
        _fill(index, items, given, embed, source.field, quiet)


@grouped
def add(
    context: typer.Context,
    name: Name,
    source: InputFlags,
    model: ModelFlags,
    sources: Sources = None,
    include: Include = None,
    exclude: Exclude = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Add files, folders or records to an index; what it holds already is passed over.

    A record whose text is in, and whose line or columns are others now, gets these.

    \b
    bertcli index add my-notes more-notes/
    bertcli index add articles -i more.jsonl --field body
    """
    given = _given(sources or [], include, exclude, source.field, quiet)
    items = _records(context, source, bool(given))
    index, embed = open_index(name, model)
    with index:
        if dry_run:
            forecast(given, embed, index.manifest.chunking, index.known_files())
        else:
            _fill(index, items, given, embed, source.field, quiet)


@grouped
def update(
    name: Name,
    model: ModelFlags,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Bring an index up to date with its files: added, changed, moved and deleted ones.

    Only passages whose text is new are embedded. Searches see the index before, or after.

    \b
    bertcli index update my-notes
    """
    from bertcli.index.folder import IndexFolder
    from bertcli.index.manifest import refuse_other_model

    def load() -> Embed:
        """Load the model only where there is something to embed: mostly nothing has changed."""
        checkpoint, embed = recorded_model(place, model)
        refuse_other_model(place, index.manifest.model, identity(checkpoint, embed))
        return embed

    place = place_of(name)
    with IndexFolder.open(place) as index:
        if not index.sources():
            raise UsageError(
                f"{name} has no folder or file to come back to, records alone: add more "
                f"with `bertcli index add {name} -i FILE`, or a folder with `index add {name} DIR`"
            )
        _refuse_other_weights(index, model)
        _sync(index, index.sources(), load, quiet)


def _refuse_other_weights(index: IndexFolder, model: ModelFlags) -> None:
    """Raise where the model is at hand and is not that of the index; it is not loaded for this."""
    from bertcli.checkpoints.hashes import joint_sha256
    from bertcli.checkpoints.resolve import lasting_name
    from bertcli.index.manifest import refuse_other_model

    recorded = index.manifest.model
    chosen = replace(model, model=recorded.name, offline=True) if model.model is None else model
    try:
        checkpoint = choose_checkpoint(chosen, "embed")
    except CheckpointError:
        if model.model is not None:
            raise
        return  # which will be told where there is something to embed
    weights = joint_sha256(checkpoint.files)
    asked = replace(recorded, name=lasting_name(checkpoint), weights_sha256=weights)
    refuse_other_model(index.path, recorded, asked)


def held(index: IndexFolder) -> str:
    """Return how much an index holds, in words."""
    found = index.info()
    ann = found.ann
    told = f"; {ann.kind} search, recall@10 {ann.recall:.3f}" if ann else ""
    return f"{counted(found.documents, 'document')} in {counted(found.chunks, 'passage')} now{told}"


def _records(context: typer.Context, source: InputFlags, has_sources: bool) -> Incoming | None:
    """Return the records of `-i`, or of stdin where nothing else is given."""
    if source.inputs or not has_sources:
        return read_items(context, None, replace(source, inputs=_each_once(source)))
    return None


def _each_once(source: InputFlags) -> list[str] | None:
    """Return the files of -i, each once however often it was given."""
    from bertcli.inputs.source import STDIN, find_sources

    if source.inputs is None:
        return None
    found = find_sources(source.inputs, source.input_format)
    files = {os.path.realpath(one.path): one.path for one in found if one.path is not None}
    return [*files.values(), *(STDIN for one in found if one.path is None)]


def _given(
    sources: list[str],
    include: list[str] | None,
    exclude: list[str] | None,
    field: str,
    quiet: bool,
) -> list[Source]:
    """Return the sources of a command line; raises DataError for what is not there."""
    from bertcli.index.files import Source

    for one in sources:
        if not Path(one).exists():
            raise DataError(f"{one}: no such file or folder")
        if not (Path(one).is_dir() or Path(one).is_file()):
            raise DataError(f"{one}: is neither a file nor a folder; read a pipe with -i")
    if not sources and (include or exclude):
        raise UsageError("--include and --exclude choose files of a folder: name the folder")
    chosen = tuple(include or ()), tuple(exclude or ())
    for one in sources:
        try:
            str(Path(one).resolve()).encode()
        except UnicodeEncodeError as error:
            shown = one.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            raise DataError(f"{shown}: its name is not UTF-8, rename it") from error
    given = [Source(str(Path(one).resolve()), one, *chosen, field) for one in sources]
    if not quiet:
        _note_idle(*chosen, given)
    return given


def _note_idle(include: Sequence[str], exclude: Sequence[str], given: Sequence[Source]) -> None:
    """Say which globs to include fit no file of any source.

    Of those to exclude that is usual, as one list of them serves for many folders, but for one that
    begins with the name of a source.
    """
    from bertcli.inputs.folders import idle_globs

    begins = tuple(f"{os.path.normpath(one.name)}/" for one in given)
    outside = [glob for glob in exclude if os.path.normpath(glob).startswith(begins)]
    for one in given:
        include = idle_globs(Path(one.path), include)
        outside = idle_globs(Path(one.path), outside) if outside else []
    names = ", ".join(one.name for one in given)
    for option, globs in (("include", include), ("exclude", outside)):
        for glob in globs:
            beside = ": paths are those within it" if glob.startswith(begins) else ""
            warn(f'--{option} "{glob}": nothing to index in {names} fits it{beside}')


def _reading(source: InputFlags, given: list[Source]) -> str:
    """Return a hash of what a build is to read, to know it again."""
    import hashlib

    return hashlib.sha256(repr((source, given)).encode("utf-8", "surrogateescape")).hexdigest()


def _fill(
    index: IndexFolder,
    items: Incoming | None,
    sources: list[Source],
    embed: Embed,
    field: str,
    quiet: bool,
) -> None:
    """Add records and files to an index and say on stderr what became of them."""
    failed: list[str] = []
    if items is not None:
        renewed: list[int] = []
        index.expect()
        entries = _entries(index, items, embed, field, failed, renewed)
        added = index.add(entries, last=not sources)
        if not quiet:
            more = f", {sum(renewed):,} renewed" if any(renewed) else ""
            warn(f"{counted(added, 'document')} added{more}; {held(index)}")
    if sources:
        _sync(index, index.note_sources(sources), lambda: embed, quiet, failed)
    else:
        _finish(failed, "record", "records")


def _sync(
    index: IndexFolder,
    sources: Mapping[int, Source],
    load: Callable[[], Embed],
    quiet: bool,
    failed: list[str] | None = None,
) -> None:
    """Make an index what its sources are, and say on stderr what was done."""
    from bertcli.index.update import survey

    failures = [] if failed is None else failed
    index.begin_writing()
    unlisted: list[Path] = []

    def note(place: Path, reason: str) -> None:
        unlisted.append(place)
        shown = str(place).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        failures.append(f"{shown}: cannot be read ({reason})")

    def listed(source: Source) -> Iterator[tuple[Path, str]]:
        """Return the files of a source; none of one that was a file, and is gone."""
        path = Path(source.path)
        gone = not path.exists() and source.path in known and path.parent.is_dir()
        return iter(()) if gone else files_of(source, index.path, note, known)

    known = index.known_files()
    changes = survey(known, sources, listed, unlisted)
    fields = {number: source.field for number, source in index.sources().items()}
    shown = sys.stderr.isatty() and not quiet
    skipped: set[str] = set()
    if not changes.to_read:
        index.switch(changes, ())
    else:
        skipped = _read(index, changes, fields, load(), failures, shown)
    skipped |= {path for path, (*_, one) in index.known_files().items() if one.error}
    for line in _emptied(known, sources, changes):
        warn(line)
    if not quiet:
        warn(f"{_told(changes, skipped, known)}; {held(index)}")
    _finish(failures, "file or row", "files or rows")


def _emptied(known: Known, sources: Mapping[int, Source], changes: Survey) -> Iterator[str]:
    """Yield a warning for each folder in which nothing is left of several files.

    That is what the empty folder of a disk looks like that is not there.
    """
    filled = {one.source for one in (*changes.added, *changes.moved)}
    for number, source in sources.items():
        files = {file for file, of, _ in known.values() if of == number}
        if len(files) > 1 and number not in filled and files <= set(changes.deleted):
            yield (
                f"{source.name}: none of its {len(files)} files is there any more: is it mounted? "
                "The next update takes in what is there again"
            )


def _read(
    index: IndexFolder,
    changes: Survey,
    fields: Mapping[int, str],
    embed: Embed,
    failures: list[str],
    shown: bool,
) -> set[str]:
    """Read, cut and embed what is new, and make it count; return which files stay as they were."""
    from bertcli.index.failures import storage_failures
    from bertcli.index.update import kept, prepare
    from bertcli.outputs.progress import progress

    with progress(shown, len(changes.to_read)) as advance, storage_failures(index.path):
        prepared = prepare(
            index,
            _counted(changes.to_read, advance),
            fields,
            reader(failures.append),
            cutter(embed, index.manifest.chunking),
            embedder(embed),
            failures.append,
        )
        with kept(changes, prepared, index.path) as (done, files):
            index.switch(done, files)
    return {one.state.path for one in set(changes.changed) - set(done.changed)}


def _counted(files: Iterable[Found], advance: Callable[[int], None]) -> Iterator[Found]:
    for item in files:
        yield item
        advance(1)


def _told(changes: Survey, failed: set[str], known: Known) -> str:
    """Return what a survey found, in words; `failed` are the files that could not be read.

    Files are renamed when their folder is given by another way, as `notes` and then `.` within it.
    """
    read = (one.state for one in changes.renewed if not one.state.error)
    renamed = sum(known[one.path][2].name != one.name for one in read)
    counts = {
        "added": sum(one.state.path not in failed for one in changes.added),
        "changed": sum(one.state.path not in failed for one in changes.changed),
        "moved": len(changes.moved),
        "renamed": renamed,
        "deleted": len(changes.deleted),
        "unchanged": changes.unchanged + len(changes.renewed) - renamed - changes.unread,
        "failed": sum(one.state.path in failed for one in changes.to_read),
        "still without readable text": changes.unread,
    }
    told = [f"{count} {what}" for what, count in counts.items() if count]
    return f"files: {', '.join(told) or 'none'}"


def _finish(failed: list[str], one: str, several: str) -> None:
    """Tell the failures on stderr, and leave with exit code 3 where there are any."""
    for line in failed[:FAILURES_SHOWN]:
        warn(line)
    if failed:
        warn(f"{counted(len(failed), one, several)} failed")
        raise typer.Exit(3)


def _entries(
    index: IndexFolder,
    items: Iterable[Item],
    embed: Embed,
    field: str,
    failed: list[str],
    renewed: list[int],
) -> Iterator[Entry]:
    """Yield each new record as a document with its passages and their vectors.

    One whose line or columns alone are new is renewed; `renewed` gets how many of each group are.
    """
    from bertcli.inputs.source import STDIN_NAME
    from bertcli.tasks.run import look_ahead

    for group in look_ahead(items):
        failed += [f"{item.place}: {item.error}" for item in group if isinstance(item, BadRecord)]
        records = [item for item in group if not isinstance(item, BadRecord)]
        new, others = index.missing(_documents(records, field), (STDIN_NAME, TEXT_NAME))
        renewed.append(others)
        yield from _embedded(index, new, embed)


def _documents(records: Iterable[Record], field: str) -> list[NewDocument]:
    """Return records as documents, texts that the command line has twice once."""
    from bertcli.index.content import NewDocument

    documents = [
        NewDocument(
            record.place.path or TEXT_NAME,
            record.text,
            record.place.line,
            {name: value for name, value in record.columns.items() if name != field},
        )
        for record in records
    ]
    return list({(one.name, one.line, one.text): one for one in documents}.values())


def _embedded(index: IndexFolder, new: list[NewDocument], embed: Embed) -> Iterator[Entry]:
    """Yield documents with their passages and the vectors of these."""
    from bertcli.index.content import Entry
    from bertcli.index.update import chunk_texts

    chunked = cutter(embed, index.manifest.chunking)(new)
    texts = chunk_texts(zip(new, chunked, strict=True))
    vectors, at = embedder(embed)(texts) if texts else None, 0
    for document, chunks in zip(new, chunked, strict=True):
        if vectors is not None and chunks:
            yield Entry(document, chunks, vectors[at : at + len(chunks)])
        at += len(chunks)
