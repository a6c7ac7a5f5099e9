"""The checkpoints on this machine, and what their files say about them; nothing is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bertcli.checkpoints.cache import Cached, all_cached
from bertcli.checkpoints.catalog import BUILTINS, Builtin
from bertcli.checkpoints.hashes import file_sha256
from bertcli.checkpoints.layout import Checkpoint
from bertcli.checkpoints.resolve import ModelChoice, builtin_checkpoint, read_folder
from bertcli.engine.families import FAMILIES, HEAD_SUFFIXES, Head, runs_on_onnx
from bertcli.errors import CheckpointError

GENERATORS = ("LMHeadModel", "DoubleHeadsModel", "EncoderModel")
UNREADABLE = (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError)
"""What reading a config.json that holds just anything may raise."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A checkpoint that is here: what it is for, or what is wrong with it.

    `where` is built-in or cached, `size` the bytes of its own files, without an adapter's base,
    `engine` onnx or torch. Where it cannot be used `tasks` is empty and `problem` says why.
    """

    name: str
    where: str
    size: int
    tasks: tuple[str, ...] = ()
    architecture: str | None = None
    engine: str | None = None
    revision: str | None = None
    scores: str | None = None
    problem: str | None = None

    def nested(self) -> dict[str, object]:
        """Return it for JSON; what does not apply is left out."""
        found = {
            "name": self.name,
            "where": self.where,
            "revision": self.revision,
            "tasks": list(self.tasks),
            "architecture": self.architecture,
            "engine": self.engine,
            "bytes": self.size,
            "scores": self.scores,
            "problem": self.problem,
        }
        return {key: value for key, value in found.items() if value is not None}


def entries() -> Iterator[Entry]:
    """Yield the built-in checkpoints, then every revision of every cached one. Never raises for
    a broken one."""
    for one in BUILTINS:
        yield _builtin_entry(one)
    for cached in all_cached():
        yield _cached_entry(cached)


def tasks_of(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return the commands that can use a checkpoint; none for what is not a text encoder.

    The Hugging Face cache also holds generators, vision and speech models of other programs.
    """
    config = checkpoint.config
    if config.get("model_type") not in FAMILIES:
        names = config.get("architectures")
        name = str(names[0]) if isinstance(names, list) and names else ""
        known = name.endswith(tuple(HEAD_SUFFIXES)) and not name.endswith(GENERATORS)
        if not known or "vocab_size" not in config or config.get("is_encoder_decoder"):
            return ()
    return checkpoint.tasks


def engine_of(checkpoint: Checkpoint) -> str:
    """Return which engine runs a checkpoint on a CPU: onnx or torch."""
    return "onnx" if runs_on_onnx(checkpoint.config) else "torch"


def visible_size(folder: Path) -> int:
    """Return the bytes of the files that a folder shows, those behind links included."""
    return sum(size for _, size in _files(folder))


def details(checkpoint: Checkpoint, folder: Path) -> dict[str, object]:
    """Return all that a checkpoint's files say about it; `folder` is the adapter's own for one.

    Raises CheckpointError where config.json holds what it should not.
    """
    try:
        found = _described(checkpoint, folder)
    except UNREADABLE as error:
        raise CheckpointError(
            f"{checkpoint.name}: its config.json is not as expected ({_reason(error)})"
        ) from error
    return {key: value for key, value in found.items() if value not in (None, {}, [])}


def _builtin_entry(one: Builtin) -> Entry:
    def described(checkpoint: Checkpoint) -> Entry:
        size = visible_size(one.folder)
        return replace(_entry(checkpoint, one.name, "built-in", size), scores=one.scores)

    try:
        return described(builtin_checkpoint(one))
    except (CheckpointError, *UNREADABLE) as error:
        return Entry(one.name, "built-in", 0, problem=_reason(error))


