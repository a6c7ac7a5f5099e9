"""Parquet and npy, by reading them back."""

from __future__ import annotations

import io
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bertcli.errors import OutputError, UsageError
from bertcli.outputs.fields import NestedRows
from bertcli.outputs.formats import OutputFormat
from bertcli.outputs.sink import GuardedStream
from bertcli.outputs.vectors import npy_header, write_npy
from bertcli.outputs.write import Destination, write_answers
from bertcli.results import (
    Answer,
    ClassifyResult,
    EmbedResult,
    LabelScore,
    Reading,
    SearchResult,
)

from .samples import SAMPLES, answered, embed, failed, unreadable

FINE = ClassifyResult((LabelScore("fine", 0.75),), Reading(3))


def parquet(answers: list[Answer], folder: Path) -> pa.Table:
    """Return what Parquet holds of the answers."""
    path = str(folder / "a.parquet")
    write_answers(answers, OutputFormat.PARQUET, Destination(path))
    return pq.read_table(path)


def without_nulls(value: object) -> object:
    """Return the value without what is null, at every depth."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("task", [task for task in SAMPLES if task != "embed"])
def test_parquet_holds_what_json_lines_hold(task: str, tmp_path: Path) -> None:
    """A row of Parquet is nested like a JSON line; only a failure's place moves into the error."""
    answers = [a for a in SAMPLES[task]() if a.result is not None]
    rows = parquet(answers, tmp_path).to_pylist()
    expected = [without_nulls(NestedRows().row(answer)) for answer in answers]
    if task == "search":
        expected[0]["hits"][1]["columns"] = '{"id": 7, "tags": ["pet"]}'  # type: ignore[index]
    assert [without_nulls(row) for row in rows] == expected


def test_parquet_keeps_failures_in_their_place(tmp_path: Path) -> None:
    """There are as many rows as records, and a failed one has its columns and its error."""
    rows = parquet(SAMPLES["classify"](), tmp_path).to_pylist()
    assert len(rows) == 4
    assert rows[2]["label"] == "tin"
    assert rows[2]["error"] == "the text is empty"
    assert rows[3]["error"] == "in.jsonl:4: not JSON"


def test_parquet_vectors_are_float32(tmp_path: Path) -> None:
    """Vectors are lists of float32, bit by bit those that were computed."""
    table = parquet(embed(), tmp_path)
    assert table.schema.field("embedding").type == pa.list_(pa.float32())
    result = embed()[0].result
    assert isinstance(result, EmbedResult)
    assert table["embedding"][0].values.to_numpy().tobytes() == result.vector.tobytes()


def test_two_runs_have_one_schema(tmp_path: Path) -> None:
    """What a file happens not to contain does not change the types of its columns."""
    full, bare = answered(0, "a", FINE), answered(0, "b", ClassifyResult((), Reading(1)))
    assert parquet([full], tmp_path).schema == parquet([bare], tmp_path).schema


def test_parquet_columns_keep_their_types(tmp_path: Path) -> None:
    """Own columns come back typed; nulls, empty objects and mixtures come back as text."""
    when = datetime(2024, 2, 29, 12)
    rows = [
        answered(0, "", FINE, when=when, none=None, empty={}, mixed=1, half="\ud800", deep=[None]),
        answered(1, "", FINE, when=None, none=None, empty={}, mixed="x", half="b", deep=[None]),
    ]
    first = parquet(rows, tmp_path).to_pylist()[0]
    assert first["when"] == when
    (large,) = parquet([answered(0, "", FINE, n=2**63 + 5)], tmp_path).to_pylist()
    assert large["n"] == 2**63 + 5
    assert (first["none"], first["empty"], first["mixed"]) == (None, "{}", "1")
    assert (first["half"], first["deep"]) == ("\\ud800", [None])


@pytest.mark.parametrize(
    ("first", "second", "back"),
    [
        (2**53 + 1, 19.99, [str(2**53 + 1), "19.99"]),
        (1, 2.5, [1.0, 2.5]),
        (True, 1.5, ["true", "1.5"]),
        ([1], [0.5], [[1.0], [0.5]]),
        ({"a": 1}, {"b": 2}, [{"a": 1, "b": None}, {"a": None, "b": 2}]),
        (Decimal("9.99"), Decimal("149.00"), [Decimal("9.99"), Decimal("149.00")]),
    ],
)
def test_parquet_loses_no_digit(
    first: object, second: object, back: object, tmp_path: Path
) -> None:
    """Values of several kinds get a type that gives all of them back, or become text."""
    rows = parquet([answered(0, "", FINE, n=first), answered(1, "", FINE, n=second)], tmp_path)
    assert rows["n"].to_pylist() == back


