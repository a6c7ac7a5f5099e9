"""Indexes over files and folders, from build to repair, with a tiny checkpoint."""

from __future__ import annotations

import contextlib
import csv
import gzip
import itertools
import json
import lzma
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from inputs.test_documents import pdf_of

from bertcli.index import connection
from bertcli.index.files import Source, _mistakable
from bertcli.index.places import named_folder

from .conftest import Ran, Run

FILES = {
    "readme.md": "# Home\nWelcome here.\n\n## Opening hours\nNine to five.\n",
    "sub/prices.csv": "text,year\nA ticket costs ten.,2020\nChildren pay half.,2023\n",
    "sub/code.py": "def opening_hours():\n    return 9, 17\n",
    "sub/ignored.log": "noise",
    ".gitignore": "*.log\n",
    "broken.pdf": "%PDF-1.4 no",
}


@pytest.fixture
def docs(here: Path) -> Path:
    """A folder of mixed files, one of them broken."""
    for name, text in FILES.items():
        path = here / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return here / "docs"


@pytest.fixture
def tiny(run: Run, tiny_checkpoint: Any, docs: Path) -> Callable[..., Ran]:
    """Return a function that runs a command line with a tiny checkpoint."""
    return lambda *arguments, **more: run(*arguments, "-m", tiny_checkpoint("bert"), **more)


def hits(run: Run, query: str, *more: object) -> list[dict[str, Any]]:
    """Return what a search by words finds."""
    (record,) = run("search", query, "--index", "./i", "--mode", "keyword", *more).records
    return list(record["hits"])


def test_a_folder_of_mixed_files(tiny: Callable[..., Ran], run: Run) -> None:
    """Every kind of file is found with its place; the broken one is told, and the rest goes on."""
    ran = tiny("index", "build", "./i", "docs")
    assert ran.code == 3
    assert "docs/broken.pdf: is a damaged PDF" in ran.err
    assert "files: 3 added, 1 failed; 4 documents in 5 passages now" in ran.err
    (hit,) = hits(run, "nine")
    assert (hit["document"], hit["line"], hit["last_line"]) == ("docs/readme.md", 4, 5)
    assert hit["heading"] == "Home > Opening hours"
    (hit,) = hits(run, "children")
    assert (hit["document"], hit["line"]) == ("docs/sub/prices.csv", 3)
    assert hit["columns"] == {"year": "2023"}
    assert [one["line"] for one in hits(run, "ticket OR half", "--where", "year > 2021")] == [3]
    assert hits(run, "noise") == []
    (info,) = run("index", "info", "./i").records
    assert (info["files"], info["skipped_files"], info["sources"]) == (4, 1, ["docs"])
    (skipped,) = info["skipped"]
    assert skipped.startswith("docs/broken.pdf: is a damaged PDF")


