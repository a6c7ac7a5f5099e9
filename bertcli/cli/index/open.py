"""Where an index is, and opening it with the model that made it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bertcli.cli.embed import build_embed
from bertcli.cli.options import ModelFlags
from bertcli.cli.recipe import choose_checkpoint, warn
from bertcli.engine.choices import Long
from bertcli.errors import CheckpointError, UsageError
from bertcli.index.places import place_of, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bertcli.checkpoints.layout import Checkpoint
    from bertcli.index.chunks import Chunk
    from bertcli.index.content import NewDocument
    from bertcli.index.folder import IndexFolder
    from bertcli.index.manifest import Chunking, ModelIdentity
    from bertcli.index.update import Cut
    from bertcli.index.update import Embed as EmbedTexts
    from bertcli.index.where import Filter
    from bertcli.tasks.embed import Embed

OVERLAP_TOKENS = 32

Name = Annotated[
    str,
    typer.Argument(help="Name of the index, or its folder: a path with a /.", show_default=False),
]
IndexOption = Annotated[
    str, typer.Option("--index", help="Name of the index, or its folder.", show_default=False)
]
ChunkTokens = Annotated[
    int | None, typer.Option(min=8, help="Tokens in a passage; default what the model reads.")
]
Overlap = Annotated[
    int | None,
    typer.Option(min=0, help="Tokens that neighbours share; default 32, a quarter at most."),
]


def open_index(name: str, model: ModelFlags, brief: bool = False) -> tuple[IndexFolder, Embed]:
    """Return an index and the model that made it, found by its recorded name unless `-m` says one.

    Raises IndexFolderError when that model is not the one whose vectors the index holds.
    """
    from bertcli.index.folder import IndexFolder

    place = place_of(name)
    checkpoint, embed = recorded_model(place, model, brief)
    return IndexFolder.open(place, identity(checkpoint, embed)), embed


def note_state(index: IndexFolder, quiet: bool) -> None:
    """Say on stderr where an index does not hold all that it is to hold."""
    if not quiet and not index.is_complete:
        warn(f"{shown(index.path)} is {unfinished(index)}")


def unfinished(index: IndexFolder) -> str:
    """Return what to say of an index that does not hold all that it is to hold."""
    files = f", for files `bertcli index update {shown(index.path)}` does too"
    return (
        "not complete: a build or an update is at work, or was stopped before its end; the same "
        f"command again goes on{files if index.sources() else ''}"
    )


def unknown_columns(index: IndexFolder, where: Filter | None) -> Callable[[], None]:
    """Return what says on stderr, once, which columns of a condition no document has.

    It is for when nothing is found.
    """

    @cache
    def note() -> None:
        unknown = {} if where is None else index.unknown_columns(where)
        told = [
            f"{one} (did you mean {other}?)" if other else one for one, other in unknown.items()
        ]
        if told:
            warn(f"--where: no document of {shown(index.path)} has the column {', '.join(told)}")

    return note


def recorded_model(place: Path, model: ModelFlags, brief: bool = False) -> tuple[Checkpoint, Embed]:
    """Return the checkpoint that an index was made with, or that of `-m`, and the task on it.

    Raises CheckpointError, with what to do about it, where the recorded one is not there any more.
    """
    from bertcli.checkpoints.catalog import BASE_NAME
    from bertcli.checkpoints.resolve import ModelChoice, locate
    from bertcli.engine.choices import Pooling
    from bertcli.index.manifest import read_manifest

    recorded = read_manifest(place).model
    # A folder is recorded by its path: this name is the built-in one, whatever lies here.
    named = None if recorded.name == BASE_NAME else recorded.name
    chosen = replace(model, model=model.model or named)
    try:
        checkpoint = choose_checkpoint(chosen, "embed")
    except CheckpointError as error:
        if model.model is not None or locate(ModelChoice(recorded.name, model.revision)):
            raise
        raise CheckpointError(
            f"{error}; index {shown(place)} was made with it: say with -m NEWPATH where it is now"
        ) from error
    pooling, prompt = Pooling(recorded.pooling), recorded.prompt
    embed = build_embed(checkpoint, chosen, pooling, recorded.normalize, prompt, brief)
    return checkpoint, embed


def identity(checkpoint: Checkpoint, embed: Embed) -> ModelIdentity:
    """Return what an index must record of a model to recognise it."""
    from bertcli.checkpoints.hashes import joint_sha256
    from bertcli.checkpoints.resolve import lasting_name
    from bertcli.index.manifest import ModelIdentity

    return ModelIdentity(
        name=lasting_name(checkpoint),
        weights_sha256=joint_sha256(checkpoint.files),
        pooling=embed.pooling.value,
        normalize=embed.normalize,
        dimension=int(embed.vectors(["a"]).shape[1]),
        prompt=embed.prompt,
    )


def chunking_for(embed: Embed, tokens: int | None, overlap: int | None) -> Chunking:
    """Return the lengths of passages: what is asked, else what the model reads at once."""
    from bertcli.index.manifest import Chunking

    prompt = len(embed.tokenizer.ids([embed.prompt])[0])
    room = embed.window - embed.tokenizer.frame.single - prompt
    if tokens is not None and tokens > room:
        raise UsageError(
            f"--chunk-tokens {tokens}: the model reads {room} tokens of a passage at most"
        )
    size = tokens or room
    shared = _usual_overlap(size) if overlap is None else overlap
    if shared >= size:
        raise UsageError(f"--overlap {shared} leaves nothing of passages of {size} tokens")
    return Chunking(size, shared)


def _usual_overlap(tokens: int) -> int:
    """Return how many tokens passages of this size share if nothing is said."""
    return min(OVERLAP_TOKENS, tokens // 4)


def chunking_again(
    recorded: Chunking, embed: Embed, tokens: int | None, overlap: int | None
) -> Chunking:
    """Return the lengths that an index has, or those that are asked for, as the model allows.

    An overlap that was chosen stays as it is where other passages are asked for.
    """
    if tokens is not None or overlap is not None:
        size = tokens or recorded.tokens
        if overlap is None and _usual_overlap(recorded.tokens) != recorded.overlap < size:
            overlap = recorded.overlap
        return chunking_for(embed, size, overlap)
    most = chunking_for(embed, None, None)
    return recorded if recorded.tokens <= most.tokens else most


def cutter(embed: Embed, chunking: Chunking) -> Cut:
    """Return what cuts documents into passages by the tokens of a model."""
    from bertcli.index.chunks import divide

    def cut(documents: Sequence[NewDocument]) -> list[list[Chunk]]:
        tokenised = embed.tokenizer.tokenize([document.text for document in documents])
        return [
            divide(document.document, tokens.offsets, chunking.tokens, chunking.overlap)
            for document, tokens in zip(documents, tokenised, strict=True)
        ]

    return cut


def embedder(embed: Embed) -> EmbedTexts:
    """Return what makes vectors of passages, whole ones whatever `--long` says.

    A passage that was cut inside a word can have a token more when it is read by itself.
    """
    return replace(embed, long=Long.WINDOW).vectors
