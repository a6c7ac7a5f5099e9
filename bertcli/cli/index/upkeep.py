"""Looking after indexes: remove, info, list, check, repair, compact, copy, tune, rebuild."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated

import typer

from bertcli.cli.embed import build_embed
from bertcli.cli.index.fill import held
from bertcli.cli.index.open import (
    ChunkTokens,
    Name,
    Overlap,
    chunking_again,
    cutter,
    embedder,
    identity,
    recorded_model,
    unfinished,
    unknown_columns,
)
from bertcli.cli.options import Debug, ModelFlags, Quiet, grouped
from bertcli.cli.recipe import choose_checkpoint, show_facts, warn
from bertcli.errors import (
    BertcliError,
    CheckpointError,
    DataError,
    IndexFolderError,
    UsageError,
    counted,
)
from bertcli.index.choices import Kind
from bertcli.index.places import named_folder, place_of, shown
from bertcli.outputs.visible import visible

if TYPE_CHECKING:
    from bertcli.index.folder import IndexFolder
    from bertcli.index.where import Filter
    from bertcli.tasks.embed import Embed

SAMPLE = 16
ALIKE = 0.99
"""Vectors of the same text by the same model are closer than this, whatever the precision."""


@grouped
def remove(
    name: Name,
    path: Annotated[
        list[str] | None,
        typer.Option(help="Documents of this path or glob; repeatable.", show_default=False),
    ] = None,
    id: Annotated[
        list[int] | None,
        typer.Option(help="The document of the passage with this number; repeatable."),
    ] = None,
    where: Annotated[
        str | None, typer.Option(help="Documents for whose columns this holds.")
    ] = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Remove documents from an index: by path, by a passage's number, or by their columns.

    What is removed so stays out when the index is updated. New rows of a file of rows come in,
    unless the file was removed by its path. Exit code 1 where there is nothing to remove.

    \b
    bertcli index remove my-notes --path "drafts/*"
    bertcli index remove my-notes --id 17
    bertcli index remove my-notes --where "year < 2020 or status = 'withdrawn'"
    """
    from bertcli.index.folder import IndexFolder

    condition = _condition(path, id, where)
    with IndexFolder.open(place_of(name)) as index:
        sources = len(index.sources())
        removed = index.remove(condition, files=bool(path))
        if not removed and len(index.sources()) == sources:
            unknown_columns(index, condition)()
            raise DataError(_nothing_fits(path, id, where))
        if not quiet:
            warn(f"{counted(removed, 'document')} removed; {held(index)}")


def _condition(path: list[str] | None, ids: list[int] | None, where: str | None) -> Filter:
    from bertcli.index.where import any_id, any_path, compile_where

    ways = {"--path": bool(path), "--id": bool(ids), "--where": where is not None}
    given = [option for option, is_given in ways.items() if is_given]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)}: give one of them")
    if not given:
        raise UsageError(
            "say which documents: with --path GLOB, with --id NUMBER or with --where CONDITION"
        )
    if path:
        return any_path(path)
    return any_id(ids) if ids else compile_where(where or "")


def _nothing_fits(path: list[str] | None, ids: list[int] | None, where: str | None) -> str:
    """Return why nothing was removed, in words."""
    if path:
        return f"no document is called {', '.join(path)}, nor is it a folder of documents"
    if ids:
        has = "has this number" if len(ids) == 1 else "has one of these numbers"
        return f"--id {', '.join(map(str, ids))}: no passage {has}"
    return f"--where {where}: there is no such document"


def info(name: Name, debug: Debug = False) -> None:
    """Show what an index holds and which model made it.

    \b
    bertcli index info my-notes
    """
    from bertcli.index.folder import IndexFolder

    with IndexFolder.open(place_of(name)) as index:
        found = index.info()
        sources = [one.name for one in index.sources().values()]
    show_facts(
        {
            "path": str(found.path),
            "documents": found.documents,
            "passages": found.chunks,
            "files": found.files,
            "skipped_files": found.skipped_files,
            "skipped": list(found.skipped) or None,
            "sources": sources,
            "size_bytes": found.size_bytes,
            "unused_vectors": found.unused_rows,
            "complete": found.complete,
            "ann": "exact" if found.ann is None else str(found.ann.kind),
            "ann_recall@10": None if found.ann is None else round(found.ann.recall, 4),
            "model": found.manifest.model.name,
            **asdict(found.manifest.model),
            "chunk_tokens": found.manifest.chunking.tokens,
            "overlap": found.manifest.chunking.overlap,
            "created": found.manifest.created,
        }
    )


