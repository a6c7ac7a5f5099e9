"""Indexes over what hostile testers found: odd names, broken files, filters, repairs."""

from __future__ import annotations

import io
import json
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bertcli.index import keywords
from bertcli.index.where import compile_where
from bertcli.inputs.documents.html import decoded, html

from .conftest import Ran, Run


@pytest.fixture
def tiny(run: Run, tiny_checkpoint: Any, here: Path) -> Callable[..., Ran]:
    """Return a function that runs a command line with a tiny checkpoint."""
    return lambda *arguments, **more: run(*arguments, "-m", tiny_checkpoint("bert"), **more)


def texts(run: Run, query: str, *more: object) -> list[str]:
    """Return the texts that a search by words finds."""
    (record,) = run("search", "--index", "./i", "--mode", "keyword", *more, "--", query).records
    return [hit["text"] for hit in record["hits"]]


def notebook(text: str) -> str:
    """Return a notebook with one cell of text."""
    cell = {"cell_type": "markdown", "metadata": {}, "source": [text]}
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


# --- conditions --------------------------------------------------------------------------------


def test_columns_of_any_name(tiny: Callable[..., Ran], run: Run) -> None:
    """Names in other scripts, with quotes' neighbours and backslashes, are found like others."""
    row = {"text": "the cat sat", "年份": 2023, "a b": 1, "b\\s": 6, "größe": "L"}
    Path("rows.jsonl").write_text(json.dumps(row) + "\n" + json.dumps({"text": "the cat ran"}))
    tiny("index", "build", "./i", "rows.jsonl", "-q")
    for where in ("年份 = 2023", '"年份" >= 2023', '"a b" = 1', '"b\\s" = 6', "größe = 'L'"):
        assert texts(run, "cat", "--where", where) == ["the cat sat"], where


def test_columns_called_path_and_line(tiny: Callable[..., Ran], run: Run) -> None:
    """Between double quotes they are columns, without they are the passage's own."""
    row = {"text": "the cat sat", "path": "/usr", "line": 77}
    Path("rows.jsonl").write_text(json.dumps(row) + "\n")
    tiny("index", "build", "./i", "rows.jsonl", "-q")
    for where in ("\"path\" = '/usr'", '"line" = 77', "path = 'rows.jsonl' and line = 1"):
        assert texts(run, "cat", "--where", where) == ["the cat sat"], where
    for where in ("path = '/usr'", '"line" = 1'):
        assert texts(run, "cat", "--where", where) == [], where


