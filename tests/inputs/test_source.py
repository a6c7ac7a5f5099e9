"""Finding and opening: files, globs, folders, stdin, archives."""

from __future__ import annotations

import gzip
import io
import lzma
import os
from pathlib import Path

import pytest

from bertcli.errors import DataError, UsageError
from bertcli.inputs.formats import InputFormat
from bertcli.inputs.records import read_records
from bertcli.inputs.source import InputOptions, Source, find_sources, open_source

from .conftest import Read, outcomes


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a current folder with files of several kinds, hidden and unknown ones too."""
    names = ["b.txt", "a.csv", "c.bin", ".hidden.txt", "sub/d.jsonl.gz", "sub/deep/e.md"]
    for name in [*names, ".git/f.txt", "x.tar.gz"]:
        path = tmp_path / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("text\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def paths(*inputs: str) -> list[str | None]:
    """Return the paths of the sources found."""
    return [source.path for source in find_sources(inputs)]


def test_a_folder_gives_its_known_files_sorted(folder: Path) -> None:
    """At any depth, without hidden files and without suffixes that are not known."""
    known = ["docs/a.csv", "docs/b.txt", "docs/sub/d.jsonl.gz", "docs/sub/deep/e.md"]
    assert paths("docs") == known


def test_a_folder_gives_files_only(folder: Path) -> None:
    """A pipe would be waited for, and behind a link to nowhere there is nothing to read."""
    known = paths("docs")
    os.mkfifo(folder / "docs" / "pipe.txt")
    (folder / "docs" / "link.txt").symlink_to("nowhere")
    assert paths("docs") == known


def test_globs_are_sorted_and_files_only(folder: Path) -> None:
    """* stays in a folder, ** goes into all; what is not hidden and matches is taken."""
    assert paths("docs/*") == ["docs/a.csv", "docs/b.txt", "docs/c.bin", "docs/x.tar.gz"]
    assert paths("docs/**/*.md") == ["docs/sub/deep/e.md"]


def test_inputs_keep_the_order_given(folder: Path) -> None:
    """The user's order counts, and the same file may come twice."""
    assert paths("docs/b.txt", "-", "docs/a.csv", "docs/b.txt") == [
        "docs/b.txt",
        None,
        "docs/a.csv",
        "docs/b.txt",
    ]


def test_a_file_with_glob_letters_in_its_name_is_itself(folder: Path) -> None:
    """An existing file is never taken for a pattern."""
    (folder / "a[1].txt").write_text("x")
    assert paths("a[1].txt") == ["a[1].txt"]


def test_formats_follow_suffixes_and_the_option_overrides(folder: Path) -> None:
    """The suffix before .gz or .xz decides; --input-format keeps the compression."""
    assert find_sources(["docs/sub/d.jsonl.gz", "docs/c.bin", "-"]) == [
        Source("docs/sub/d.jsonl.gz", InputFormat.JSONL, "gz"),
        Source("docs/c.bin", InputFormat.TXT),
        Source(None, InputFormat.TXT),
    ]
    assert find_sources(["docs/sub/d.jsonl.gz", "-"], InputFormat.CSV) == [
        Source("docs/sub/d.jsonl.gz", InputFormat.CSV, "gz"),
        Source(None, InputFormat.CSV),
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("missing.txt", "missing.txt: no such file; expected a file, a folder, a glob"),
        ("", ": no such file"),
        ("a text " * 1000, "a text a text"),
        ("docs/*.pdf", "docs/*.pdf: no file matches"),
        ("docs/su?", "docs/su?: no file matches"),
        ("docs/.git/../none", "docs/.git/../none: no such file"),
        ("empty", "empty: no file to read in this folder, expected txt"),
    ],
)
def test_what_is_not_there_is_told(folder: Path, given: str, message: str) -> None:
    """A missing file, a glob without a match and an empty folder are one line each."""
    (folder / "empty").mkdir()
    with pytest.raises(DataError) as caught:
        find_sources([given])
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_missing_file_is_told_before_anything_is_read(folder: Path) -> None:
    """`read_records` looks for its inputs when it is called, not when it is first asked."""
    with pytest.raises(DataError, match=r"missing\.txt: no such file"):
        read_records(InputOptions(inputs=("docs/b.txt", "missing.txt")))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_told(folder: Path) -> None:
    """A file that may not be read is told before anything is read."""
    (folder / "docs/b.txt").chmod(0)
    with pytest.raises(DataError, match=r"docs/b.txt: may not be read"):
        find_sources(["docs/b.txt"])


