"""What is written can be read back, whatever the text."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertcli.errors import OutputError
from bertcli.outputs.delimited import render_csv, render_tsv
from bertcli.outputs.fields import names_of
from bertcli.outputs.jsonl import as_json, render_json, render_jsonl
from bertcli.results import Answer, ClassifyResult, EmbedResult, LabelScore, Reading

from .samples import answered, failed, unreadable

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()))
UTF8_TEXT = st.text(st.characters(codec="utf-8"))
CELL = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), UTF8_TEXT, st.lists(st.integers())
)
FINE = ClassifyResult((LabelScore("fine", 0.75),), Reading(3))


@given(ANY_TEXT)
def test_json_lines_give_back_any_text(text: str) -> None:
    """A JSON line is one line, valid, and holds the very text, even half a surrogate pair."""
    (line,) = render_jsonl([answered(0, text, FINE)])
    encoded = line.encode("utf-8", "backslashreplace")
    assert encoded.count(b"\n") == 1
    assert json.loads(encoded)["text"] == text


@given(st.lists(st.dictionaries(UTF8_TEXT, CELL, min_size=1), max_size=4))
def test_json_is_always_a_valid_array(rows: list[dict[str, object]]) -> None:
    """Any number of rows with any columns make one JSON array without NaN or Infinity."""
    answers = [answered(i, "", FINE, **row) for i, row in enumerate(rows)]
    read = json.loads("".join(render_json(answers)), parse_constant=pytest.fail)
    assert len(read) == len(rows)
    assert all(set(row) < set(found) for row, found in zip(rows, read, strict=True))


@pytest.mark.parametrize(("render", "delimiter"), [(render_csv, ","), (render_tsv, "\t")])
@given(texts=st.lists(UTF8_TEXT, min_size=1, max_size=4))
def test_csv_gives_back_any_text(render: object, delimiter: str, texts: list[str]) -> None:
    """Commas, quotes, tabs and all kinds of line ends survive CSV and TSV."""
    assert callable(render)
    written = "".join(render([answered(i, text, FINE) for i, text in enumerate(texts)]))
    rows = list(csv.reader(io.StringIO(written, newline=""), delimiter=delimiter))
    assert rows[0] == ["text", "label", "score", "error"]
    assert [row[0] for row in rows[1:]] == texts


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
def test_written_vectors_give_back_the_same_float32(numbers: list[float]) -> None:
    """JSON and CSV hold as many digits as float32 needs."""
    vector = np.array(numbers, np.float32)
    answers = [answered(0, "cat", EmbedResult(vector, Reading(3)))]
    from_json = json.loads("".join(render_jsonl(answers)))["embedding"]
    from_csv = list(csv.reader(io.StringIO("".join(render_csv(answers)))))[1][1:-1]
    assert np.array_equal(np.array(from_json, np.float32), vector)
    assert np.array_equal(np.array(from_csv, np.float32), vector)


def test_own_columns_keep_their_names() -> None:
    """A result's key steps aside for an own column, as often as needed, and nothing is lost."""
    own = {"label": "gold", "predicted_label": "old", "query": "q"}
    found = {"label": "new", "query": "q", "score": 1}
    assert names_of(own, found) == {"label": "predicted_predicted_label", "score": "score"}


def test_a_result_has_one_column_whatever_the_records_bring() -> None:
    """The first answered record settles it, for rows with fewer columns and for failed ones."""
    more = answered(0, "a", FINE, text="a", label="gold")
    less = answered(1, "b", FINE, text="b")
    bad = failed(2, "c", "too long", text="c", label="own")
    rows = list(csv.DictReader(io.StringIO("".join(render_csv([more, less, bad])))))
    assert [row["predicted_label"] for row in rows] == ["fine", "fine", ""]
    assert [row["label"] for row in rows] == ["gold", "", "own"]
    rows = list(csv.DictReader(io.StringIO("".join(render_csv([less, bad])))))
    assert [row["label"] for row in rows] == ["fine", ""]
    with pytest.raises(OutputError, match="has the column label"):
        list(render_csv([less, more]))


def test_a_name_in_json_means_the_same_in_every_row() -> None:
    """What the first record settles holds for those with more columns, and for those with fewer."""
    more = answered(0, "a", FINE, text="a", label="gold", error="none")
    less = answered(1, "b", FINE, text="b")
    odd = answered(2, "c", FINE, text="c", label="gold", own_label="old")
    bad = failed(3, "d", "too long", text="d", label="own")

    def written(*answers: Answer) -> list[dict[str, object]]:
        return list(map(json.loads, render_jsonl(answers)))

    rows = written(more, less, bad)
    assert [row.get("label") for row in rows] == ["gold", None, "own"]
    assert [row.get("predicted_label") for row in rows] == ["fine", "fine", None]
    assert [row.get("error") for row in rows] == ["none", None, None]
    assert rows[2]["predicted_error"] == "too long"
    rows = written(less, more, odd, bad)
    assert [row.get("label") for row in rows] == ["fine", "fine", "fine", None]
    assert [row.get("own_label") for row in rows] == [None, "gold", "old", "own"]
    assert rows[2]["own_own_label"] == "gold"
    assert rows[1]["error"] == "none" and rows[3]["predicted_error"] == "too long"


def test_nan_becomes_null() -> None:
    """JSON has no NaN, however deep it sits."""
    assert as_json({"a": [float("nan"), {"b": np.float32("inf")}]}) == '{"a": [null, {"b": null}]}'


def test_early_failures_wait_for_the_header() -> None:
    """A CSV file has the same columns whether its first record fails or its last."""
    first = list(render_csv([unreadable(0), answered(1, "x", FINE)]))
    last = list(render_csv([answered(1, "x", FINE), unreadable(0)]))
    assert sorted("".join(first).splitlines()) == sorted("".join(last).splitlines())
    assert first[0] == "text,label,score,error\n"


def test_failures_alone_make_a_file_too() -> None:
    """A run in which every record failed still says which and why."""
    written = "".join(render_csv([failed(0, "x", "too long"), unreadable(1)]))
    assert written == "text,error\nx,too long\n,in.jsonl:2: not JSON\n"


def test_a_new_column_in_csv_is_refused_with_advice() -> None:
    """No column is dropped in silence: CSV stops and names JSON lines."""
    answers = [answered(0, "x", FINE, id=1), answered(1, "y", FINE, id=2, extra=3)]
    with pytest.raises(OutputError, match=r"in.jsonl:2 has the column extra.*jsonl"):
        list(render_csv(answers))