def test_a_column_that_no_document_has(tiny: Callable[..., Ran], run: Run) -> None:
    """It is told where nothing is found, once, also with -q, and one whose case alone differs."""
    rows = [
        {"text": "the cat sat", "Year": 2023, "größe": 1},
        {"text": "the cat ran", "lang": "en"},
    ]
    Path("rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    tiny("index", "build", "./i", "rows.jsonl", "-q")
    search = ("search", "cat", "dog", "--index", "./i", "--mode", "keyword", "--where")
    ran = run(*search, "typo = 1 or year = 2023 or PATH like '%'")
    assert ran.code == 0
    assert ran.said("column typo, year (did you mean Year?), PATH (did you mean path?)")
    assert run("index", "remove", "./i", "--where", "typo = 1").err.count("column typo\n") == 1
    assert run("qa", "who?", "--index", "./i", "--where", "typo = 1").said("column typo")
    assert run(*search, '"line" = 1').err.endswith("the column line\n")
    for where in ("lang = 'de'", "größe > 1", "typo = 1 or lang = 'en'"):
        assert run(*search[:2], *search[3:], where).err == "", where
    assert run(*search, "typo = 1", "-q").said("column typo")


def test_like_in_other_scripts(tiny: Callable[..., Ran], run: Run) -> None:
    """It knows the case of every letter, and looks into lists as they are written."""
    row = {"text": "the cat sat", "lang": "Ünder", "tags": ["größe", "Привет"], "Größe": "ẞ"}
    other = {"text": "the cat ran", "n": 1}
    Path("rows.jsonl").write_text(json.dumps(row) + "\n" + json.dumps(other))
    tiny("index", "build", "./i", "rows.jsonl", "-q")
    for where in (
        *("lang like 'ü%'", "lang like 'ÜNDER'", "path like '%ROWS%' and lang like 'Ü____'"),
        *("tags like '%größe%'", "tags like '%ПРИВЕТ%'", "Größe like 'ss' or Größe like 'ß'"),
    ):
        assert texts(run, "cat", "--where", where) == ["the cat sat"], where
    assert texts(run, "cat", "--where", "n not like 'ü%'") == ["the cat ran"]


def test_removed_rows_stay_out_whatever_letters_their_columns_have(
    tiny: Callable[..., Ran], run: Run
) -> None:
    """A row is known again by its text and its columns."""
    rows = [{"text": f"the cat {n}", "größe": "ü", "n": n} for n in range(3)]
    Path("rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    tiny("index", "build", "./i", "rows.jsonl", "-q")
    run("index", "remove", "./i", "--where", "größe like 'ü%' and n = 1")
    Path("rows.jsonl").write_text("\n".join(map(json.dumps, [{"text": "the cat more"}, *rows])))
    run("index", "update", "./i")
    assert sorted(texts(run, "cat")) == ["the cat 0", "the cat 2", "the cat more"]


@pytest.mark.parametrize(
    ("value", "where", "holds"),
    [
        ("2023-05-01", "v = 2023", False),
        ("555-1234", "v = 555", False),
        ("1.2.3", "v > 1", False),
        (" 2023 ", "v = 2023", True),
        ("-1.5e-3", "v < 0", True),
        (9007199254740993, "v = 9007199254740992", False),
        (9007199254740993, "v = 9007199254740993", True),
        ("true", "v", True),
        ("True", "v = true", True),
        ("false", "v", False),
        ("false", "v = false", True),
        (True, "v = true and not v = false", True),
        (0, "v = false and not v", True),
        (3, "v", True),
        (None, "v = true or v = false or v", False),
        ("yes", "v != true", True),
        (
            None,
            "v != true or v != 1 or v not in (1) or v not like 'a' or v not between 1 and 2",
            False,
        ),
        (1700000000.123456, "v = 1700000000.123456", True),
        (52.37403001234567, "v between 52.37403001234567 and 52.37403001234567", True),
        (0.30000000000000004, "v = 0.3", False),
        ("0.30000000000000004", "v > 0.3", True),
        *(
            (text, "v >= 0 or v < 0", False)
            for text in ("3E", "3e+", "1e.5", "1.e5.", ".e5", "-e5")
        ),
        *((text, "v >= 0 or v < 0", True) for text in ("3.", "+.5", "1.e5", "1E-3", "-.5e+3")),
    ],
)
def test_numbers_and_truth_in_columns(value: object, where: str, holds: bool) -> None:
    """Dates and telephone numbers are no numbers; CSV's true is true."""
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE documents (name, line, metadata)")
    database.execute("INSERT INTO documents VALUES ('', 1, ?)", (json.dumps({"v": value}),))
    found = compile_where(where)
    query = f"SELECT count(*) FROM documents WHERE {found.sql}"
    assert database.execute(query, found.values).fetchone() == (holds,)


def test_a_filter_does_not_empty_a_large_index(
    tiny: Callable[..., Ran], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where rare words come first, what a filter leaves is still found by the common ones."""
    rows = [{"text": f"report number {n}", "lang": "zh" if n % 2 else "en"} for n in range(300)]
    rows[0]["text"] = "zebra report"
    Path("rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    tiny("index", "build", "./i", "rows.jsonl", "-q")
    monkeypatch.setattr(keywords, "MANY_HITS", 10)
    monkeypatch.setattr(keywords, "POOL", 20)
    assert texts(run, "zebra report")[0] == "zebra report"
    assert len(texts(run, "zebra report")) == 10
    assert len(texts(run, "zebra report", "--where", "lang = 'zh'")) == 10
    assert len(texts(run, "zebra report -zebra")) == 10


def test_nesting_and_patterns_have_bounds(tiny: Callable[..., Ran], run: Run) -> None:
    """SQLite's own bounds are not met: the condition is at fault, not the index."""
    Path("a.txt").write_text("the cat")
    tiny("index", "build", "./i", "a.txt", "-q")
    for where in ("not " * 14 + "x = 1", "(" * 14 + "x = 1" + ")" * 14, "x like '" + "a" * 49_999):
        ran = run("search", "cat", "--index", "./i", "--where", where + "'" * ("like" in where))
        assert ran.code == 0, ran.err
    for where in ("not " * 24 + "x = 1", "x like '" + "a" * 60_000 + "'"):
        ran = run("search", "cat", "--index", "./i", "--where", where)
        assert ran.code == 2
        assert "damaged" not in ran.err


# --- what is kept out and what is removed --------------------------------------------------------


def test_a_query_of_exclusions_alone(tiny: Callable[..., Ran], run: Run) -> None:
    """-word is kept out also where nothing else is sought, and by meaning alone."""
    Path("a.txt").write_text("open at christmas\nopen in summer\n")
    tiny("index", "build", "./i", "-i", "a.txt", "-q")
    for mode in ("hybrid", "dense"):
        for query in ("-christmas", "open -christmas"):
            ran = run("search", "--index", "./i", "--mode", mode, "--", query)
            assert [one["text"] for one in ran.records[0]["hits"]] == ["open in summer"]


def test_a_path_stands_for_itself_first(tiny: Callable[..., Ran], run: Run) -> None:
    """What is the path of a document is no glob."""
    Path("br").mkdir()
    Path("br/a[1].md").write_text("cat one")
    Path("br/a1.md").write_text("cat two")
    tiny("index", "build", "./i", "br", "-q")
    assert run("index", "remove", "./i", "--path", "br/a[1].md").said("1 document removed")
    assert texts(run, "cat") == ["cat two"]
    assert run("index", "remove", "./i", "--path", "br/a[0-9].md").said("1 document removed")


def test_what_is_removed_stays_out_when_it_moves(tiny: Callable[..., Ran], run: Run) -> None:
    """The same content under another name is the same file."""
    Path("d").mkdir()
    Path("d/one.txt").write_text("cat one")
    Path("d/two.txt").write_text("cat two")
    tiny("index", "build", "./i", "d", "-q")
    run("index", "remove", "./i", "--path", "d/one.txt")
    Path("d/one.txt").rename("d/three.txt")
    run("index", "update", "./i")
    assert texts(run, "cat") == ["cat two"]


def test_rows_that_are_removed_stay_out_when_their_file_changes(
    tiny: Callable[..., Ran], run: Run
) -> None:
    """Those of another file with the same text do not; adding the file again brings them back."""
    rows = [{"text": "the cat sat", "year": 1990}, {"text": "the cat ran", "year": 2024}]
    lines = [json.dumps(row) + "\n" for row in rows]
    Path("rows.jsonl").write_text("".join(lines))
    tiny("index", "build", "./i", "rows.jsonl", "-q")
    run("index", "remove", "./i", "--where", "year < 2000")
    same = json.dumps({"text": "the cat sat", "year": 2023}) + "\n"
    Path("rows.jsonl").write_text(
        "".join([json.dumps({"text": "a cat more"}) + "\n", *lines, same])
    )
    run("index", "update", "./i")
    assert sorted(texts(run, "cat")) == ["a cat more", "the cat ran", "the cat sat"]
    assert texts(run, "cat", "--where", "year = 2023") == ["the cat sat"]
    assert texts(run, "cat", "--where", "year = 1990") == []
    assert run("index", "check", "./i").code == 0
    run("index", "add", "./i", "rows.jsonl")
    assert len(texts(run, "cat")) == 4


def test_of_rows_that_are_the_same_only_so_many_stay_out_as_were_removed(
    tiny: Callable[..., Ran], run: Run
) -> None:
    """The first ones."""
    Path("d.csv").write_text("text\n" + "the dup cat\n" * 4)
    tiny("index", "build", "./i", "d.csv", "-q")
    for kept in (3, 2):
        line = 6 - kept
        assert run("index", "remove", "./i", "--where", f"line = {line}").said("1 document removed")
        with Path("d.csv").open("a") as file:
            file.write(f"tail cat {kept}\n")
        run("index", "update", "./i")
        assert texts(run, "cat").count("the dup cat") == kept


def test_a_file_of_rows_goes_on_without_those_that_were_removed(
    tiny: Callable[..., Ran], run: Run
) -> None:
    """Rows that are added later are indexed; not where the file was removed by its path."""
    for name in ("a.csv", "b.csv"):
        Path(name).write_text("text,id\nold cat,1\n")
    Path("c.txt").write_text("whole cat")
    tiny("index", "build", "./i", "a.csv", "b.csv", "c.txt", "-q")
    run("index", "remove", "./i", "--where", "path = 'a.csv' or path = 'c.txt'")
    run("index", "remove", "./i", "--path", "b.csv")
    for name in ("a.csv", "b.csv"):
        Path(name).write_text(f"text,id\nold cat,1\nnew cat of {name[0]},2\n")
    Path("c.txt").write_text("another cat")
    assert run("index", "update", "./i").said("1 changed, 2 unchanged")
    assert texts(run, "cat") == ["new cat of a"]


def test_a_file_that_cannot_be_read_any_more_keeps_its_documents(
    tiny: Callable[..., Ran], run: Run
) -> None:
    """What was indexed stays until there is something better; an emptied file has nothing."""
    Path("d").mkdir()
    page = Path("d/page.ipynb")
    page.write_text(notebook("the cat sat"))
    Path("d/note.txt").write_text("the cat ran")
    tiny("index", "build", "./i", "d", "-q")
    page.write_text(notebook("the cat slept")[:-9])
    Path("d/note.txt").write_text("")
    for _ in range(2):  # it is tried again each time
        ran = run("index", "update", "./i")
        assert ran.code == 3
        assert "what the index has of it stays" in ran.err
        assert texts(run, "cat") == ["the cat sat"]
    page.write_text(notebook("the cat slept"))
    assert run("index", "update", "./i").said("1 changed")
    assert texts(run, "cat") == ["the cat slept"]


def test_columns_that_are_damaged_are_taken_from_the_files_again(
    tiny: Callable[..., Ran], run: Run
) -> None:
    """Repair goes on without them, and says what brings them back."""
    Path("rows.jsonl").write_text(json.dumps({"text": "the cat sat", "year": 1990}) + "\n")
    Path("page.md").write_text("# Cats\n\nthe cat ran\n")
    tiny("index", "build", "./i", "rows.jsonl", "page.md", "-q")
    with sqlite3.connect(next(Path("i").glob("*.sqlite"))) as database:
        database.execute("UPDATE documents SET metadata = '{' WHERE line IS NOT NULL")
        database.execute("UPDATE documents SET outline = '{\"headings\": 3}' WHERE line IS NULL")
    ran = run("index", "repair", "./i")
    assert ran.code == 0
    assert "of 2 documents could not be read: `bertcli index update ./i`" in ran.err
    assert run("index", "check", "./i").code == 0
    assert run("index", "update", "./i").said("2 changed")
    assert texts(run, "cat", "--where", "year = 1990") == ["the cat sat"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("UPDATE documents SET metadata = '[1]'", "columns that are no JSON object"),
        ("UPDATE documents SET metadata = x'00'", "columns that are no JSON object"),
        ("UPDATE documents SET line = 'one'", "a line that is no number"),
        ("UPDATE chunks SET page = 'two'", "a page that is no number"),
    ],
)
def test_values_that_nobody_can_read(
    tiny: Callable[..., Ran], run: Run, change: str, told: str
) -> None:
    """Check tells them, search says that the index is damaged, repair and update mend them."""
    Path("rows.csv").write_text("text,year\nthe cat sat,1990\n")
    tiny("index", "build", "./i", "rows.csv", "-q")
    with sqlite3.connect(next(Path("i").glob("*.sqlite"))) as database:
        database.execute(change)
    ran = run("index", "check", "./i")
    assert ran.code == 1
    assert told in ran.records[0]["problems"][0]
    for fmt in ("jsonl", "table"):
        ran = run("search", "cat", "--index", "./i", "--mode", "keyword", "-f", fmt)
        assert ran.said("index ./i is damaged", "`bertcli index repair ./i`")
    assert "of 1 documents could not be read" in run("index", "repair", "./i").err
    assert run("index", "check", "./i").code == 0
    run("index", "update", "./i")
    assert texts(run, "cat", "--where", "year = 1990 and line = 2") == ["the cat sat"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("DELETE FROM texts WHERE document = 1", "1 documents have no text that can be read"),
        (
            "UPDATE texts SET text = x'00' WHERE document = 1",
            "1 documents have no text that can be read",
        ),
        (
            "UPDATE texts SET text = CAST(x'ff' AS TEXT) WHERE document = 1",
            "1 documents have no text that can be read",
        ),
        ("DELETE FROM documents WHERE id = 1", "1 passages have lost their documents"),
    ],
)
def test_a_document_that_is_lost(
    tiny: Callable[..., Ran], run: Run, change: str, told: str
) -> None:
    """Check tells it with the rest, repair goes on without it, and an update brings it back."""
    Path("rows.csv").write_text("text\nthe cat sat\nthe dog ran\n")
    tiny("index", "build", "./i", "rows.csv", "-q")
    with sqlite3.connect(next(Path("i").glob("*.sqlite"))) as database:
        database.execute(change)
    ran = run("index", "check", "./i")
    assert ran.code == 1 and ran.said("`bertcli index repair ./i`")
    assert told in ran.records[0]["problems"]
    ran = run("index", "repair", "./i")
    assert "1 documents are lost, and out of the index: `bertcli index update ." in ran.err
    assert run("index", "check", "./i").code == 0
    assert texts(run, "cat OR dog") == ["the dog ran"]
    assert run("index", "update", "./i").said("1 changed")
    assert sorted(texts(run, "cat OR dog")) == ["the cat sat", "the dog ran"]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("documents-1.sqlite", None, "(documents-1.sqlite is missing)"),
        ("documents-1.sqlite", "", "(no such table: "),
        ("documents-1.sqlite", "garbage" * 999, "(file is not a database)"),
        ("manifest.json", "{", "(manifest.json is not JSON"),
    ],
)
def test_repair_never_recommends_itself(
    tiny: Callable[..., Ran], run: Run, name: str, content: str | None, told: str
) -> None:
    """Where it cannot mend it says what is broken, and what is left to do.

    So do others, where nothing is left to mend from."""
    Path("a.txt").write_text("the cat sat")
    tiny("index", "build", "./i", "a.txt", "-q")
    Path("i", name).unlink() if content is None else Path("i", name).write_text(content)
    ran = run("search", "cat", "--index", "./i")
    assert ran.said("is damaged", "--overwrite") and ("index repair" in ran.err) == (content == "")
    ran = run("index", "repair", "./i")
    assert ran.code == 1 and "index repair" not in ran.err
    assert ran.said(f"cannot be repaired {told}", "`bertcli index build ./i --overwrite FILES`")
    assert tiny("index", "build", "./i", "--overwrite", "a.txt").code == 0