def test_files_of_the_same_name_in_two_places(
    tiny: Callable[..., Ran], run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source that would hide another's files goes by its path."""
    for place, text in (("one", "first words"), ("two", "second words")):
        (here / place / "docs").mkdir(parents=True)
        (here / place / "docs" / "a.md").write_text(text)
    for place, command in (("one", "build"), ("two", "add")):
        with monkeypatch.context() as patch:
            patch.chdir(here / place)
            assert tiny("index", command, "../i", "docs").code == 0
    places = {hit["document"] for hit in hits(run, "words")}
    assert places == {"docs/a.md", f"{here}/two/docs/a.md"}
    assert tiny("index", "add", "./i", "one/docs").code == 0  # the first once more, from elsewhere
    assert {hit["document"] for hit in hits(run, "words")} == {
        "one/docs/a.md",
        f"{here}/two/docs/a.md",
    }


@pytest.mark.parametrize(
    ("one", "other", "mistakable"),
    [
        (("a", "."), ("b", "."), True),
        (("a", "docs"), ("b", "docs"), True),
        (("a", "."), ("b", "docs"), True),
        (("a", "."), ("a", "docs"), False),
        (("a", "."), ("a", "../b"), False),
        (("a", "../b"), ("c", ".."), False),
        (("a", "docs"), ("b", "notes"), False),
        (("a", "."), ("", "{here}/b"), False),
    ],
)
def test_which_sources_call_files_the_same(
    one: tuple[str, str], other: tuple[str, str], mistakable: bool, tmp_path: Path
) -> None:
    """Each is said as it was in a folder: some names mean two places."""
    sources = []
    for place, name in (one, other):
        said = name.replace("{here}", str(tmp_path))
        sources.append(Source(os.path.normpath(tmp_path / place / said), said))
    assert _mistakable(*sources) == _mistakable(*reversed(sources)) == mistakable


def test_a_broken_file_that_is_broken_otherwise(
    tiny: Callable[..., Ran], run: Run, docs: Path
) -> None:
    """It is told once more, as one of which the index has nothing, and then is known."""
    tiny("index", "build", "./i", "docs", "-q")
    (docs / "broken.pdf").write_text("%PDF-1.4 nor this")
    ran = run("index", "update", "./i")
    assert ran.code == 3 and "broken.pdf: is a damaged PDF" in ran.err
    assert "stays" not in ran.err
    assert run("index", "update", "./i").said("1 still without readable text")


def test_a_dry_run_counts_each_kind_of_file(tiny: Callable[..., Ran], run: Run, here: Path) -> None:
    """Rows of a few words and pages of many are far apart: one's bytes say nothing of another's."""
    folder = here / "kinds"
    folder.mkdir()
    rows = "".join(f"row {i},{'x' * 90}\n" for i in range(300))
    (folder / "rows.csv").write_text(f"text,more\n{rows}")
    for i in range(4):
        (folder / f"{i}.md").write_text("the cat sat on the mat. " * 400)
    (told,) = tiny("index", "build", "./i", "kinds", "--dry-run").records
    tiny("index", "build", "./i", "kinds", "-q")
    (made,) = run("index", "info", "./i").records
    assert told["passages"] == pytest.approx(made["passages"], rel=0.2)


def test_a_compressed_page_keeps_its_headings(
    tiny: Callable[..., Ran], run: Run, here: Path
) -> None:
    """The suffix before .gz or .xz says what it is."""
    folder = here / "packed"
    folder.mkdir()
    (folder / "a.md.gz").write_bytes(gzip.compress(b"# Birds\nA heron.\n"))
    (folder / "b.html.xz").write_bytes(lzma.compress(b"<h1>Fish</h1><p>A <b>trout</b>.</p>"))
    assert tiny("index", "build", "./i", "packed").code == 0
    assert [one["heading"] for one in hits(run, "heron")] == ["Birds"]
    assert [one["heading"] for one in hits(run, "trout")] == ["Fish"]


def test_an_update_follows_the_files(tiny: Callable[..., Ran], run: Run, docs: Path) -> None:
    """Added, changed, moved and deleted files, and a failure that was told once."""
    tiny("index", "build", "./i", "docs", "-q")
    (docs / "new.rst").write_text("Title\n=====\n\nBrand new.\n")
    (docs / "readme.md").write_text("# Home\nFarewell.\n")
    (docs / "sub" / "code.py").replace(docs / "moved.py")
    (docs / "sub" / "prices.csv").unlink()
    ran = run("index", "update", "./i")
    assert ran.code == 0
    assert ran.said(
        "1 added, 1 changed, 1 moved, 1 deleted, 1 still without readable text; 3 documents"
    )
    assert [one["document"] for one in hits(run, "opening")] == ["docs/moved.py"]
    assert hits(run, "children") == [] and len(hits(run, "farewell")) == 1
    assert run("index", "update", "./i").said("files: 3 unchanged, 1 still without readable text")
    assert run("index", "check", "./i").records[0]["problems"] == []


def test_a_folder_that_is_gone_deletes_nothing(
    tiny: Callable[..., Ran], run: Run, docs: Path
) -> None:
    """A disk that is not mounted must not empty the index."""
    other = docs.with_name("other")
    other.mkdir()
    (other / "note.md").write_text("A note.\n")
    tiny("index", "build", "./i", "docs", "other", "-q")
    docs.rename(docs.with_name("elsewhere"))
    ran = run("index", "update", "./i")
    assert ran.code == 1 and ran.said("docs", "is not there any more", "nothing was changed")
    assert len(hits(run, "children")) == 1
    advised = ran.err.split("`")[1].split()
    assert run(*advised[1:]).said("4 documents removed")
    assert run("index", "update", "./i").said("files: 1 unchanged")


@pytest.mark.parametrize("folder", ["docs", "./docs", "{here}/docs"])
@pytest.mark.parametrize("path", ["./docs/sub", "docs/sub/", "{here}/docs/sub", "docs/./sub/*"])
def test_documents_are_removed_by_folder(
    path: str, folder: str, tiny: Callable[..., Ran], run: Run, here: Path
) -> None:
    """However a path is written, and was when the index was built; what fits nothing is told."""
    tiny("index", "build", "./i", folder.format(here=here), "-q")
    ran = run("index", "remove", "./i", "--path", path.format(here=here))
    assert ran.said("3 documents removed"), ran.err
    assert len(hits(run, "nine")) == 1 and hits(run, "children") == []
    ran = run("index", "remove", "./i", "--path", "docs/su")
    assert "no document is called docs/su, nor is it a folder" in ran.err


def test_no_path_is_no_document(tiny: Callable[..., Ran], run: Run, here: Path) -> None:
    """An empty one, as of a variable that is not set, removes nothing; many are no trouble."""
    tiny("index", "build", "./i", here / "docs", "-q")
    assert run("index", "remove", "./i", "--path", "").said('--path "" names no documents')
    many = [part for n in range(1200) for part in ("--path", f"docs/{n}")]
    assert run("index", "remove", "./i", *many, "--path", "docs/sub/code.py").said(
        "1 document removed"
    )


def test_an_index_that_is_not_whole_says_so(tiny: Callable[..., Ran], run: Run) -> None:
    """Nothing found may then mean nothing yet; quiet ones do not say it."""
    tiny("index", "build", "./i", "docs", "-q")
    with contextlib.closing(sqlite3.connect(next(Path("i").glob("*.sqlite")))) as connection:
        connection.execute("UPDATE meta SET value = 0 WHERE key = 'complete'")
        connection.commit()
    line = ("search", "nine", "--index", "./i")
    for mode in ("keyword", "hybrid"):
        assert run(*line, "--mode", mode).said("./i is not complete", "goes on")
        assert run(*line, "--mode", mode, "-q").err == ""
    ran = run("index", "check", "./i")
    assert ran.code == 1 and ran.said("has 1 problem,") and "repair" not in ran.err
    (problem,) = ran.records[0]["problems"]
    assert "not complete" in problem and "`bertcli index update ./i`" in problem
    Path("i", "documents-1.sqlite").unlink()
    assert tiny("index", "build", "./i", "docs", "--overwrite").code == 3


def test_a_build_that_came_to_nothing_is_begun_anew(
    tiny: Callable[..., Ran], run: Run, here: Path
) -> None:
    """The corrected command works; an index with something in it is not built over."""
    (here / "c.csv").write_text("title,body\nA,the cat sat\n")
    assert tiny("index", "build", "./i", "c.csv").code == 3
    assert tiny("index", "build", "./i", "c.csv", "--field", "body").said("1 document in 1")
    assert [hit["text"] for hit in hits(run, "cat")] == ["the cat sat"]
    assert len(list((here / "i").iterdir())) == 4
    assert run("index", "check", "./i").code == 0
    ran = tiny("index", "build", "./i", "c.csv", "--field", "title")
    assert ran.code == 1 and ran.said("./i is an index already")
    run("index", "remove", "./i", "--path", "c.csv")
    assert tiny("index", "build", "./i", "c.csv", "--field", "title").code == 1


def test_passages_of_a_document_stand_together(tiny: Callable[..., Ran], run: Run) -> None:
    """In every format."""
    for name in "ab":
        Path("docs", f"{name}.md").write_text("# One\n\nfox\n\n# Two\n\nfox fox dog\n" * 2)
    tiny("index", "build", "./i", "docs", "-q", "--chunk-tokens", 8, "--overlap", 0)
    line = ("search", "fox dog", "--index", "./i", "--mode", "keyword", "-k", 6)
    line = (*line, "--group-by", "path")
    places = [one.partition(":")[0] for one in run(*line, "-q").out.splitlines()]
    rows = [row["document"] for row in csv.DictReader(run(*line, "-f", "csv").out.splitlines())]
    for found in (places, rows):
        assert len(found) == 6 and len(list(itertools.groupby(found))) == len(set(found)) > 1


def test_globs_and_what_is_no_document(tiny: Callable[..., Ran], run: Run, docs: Path) -> None:
    """Only what is asked for is read, also by the next update."""
    (docs / "picture.bin").write_bytes(bytes(100))
    tiny("index", "build", "./i", "docs", "--include", "*.md", "--include", "*.py", "-q")
    (docs / "sub" / "more.csv").write_text("text\nmore\n")
    assert run("index", "update", "./i").said("files: 2 unchanged")


def test_an_index_within_its_own_folder(tiny: Callable[..., Ran], run: Run) -> None:
    """An index does not index itself."""
    tiny("index", "build", "./docs/i", "docs", "-q")
    assert run("index", "update", "./docs/i").said(
        "files: 3 unchanged, 1 still without readable text"
    )


def test_an_id_is_not_given_again(run: Run, here: Path) -> None:
    """Somebody may have noted that of a passage which is gone by now, to remove it."""
    Path("d").mkdir()
    Path("d/a.txt").write_text("A text on rain.")
    Path("d/b.txt").write_text("A text on tulips.")
    run("index", "build", "./i", "d", "-q")
    line = ("search", "text", "--index", "./i")
    last = max(hit["id"] for hit in run(*line).records[0]["hits"])
    Path("d/b.txt").unlink()
    Path("d/z.txt").write_text("Another text.")
    run("index", "update", "./i", "-q")
    assert last not in {hit["id"] for hit in run(*line).records[0]["hits"]}
    assert run("index", "remove", "./i", "--id", last).said("no passage has this number")


def test_a_model_that_is_named_must_be_there(run: Run, docs: Path) -> None:
    """Also where an update has nothing to embed."""
    run("index", "build", "./i", "docs/sub", "-q")
    ran = run("index", "update", "./i", "-m", "./none")
    assert (ran.code, ran.said("./none: no such folder")) == (1, True)


def test_what_was_removed_comes_back_when_it_is_added(
    tiny: Callable[..., Ran], run: Run, docs: Path
) -> None:
    """An update leaves it out; who names it again, or another column, means it."""
    tiny("index", "build", "./i", "docs/sub", "-q")
    assert run("index", "remove", "./i", "--path", "docs/sub/*.csv").said("2 documents removed")
    assert run("index", "update", "./i").said("files: 3 unchanged; 2 documents")
    assert tiny("index", "add", "./i", "docs/sub/prices.csv").said("files: 1 changed; 4 documents")
    assert len(hits(run, "children")) == 1
    ran = tiny("index", "add", "./i", "docs/sub/prices.csv", "--field", "year")
    assert ran.said("files: 1 changed; 4 documents")
    assert hits(run, "children") == [] and len(hits(run, "2023")) == 1


def test_what_was_removed_stays_out_when_it_changes_and_moves(
    tiny: Callable[..., Ran], run: Run, docs: Path
) -> None:
    """An update knows it again by what it has become."""
    tiny("index", "build", "./i", "docs/sub", "-q")
    assert run("index", "remove", "./i", "--path", "docs/sub/code.py").said("1 document removed")
    with (docs / "sub" / "code.py").open("a") as file:
        file.write("more = 1\n")
    assert tiny("index", "update", "./i").said("files: 3 unchanged; 3 documents")
    (docs / "sub" / "code.py").replace(docs / "sub" / "other.py")
    assert tiny("index", "update", "./i").said("files: 1 moved, 2 unchanged; 3 documents")


def test_an_index_has_a_name(tiny: Callable[..., Ran], run: Run, here: Path) -> None:
    """A bare word is a name in the user's data folder; `list` shows it, a path is a folder."""
    tiny("index", "build", "by-name", "docs/readme.md", "-q")
    assert (named_folder() / "by-name" / "manifest.json").is_file()
    assert not (here / "by-name").exists()
    (record,) = run("search", "nine", "--index", "by-name", "--mode", "keyword").records
    assert len(record["hits"]) == 1
    assert "by-name" in [one["name"] for one in run("index", "list").records]


def test_rebuild_with_other_lengths(
    tiny: Callable[..., Ran], run: Run, docs: Path, tiny_checkpoint: Any
) -> None:
    """The texts and headings are in the index: neither files nor the old model are needed."""
    tiny("index", "build", "./i", "docs", "-q")
    for path in sorted(docs.rglob("*.*")):
        path.unlink()
    other = tiny_checkpoint("bert", seed=1)
    assert run("search", "x", "--index", "./i", "-m", other).code == 1
    assert run("index", "rebuild", "./i", "-m", other, "--chunk-tokens", 24).code == 0
    assert run("search", "x", "--index", "./i").code == 0
    assert hits(run, "nine")[0]["heading"] == "Home > Opening hours"
    assert run("index", "check", "./i").records[0]["problems"] == []


@pytest.mark.parametrize(
    ("chosen", "tokens", "kept"), [(0, 24, 0), (5, 24, 5), (None, 24, 6), (10, 8, 2)]
)
def test_an_overlap_that_was_chosen_outlasts_other_lengths(
    tiny: Callable[..., Ran], run: Run, chosen: int | None, tokens: int, kept: int
) -> None:
    """One that was not, or that is too long now, is the usual one of the new length."""
    asked = () if chosen is None else ("--overlap", chosen)
    tiny("index", "build", "./i", "docs", "-q", "--chunk-tokens", 16, *asked)
    run("index", "rebuild", "./i", "--chunk-tokens", tokens, "-q")
    (info,) = run("index", "info", "./i").records
    assert (info["chunk_tokens"], info["overlap"]) == (tokens, kept)


def test_a_file_that_turns_binary_stays_as_it_was(tiny: Callable[..., Ran], run: Run) -> None:
    """Whatever its suffix: it is told, and what the index has of it is kept."""
    names = [f"docs/a{suffix}" for suffix in (".rst", ".py", ".rs", ".md", "")]
    for name in names:
        Path(name).write_text("a walrus")
    tiny("index", "build", "./i", "docs", "-q")
    for name in names:
        Path(name).write_bytes(b"a walrus\0" * 3)
    ran = run("index", "update", "./i")
    assert ran.code == 3
    assert all(f"{name}: is a binary file" in ran.err for name in names)
    assert sorted(hit["document"] for hit in hits(run, "walrus")) == sorted(names)


def test_documents_that_nothing_reads_are_told(tiny: Callable[..., Ran], docs: Path) -> None:
    """An old Word file or a workbook is no text, but who has one expects it to be found."""
    (docs / "old.doc").write_bytes(b"\xd0\xcf\x11\xe0\0")
    (docs / "sums.xlsx").write_bytes(b"PK\x03\x04\0")
    (docs / "letter.rtf").write_bytes(rb"{\rtf1 Dear {\b walrus}}")
    ran = tiny("index", "build", "./i", "docs")
    assert "docs/letter.rtf: .rtf files are not read" in ran.err
    assert "docs/old.doc: .doc files are not read: save it as a .docx or a PDF" in ran.err
    assert "docs/sums.xlsx: .xlsx files are not read: save it as a CSV file" in ran.err


def test_a_full_disk_can_be_read(
    tiny: Callable[..., Ran], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite has no room for its log then; what is read needs none, and writing says so."""
    tiny("index", "build", "./i", "docs", "-q")
    connected = connection.connect

    def full(path: Path, mode: str) -> sqlite3.Connection:
        if "immutable" in mode:
            return connected(path, mode)
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
        raise error

    monkeypatch.setattr(connection, "connect", full)
    assert hits(run, "nine")
    ran = run("index", "remove", "./i", "--path", "docs/readme.md")
    assert ran.code == 1 and ran.said("no room to write")


def test_check_finds_another_model_behind_the_name(
    tiny: Callable[..., Ran], run: Run, here: Path, tiny_checkpoint: Any
) -> None:
    """Vectors that the model would not make are a problem, whatever the checksums say."""
    tiny("index", "build", "./i", "docs", "-q")
    other = tiny_checkpoint("bert", seed=1)
    run("index", "rebuild", "./i", "-m", other, "-q")
    manifest = json.loads((here / "i" / "manifest.json").read_text())
    run("index", "build", "./honest", "docs", "-q", "-m", tiny_checkpoint("bert"))
    manifest["model"] = json.loads((here / "honest" / "manifest.json").read_text())["model"]
    (here / "i" / "manifest.json").write_text(json.dumps(manifest))
    ran = run("index", "check", "./i")
    assert ran.code == 1 and ran.said("has 1 problem,") and "repair" not in ran.err
    (problem,) = ran.records[0]["problems"]
    assert "not what the model makes" in problem and "`bertcli index rebuild ./i`" in problem
    assert run("index", "rebuild", "./i", "-q").code == 0
    assert run("index", "check", "./i").code == 0


def test_compact_copy_and_remove(tiny: Callable[..., Ran], run: Run) -> None:
    """Removed passages go, by their number too; a copy is an index of its own."""
    tiny("index", "build", "./i", "docs", "-q")
    (hit,) = hits(run, "children")
    assert run("index", "remove", "./i", "--id", hit["id"]).said("1 document removed")
    assert run("index", "info", "./i").records[0]["unused_vectors"] == 1
    assert run("index", "compact", "./i").code == 0
    assert run("index", "info", "./i").records[0]["unused_vectors"] == 0
    assert run("index", "copy", "./i", "./copy").code == 0
    assert run("index", "check", "./copy").records[0]["passages"] == 4
    again = run("index", "copy", "./i", "./copy")
    assert again.code == 1 and again.said("./copy", "not empty")


def test_chunks_are_shown_without_an_index(tiny: Callable[..., Ran]) -> None:
    """What a file would become: headings, lines and texts."""
    first, second = tiny("index", "chunks", "docs/readme.md").records
    assert (first["heading"], first["lines"], first["text"]) == (
        "Home",
        [1, 2],
        "# Home\nWelcome here.",
    )
    assert second["lines"] == [4, 5]


def test_chunks_have_the_same_keys(
    tiny: Callable[..., Ran], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With or without a heading and a page, so that a table can be made of them; a person sees
    only those that are there."""
    (here / "late.md").write_text("No heading yet.\n\n# Here\nIs one.\n")
    first, second = tiny("index", "chunks", "late.md").records
    assert list(first) == list(second)
    assert (first["heading"], second["heading"], first["page"]) == (None, "Here", None)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    shown = tiny("index", "chunks", "late.md").out
    assert shown.count("heading") == 2 and "page" not in shown and "None" not in shown
    assert [line.split() for line in shown.splitlines() if line.startswith("lines")] == [
        ["lines", "1"],
        ["lines", "3–4"],
    ]


def test_globs_of_folders(tiny: Callable[..., Ran], run: Run) -> None:
    """They take or leave what is in them; one to include that fits nothing is told."""
    both = ("docs", "docs/sub", "--include", "sub", "--include", "subs", "--exclude", "none")
    ran = tiny("index", "build", "./i", *both)
    assert 'bertcli: --include "subs": nothing to index in docs, docs/sub fits it\n' in ran.err
    assert '"sub":' not in ran.err and "none" not in ran.err
    ran = tiny("index", "build", "./h", "./docs", "--exclude", "docs/sub")
    line = '--exclude "docs/sub": nothing to index in ./docs fits it: paths are those within it'
    assert f"bertcli: {line}\n" in ran.err
    assert tiny("index", "build", "./j", "docs", "--include", "./sub").said("2 added")
    assert tiny("index", "add", "./j", "docs", "--include", "none", "-q").err.count("none") == 0


def test_a_dry_run_counts_what_would_be_read(
    tiny: Callable[..., Ran], run: Run, docs: Path
) -> None:
    """A file of two sources once, and none that an index holds as it is; removed ones come back."""

    def files(*arguments: object) -> int:
        return int(tiny("index", *arguments, "--dry-run").records[0]["files"])

    assert files("build", "./i", "docs") == 4
    assert files("build", "./i", "docs", "docs/readme.md", "docs") == 4
    tiny("index", "build", "./i", "docs/sub", "docs/broken.pdf", "-q")
    assert files("add", "./i", "docs/sub") == 0
    (docs / "sub" / "code.py").write_text("def other():\n    return 8, 18\n")
    assert files("add", "./i", "docs") == 2
    run("index", "remove", "./i", "--path", "docs/sub/prices.csv")
    assert files("add", "./i", "docs") == 3


def test_a_pipe_is_no_source(tiny: Callable[..., Ran], here: Path) -> None:
    """It is told what is wrong and what reads it; nothing waits."""
    os.mkfifo("pipe.txt")
    ran = tiny("index", "build", "./i", "pipe.txt")
    assert ran.err == "bertcli: pipe.txt: is neither a file nor a folder; read a pipe with -i\n"


def test_a_dry_run_tells_how_many_files_it_could_not_read(
    tiny: Callable[..., Ran], here: Path
) -> None:
    """The first ten by name."""
    for number in range(12):
        (here / "docs" / f"bad{number}.pdf").write_text("%PDF-1.4 no")
    ran = tiny("index", "build", "./i", "docs", "--dry-run")
    assert ran.err.count("is a damaged PDF") == 10
    assert "bertcli: 3 more cannot be read\n" in ran.err


def test_a_dry_run_writes_nothing(tiny: Callable[..., Ran], here: Path) -> None:
    """It tells what building would take, and leaves no folder behind."""
    ran = tiny("index", "build", "./i", "docs", "--dry-run")
    (facts,) = ran.records
    assert facts["files"] == 4 and facts["passages"] >= 5 and facts["failed_files"] == 1
    assert facts["seconds"] > 0 and facts["disk_bytes"] > 0
    assert not (here / "i").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("build", "./i", "none"), 1, "none: no such file or folder"),
        (("build", "./i", "docs", "-i", "none"), 1, "none: no such file"),
        (("build", "", "docs"), 2, "needs a name"),
        (("build", "./i", "docs", "--chunk-tokens", "9999"), 2, "--chunk-tokens 9999"),
        (("update", "./i"), 1, "does not exist"),
        (("chunks", "docs"), 2, "is a folder"),
    ],
)
def test_wrong_use_is_one_line(
    tiny: Callable[..., Ran], arguments: tuple[str, ...], code: int, said: str
) -> None:
    """What is wrong, before anything is made."""
    ran = tiny("index", *arguments)
    assert ran.code == code and ran.said(said)


