"""Which files of a folder are found."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertcli.errors import DataError
from bertcli.inputs.folders import Selection, files_under, idle_globs

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


def listed_by_git(folder: Path) -> list[str]:
    """Return the files that git would list in a folder which is made its repository."""
    git = ["git", "-C", str(folder)]
    subprocess.run([*git, "init", "-q"], check=True)
    shown = subprocess.run(
        [*git, "ls-files", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
        text=True,
    )
    return shown.stdout.splitlines()


def test_a_bracket_in_brackets_is_one_of_them(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    """As git has it; and what Python thinks of such a regex is nothing to the user."""
    (tmp_path / ".gitignore").write_text("x[[]1\n")
    for name in ("x[1", "x1"):
        (tmp_path / name).touch()
    assert [path.name for path in files_under(tmp_path)] == ["x1"]
    assert not recwarn.list


def test_what_git_ignores_is_left_out(tree: Path) -> None:
    """The rules of both levels count, negations too; hidden files are left out."""
    assert names(tree) == ["readme.md", "docs/deep/page.html", "logs/keep.log", "src/main.py"]


def test_it_is_what_git_itself_would_list(tree: Path) -> None:
    """git is the oracle for its own rules, also for those above the folder asked for."""
    listed = sorted(one for one in listed_by_git(tree) if "/." not in f"/{one}")
    assert sorted(names(tree)) == listed
    assert names(tree / "logs") == ["keep.log"]
    # Who names an ignored folder means it.
    assert names(tree / "src" / "build") == ["out.o"]


def planted(root: Path, files: Sequence[str], rules: Mapping[str, Sequence[str]]) -> Path:
    """Make files below a folder, and the `.gitignore` files of some folders."""
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    for folder, lines in rules.items():
        (root / folder / ".gitignore").write_text("\n".join(lines))
    return root


@pytest.mark.parametrize(
    ("rules", "listed"),
    [
        ({".": ["*", "!*/", "!*.md"]}, "top.md a/b.md a/c/d.md"),
        ({".": ["*.txt"], "a": ["!c/"]}, "top.md a/b.md a/c/d.md"),
        ({".": ["[[:alpha:]].txt"]}, "top.md a/b.md a/c/1.txt a/c/d.md"),
        ({".": ["[![:digit:]]*"]}, ""),
        ({".": ["c", "!a/c/x.txt"]}, "top.md x.txt a/b.md a/x.txt"),
        ({".": ["a/c/**", "!a/c/d.md"]}, "top.md x.txt a/b.md a/x.txt a/c/d.md"),
        (
            {".": ["a/*", "!a/c"], "a/c": ["/d.md", "x.txt", "!x.*"]},
            "top.md x.txt a/c/1.txt a/c/x.txt",
        ),
        (
            {".": ["/x.txt/", "top.md\r", "a/[z-", "\\"]},
            "x.txt a/b.md a/x.txt a/c/1.txt a/c/d.md a/c/x.txt",
        ),
    ],
)
def test_the_last_rule_that_fits_a_path_itself_counts(
    tmp_path: Path, rules: dict[str, list[str]], listed: str
) -> None:
    """Of one file and of several; nothing below an ignored folder comes back."""
    files = ["top.md", "x.txt", "a/b.md", "a/x.txt", "a/c/1.txt", "a/c/d.md", "a/c/x.txt"]
    assert names(planted(tmp_path, files, rules)) == listed.split()


NAMES = ["a", "d/a", "d/b.md", "d/e/a", "d/e/x1.txt", "e/d/b.md", "e/keep/s.txt", "keep/d/top.md"]
PARTS = "a d e keep * *.md *.txt b.* ? [a-d] [[:alpha:]] x[[:digit:]].txt ** d* k?ep [[:lower:]e]*"
PARTS += " k*e*p *.*[dt]* *[a-d]*.m? x*[[:digit:]]*t"
RULES = st.builds(
    lambda no, start, parts, end: no + start + "/".join(parts) + end,
    st.sampled_from(["", "!"]),
    st.sampled_from(["", "/"]),
    st.lists(st.sampled_from(PARTS.split()), min_size=1, max_size=3),
    st.sampled_from(["", "/"]),
)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@settings(deadline=None, max_examples=60)
@given(
    rules=st.dictionaries(
        st.sampled_from([".", "d", "e", "keep"]), st.lists(RULES, min_size=1, max_size=4)
    )
)
def test_whatever_the_rules_it_is_what_git_would_list(
    rules: dict[str, list[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Folder by folder from the top, with several `.gitignore` files."""
    root = planted(tmp_path_factory.mktemp("git"), NAMES, rules)
    listed = [one for one in listed_by_git(root) if not one.endswith(".gitignore")]
    assert sorted(names(root)) == sorted(listed)


def test_a_folder_below_an_ignored_one_is_meant_by_who_names_it(tmp_path: Path) -> None:
    """Rules of folders above count, unless they ignore the folder or one around it."""
    planted(tmp_path, ["d/e/a.txt", "d/e/b.md", "k/a.txt"], {".": ["d", "*.txt"]})
    (tmp_path / ".git").mkdir()
    assert names(tmp_path / "d" / "e") == ["a.txt", "b.md"]
    assert names(tmp_path / "k") == []


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
        ((), ("mod",), "mod/a.txt", False),
        ((), ("mod",), "b/mod/c/a.txt", False),
        ((), ("mod",), "models/a.txt", True),
        ((), ("mod/",), "b/mod/a.txt", False),
        ((), ("mod/",), "b/mod", True),
        ((), ("*/",), "a.txt", True),
        ((), ("/mod",), "b/mod/a.txt", True),
        ((), ("/mod",), "mod/a.txt", False),
        ((), ("b/mod",), "b/mod/c/a.txt", False),
        ((), ("./mod",), "mod/a.txt", False),
        (("src",), (), "src/a.txt", True),
        (("src",), (), "lib/a.txt", False),
    ],
)
def test_globs(include: tuple[str, ...], exclude: tuple[str, ...], path: str, taken: bool) -> None:
    """A glob without a slash is for names, one with a slash for paths, of folders too."""
    assert Selection(include, exclude).takes(PurePosixPath(path)) is taken


def test_globs_that_fit_nothing(tree: Path) -> None:
    """What is ignored anyway counts as not there, and a file itself is chosen by no glob."""
    assert idle_globs(tree, ["*.md", "deep", "buidl", "*.o"]) == ["buidl", "*.o"]
    assert idle_globs(tree / "readme.md", ["*.md"]) == ["*.md"]


def test_a_named_file_is_taken_whatever_the_rules(tree: Path) -> None:
    """Who names a file means it; who names nothing that is there is told."""
    assert list(files_under(tree / "logs" / "a.log")) == [tree / "logs" / "a.log"]
    with pytest.raises(DataError, match="no such file or folder"):
        list(files_under(tree / "none"))


def test_a_rule_of_many_stars_takes_no_time(tmp_path: Path) -> None:
    """What would be tried in more ways than there are seconds is tried in one."""
    rules = ["*a" * 12 + "*b", "[" * 20_000, "x/" + "?*a" * 12 + "b*"]
    (tmp_path / ".gitignore").write_text("\n".join([*rules, "*.log", "a*c*e"]))
    for name in ("a" * 200, "one.log", "abcde", "abcd"):
        (tmp_path / name).write_text("text")
    assert [path.name for path in files_under(tmp_path)] == ["a" * 200, "abcd"]