def list_indexes(debug: Debug = False) -> None:
    """List the indexes that have a name.

    \b
    bertcli index list
    """
    from bertcli.index.folder import IndexFolder

    base = named_folder()
    places = sorted(base.iterdir()) if base.is_dir() else []
    for place in (one for one in places if one.is_dir()):
        try:
            with IndexFolder.open(place) as index:
                found = index.info()
        except BertcliError as error:
            warn(str(error))
            continue
        facts = {
            "name": place.name,
            "documents": found.documents,
            "passages": found.chunks,
            "size_bytes": found.size_bytes,
            "model": found.manifest.model.name,
        }
        if sys.stdout.isatty():
            size = f"{found.size_bytes / 1e6:,.1f} MB"
            line = f"{place.name:24} {found.chunks:>9,} passages  {size:>12}  {facts['model']}"
            typer.echo(visible(line))
        else:
            typer.echo(json.dumps(facts, ensure_ascii=False))
    if not places:
        warn(f"no index has a name yet (in {base}): bertcli index build NAME FOLDER makes one")


@grouped
def check(name: Name, model: ModelFlags, debug: Debug = False) -> None:
    """Check that an index is whole: vectors, texts, full-text table, and the model.

    Some passages are embedded again and held against their vectors. Exit code 1 where something is
    wrong, or was left unfinished.

    \b
    bertcli index check my-notes
    """
    from bertcli.index.check import problems
    from bertcli.index.folder import IndexFolder
    from bertcli.index.manifest import differences, refuse_other_model

    place = place_of(name)
    asked = None
    with IndexFolder.open(place, whole=False) as index:
        mendable = list(problems(index))
        found = [*mendable]
        if not index.is_complete:
            found.append(f"it is {unfinished(index)}")
        recorded = index.manifest.model
        try:
            checkpoint, embed = recorded_model(place, model)
            asked = identity(checkpoint, embed)
        except CheckpointError as error:
            found.append(f"its model cannot be loaded: {error}")
        else:
            other = [str(one) for one in differences(recorded, asked)]
            found += other or ([] if mendable else _strange_vectors(index, embed))
        passages = index.info().chunks
    show_facts({"path": str(place), "passages": passages, "problems": found})
    if asked is not None:
        refuse_other_model(place, recorded, asked)
    if found:
        mends = f": `bertcli index repair {name}` mends what its texts can mend"
        told = mends if mendable else ", listed with what to do"
        raise IndexFolderError(f"index {shown(place)} has {counted(len(found), 'problem')}{told}")


@grouped
def repair(name: Name, model: ModelFlags, quiet: Quiet = False, debug: Debug = False) -> None:
    """Mend an index from its own texts: passages, vectors, hashes, the full-text table.

    \b
    bertcli index repair my-notes
    """
    from bertcli.index.failures import beyond_repair
    from bertcli.index.folder import IndexFolder
    from bertcli.index.rewrite import repair as mend

    place = place_of(name)
    with beyond_repair(place):
        checkpoint, embed = recorded_model(place, model)
        with IndexFolder.open(place, identity(checkpoint, embed), whole=False) as index:
            done = mend(index, cutter(embed, index.manifest.chunking), embedder(embed))
            now = held(index)
    if not quiet:
        again, anew = counted(done.embedded, "passage"), counted(done.cut, "document")
        warn(f"{again} embedded again, {anew} cut anew; {now}")
    for count, what in (
        (done.lost, "{} documents are lost, and out of the index"),
        (done.lost_columns, "columns, headings or places of {} documents could not be read"),
        (done.changed_texts, "the texts of {} documents are not those that were indexed"),
    ):
        if count:
            again = f"`bertcli index update {name}` takes those of files from them again"
            warn(f"{what.format(count)}: {again}")


def compact(name: Name, quiet: Quiet = False, debug: Debug = False) -> None:
    """Give back the room of removed passages.

    \b
    bertcli index compact my-notes
    """
    from bertcli.index.folder import IndexFolder
    from bertcli.index.rewrite import compact as pack

    with IndexFolder.open(place_of(name)) as index:
        before = index.info().size_bytes
        pack(index)
        after = index.info().size_bytes
    if not quiet:
        warn(f"{before / 1e6:.1f} MB before, {after / 1e6:.1f} MB now")


