"""The files of a folder that a person would want to search: what git ignores is left out."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path, PurePosixPath

from bertcli.errors import DataError

IGNORE_FILE = ".gitignore"
CLASSES = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "blank": " \t",
    "cntrl": "\0-\x1f\x7f",
    "digit": "0-9",
    "graph": '"-~!',
    "lower": "a-z",
    "print": " -~",
    "punct": ":-@!-.[-`{-~",
    "space": " \t\n\r\f\v",
    "upper": "A-Z",
    "xdigit": "0-9a-fA-F",
}
"""The signs of POSIX classes of characters."""
LONGEST_RULE = 4096
"""One longer than a path can be is passed over: thousands of brackets take the library seconds."""
_STAR = r"\[\^/\]\*"
_STARRED = re.compile(rf"{_STAR}((?:\\.|\[\^/\](?!\*)|\[(?!\^/\])[^]/]+\]|[^\\\[/(])+)(?={_STAR})")
_POSIX_CLASS = re.compile(r"^((?:.*[^\\])?\[[^\]]*?)\[:([a-z]+):\]")


@dataclass(frozen=True)
class Selection:
    """Which files of a folder are meant: those that fit an `include`, if any, and no `exclude`.

    Both are globs, of files and, as in a `.gitignore`, of folders with all that is in them; with a
    slash at the end of folders alone. One without another slash is held against names, one with a
    slash against paths within the folder, where `*` crosses folders.
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


def idle_globs(source: Path, globs: Sequence[str]) -> list[str]:
    """Return the globs that fit no file of a folder; all of them where it is a file itself."""
    idle = list(globs)
    for path in files_under(source, Selection(tuple(globs)), lambda folder, reason: None):
        inside = PurePosixPath(path.relative_to(source))
        idle = [glob for glob in idle if path == source or not _fits(inside, glob)]
        if not idle:
            break
    return idle


def files_under(
    source: Path,
    selection: Selection | None = None,
    unlisted: Callable[[Path, str], object] | None = None,
) -> Iterator[Path]:
    """Yield the file that `source` is, or the files below the folder that it is, in a fixed order.

    Within a folder hidden files and folders, and what a `.gitignore` names, also one above the
    folder in the same git repository, are left out; links to folders, to files outside of it, and
    to those that are read themselves under the same suffix, are not followed. A file that is named
    itself is always taken. A folder below that cannot be listed is handed to `unlisted` with the
    reason. Raises DataError where there is nothing of that name, or it cannot be listed.
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

    def takes(inside: PurePosixPath) -> bool:
        """Tell whether a file of the folder is read by its own name."""
        hidden = any(part.startswith(".") for part in inside.parts)
        folders = (root / folder for folder in [*inside.parents][:-1])
        pruned = hidden or any(ignored.holds(one, folder=True) for one in folders)
        return not (pruned or ignored.holds(root / inside)) and selection.takes(inside)

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
            if path.is_symlink():
                target = path.resolve()
                if not target.is_relative_to(ignored.full):
                    continue
                itself = PurePosixPath(target.relative_to(ignored.full))
                if target.suffix == path.suffix and takes(itself):
                    continue
            if selection.takes(PurePosixPath(path.relative_to(root))):
                yield path


@dataclass(frozen=True, slots=True)
class _Rule:
    """A line of a `.gitignore`: which paths it fits, and whether it ignores them or takes them.

    Some are for folders only; one without a slash is held against names, others against paths.
    """

    regex: re.Pattern[str]
    ignores: bool
    folders: bool
    names: bool

    def fits(self, path: str, folder: bool) -> bool:
        """Return whether it fits this very path, and not one above it alone."""
        if self.folders and not folder:
            return False
        found = self.regex.search(path.rpartition("/")[2] if self.names else path)
        return found is not None and found.lastindex is None  # the group is the slash of one above


class _Ignored:
    """The `.gitignore` files that count for paths below a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.full = root.resolve()
        self._rules: dict[Path, list[_Rule]] = {}
        self._places: dict[Path, list[Path]] = {}

    @cached_property
    def _above(self) -> list[Path]:
        """The folders from that of the repository down to the one above the root.

        None where they ignore the root itself: who names it means it.
        """
        chain = [self.full, *self.full.parents]
        top = next((i for i, folder in enumerate(chain) if (folder / ".git").exists()), 0)
        above = chain[top:0:-1]
        inside = [*above[1:], self.full]
        held = (self._said(one, above[: i + 1], True) for i, one in enumerate(inside))
        return [] if any(held) else above

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
        """Return what the last of the rules of these folders that fits a path says of it."""
        for place in reversed(places):
            if rules := self._of(place):
                name = path.relative_to(place).as_posix()
                for rule in reversed(rules):
                    if rule.fits(name, folder):
                        return rule.ignores
        return False

    def _of(self, folder: Path) -> list[_Rule]:
        if folder not in self._rules:
            self._rules[folder] = list(_read_rules(folder / IGNORE_FILE))
        return self._rules[folder]


def _read_rules(path: Path) -> Iterator[_Rule]:
    """Yield the rules of a file, without lines that cannot be read: git passes over them too."""
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return
    from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

    for line in text.split("\n"):
        if len(line) > LONGEST_RULE:
            continue
        given = line if line.endswith("\\ ") else line.rstrip()
        bare = given.removesuffix("/")
        try:
            with warnings.catch_warnings(action="ignore", category=FutureWarning):  # as of "[["
                pattern = GitIgnoreSpecPattern(_spelled_out(bare))
                if pattern.regex is None:
                    continue
                regex = re.compile(_straight(pattern.regex.pattern), pattern.regex.flags)
        except Exception:  # of the library and of re
            continue
        yield _Rule(regex, bool(pattern.include), bare != given, "/" not in bare)


def _straight(regex: str) -> str:
    """Return the library's regex of a rule so that `*a*a*a*b` takes no time beyond bounds.

    Of stars in one part of a path all but the last stop at the first place that fits, for good.

    >>> _straight("[^/]*a[^/]*b[^/]*")
    '(?>[^/]*?a)(?>[^/]*?b)[^/]*'
    """
    return _STARRED.sub(r"(?>[^/]*?\1)", regex)


def _spelled_out(rule: str) -> str:
    """Return a rule with the signs of its POSIX classes, which the library does not know.

    >>> _spelled_out("[[:alpha:]_].txt")
    '[a-zA-Z_].txt'
    """
    while found := _POSIX_CLASS.search(rule):
        rule = f"{found[1]}{CLASSES.get(found[2], '')}{rule[found.end() :]}"
    return rule


def _fits(path: PurePosixPath, glob: str) -> bool:
    """Return whether a glob fits the path of a file, or of a folder that it is in."""
    glob = glob.removeprefix("./")
    if glob.startswith("**/") and _fits(path, glob.removeprefix("**/")):
        return True  # also at the top
    pattern = glob.removesuffix("/")
    folders = list(path.parents)[:-1]  # the last one is where the path begins
    ways = folders if glob.endswith("/") else [path, *folders]
    if "/" not in pattern:
        return any(fnmatchcase(one.name, pattern) for one in ways)
    return any(fnmatchcase(str(one), pattern.removeprefix("/")) for one in ways)