@pytest.mark.parametrize("change", ['start = 5, "end" = 2', "start = 'a'", "start = start + 1"])
def test_a_passage_that_is_not_where_it_was_cut(
    tiny: Callable[..., Ran], run: Run, change: str
) -> None:
    """Its hash is not made to fit: the text is as it was, and repair cuts it anew."""
    Path("a.txt").write_text("the cat sat")
    tiny("index", "build", "./i", "a.txt", "-q")
    with sqlite3.connect(next(Path("i").glob("*.sqlite"))) as database:
        database.execute(f"UPDATE chunks SET {change}")
    assert run("index", "check", "./i").code == 1
    ran = run("index", "repair", "./i")
    assert ran.said("1 passage embedded again, 1 document cut anew; 1 document in 1 passage")
    assert run("index", "check", "./i").code == 0
    assert texts(run, "cat") == ["the cat sat"]


def test_a_passage_that_is_lost(tiny: Callable[..., Ran], run: Run) -> None:
    """The text still has it: check sees what is in no passage, and repair cuts the text anew."""
    Path("a.md").write_text("# One\n\nthe cat sat\n\n# Two\n\nthe dog ran\n")
    tiny("index", "build", "./i", "a.md", "-q")
    with sqlite3.connect(next(Path("i").glob("*.sqlite"))) as database:
        database.execute("INSERT INTO unused SELECT row, hash, crc FROM chunks WHERE id = 1")
        database.execute("DELETE FROM chunks WHERE id = 1")
    problems = run("index", "check", "./i").records[0]["problems"]
    assert "1 documents have text that is in no passage" in problems
    assert "1 document cut anew; 1 document in 2 passages" in run("index", "repair", "./i").err
    assert run("index", "check", "./i").code == 0
    assert texts(run, "cat") == ["# One\n\nthe cat sat"]
    assert run("index", "update", "./i").said("1 unchanged")


