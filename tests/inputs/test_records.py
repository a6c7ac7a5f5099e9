"""Rows to records: order, numbers, several columns."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from bertcli.errors import DataError
from bertcli.inputs.formats import InputFormat
from bertcli.inputs.records import question_records, read_records, read_rows
from bertcli.inputs.rows import BadRow, Row
from bertcli.inputs.source import InputOptions
from bertcli.records import BadRecord, Place, Record

from .conftest import outcomes


def rows_of(lines: str) -> list[Row | BadRow]:
    """Return the rows of JSON lines."""
    options = InputOptions(input_format=InputFormat.JSONL)
    return list(read_rows(options, io.BytesIO(lines.encode())))


def test_ids_count_over_texts_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts come first, then the inputs; bad records have numbers too; lines start anew."""
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_bytes(b"c\n\xff\n")
    Path("b.csv").write_text("text\nd\n")
    options = InputOptions(("a", " "), ("a.txt", "b.csv"))
    items = list(read_records(options))
    assert [item.id for item in items] == [0, 1, 2, 3, 4]
    assert [str(item.place) for item in items] == ["TEXT", "TEXT", "a.txt:1", "a.txt:2", "b.csv:2"]
    assert [type(item) for item in items] == [Record, BadRecord, Record, BadRecord, Record]


def test_an_empty_file_among_others_is_a_bad_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest is read; the first row that can be read tells whether the columns are there."""
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("one\n")
    for name in ("b.txt", "c.csv", "d.json", "e.parquet"):
        Path(name).touch()
    empty = ("b.txt", "c.csv", "d.json", "e.parquet")
    bad, *rest = read_records(InputOptions((), (*empty[:1], "a.txt", *empty[1:])))
    assert isinstance(bad, BadRecord)
    assert (bad.error, str(bad.place)) == ("it is empty, expected at least one text", "b.txt")
    assert [type(item) for item in rest] == [Record, BadRecord, BadRecord, BadRecord]
    Path("f.csv").write_text("title\nx\n")
    with pytest.raises(DataError, match=r"f.csv.*text"):
        list(read_records(InputOptions((), ("b.txt", "f.csv"))))
    for name in empty:
        with pytest.raises(DataError, match=f"{name}: is empty"):
            list(read_records(InputOptions((), (name,))))


def test_texts_alone_leave_stdin_alone() -> None:
    """With a text on the command line stdin is not touched; an empty text is a bad record."""
    stdin = io.BytesIO(b"more\n")
    items = list(read_records(InputOptions(texts=("one", "")), stdin))
    assert items == [
        Record(0, "one", {}, Place()),
        BadRecord(1, "empty text", {}, Place()),
    ]
    assert stdin.tell() == 0


def test_a_text_of_stray_bytes_is_bad() -> None:
    """An argument that is not UTF-8 reaches Python as surrogates and no tokenizer can read it."""
    (bad,) = read_records(InputOptions(texts=("caf\udce9",)))
    assert isinstance(bad, BadRecord)
    assert "not valid UTF-8" in bad.error


def test_every_table_needs_the_column(tmp_path: Path) -> None:
    """A header without the column ends the run, also in a later file."""
    (tmp_path / "a.csv").write_text("text\none\n")
    (tmp_path / "b.csv").write_text("body\ntwo\n")
    items = read_records(InputOptions(inputs=(str(tmp_path),)))
    assert outcomes([next(items)]) == ["2 one"]
    with pytest.raises(DataError, match=r'b.csv:1: no column "text"'):
        next(items)


def test_rows_have_all_columns_and_need_none() -> None:
    """`read_rows` asks for no column and hands bad rows on in their place."""
    assert rows_of('{"a": 1}\n{\n"x"\n') == [
        Row({"a": 1}, Place("stdin", 1)),
        BadRow(
            "not valid JSON (Expecting property name enclosed in double quotes at column 2)",
            Place("stdin", 2),
        ),
        Row({}, Place("stdin", 3), "x"),
    ]


def test_questions_take_two_columns() -> None:
    """The context is the text, the question stands beside it; an empty one is named."""
    rows = rows_of(
        '{"q": "Who?", "c": "Ada."}\n{"q": "", "c": "Ada."}\n{"q": "Who?", "c": null}\n'
        '{"q": "Who?"}\n{\n"text"\n'
    )
    first, *bad = question_records(rows, "q", "c")
    assert first == Record(0, "Ada.", {"q": "Who?", "c": "Ada."}, Place("stdin", 1), "Who?")
    assert outcomes(bad)[:3] == [
        "2 !empty question",
        "3 !empty context",
        '4 !no column "c"; the row has "q"',
    ]
    assert outcomes(bad)[3].startswith("5 !not valid JSON")
    assert outcomes(bad)[4] == '6 !no column "q"; the row has none'


def test_the_first_row_without_question_or_context_ends_the_run() -> None:
    """The message names the option that mends it; plain text can have no questions."""
    with pytest.raises(DataError, match=r'no column "context".*"question".*--context-field NAME'):
        list(question_records(rows_of('{"question": "Who?"}\n'), "question", "context"))
    with pytest.raises(DataError, match=r'plain text has no columns, .*"question", "context"'):
        list(question_records(rows_of('"Who?"\n'), "question", "context"))


def test_long_headers_are_shortened() -> None:
    """A message stays one readable line however many columns there are, or however long."""
    columns: dict[str, object] = dict.fromkeys([*(f"c{n}" for n in range(40)), "x" * 500])
    rows = [Row(columns, Place("a.csv", 2))]
    with pytest.raises(DataError) as caught:
        list(question_records(rows, "q", "c"))
    assert '"c11" and 29 more; choose one' in str(caught.value)
    assert len(str(caught.value)) < 200


def test_nothing_heavy_is_imported() -> None:
    """Reading is ready before any reader, decompressor or Parquet library is imported."""
    code = (
        "import sys, bertcli.inputs.records, bertcli.inputs.live\n"
        "heavy = {'pyarrow', 'numpy', 'csv', 'json', 'gzip', 'lzma'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-S", "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_squads_articles_are_their_questions() -> None:
    """A record per question with its paragraph and what SQuAD says of it; a row as it is beside."""
    asked = {"id": "7", "question": "Who?", "answers": [{"text": "Ada", "answer_start": 0}]}
    article = {"title": "Ada", "paragraphs": [{"context": "Ada.", "qas": [asked] * 2}]}
    plain = {"question": "When?", "context": "Now.", "data": "kept"}
    rows = "".join(json.dumps(row) + "\n" for row in (article, plain, {"data": [article]}))
    first, second, third, *more = question_records(rows_of(rows))
    columns = {"title": "Ada", **asked, "context": "Ada."}
    place = Place("stdin", 1, 'question 7 "Who?"')
    assert first == Record(0, "Ada.", columns, place, "Who?")
    assert (second.id, third.id, len(more)) == (1, 2, 2)
    assert third == Record(2, "Now.", plain, Place("stdin", 2), "When?")
    with pytest.raises(DataError, match='stdin:1, article "Ada": no "qas"'):
        list(question_records(rows_of(rows.replace("qas", "asked"))))