@pytest.mark.parametrize(
    ("usual", "late"), [(20, 19.99), ({"a": 1}, {"b": 2}), ([1], [0.5]), (True, 1), (1, True)]
)
def test_parquet_refuses_a_late_value_that_would_be_changed(
    usual: object, late: object, tmp_path: Path
) -> None:
    """A value after the first thousand that the column's type would cut is told."""
    rows = [answered(i, "", FINE, n=usual) for i in range(1000)]
    with pytest.raises(OutputError, match=r"column n holds .*jsonl"):
        parquet([*rows, answered(1000, "", FINE, n=late)], tmp_path)


def test_parquet_leaves_out_what_fits_only_a_failed_record(tmp_path: Path) -> None:
    """One bad record does not change a type, nor end a run; near the start all of it is kept."""
    good = [answered(i, "", FINE, n=1) for i in range(1000)]
    early = parquet([*good[:2], failed(2, "", "the text is empty", n=2.5)], tmp_path)
    assert early["n"].to_pylist() == [1, 1, 2.5]
    late = parquet([*good, failed(1000, "", "the text is empty", n=2.5)], tmp_path)
    assert late["n"].to_pylist()[-1] is None


def test_parquet_writes_what_is_deep_as_text(tmp_path: Path) -> None:
    """Nobody could read a schema of a hundred levels."""
    deep: list[object] = []
    for _ in range(600):
        deep = [deep]
    (row,) = parquet([answered(0, "", FINE, n=deep)], tmp_path).to_pylist()
    assert row["n"].startswith("[[[")


def test_parquet_writes_mixed_texts_without_quotes(tmp_path: Path) -> None:
    """Bytes and dates beside texts are text as people write it."""
    values = [b"abc", "x", date(2024, 2, 29), 1]
    rows = parquet([answered(i, "", FINE, n=one) for i, one in enumerate(values)], tmp_path)
    assert rows["n"].to_pylist() == ["abc", "x", "2024-02-29", "1"]


def test_parquet_is_written_in_groups(tmp_path: Path) -> None:
    """Memory does not grow with the input; a late surprise is refused with advice."""
    good = [answered(i, "", FINE, id=i) for i in range(2500)]
    parquet(good, tmp_path)
    assert pq.ParquetFile(tmp_path / "a.parquet").num_row_groups == 3
    with pytest.raises(OutputError, match=r"column id holds int64.*jsonl"):
        parquet([*good, answered(2500, "", FINE, id="x")], tmp_path)
    with pytest.raises(OutputError, match=r"column new.*jsonl"):
        parquet([*good, answered(2500, "", FINE, id=1, new=1)], tmp_path)


@pytest.mark.parametrize("answers", [[], [unreadable(0)]])
def test_parquet_without_answers_is_still_parquet(answers: list[Answer], tmp_path: Path) -> None:
    """A run with nothing to say leaves a file that can be opened."""
    assert parquet(answers, tmp_path).num_rows == len(answers)


@pytest.mark.parametrize("name", ["v.npy", "v.npy.gz"])
def test_npy_has_one_row_per_record(name: str, tmp_path: Path) -> None:
    """Row i is record i, a failed one NaN, whether or not the file can be rewound."""
    import gzip

    answers = [failed(9, "", "no"), *embed()]
    write_answers(answers, OutputFormat.NPY, Destination(str(tmp_path / name)))
    stored = (tmp_path / name).read_bytes()
    array = np.load(io.BytesIO(gzip.decompress(stored) if name.endswith("gz") else stored))
    assert array.dtype == np.float32
    assert array.shape == (4, 5)
    assert np.isnan(array).all(axis=1).tolist() == [True, False, True, False]
    assert array[3].tolist() == (-array[1]).tolist()


@pytest.mark.parametrize(("answers", "shape"), [([], (0, 0)), ([failed(0, "", "no")] * 3, (3, 0))])
def test_npy_without_vectors_can_be_loaded(answers: list[Answer], shape: tuple[int, int]) -> None:
    """An array of nothing is valid and has a row per record."""
    stream = io.BytesIO()
    write_npy(answers, GuardedStream(stream, "memory"))
    assert np.load(io.BytesIO(stream.getvalue())).shape == shape


def test_npy_header_is_of_one_length() -> None:
    """The header that is written last fits the room that was left for it."""
    assert len(npy_header(0, 0)) == len(npy_header(10**12, 4096)) == 128


def test_npy_is_for_embed() -> None:
    """Only vectors make an array, and vectors of one width."""
    search = answered(0, "q", SearchResult("q", (), Reading(1)))
    with pytest.raises(UsageError, match="embed only"):
        write_npy([search], GuardedStream(io.BytesIO(), "memory"))
    wide = answered(3, "x", EmbedResult(np.zeros(9, np.float32), Reading(1)))
    with pytest.raises(OutputError, match="9 numbers where the others have 5"):
        write_npy([*embed(), wide], GuardedStream(io.BytesIO(), "memory"))