def test_a_text_that_is_not_the_one_that_was_indexed(tiny: Callable[..., Ran], run: Run) -> None:
    """Repair cuts what there is, and has an update read the file again."""
    Path("a.md").write_text("# One\n\nthe cat sat\n")
    tiny("index", "build", "./i", "a.md", "-q")
    with sqlite3.connect(next(Path("i").glob("*.sqlite"))) as database:
        database.execute("UPDATE texts SET text = '# One' || char(10) || 'a bird and a whale'")
    assert run("index", "check", "./i").code == 1
    ran = run("index", "repair", "./i")
    assert "texts of 1 documents are not those that were indexed: `bertcli index update" in ran.err
    assert run("index", "check", "./i").code == 0
    assert texts(run, "whale") == ["# One\na bird and a whale"]
    assert run("index", "update", "./i").said("1 changed")
    assert texts(run, "cat") == ["# One\n\nthe cat sat"]
    assert texts(run, "whale") == []
    assert run("index", "check", "./i").code == 0


def test_a_deleted_source_can_be_given_up(tiny: Callable[..., Ran], run: Run) -> None:
    """A deleted file counts as deleted; a deleted folder as soon as its documents are removed."""
    for name in ("one", "two"):
        Path(name).mkdir()
        Path(name, "a.txt").write_text(f"cat {name}")
    Path("single.txt").write_text("cat single")
    tiny("index", "build", "./i", "one", "two", "single.txt", "-q")
    Path("single.txt").unlink()
    assert run("index", "update", "./i").said("1 deleted, 2 unchanged")
    Path("two/a.txt").unlink()
    Path("two").rmdir()
    assert run("index", "update", "./i").code == 1
    assert run("index", "remove", "./i", "--path", "two/*").code == 0
    assert run("index", "update", "./i").code == 0
    assert texts(run, "cat") == ["cat one"]


