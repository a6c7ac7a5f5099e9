"""The Hugging Face cache, read without the hub's library: what is there needs no import and no network."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bertcli.errors import CheckpointError

PATTERNS = ["*.json", "*.safetensors", "*.txt", "*.model", "1_Pooling/*"]


@dataclass(frozen=True, slots=True)
class Cached:
    """A checkpoint in the cache: its hub name, its snapshot folder and the folder of all of it."""

    name: str
    snapshot: Path
    folder: Path


def hub_cache() -> Path:
    """Return the cache folder: `$HF_HUB_CACHE`, else `$HF_HOME/hub`, else the default."""
    if explicit := os.environ.get("HF_HUB_CACHE"):
        return Path(explicit)
    home = os.environ.get("HF_HOME")
    base = os.environ.get("XDG_CACHE_HOME")
    cache = Path(base) if base else Path.home() / ".cache"
    return (Path(home) if home else cache / "huggingface") / "hub"


def find_cached(name: str, revision: str | None = None) -> Path | None:
    """Return the snapshot folder of a hub name, None when it is not in the cache."""
    folder = hub_cache() / f"models--{name.replace('/', '--')}"
    reference = folder / "refs" / (revision or "main")
    commit = reference.read_text().strip() if reference.is_file() else revision
    snapshot = folder / "snapshots" / commit if commit else None
    return snapshot if snapshot and snapshot.is_dir() else None


def all_cached() -> Iterator[Cached]:
    """Yield every checkpoint in the cache that has a snapshot, by name."""
    for folder in sorted(hub_cache().glob("models--*")):
        name = folder.name.removeprefix("models--").replace("--", "/")
        if snapshot := find_cached(name):
            yield Cached(name, snapshot, folder)


def is_offline(flag: bool) -> bool:
    """Tell whether the network is off: by `--offline` or by `HF_HUB_OFFLINE`."""
    return flag or os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def download(name: str, revision: str | None = None) -> Path:
    """Fetch a checkpoint from the hub into the cache and return its snapshot folder.

    Raises CheckpointError when the hub cannot be reached or does not have it.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=PATTERNS))
    except RepositoryNotFoundError as error:
        raise CheckpointError(f"{name}: the hub has no such model, or it is private") from error
    except RevisionNotFoundError as error:
        raise CheckpointError(f"{name}: the hub has no revision {revision}") from error
    except (HfHubHTTPError, OSError, ValueError, RuntimeError) as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f"{name}: the hub could not be reached ({line}); "
            "check the network, or give a local folder with -m DIR"
        ) from error