def test_a_file_that_may_not_be_read_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for whoever runs the tests as root."""
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(DataError, match=r"docs/b.txt: may not be read"):
        find_sources(["docs/b.txt"])


def test_a_file_that_vanishes_or_fails_is_told(folder: Path) -> None:
    """What fails at opening or in the middle of reading is a DataError that names the file."""
    with (
        pytest.raises(DataError, match=r"gone.txt: cannot be read \(No such file"),
        open_source(Source("gone.txt")),
    ):
        pass
    with (
        pytest.raises(DataError, match=r"b.txt: cannot be read \(Input/output error\)"),
        open_source(Source("docs/b.txt")),
    ):
        raise OSError(5, "Input/output error")


@pytest.mark.parametrize(("suffix", "compress"), [("gz", gzip.compress), ("xz", lzma.compress)])
def test_archives_are_read_and_damage_is_told(read: Read, suffix, compress) -> None:  # type: ignore[no-untyped-def]
    """.gz and .xz are opened on the way; a cut, a broken or a false one names its file."""
    data = compress(os.urandom(3000).hex().encode() + b"\n")
    assert len(read(f"a.txt.{suffix}", data)) == 1
    broken = data[:1500] + b"\0\xff" * 40 + data[1580:]
    for damaged in (data[:-20], data[:12], broken, b"not an archive at all"):
        with pytest.raises(DataError, match=rf"a.txt.{suffix}: the {suffix} file is damaged"):
            read(f"a.txt.{suffix}", damaged)


def test_stdin_is_text_unless_told_and_opened_if_compressed() -> None:
    """Stdin is plain text by default; gzip and xz are told by their first bytes."""
    for data in (b"one\ntwo\n", gzip.compress(b"one\ntwo\n"), lzma.compress(b"one\ntwo\n")):
        items = list(read_records(InputOptions(), io.BytesIO(data)))
        assert outcomes(items) == ["1 one", "2 two"]
        assert str(items[0].place) == "stdin:1"
    options = InputOptions(inputs=("-",), input_format=InputFormat.JSONL)
    assert outcomes(list(read_records(options, io.BytesIO(b'{"text": "a"}')))) == ["1 a"]


def test_stdin_stays_open_for_its_owner(tmp_path: Path) -> None:
    """Reading stdin does not close it."""
    memory = io.BytesIO(b"one\n")
    list(read_records(InputOptions(), memory))
    assert not memory.closed
    (tmp_path / "a.txt").write_text("one\n")
    with (tmp_path / "a.txt").open("rb") as file:
        assert outcomes(list(read_records(InputOptions(), file))) == ["1 one"]
        assert os.fstat(file.fileno())


def test_empty_missing_and_doubled_stdin_are_told() -> None:
    """Nothing on stdin, no stdin and stdin twice are errors with a way out."""
    with pytest.raises(DataError, match="stdin: is empty"):
        list(read_records(InputOptions(), io.BytesIO(b"")))
    with pytest.raises(UsageError, match="no stdin"):
        list(read_records(InputOptions(), None))
    with pytest.raises(UsageError, match="twice"):
        read_records(InputOptions(inputs=("-", "-")), io.BytesIO(b"one"))


def test_names_that_are_not_utf8_can_be_printed() -> None:
    """A file name of stray bytes shows a replacement character instead of failing."""
    assert Source(os.fsdecode(b"caf\xe9.txt")).name == "caf\ufffd.txt"