def test_a_folder_that_is_empty_all_at_once(tiny: Callable[..., Ran], run: Run) -> None:
    """Its files are taken out, with a question: so looks a disk that is not mounted."""
    for name in ("one/a.txt", "two/a.txt", "two/b.txt"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(f"cat {name}")
    tiny("index", "build", "./i", "one", "two", "-q")
    for name in ("one/a.txt", "two/b.txt"):
        Path(name).rename(f"{name}.away")
    assert run("index", "update", "./i").said("2 deleted")
    Path("two/b.txt.away").rename("two/b.txt")
    run("index", "update", "./i", "-q")
    Path("two").rename("unmounted")
    Path("two").mkdir()
    ran = run("index", "update", "./i")
    assert ran.code == 0
    assert "two: none of its 2 files is there any more: is it mounted?" in ran.err
    Path("two").rmdir()
    Path("unmounted").rename("two")
    assert tiny("index", "update", "./i").said("2 added")


def test_add_only_adds(tiny: Callable[..., Ran], run: Run) -> None:
    """Other globs for the same folder take nothing away, nor does another spelling of it."""
    Path("d").mkdir()
    Path("d/a.txt").write_text("cat text")
    Path("d/b.md").write_text("cat mark")
    tiny("index", "build", "./i", "d", "--include", "*.txt", "-q")
    assert tiny("index", "add", "./i", "d", "--include", "*.md").said("1 added")
    Path("link").symlink_to("d")
    assert tiny("index", "add", "./i", "./d").said("2 unchanged")
    assert "added" not in tiny("index", "add", "./i", "link").err
    assert sorted(texts(run, "cat")) == ["cat mark", "cat text"]


def test_a_file_that_failed_is_tried_again(
    tiny: Callable[..., Ran], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a missing library could not read is read once the library is there."""
    import builtins

    Path("a.html").write_text("<p>the cat sat</p>")
    real = builtins.__import__

    def without(name: str, *more: Any) -> Any:
        if name.startswith("selectolax"):
            raise ImportError("no", name="selectolax")
        return real(name, *more)

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "__import__", without)
        assert "pip install" in tiny("index", "build", "./i", "a.html").err
    assert run("index", "update", "./i").code == 0
    assert texts(run, "cat") == ["the cat sat"]


# --- broken and odd files ------------------------------------------------------------------------


def test_a_name_that_is_not_utf8(tiny: Callable[..., Ran], run: Run) -> None:
    """It is told, and the rest is indexed; the next update knows it."""
    Path("d").mkdir()
    Path("d/good.txt").write_text("cat")
    try:
        with open(b"d/caf\xe9.txt", "w") as file:  # noqa: PTH123
            file.write("cat")
    except OSError:
        pytest.skip("this file system has no such names")
    ran = tiny("index", "build", "./i", "d")
    assert ran.code == 3
    assert "d/caf\ufffd.txt: cannot be read (its name is not UTF-8, rename it)" in ran.err
    assert str(Path.cwd()) not in ran.err
    assert texts(run, "cat") == ["cat"]
    ran = run("index", "update", "./i")
    assert ran.code == 0 and ran.said("files: 1 unchanged, 1 still without readable text")
    assert tiny("index", "build", "./other", "d", "--dry-run").records[0]["files"] == 1
    next(Path("d").glob("caf*")).rename("d/cafe.txt")
    assert run("index", "update", "./i").said("1 added, 1 deleted, 1 unchanged")
    assert texts(run, "cat") == ["cat", "cat"]


def _zip(files: dict[str, str]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return packed.getvalue()


BOOK = {
    "META-INF/container.xml": '<c><rootfile full-path="p.opf"/></c>',
    "p.opf": '<p><item id="a" href="a.xhtml"/><item id="b" href="b.xhtml"/>'
    '<itemref idref="a"/><itemref idref="b"/></p>',
    "a.xhtml": "<html><head><title>One</title></head><body><p>first chapter</p></body></html>",
    "b.xhtml": '<html><head><title/><script src="x"/></head><body><p><a id="q"/>needle</p></body>'
    "</html>",
}


def test_every_broken_document_is_passed_over(tiny: Callable[..., Ran], run: Run) -> None:
    """Whatever its library raises, it is told with its name, and the rest goes on."""
    Path("d").mkdir()
    Path("d/good.txt").write_text("cat")
    book = bytearray(_zip(BOOK))
    at = book.index(b"b.xhtml") + 12
    book[at : at + 4] = b"\xff\xff\xff\xff"
    Path("d/bad.epub").write_bytes(book)
    word = bytearray(_zip({"[Content_Types].xml": "<a/>" * 50, "word/document.xml": "<b/>" * 50}))
    word[60:70] = bytes(10)
    Path("d/bad.docx").write_bytes(word)
    Path("d/bad.pdf").write_bytes(b"%PDF-1.7\n1 0 obj<</Filter/No>>endobj trailer<</Root 1 0 R>>")
    nested = '{"text": "a cat", "x": ' + "[" * 300 + "]" * 300 + "}"
    Path("d/deep.jsonl").write_text(nested + '\n{"text": "good cat"}\n')
    Path("d/.gitignore").write_text("!\n\\\nfoo\\\n[z-a]\n*.log\n")
    Path("d/noise.log").write_text("cat")
    ran = tiny("index", "build", "./i", "d")
    assert ran.code == 3
    for name in ("bad.epub", "bad.docx", "bad.pdf", "deep.jsonl"):
        assert name in ran.err
    assert "bertcli: unexpected" not in ran.err
    assert sorted(texts(run, "cat")) == ["cat", "good cat"]


def test_chapters_with_empty_elements_keep_their_text(tiny: Callable[..., Ran], run: Run) -> None:
    """XHTML's <title/> and <script/> do not swallow what follows."""
    Path("book.epub").write_bytes(_zip(BOOK))
    tiny("index", "build", "./i", "book.epub", "-q")
    assert any("needle" in text for text in texts(run, "needle"))


def test_code_in_pages_keeps_its_lines() -> None:
    """Within <pre>, however deep, white space stays."""
    found = html("<p>a\n b</p><pre><code>def f():\n    <b>return</b> 1</code></pre><p>c\n d</p>")
    assert found.text == "a b\n\ndef f():\n    return 1\n\nc d"


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        ('<meta charset="gbk">', "gbk"),
        ('<meta http-equiv="x" content="text/html; charset=iso-8859-1">', "latin-1"),
        ('<?xml version="1.0" encoding="shift_jis"?>', "shift_jis"),
        ("", "utf-8"),
    ],
)
def test_pages_name_their_encoding(head: str, encoding: str) -> None:
    """As browsers read it."""
    text = {"gbk": "中文", "shift_jis": "日本", "latin-1": "é", "utf-8": "ß"}[encoding]
    assert text in decoded((head + text).encode(encoding))
    assert decoded(("x" + text).encode("utf-16")) == "x" + text