def test_records_cannot_be_updated(tiny: Callable[..., Ran], run: Run) -> None:
    """An index of records has no files to come back to, and says so."""
    tiny("index", "build", "./i", "-i", "docs/readme.md", "-q")
    ran = run("index", "update", "./i")
    assert ran.code == 2 and ran.said(
        "no folder or file to come back to", "bertcli index add ./i -i FILE"
    )


def test_a_file_that_may_not_be_read(
    tiny: Callable[..., Ran], run: Run, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told like a broken one, and indexed once it may be read."""
    (docs / "secret.txt").write_text("secret words")
    really = Path.open

    def refused(path: Path, *arguments: Any, **more: Any) -> Any:
        if path.name == "secret.txt":
            raise PermissionError(13, "Permission denied", str(path))
        return really(path, *arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refused)
        ran = tiny("index", "build", "./i", "docs")
        again = run("index", "update", "./i")
    assert ran.code == 3 and "docs/secret.txt: cannot be read (Permission denied)" in ran.err
    assert again.code == 3 and "docs/secret.txt: cannot be read (Permission denied)" in again.err
    assert run("index", "update", "./i").said("1 changed")
    assert len(hits(run, "secret")) == 1


def test_a_folder_that_cannot_be_listed(
    tiny: Callable[..., Ran], run: Run, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told, the rest goes on, and its files are not taken to be gone."""
    assert (
        tiny("index", "build", "./i", "docs", "--include", "*.md", "--include", "*.csv").code == 0
    )
    really = os.scandir

    def refused(path: Any = ".") -> Any:
        if Path(path).name == "sub":
            raise PermissionError(13, "Permission denied", str(path))
        return really(path)

    (docs / "readme.md").write_text("# Home\nFarewell.\n")
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refused)
        ran = run("index", "update", "./i")
    assert ran.code == 3 and "sub: cannot be read (Permission denied)" in ran.err
    assert "files: 1 changed;" in ran.err
    assert len(hits(run, "children")) == len(hits(run, "farewell")) == 1


