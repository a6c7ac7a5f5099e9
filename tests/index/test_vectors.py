"""The vector file and exact search, against brute force."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertcli.errors import IndexFolderError
from bertcli.index import vectors
from bertcli.index.vectors import (
    append_vectors,
    check_length,
    checked,
    create_vectors,
    nearest,
    open_vectors,
    read_blocks,
)

from .samples import unit_vectors


@given(
    count=st.integers(0, 60),
    queries=st.integers(1, 4),
    k=st.integers(1, 70),
    dead=st.sets(st.integers(0, 59)),
    block=st.integers(1, 25),
    seed=st.integers(0, 1000),
)
@settings(max_examples=40, deadline=None)
def test_search_equals_brute_force(
    count: int, queries: int, k: int, dead: set[int], block: int, seed: int
) -> None:
    """In blocks or at once, with dead rows or without: the k best live rows, best first."""
    rows, asked = unit_vectors(count, seed), unit_vectors(queries, seed + 1)
    live = np.array([i not in dead for i in range(count)], bool)
    blocks = [(i, rows[i : i + block]) for i in range(0, count, block)]
    found = nearest(asked, blocks, k, None if live.all() else live)
    scores = np.where(live, asked @ rows.T, -np.inf)
    best = np.sort(scores, axis=1)[:, ::-1][:, : min(k, int(live.sum()))]
    np.testing.assert_allclose(found.scores, best, atol=1e-6)
    np.testing.assert_allclose(
        np.take_along_axis(scores, found.rows, axis=1), found.scores, atol=1e-6
    )
    assert all(len(set(row)) == len(row) for row in found.rows.tolist())


def test_equal_scores_come_in_row_order() -> None:
    """The same text twice is listed in the order of the input, across blocks too."""
    row = np.array([[1, 0]], np.float32)
    found = nearest(row, [(0, row), (1, row), (2, row)], 2, None)
    assert found.rows.tolist() == [[0, 1]]


def test_rows_come_back_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Appended rows are read in blocks, each knowing where it starts."""
    monkeypatch.setattr(vectors, "BLOCK_BYTES", 3 * 4 * 4)
    path, rows = tmp_path / "vectors", unit_vectors(8)
    create_vectors(path)
    append_vectors(path, 0, rows[:5])
    append_vectors(path, 5, rows[5:])
    with open_vectors(path) as file:
        blocks = list(read_blocks(file, 8, 4))
    assert [first for first, _ in blocks] == [0, 3, 6]
    assert np.array_equal(np.concatenate([block for _, block in blocks]), rows)


def test_a_killed_runs_rows_are_overwritten(tmp_path: Path) -> None:
    """What was not committed is cut off by the next writer, half rows included."""
    path, rows = tmp_path / "vectors", unit_vectors(6)
    create_vectors(path)
    append_vectors(path, 0, rows[:2])
    with path.open("ab") as file:
        file.write(b"x" * 4321)
    append_vectors(path, 2, rows[2:])
    assert path.stat().st_size == rows.nbytes


def test_missing_rows_are_damage(tmp_path: Path) -> None:
    """A file shorter than what was committed is never searched or appended to."""
    path = tmp_path / "vectors"
    path.write_bytes(b"\0" * 47)
    with (
        open_vectors(path) as file,
        pytest.raises(IndexFolderError, match="vectors holds 2 of 3 vectors"),
    ):
        check_length(file, 3, 4)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_vectors_that_are_not_numbers_are_refused(bad: float) -> None:
    """One NaN would be nearest to everything or to nothing."""
    with pytest.raises(IndexFolderError, match="not finite"):
        checked(np.array([[0, bad]]), 1, 2)


def test_vectors_of_another_shape_are_refused() -> None:
    """The message says which shape the index takes."""
    with pytest.raises(IndexFolderError, match=r"\(1, 3\).*takes \(1, 2\)"):
        checked(np.zeros((1, 3)), 1, 2)