def test_a_folder_with_a_file_called_write_lock(tiny: Callable[..., Ran], run: Run) -> None:
    """Other programs have such files; only a manifest beside it makes an index."""
    Path("d").mkdir()
    Path("d/a.txt").write_text("cat")
    Path("d/write.lock").touch()
    tiny("index", "build", "./i", "d", "-q")
    assert texts(run, "cat") == ["cat"]


def test_a_manifest_that_is_nested_without_end(tiny: Callable[..., Ran], run: Run) -> None:
    """An index that somebody sent is refused, and is no defect."""
    Path("a.txt").write_text("the cat sat")
    tiny("index", "build", "./i", "a.txt", "-q")
    Path("i/manifest.json").write_text("[" * 200_000)
    for line in (["index", "info", "./i"], ["search", "cat", "--index", "./i"]):
        assert run(*line).said("manifest.json is not JSON")


@pytest.mark.parametrize("name", ["write.lock", "manifest.json.tmp", "vectors-1.f32"])
def test_an_index_does_not_write_through_links(
    tiny: Callable[..., Ran], run: Run, name: str
) -> None:
    """A link in an index that somebody sent would have another file of the user written over."""
    Path("a.txt").write_text("the cat sat")
    Path("b.txt").write_text("the dog ran")
    tiny("index", "build", "./i", "a.txt", "-q")
    victim, link = Path("victim").absolute(), Path("i", name)
    before = link.read_bytes() if link.exists() else b"precious"
    victim.write_bytes(before)
    link.unlink(missing_ok=True)
    link.symlink_to(victim)
    for line in (["add", "./i", "b.txt"], ["update", "./i"], ["compact", "./i"], ["repair", "./i"]):
        ran = run("index", *line)
        assert ran.code == 1, line
        assert f"{name} in it is a link" in ran.err
        assert victim.read_bytes() == before


def test_links_to_other_places_are_not_followed(tiny: Callable[..., Ran], run: Run) -> None:
    """What lies outside the folder stays outside, and what is read by its own name comes once."""
    Path("d/.store").mkdir(parents=True)
    Path("secret.txt").write_text("cat secret")
    Path("d/in.txt").write_text("cat inside")
    Path("d/.store/kept.txt").write_text("cat kept")
    for link, target in (
        ("out.txt", "../secret.txt"),
        ("same.txt", "in.txt"),
        ("kept.txt", ".store/kept.txt"),
    ):
        Path("d", link).symlink_to(target)
    tiny("index", "build", "./i", "d", "-q")
    assert sorted(texts(run, "cat")) == ["cat inside", "cat kept"]
    named = tiny("index", "build", "./n", "d", "--include", "same.txt")
    assert named.code == 0 and "files: 1 added" in named.err and "fits it" not in named.err