def test_the_pages_of_a_pdf(tiny: Callable[..., Ran], run: Run) -> None:
    """A passage over several tells the first and the last one, an answer the one it stands on."""
    Path("a.pdf").write_bytes(pdf_of("The cat sat here.", "Nobody came.", "The dog ran away."))
    tiny("index", "build", "./i", "a.pdf", "-q")
    (chunk,) = tiny("index", "chunks", "a.pdf").records
    (hit,) = hits(run, "dog")
    assert (chunk["page"], chunk["last_page"], hit["page"], hit["last_page"]) == (1, 3, 1, 3)
    assert hit["sentence_page"] == 3
    table = run("search", "dog", "--index", "./i", "--mode", "keyword", "-f", "table").out
    assert "a.pdf:1 p.1–3" in table
    (answer,) = run("qa", "What did the dog do?", "--index", "./i").records
    before = hit["text"][: hit["text"].index(answer["answer"])]
    assert answer["page"] == before.count("\n\n") + 1


NOTE = "# {0}\n\nNotes of the journey to {0}.\n\n## Hotel\n\nThe room cost {1} euro a night.\n"


@pytest.fixture
def journeys(run: Run, here: Path) -> list[str]:
    """The built-in model's index `./j` of notes with the same subsections; returns their names."""
    (here / "notes").mkdir()
    for city, price in (("Kyoto", 120), ("Oslo", 210), ("Rome", 70)):
        (here / "notes" / f"{city}.md").write_text(NOTE.format(city, price))
    assert run("index", "build", "./j", "notes").code == 0
    return ["Kyoto", "Oslo", "Rome"]


