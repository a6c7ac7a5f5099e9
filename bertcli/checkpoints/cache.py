"""The Hugging Face cache, read without the hub's library: what is there needs no network."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bertcli.errors import NO_ROOM, CheckpointError, first_line
from bertcli.home import expanded, user_folder

PICKLED = "pytorch_model.bin"
NO_PLACE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG}
PATTERNS = ["*.json", "*.safetensors", "*.txt", "*.model", "1_Pooling/*", "README.md"]


@dataclass(frozen=True, slots=True)
class Cached:
    """One revision of a checkpoint in the cache, and the folder of all its revisions.

    `revision` is a branch or tag where one points to it, else the commit. Both are None where a
    download never got as far as a snapshot.
    """

    name: str
    folder: Path
    revision: str | None = None
    snapshot: Path | None = None


def hub_cache() -> Path:
    """Return the cache folder: `$HF_HUB_CACHE`, else `$HF_HOME/hub`, else the default.

    The hub's library reads ~ and variables in these too.
    """
    if explicit := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return expanded(os.path.expandvars(explicit))
    home = os.environ.get("HF_HOME")
    cache = Path(home) if home else user_folder("XDG_CACHE_HOME", ".cache") / "huggingface"
    return expanded(os.path.expandvars(cache / "hub"))


def find_cached(name: str, revision: str | None = None) -> Path | None:
    """Return the snapshot folder of a hub name, None when it is not in the cache."""
    folder = cached_folder(name)
    reference = folder / "refs" / (revision or "main")
    commit = reference.read_text().strip() if reference.is_file() else revision
    snapshot = folder / "snapshots" / commit if commit else None
    return snapshot if snapshot and snapshot.is_dir() else None


def all_cached() -> Iterator[Cached]:
    """Yield every revision of every checkpoint in the cache, by name."""
    for folder in sorted(hub_cache().glob("models--*")):
        if folder.is_dir():
            yield from _revisions(folder)


def cached_folder(name: str) -> Path:
    """Return the folder in which the cache keeps, or would keep, all revisions of a hub name."""
    return hub_cache() / f"models--{name.replace('/', '--')}"


def folder_size(folder: Path) -> int:
    """Return the bytes of all files in a folder, each counted once and no link followed."""
    sizes: dict[tuple[int, int], int] = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                stat = Path(parent, name).lstat()
                sizes[stat.st_dev, stat.st_ino] = stat.st_size
    return sum(sizes.values())


def remove_cached(name: str) -> int:
    """Delete all revisions of a checkpoint from the cache and return the bytes that this freed.

    Only the cache's own folder goes: a link is never followed. Raises CheckpointError when it is
    not in the cache, is a link itself, or cannot be deleted.
    """
    folder = cached_folder(name)
    if folder.is_symlink():
        raise CheckpointError(
            f"{name}: {folder} is a link to another place, which bertcli leaves alone; "
            f"delete it yourself: rm '{folder}'"
        )
    if not folder.is_dir():
        raise CheckpointError(f"{name}: not in the cache; bertcli models list shows what is")
    before = folder_size(folder)
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise CheckpointError(
            f"{name}: cannot be deleted ({error.strerror}: {error.filename}); "
            f"check the permissions of {folder}"
        ) from error
    locks = hub_cache() / ".locks" / folder.name
    if not locks.is_symlink():
        shutil.rmtree(locks, ignore_errors=True)
    return before


def is_offline(flag: bool) -> bool:
    """Tell whether the network is off: by `--offline`, or as the hub's library would be told."""
    asked = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE", "")
    return flag or asked.upper() in ("1", "ON", "YES", "TRUE")


def download(name: str, revision: str | None = None, allow_pickle: bool = False) -> Path:
    """Fetch a checkpoint from the hub into the cache and return its snapshot folder.

    Raises CheckpointError when the hub cannot be reached or does not have it, and when the cache
    cannot be written or has no room.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # what fails in the end is told
    patterns = [*PATTERNS, PICKLED] if allow_pickle else list(PATTERNS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # such as of too little room
            return Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except GatedRepoError as error:
        raise CheckpointError(
            f"{name}: the hub asks for its terms to be accepted first: "
            f"see https://huggingface.co/{name}, then run: hf auth login"
        ) from error
    except RepositoryNotFoundError as error:
        raise CheckpointError(f"{name}: the hub has no such model, or it is private") from error
    except RevisionNotFoundError as error:
        raise CheckpointError(f"{name}: the hub has no revision {revision}") from error
    except (
        Exception
    ) as error:  # the hub's transport has exceptions of its own, which vary by version
        number = error.errno if isinstance(error, OSError) else None
        if number in NO_PLACE | NO_ROOM:
            advice = "free some space" if number in NO_ROOM else "check its permissions"
            raise CheckpointError(
                f"{name}: cannot be kept in the cache {hub_cache()} ({first_line(error)}); "
                f"{advice}, or set HF_HOME to another folder"
            ) from error
        raise CheckpointError(
            f"{name}: the hub could not be reached ({first_line(error)}); "
            "check the network, or give a local folder with -m DIR"
        ) from error


def _revisions(folder: Path) -> Iterator[Cached]:
    """Yield the snapshots below one checkpoint's folder, or the one sign that there is none."""
    name = folder.name.removeprefix("models--").replace("--", "/")
    references = _references(folder / "refs")
    snapshots = [one for one in sorted(folder.glob("snapshots/*")) if one.is_dir()]
    for snapshot in snapshots:
        yield Cached(name, folder, references.get(snapshot.name, snapshot.name), snapshot)
    if not snapshots:
        yield Cached(name, folder)


def _references(folder: Path) -> dict[str, str]:
    """Return the branch or tag of each commit; `main` wins where several point to one."""
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*"), key=lambda path: path.name == "main"):
        with suppress(OSError, ValueError):
            found[path.read_text(encoding="utf-8").strip()] = path.relative_to(folder).as_posix()
    return found
