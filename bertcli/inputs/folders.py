"""The files of a folder that a person would want to search: what git ignores is left out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from bertcli.errors import DataError

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

IGNORE_FILE = ".gitignore"


@dataclass(frozen=True)
class Selection:
    """Which files of a folder are meant: those that fit an `include`, if any, and no `exclude`.

    Both are globs. One without a slash is held against the file's name, one with a slash against
    its path within the folder, where `*` crosses folders.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def takes(self, path: PurePosixPath) -> bool:
        """Return whether a path within the folder is meant.

        >>> Selection(("*.md",), ("drafts/*",)).takes(PurePosixPath("drafts/new.md"))
        False
        """
        wanted = not self.include or any(_fits(path, glob) for glob in self.include)
        return wanted and not any(_fits(path, glob) for glob in self.exclude)


def files_under(
    source: Path,
    selection: Selection | None = None,
    unlisted: Callable[[Path, str], object] | None = None,
) -> Iterator[Path]:
    """Yield the file that `source` is, or the files below the folder that it is, in a fixed order.

    Within a folder hidden files and folders, and what a `.gitignore` names, also one above the
    folder in the same git repository, are left out; links to folders, and to
    files outside of it, are not followed. A file that
    is named itself is always taken. A folder below that cannot be listed is handed to `unlisted`
    with the reason. Raises DataError where there is nothing of that name, or it cannot be listed.
    """
    if source.is_dir():
        yield from _walk(source, selection or Selection(), unlisted)
    elif source.is_file():
        yield source
    else:
        raise DataError(f"{source}: no such file or folder")


def _walk(
    root: Path, selection: Selection, unlisted: Callable[[Path, str], object] | None
) -> Iterator[Path]:
    ignored = _Ignored(root)

    def told(error: OSError) -> None:
        if unlisted is None or Path(error.filename) == root:
            raise DataError(f"{error.filename}: cannot be listed ({error.strerror})")
        unlisted(Path(error.filename), error.strerror or str(error))

    for parent, folders, files in os.walk(root, onerror=told):
        here = Path(parent)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and not ignored.holds(here / name, folder=True)
        )
        for name in sorted(files):
            path = here / name
            if name.startswith(".") or ignored.holds(path) or not path.is_file():
                continue
            if path.is_symlink() and not path.resolve().is_relative_to(ignored.full):
                continue
            if selection.takes(PurePosixPath(path.relative_to(root))):
                yield path


class _Ignored:
    """The `.gitignore` files that count for paths below a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.full = root.resolve()
        self._rules: dict[Path, GitIgnoreSpec | None] = {}
        self._places: dict[Path, list[Path]] = {}

    @cached_property
    def _above(self) -> list[Path]:
        """The folders from that of the repository down to the one above the root.

        None where they ignore the root itself: who names it means it.
        """
        chain = [self.full, *self.full.parents]
        top = next((i for i, folder in enumerate(chain) if (folder / ".git").exists()), 0)
        above = chain[top:0:-1]
        return [] if self._said(self.full, above, folder=True) else above

    def holds(self, path: Path, folder: bool = False) -> bool:
        """Return what the last rule that fits a path says."""
        parent = path.parent
        if parent not in self._places:
            inside = parent.relative_to(self._root).parts
            below = [self.full.joinpath(*inside[:i]) for i in range(len(inside) + 1)]
            self._places[parent] = [*self._above, *below]
        places = self._places[parent]
        return self._said(places[-1] / path.name, places, folder)

    def _said(self, path: Path, places: Sequence[Path], folder: bool) -> bool:
        """Return what the rules of these folders say of a path, the later ones last."""
        held = False
        for place in places:
            rules = self._of(place)
            if rules is not None:
                name = path.relative_to(place).as_posix()
                said = rules.check_file(name + "/" if folder else name).include
                held = held if said is None else bool(said)
        return held

    def _of(self, folder: Path) -> GitIgnoreSpec | None:
        if folder not in self._rules:
            self._rules[folder] = _read_rules(folder / IGNORE_FILE)
        return self._rules[folder]


def _read_rules(path: Path) -> GitIgnoreSpec | None:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    from pathspec import GitIgnoreSpec

    return GitIgnoreSpec.from_lines(line for line in lines if _is_rule(line))


def _is_rule(line: str) -> bool:
    """Tell whether a line of a `.gitignore` can be read; git passes over the others too."""
    from pathspec import GitIgnoreSpec

    try:
        GitIgnoreSpec.from_lines([line])
    except Exception:  # of the library and of re
        return False
    return True


def _fits(path: PurePosixPath, glob: str) -> bool:
    pattern = glob.removeprefix("./").removesuffix("/")
    if pattern.startswith("**/") and _fits(path, glob.removeprefix("./").removeprefix("**/")):
        return True  # also at the top
    if glob.endswith("/"):
        pattern += "/*"
    return fnmatchcase(str(path) if "/" in pattern else path.name, pattern)