@pytest.mark.parametrize("mode", ["hybrid", "dense", "keyword"])
def test_a_section_is_found_by_the_headings_above_it(
    mode: str, journeys: list[str], run: Run
) -> None:
    """The hotels differ by what stands above them alone, which no text of theirs repeats."""
    for city in journeys:
        asked = f"price of a hotel room in {city}" if mode != "keyword" else f'"{city}" "euro"'
        query = (asked, "--index", "./j", "--mode", mode, "-k", 1)
        (hit,) = run("search", *query).records[0]["hits"]
        assert (hit["document"], hit["heading"]) == (f"notes/{city}.md", f"{city} > Hotel")
        assert city not in hit["text"]


def test_headings_above_go_through_all_upkeep(journeys: list[str], run: Run, here: Path) -> None:
    """What is removed, changed, packed, mended or made anew has the words that it had."""
    (here / "notes" / "Oslo.md").write_text(NOTE.format("Bergen", 180))
    for change in (
        ("update", "./j"),
        ("remove", "./j", "--path", "*Rome*"),
        ("compact", "./j"),
        ("repair", "./j"),
        ("rebuild", "./j"),
    ):
        assert run("index", *change).code == 0
        assert run("index", "check", "./j").code == 0
        asked = ("--index", "./j", "--mode", "keyword", "-q")
        assert run("search", '"Bergen" "hotel"', *asked).out == "notes/Oslo.md:5\n"
        assert run("search", "Oslo", *asked).out == ""


