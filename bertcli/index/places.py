"""Where indexes are: those with a name in the user's data folder, others wherever they were put."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from bertcli.errors import UsageError
from bertcli.home import expanded, user_folder

MANIFEST_NAME = "manifest.json"


def named_folder() -> Path:
    """Return the folder of the indexes that have a name, `$XDG_DATA_HOME/bertcli/indexes`."""
    return user_folder("XDG_DATA_HOME", ".local/share") / "bertcli" / "indexes"


def place_of(name: str) -> Path:
    """Return the folder of an index: a path as it is, a bare name among the named ones.

    A bare name also finds an index in the current folder, where none has that name.
    """
    if not name:
        raise UsageError("an index needs a name, or a folder such as ./my-index")
    if os.sep in name or name.startswith((".", "~")):
        return expanded(name).absolute()
    named = named_folder() / name
    here = Path(name).absolute()
    if not (named / MANIFEST_NAME).exists() and (here / MANIFEST_NAME).exists():
        return here
    return named


def shown(folder: Path) -> str:
    """Return how a person would write the index of a folder on the command line."""
    full = folder.absolute()
    if full.parent == named_folder():
        return shlex.quote(full.name)
    try:
        return shlex.quote(f"./{full.relative_to(Path.cwd())}")
    except (ValueError, OSError):
        return shlex.quote(str(full))