def copy(
    name: Name,
    target: Annotated[str, typer.Argument(help="Name or folder of the copy.")],
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Copy an index as it is now, also while it is being written to.

    \b
    bertcli index copy my-notes ./backup/my-notes
    """
    from bertcli.index.folder import IndexFolder
    from bertcli.index.rewrite import copy as write_copy

    with IndexFolder.open(place_of(name)) as index:
        write_copy(index, place_of(target))
        if not quiet:
            warn(f"copied to {shown(place_of(target))}; {held(index)}")


def tune(
    name: Name,
    recall: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the ten nearest to be found.")
    ] = 0.98,
    ann: Annotated[Kind | None, typer.Option(help="Use this kind of search from now on.")] = None,
    debug: Debug = False,
) -> None:
    """Set how thorough approximate search is, and show what each step costs.

    Recall is measured against exact search, with queries made of the index's own vectors.

    \b
    bertcli index tune my-notes --recall 0.98
    bertcli index tune my-notes --ann hnsw
    """
    from bertcli.index.folder import IndexFolder

    with IndexFolder.open(place_of(name)) as index:
        trials = index.tune(recall, ann)
    if not trials:
        warn(f"{shown(place_of(name))} is searched exactly: there is nothing to tune")
    for trial in trials:
        show_facts(
            {
                "effort": trial.effort,
                "recall@10": round(trial.recall, 4),
                "milliseconds": round(trial.milliseconds, 3),
            }
        )
    if trials and trials[-1].recall < recall:
        warn(f"recall@10 {trials[-1].recall:.3f} is the most it reaches: --ann exact has all")


@grouped
def rebuild(
    name: Name,
    model: ModelFlags,
    prompt: Annotated[str | None, typer.Option(help="Text before every passage.")] = None,
    chunk_tokens: ChunkTokens = None,
    overlap: Overlap = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Cut and embed the stored texts anew, with another model or other lengths.

    The files themselves are not needed. Searches see the old index until the new one is there.
    Lengths stay as they are unless given, as far as the model reads so much.

    \b
    bertcli index rebuild my-notes -m intfloat/e5-small-v2 --prompt "passage: "
    bertcli index rebuild my-notes --chunk-tokens 128
    """
    from bertcli.checkpoints.hashes import joint_sha256
    from bertcli.index.folder import IndexFolder
    from bertcli.index.manifest import Manifest
    from bertcli.index.rewrite import rebuild as make_anew

    place = place_of(name)
    with IndexFolder.open(place, whole=False) as index:
        if model.model is None:
            checkpoint, embed = recorded_model(place, model)
            embed = (
                embed
                if prompt is None
                else build_embed(checkpoint, model, embed.pooling, True, prompt)
            )
        else:
            checkpoint = choose_checkpoint(model, "embed")
            embed = build_embed(checkpoint, model, normalize=True, prompt=prompt)
            recorded = index.manifest.model
            if prompt is None and recorded.weights_sha256 == joint_sha256(checkpoint.files):
                embed = replace(embed, prompt=recorded.prompt)
        chunking = chunking_again(index.manifest.chunking, embed, chunk_tokens, overlap)
        manifest = Manifest(identity(checkpoint, embed), chunking, ann=index.manifest.ann)
        make_anew(index, manifest, cutter(embed, chunking), embedder(embed))
        if not quiet:
            warn(f"made anew with {checkpoint.name}; {held(index)}")


def _strange_vectors(index: IndexFolder, embed: Embed) -> list[str]:
    """Return what speaks against the vectors being those that the model makes."""
    rows = index.some_rows(SAMPLE)
    if not rows:
        return []
    try:
        texts = [index.text_of(row) for row in rows]
    except IndexFolderError:  # damage that is told already
        return []
    vectors = embedder(embed)(texts)
    cosines = (vectors * index.vectors_of(rows)).sum(1)
    wrong = int((cosines < ALIKE).sum())
    if not wrong:
        return []
    return [
        f"{wrong} of {len(rows)} vectors are not what the model makes of their texts: "
        f"`bertcli index rebuild {shown(index.path)}` makes all anew"
    ]
