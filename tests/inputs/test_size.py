"""How many records are to come."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bertcli.inputs.size import expected_records
from bertcli.inputs.source import InputOptions


def expected(*paths: Path, whole_file: bool = False) -> int | None:
    """Return what is expected of some files."""
    inputs = tuple(str(path) for path in paths)
    return expected_records(InputOptions(inputs=inputs, whole_file=whole_file))


def test_lines_rows_and_files_are_counted(tmp_path: Path) -> None:
    """A text file counts its lines, the last without a line end too; a CSV not its header."""
    text, table, parquet = (tmp_path / name for name in ("a.txt", "b.csv", "c.parquet"))
    text.write_text("one\ntwo\nthree")
    table.write_text("text\none\ntwo\n")
    pq.write_table(pa.table({"text": ["a", "b", "c", "d"]}), parquet)
    assert expected(text) == 3
    assert expected(text, table, parquet) == 3 + 2 + 4
    assert expected(text, whole_file=True) == 1


def test_what_is_costly_to_know_is_not_known(tmp_path: Path) -> None:
    """A compressed file, a pipe or stdin has no count, and then there is no time left to show."""
    packed = tmp_path / "a.txt.gz"
    packed.write_bytes(gzip.compress(b"one\ntwo\n"))
    assert expected(packed) is None
    pipe = tmp_path / "pipe.txt"
    os.mkfifo(pipe)
    assert expected(pipe) is None
    assert expected_records(InputOptions()) is None
    assert expected_records(InputOptions(inputs=("-",))) is None
