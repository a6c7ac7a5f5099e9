"""What a checkpoint's bytes are: SHA-256 over its weights, remembered per file."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from bertcli.home import user_folder

BLOCK = 1 << 20


def cache_folder() -> Path:
    """Return bertcli's own cache folder, `$XDG_CACHE_HOME/bertcli`; it may not exist yet."""
    return user_folder("XDG_CACHE_HOME", ".cache") / "bertcli"


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, from the cache while it is the one that was hashed.

    What tells that are its size, its number and its times, of which nobody can set the last back.
    The cache only saves time: where it cannot be read or written the file is hashed again.
    """
    stat = path.stat()
    key = f"{path.resolve()} {stat.st_size} {stat.st_ino} {stat.st_mtime_ns} {stat.st_ctime_ns}"
    known = _known()
    if key not in known:
        known[key] = fresh_sha256(path)
        _remember(known)
    return known[key]


def fresh_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as it is now."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def text_sha256(text: str) -> str:
    """Return the SHA-256 of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def joint_sha256(paths: Iterable[Path]) -> str:
    """Return one hash for several files: a single file's own, else the hash of their hashes."""
    found = [file_sha256(path) for path in paths]
    return found[0] if len(found) == 1 else text_sha256("\n".join(found))


def _store() -> Path:
    return cache_folder() / "hashes.json"


def _known() -> dict[str, str]:
    with suppress(OSError, ValueError, RuntimeError):
        found = json.loads(_store().read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return {str(key): str(value) for key, value in found.items()}
    return {}


def _remember(known: dict[str, str]) -> None:
    with suppress(OSError, RuntimeError):
        store = _store()
        store.parent.mkdir(parents=True, exist_ok=True)
        partial = store.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(known, indent=1), encoding="utf-8")
        partial.replace(store)