def test_a_table_that_lost_its_shape_keeps_its_rows(tiny: Callable[..., Ran], docs: Path) -> None:
    """One quote too many hides all rows; where some are left, the file is as they are."""
    assert tiny("index", "build", "./i", "docs").code == 3
    table = docs / "sub" / "prices.csv"
    table.write_text('text,year\n"A ticket costs ten.,2020\nChildren pay half.,2023\n')
    ran = tiny("index", "update", "./i")
    assert ran.code == 3 and "4 documents in 5 passages now" in ran.err
    assert "is never closed" in ran.err and "what the index has of it stays" in ran.err
    table.write_text('text,year\nA ticket costs ten.,2020\n"Children pay half.,2023\n')
    ran = tiny("index", "update", "./i")
    assert ran.code == 3 and "3 documents in 4 passages now" in ran.err


def test_words_of_most_passages_do_not_decide(run: Run, here: Path) -> None:
    """What is near comes before what shares a word that tells nothing."""
    (here / "notes").mkdir()
    for name, text in (
        ("compost", "Compost wants air again and again."),
        ("heap", "Turn the heap again in spring."),
        ("solar", "The solar panels produced 5,400 kilowatt hours last year."),
        ("tea", "The tea is cold again."),
    ):
        (here / "notes" / f"{name}.txt").write_text(text)
    assert run("index", "build", "./j", "notes").code == 0
    query = ("electricity generated again", "--index", "./j", "-q", "-k", 1)
    assert run("search", *query).out == "notes/solar.txt:1\n"
    assert run("search", *query, "--mode", "keyword").out != "notes/solar.txt:1\n"