def test_a_notebook_with_half_a_character_is_read(tiny: Callable[..., Ran], run: Run) -> None:
    """JSON can have what UTF-8 cannot hold, in headings too."""
    Path("d").mkdir()
    cell = {"cell_type": "markdown", "source": "# Ro\ud800me\n\nThe cat.\n\n## Hotel\n\nA bed."}
    Path("d/a.ipynb").write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4}))
    assert tiny("index", "build", "./i", "d", "-q").code == 0
    assert texts(run, "cat") == ["# Ro\ufffdme\n\nThe cat."]


# --- looking after it ----------------------------------------------------------------------------


def test_rebuild_keeps_lengths_and_prompt(
    tiny: Callable[..., Ran], run: Run, tiny_checkpoint: Any
) -> None:
    """Without options, and with the same model by name, what was recorded stays."""
    Path("a.txt").write_text("the cat sat. " * 60)
    how = ["--chunk-tokens", 16, "--overlap", 4, "--prompt", "passage "]
    tiny("index", "build", "./i", "a.txt", *how, "-q")
    before = run("index", "info", "./i").records[0]
    for again in ([], ["-m", tiny_checkpoint("bert")]):
        assert run("index", "rebuild", "./i", *again).code == 0
        after = run("index", "info", "./i").records[0]
        for key in ("chunk_tokens", "overlap", "prompt", "passages"):
            assert after[key] == before[key]


def test_a_lost_manifest_does_not_cost_the_data(tiny: Callable[..., Ran], run: Run) -> None:
    """Building where a finished index lacks its manifest is refused, and deletes nothing."""
    Path("a.txt").write_text("the cat sat")
    tiny("index", "build", "./i", "a.txt", "-q")
    Path("i/manifest.json").unlink()
    kept = sorted(Path("i").iterdir())
    ran = tiny("index", "build", "./i", "a.txt")
    assert ran.code == 1
    assert ran.said("no manifest.json", "nothing was changed")
    assert sorted(Path("i").iterdir()) == kept


def test_repair_mends_sqlites_own_indexes(tiny: Callable[..., Ran], run: Run) -> None:
    """An index of SQLite that disagrees with its table is made anew."""
    Path("a.txt").write_text("the cat sat\nthe dog ran\n")
    tiny("index", "build", "./i", "-i", "a.txt", "-q")
    (path,) = Path("i").glob("*.sqlite")
    database = sqlite3.connect(path)
    (page,) = database.execute(
        "SELECT rootpage FROM sqlite_schema WHERE name = 'chunks_by_hash'"
    ).fetchone()
    (size,) = database.execute("PRAGMA page_size").fetchone()
    database.close()
    data = bytearray(path.read_bytes())
    data[page * size - 10] ^= 0xFF
    path.write_bytes(data)
    assert run("index", "check", "./i").code == 1
    assert run("index", "repair", "./i").code == 0
    assert run("index", "check", "./i").code == 0


def test_a_copy_is_searched_as_the_index_is(tiny: Callable[..., Ran], run: Run) -> None:
    """Approximate search is copied too, and finds as many as there are."""
    rows = [f"the cat number {n} sat on mat {n % 7}" for n in range(300)]
    Path("a.txt").write_text("\n".join(rows))
    tiny("index", "build", "./i", "-i", "a.txt", "--ann", "ivf", "-q")
    run("index", "tune", "./i", "--recall", 0.1)
    ran = run("search", "cat", "--index", "./i", "--mode", "dense", "-k", 290)
    assert len(ran.records[0]["hits"]) == 290
    assert run("index", "copy", "./i", "./j", "-q").code == 0
    assert run("index", "info", "./j").records[0]["ann"] == "ivf"


@pytest.mark.parametrize("arguments", [["-k", 10**20], ["--where", f"x > {10**30}"]])
def test_numbers_that_are_too_large(
    tiny: Callable[..., Ran], run: Run, arguments: list[object]
) -> None:
    """They are told, or compared as they are; nothing is unexpected."""
    Path("a.txt").write_text("the cat sat")
    tiny("index", "build", "./i", "a.txt", "-q")
    ran = run("search", "cat", "--index", "./i", *arguments)
    assert "unexpected" not in ran.err
    assert ran.code in (0, 2)


