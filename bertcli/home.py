"""The folders of the one who runs bertcli, where there may be no home."""

from __future__ import annotations

import os
from pathlib import Path

HOMELESS = Path("/nonexistent")
"""What Debian has for the home of a user without one, as one of a container may be."""


def user_folder(variable: str, below_home: str) -> Path:
    """Return the folder that a variable of the XDG Base Directory Specification names.

    Without it that is the one `below_home` which the specification has for it. It need not exist.
    """
    if base := os.environ.get(variable):
        return Path(base)
    home = expanded("~")
    return (HOMELESS if home == Path("~") else home) / below_home


def expanded(path: str) -> Path:
    """Return a path with ~ for a home; as it is, where it is that of nobody known here."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)