def _cached_entry(cached: Cached) -> Entry:
    if cached.snapshot is None:
        advice = f"a download that never finished: bertcli models pull {cached.name}"
        return Entry(cached.name, "cached", 0, problem=advice)
    size = visible_size(cached.snapshot)
    try:
        checkpoint = read_folder(cached.snapshot, ModelChoice(cached.name, offline=True))
        return _entry(checkpoint, cached.name, "cached", size, cached.revision)
    except (CheckpointError, *UNREADABLE) as error:
        problem = _reason(error).removeprefix(f"{cached.name}: ")
        return Entry(cached.name, "cached", size, revision=cached.revision, problem=problem)


def _entry(
    checkpoint: Checkpoint, name: str, where: str, size: int, revision: str | None = None
) -> Entry:
    tasks = tasks_of(checkpoint)
    architecture = str(checkpoint.config["model_type"])
    return Entry(
        name=name,
        where=where,
        size=size,
        tasks=tasks,
        architecture=architecture,
        engine=engine_of(checkpoint) if tasks else None,
        revision=revision,
        problem=None if tasks else f"{architecture} is not a text encoder that bertcli can use",
    )


def _described(checkpoint: Checkpoint, folder: Path) -> dict[str, object]:
    config, sentence = checkpoint.config, checkpoint.sentence
    has_labels = checkpoint.linear or checkpoint.head in (Head.SEQUENCE, Head.TOKEN)
    card = read_card(folder)
    return {
        "name": checkpoint.name,
        "folder": str(folder),
        "tasks": list(tasks_of(checkpoint)),
        "architecture": config["model_type"],
        "engine": engine_of(checkpoint),
        "head": "linear" if checkpoint.linear else checkpoint.head.value,
        "labels": checkpoint.labels if has_labels else None,
        "layers": checkpoint.setting("num_hidden_layers"),
        "hidden_size": checkpoint.setting("hidden_size"),
        "vocabulary": config.get("vocab_size"),
        "window": checkpoint.window,
        "tokenizer": str(checkpoint.tokenizer) if checkpoint.tokenizer.is_file() else None,
        "sentence": {
            "pooling": sentence.pooling,
            "normalize": sentence.normalize,
            "max_length": sentence.max_length,
            "prompts": dict(sentence.prompts),
        }
        if sentence.pooling
        else None,
        "adapter": {
            "base": str(checkpoint.folder),
            "rank": checkpoint.adapter.config.get("r"),
        }
        if checkpoint.adapter
        else None,
        "base": str(checkpoint.folder) if checkpoint.linear else None,
        "sha256": {path.name: file_sha256(path) for path in checkpoint.files},
        "licence": card.get("license"),
        "scores": scores_of(card),
        "files": [{"name": name, "bytes": size} for name, size in _files(folder)],
    }


def read_card(folder: Path) -> Mapping[str, Any]:
    """Return the front matter of a folder's model card; empty where there is none to be read."""
    from huggingface_hub import metadata_load

    with suppress(Exception):  # whatever is wrong with a card, the model runs without it
        return metadata_load(folder / "README.md") or {}
    return {}


def scores_of(card: Mapping[str, Any]) -> dict[str, object]:
    """Return the scores in a card's `model-index`, by metric.

    >>> scores_of({"model-index": [{"results": [{"metrics": [{"type": "f1", "value": 0.9}]}]}]})
    {'f1': 0.9}
    """
    with suppress(*UNREADABLE):
        metrics = [m for one in card["model-index"] for r in one["results"] for m in r["metrics"]]
        return {str(metric.get("name") or metric["type"]): metric["value"] for metric in metrics}
    return {}


def _files(folder: Path) -> list[tuple[str, int]]:
    """Return the names below a folder, in order, and the bytes of each."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return [(path.relative_to(folder).as_posix(), path.stat().st_size) for path in found]


def _reason(error: BaseException) -> str:
    return str(error) if isinstance(error, CheckpointError) else f"{type(error).__name__}: {error}"
