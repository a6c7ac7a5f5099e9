"""Which files of a folder are found."""

from __future__ import annotations

import subprocess
from pathlib import Path, PurePosixPath

import pytest

from bertcli.errors import DataError
from bertcli.inputs.folders import Selection, files_under

TREE = [
    "readme.md",
    "src/main.py",
    "src/build/out.o",
    "src/.hidden/x.txt",
    "logs/a.log",
    "logs/keep.log",
    "docs/deep/page.html",
    "docs/deep/secret.txt",
    ".env",
]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with some files, and rules of what to ignore at two levels."""
    for name in TREE:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / ".gitignore").write_text("*.log\n!keep.log\nbuild/\n")
    (tmp_path / "docs" / ".gitignore").write_text("/deep/secret.txt\n")
    return tmp_path


def names(root: Path, selection: Selection | None = None) -> list[str]:
    """Return the files that are found, relative to the folder."""
    return [path.relative_to(root).as_posix() for path in files_under(root, selection)]


def test_what_git_ignores_is_left_out(tree: Path) -> None:
    """The rules of both levels count, negations too; hidden files are left out."""
    assert names(tree) == ["readme.md", "docs/deep/page.html", "logs/keep.log", "src/main.py"]


def test_it_is_what_git_itself_would_list(tree: Path) -> None:
    """git is the oracle for its own rules, also for those above the folder asked for."""
    git = ["git", "-C", str(tree)]
    subprocess.run([*git, "init", "-q"], check=True)
    shown = subprocess.run(
        [*git, "ls-files", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
        text=True,
    )
    listed = sorted(one for one in shown.stdout.splitlines() if "/." not in f"/{one}")
    assert sorted(names(tree)) == listed
    assert names(tree / "logs") == ["keep.log"]
    # Who names an ignored folder means it.
    assert names(tree / "src" / "build") == ["out.o"]


@pytest.mark.parametrize(
    ("include", "exclude", "path", "taken"),
    [
        ((), (), "a/b.txt", True),
        (("*.md",), (), "a/b.txt", False),
        (("*.md",), (), "a/b.md", True),
        (("a/*",), (), "a/b/c.txt", True),
        ((), ("a/",), "a/b/c.txt", False),
        ((), ("b.*",), "a/b.txt", False),
        (("*.txt",), ("a/*",), "b/a.txt", True),
    ],
)
def test_globs(include: tuple[str, ...], exclude: tuple[str, ...], path: str, taken: bool) -> None:
    """A glob without a slash is for names, one with a slash for paths."""
    assert Selection(include, exclude).takes(PurePosixPath(path)) is taken


def test_a_named_file_is_taken_whatever_the_rules(tree: Path) -> None:
    """Who names a file means it; who names nothing that is there is told."""
    assert list(files_under(tree / "logs" / "a.log")) == [tree / "logs" / "a.log"]
    with pytest.raises(DataError, match="no such file or folder"):
        list(files_under(tree / "none"))
