"""Approximate search: right scores, filters, growth, and never in the way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bertcli.index import ann
from bertcli.index.check import problems
from bertcli.index.choices import Kind
from bertcli.index.folder import IndexFolder
from bertcli.index.manifest import Chunking, Manifest, ModelIdentity
from bertcli.index.rewrite import compact
from bertcli.index.where import compile_where

from .samples import numbered, unit_vectors

DIMENSION = 16
ROWS = 4000
MODEL = ModelIdentity("mini", "a" * 64, "mean", True, DIMENSION, "")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes at which a test is quick."""
    monkeypatch.setattr(ann, "EXACT_ROWS", 1000)
    monkeypatch.setattr(ann, "TAIL_ROWS", 500)
    monkeypatch.setattr(ann, "FEW_ROWS", 50)


def made(path: Path, kind: Kind, rows: int = ROWS) -> IndexFolder:
    """Return an open index of random vectors."""
    manifest = Manifest(MODEL, Chunking(256, 32), ann=kind)
    with IndexFolder.create(path, manifest) as index:
        index.add(numbered(unit_vectors(rows, 0, DIMENSION)))
    return IndexFolder.open(path)


def exact(rows: int, queries: np.ndarray, keep: np.ndarray | None = None) -> list[list[str]]:
    """Return the texts of the ten nearest by brute force."""
    scores = queries @ unit_vectors(rows, 0, DIMENSION).T
    if keep is not None:
        scores[:, ~keep] = -np.inf
    return [[f"text {row}" for row in np.argsort(-one, kind="stable")[:10]] for one in scores]


def recall(index: IndexFolder, expected: list[list[str]], queries: np.ndarray, where: str) -> float:
    """Return the share of the ten nearest that is found, and check scores and order."""
    condition = compile_where(where) if where else None
    shares = []
    for query, right in zip(queries, expected, strict=True):
        (hits,) = index.search(query[None], 10, condition)
        scores = [hit.score for hit in hits]
        assert scores == sorted(scores, reverse=True) and len(hits) == min(10, len(right))
        shares.append(len({hit.text for hit in hits} & set(right)) / len(right))
    return float(np.mean(shares))


@pytest.mark.parametrize("kind", [Kind.AUTO, Kind.IVF, Kind.HNSW])
def test_recall_with_and_without_a_filter(tmp_path: Path, kind: Kind) -> None:
    """What was measured is kept for other queries too; a filter takes nothing away."""
    queries = unit_vectors(50, 9, DIMENSION)
    with made(tmp_path / "i", kind) as index:
        info = index.info().ann
        assert info is not None and info.rows == ROWS and info.recall >= ann.RECALL
        assert recall(index, exact(ROWS, queries), queries, "") > 0.93
        lines = np.arange(ROWS) + 1
        for where, keep in (
            ("line > 2000", lines > 2000),
            ("line between 101 and 400", (lines >= 101) & (lines <= 400)),
            ("line between 101 and 112", (lines >= 101) & (lines <= 112)),
        ):
            assert recall(index, exact(ROWS, queries, keep), queries, where) > 0.93
        assert list(problems(index)) == []


def test_many_results_are_found_as_well(tmp_path: Path) -> None:
    """The effort was measured on ten: for a hundred IVF looks at more lists."""
    queries = unit_vectors(20, 9, DIMENSION)
    scores = queries @ unit_vectors(ROWS, 0, DIMENSION).T
    with made(tmp_path / "i", Kind.IVF) as index:
        shares = []
        for query, one in zip(queries, scores, strict=True):
            (hits,) = index.search(query[None], 100)
            right = {f"text {row}" for row in np.argsort(-one, kind="stable")[:100]}
            shares.append(len({hit.text for hit in hits} & right) / 100)
        assert np.mean(shares) > 0.93


def test_a_small_index_is_exact(tmp_path: Path) -> None:
    """Up to a size nothing is approximate, and nothing is written for it."""
    with made(tmp_path / "i", Kind.AUTO, 900) as index:
        assert index.info().ann is None
        assert not list((tmp_path / "i").glob("ann*"))
        assert index.tune(0.9) == []


def test_rows_that_come_later_are_found_at_once(tmp_path: Path) -> None:
    """Few are searched exactly, many are taken in, very many have the structure made anew."""
    path = tmp_path / "i"
    made(path, Kind.IVF, 1200).close()
    later = unit_vectors(4000, 5, DIMENSION)
    for first, last, covered in ((0, 300, 1200), (300, 700, 1900), (700, 2000, 3200)):
        with IndexFolder.open(path) as index:
            index.add(numbered(later[first:last], 10_000 + first))
            info = index.info().ann
            assert info is not None and info.rows == covered
            for row in (first, last - 1):
                assert index.search(later[row : row + 1], 1)[0][0].text == f"text {10_000 + row}"
    assert info.trained_rows == 3200 and len(list(path.glob("ann-*.faiss"))) == 1


def test_removed_rows_are_not_found(tmp_path: Path) -> None:
    """Neither by the structure, nor after it was packed together."""
    vectors = unit_vectors(ROWS, 0, DIMENSION)
    with made(tmp_path / "i", Kind.IVF) as index:
        index.remove(compile_where("line = 8"))
        assert index.search(vectors[7:8], 1)[0][0].text != "text 7"
        compact(index)
        assert index.search(vectors[8:9], 1)[0][0].text == "text 8"
        info = index.info().ann
        assert info is not None and info.rows == ROWS - 1


@pytest.mark.parametrize("damage", ["cut", "gone", "note"])
def test_a_damaged_structure_is_not_used(tmp_path: Path, damage: str) -> None:
    """Search is exact then, and the next writer makes the structure anew."""
    path = tmp_path / "i"
    made(path, Kind.IVF).close()
    (structure,) = path.glob("ann-*.faiss")
    if damage == "cut":
        structure.write_bytes(structure.read_bytes()[:-100])
    elif damage == "gone":
        structure.unlink()
    else:
        (path / "ann-1.json").write_text("{")
    queries = unit_vectors(5, 9, DIMENSION)
    with IndexFolder.open(path) as index:
        assert recall(index, exact(ROWS, queries), queries, "") == 1.0
        index.add([])
    with IndexFolder.open(path) as index:
        assert index.info().ann is not None and ann.load(path, 1) is not None


def test_recall_is_measured_as_queries_come_one_by_one(tmp_path: Path) -> None:
    """That of many at once, of which one finds too little and is answered exactly, is no higher."""
    queries = unit_vectors(60, 9, DIMENSION)
    with made(tmp_path / "i", Kind.IVF, 400) as index:
        index.tune(0.3)
        together = [[hit.text for hit in hits] for hits in index.search(queries, 10)]
        alone = [[hit.text for hit in index.search(one[None], 10)[0]] for one in queries]
        assert together == alone
        assert alone != exact(400, queries)


def test_tuning(tmp_path: Path) -> None:
    """More recall costs more effort; what is chosen stays."""
    with made(tmp_path / "i", Kind.IVF) as index:
        little = index.tune(0.5)[-1]
        much = index.tune(0.995)[-1]
        assert little.effort < much.effort and much.recall >= 0.995 > little.recall
        assert index.tune(0.9, Kind.HNSW)[-1].recall >= 0.9
    with IndexFolder.open(tmp_path / "i") as index:
        info = index.info().ann
        assert info is not None and info.kind is Kind.HNSW
        assert index.tune(0.9, Kind.EXACT) == [] and index.info().ann is None