def test_a_query_that_the_model_cannot_read_has_no_meaning(run: Run, here: Path) -> None:
    """All that it does not know is one token to it, to which other such texts are nearest."""
    (here / "notes").mkdir()
    (here / "notes" / "key.txt").write_text("x" * 200)
    (here / "notes" / "tea.txt").write_text("龙井茶产于杭州。\n")
    assert run("index", "build", "./j", "notes").code == 0
    ran = run("search", "茶", "--index", "./j")
    assert [hit["document"] for hit in ran.records[0]["hits"]] == ["notes/tea.txt"]
    assert 'the model knows no sign of "茶": only its words count' in ran.err
    ran = run("search", "茶", "--index", "./j", "--mode", "dense")
    assert ran.records[0]["hits"] == [] and "nothing is near it" in ran.err


def test_files_that_are_called_otherwise_are_told(
    tiny: Callable[..., Ran], run: Run, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same folder given by another way gives its documents other names."""
    (docs / "broken.pdf").unlink()
    assert tiny("index", "build", "./i", "docs").code == 0
    index = docs.parent / "i"
    monkeypatch.chdir(docs)
    assert "files: 3 renamed;" in tiny("index", "add", index, ".").err
    assert "files: 3 unchanged;" in tiny("index", "add", index, ".").err
    assert run("search", "nine", "--index", index, "--mode", "keyword", "-q").out == "readme.md:4\n"