def test_trec_names_rows(tiny: Callable[..., Ran], run: Run) -> None:
    """A row is a document: by its id, else by its place."""
    rows = [{"text": "cat one", "id": "x1"}, {"text": "cat two", "n": 2}]
    Path("rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    tiny("index", "build", "./i", "rows.jsonl", "-q")
    ran = run("search", "cat", "--index", "./i", "--mode", "keyword", "-f", "trec")
    assert sorted(line.split()[2] for line in ran.out.splitlines()) == ["rows.jsonl:2", "x1"]


def run_names(run: Run, *more: object) -> list[str]:
    """Return what a TREC run of a search by words calls the documents."""
    ran = run("search", "cat", "--index", "./i", "--mode", "keyword", "-f", "trec", *more)
    cells = [line.split() for line in ran.out.splitlines()]
    assert [int(one[3]) for one in cells] == list(range(1, len(cells) + 1))
    return [one[2] for one in cells]


def test_trec_tells_documents_apart(tiny: Callable[..., Ran], run: Run) -> None:
    """Rows of two files with one id by their places, and so lines that have no columns at all."""
    for name, end in (("a.csv", "one"), ("b.csv", "two")):
        Path(name).write_text(f"id,text\n1,cat {end}\n{end},cat\n")
    Path("c.txt").write_text("cat three\ncat four\n")
    Path("d.txt").write_text("cat five\n")
    tiny("index", "build", "./i", "-i", "c.txt", "a.csv", "b.csv", "d.txt", "-q")
    expected = ["a.csv:2", "b.csv:2", "c.txt:1", "c.txt:2", "d.txt", "one", "two"]
    assert sorted(run_names(run)) == expected


def test_trec_tells_rows_of_one_place_apart(tiny: Callable[..., Ran], run: Run) -> None:
    """A JSON list on one line, with an id that two rows share; large numbers stay as they are."""
    rows = [{"id": "x", "text": "cat a"}, {"id": "x", "text": "cat b"}, {"text": "cat c"}]
    numbers = [{"id": 12345678901234567890 + n, "text": f"cat {n}"} for n in range(2)]
    Path("a.json").write_text(json.dumps(rows + numbers))
    tiny("index", "build", "./i", "-i", "a.json", "-q")
    names = sorted(run_names(run))
    assert names[:2] == ["12345678901234567890", "12345678901234567891"]
    assert names[2:] == ["a.json:1#1", "a.json:1#2", "a.json:1#3"]


def test_an_index_that_was_emptied_is_not_built_over(tiny: Callable[..., Ran], run: Run) -> None:
    """What was taken out stays out; only one into which nothing ever came is begun anew."""
    Path("one").mkdir()
    Path("one/a.txt").write_text("a cat")
    tiny("index", "build", "./i", "one", "-q")
    run("index", "remove", "./i", "--path", "*")
    run("index", "compact", "./i")
    ran = tiny("index", "build", "./i", "one", "--chunk-tokens", 33)
    assert ran.code == 1 and ran.said("is an index already")


def test_a_long_file_leaves_room_in_a_run(tiny: Callable[..., Ran], run: Run) -> None:
    """The best passage of each of k documents, however many of one come first; with -o too."""
    Path("docs").mkdir()
    Path("docs/long.md").write_text("\n\n".join(f"# {n}\ncat cat cat" for n in range(60)))
    for n in range(3):
        Path(f"docs/{n}.md").write_text(f"a cat on the mat number {n}")
    tiny("index", "build", "./i", "docs", "-q")
    names = [f"docs/{one}.md" for one in ("long", 0, 1, 2)]
    assert sorted(run_names(run)) == sorted(names)
    assert run_names(run, "-k", 2)[0] == names[0] and len(run_names(run, "-k", 2)) == 2
    run("search", "cat", "--index", "./i", "--mode", "keyword", "-o", "run.trec")
    assert len(Path("run.trec").read_text().splitlines()) == 4


def test_check_sees_words_and_structures_that_are_not_the_texts(
    tiny: Callable[..., Ran], run: Run
) -> None:
    """A full-text table of other words, and a flipped byte in FAISS's file; repair mends both."""
    rows = [f"the cat number {n} sat on mat {n % 7}" for n in range(300)]
    Path("a.txt").write_text("\n".join(rows))
    tiny("index", "build", "./i", "-i", "a.txt", "--ann", "ivf", "-q")
    assert run("index", "check", "./i").code == 0
    (path,) = Path("i").glob("*.faiss")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    (database_file,) = Path("i").glob("*.sqlite")
    database = sqlite3.connect(database_file)
    body = "the cat number 5 sat on mat 5"
    database.execute("INSERT INTO words (words, rowid, body) VALUES ('delete', 6, ?)", (body,))
    database.execute("INSERT INTO words (rowid, body) VALUES (6, 'something else')")
    database.commit()
    database.close()
    problems = run("index", "check", "./i").records[0]["problems"]
    assert any("full-text table has" in one for one in problems)
    assert any(".faiss is not what was written" in one for one in problems)
    assert run("index", "repair", "./i").code == 0
    assert run("index", "check", "./i").records[0]["problems"] == []


@pytest.mark.parametrize("command", ["compact", "rebuild", "repair"])
def test_a_failure_after_the_switch_costs_no_data(
    tiny: Callable[..., Ran], run: Run, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the manifest names the new data files, nothing removes them."""
    from bertcli.errors import IndexFolderError
    from bertcli.index.folder import IndexFolder

    Path("a.txt").write_text("the cat sat")
    tiny("index", "build", "./i", "a.txt", "-q")

    def failing(index: IndexFolder) -> None:
        raise IndexFolderError("cannot be read or written")

    with monkeypatch.context() as patch:
        patch.setattr(IndexFolder, "settle", failing)
        assert run("index", command, "./i").said("cannot be read or written")
    assert texts(run, "cat") == ["the cat sat"]
    assert run("index", "check", "./i").code == 0


def test_what_an_index_says_of_itself_obeys_nobody(
    tiny: Callable[..., Ran], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Escape codes in a stranger's manifest, or in a file's name, are shown on a terminal."""
    Path("a\x1b[31m.txt").write_text("the cat sat")
    tiny("index", "build", "./i", "a\x1b[31m.txt", "-q")
    manifest = Path("i/manifest.json")
    content = json.loads(manifest.read_text())
    content["model"]["name"] = "evil\x1b]0;title\x07"
    manifest.write_text(json.dumps(content))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    for line in (("info", "./i"), ("check", "./i"), ("update", "./i")):
        ran = run("index", *line)
        assert "\x1b" not in ran.out + ran.err and "\x07" not in ran.out + ran.err
    assert "evil␛]0;title␇" in run("index", "info", "./i").out
