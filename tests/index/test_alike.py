"""Pairs, near-duplicates, distributions and clusters, against brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertcli.index import alike
from bertcli.index.alike import (
    best_pairs,
    distribution,
    groups_above,
    nearest_cosines,
    pairs_above,
    standing_for_others,
)
from bertcli.index.clusters import hdbscan, key_terms, kmeans

from .samples import unit_vectors


@pytest.fixture(params=[1024, 7])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All at once, and in blocks whose ends fall anywhere."""
    monkeypatch.setattr(alike, "BLOCK", request.param)


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("least", [-1.0, 0.3, 0.9, 1.1])
def test_pairs_are_those_of_brute_force(least: float) -> None:
    """Every pair once, the smaller row first, with its cosine."""
    vectors = unit_vectors(40)
    cosines = vectors @ vectors.T
    found = {(one.first, one.second): one.score for one in pairs_above(vectors, least)}
    expected = {
        (a, b): float(cosines[a, b])
        for a, b in itertools.combinations(range(40), 2)
        if cosines[a, b] >= least
    }
    assert found == pytest.approx(expected)
    best = best_pairs(vectors, least, 5)
    assert [one.score for one in best] == pytest.approx(sorted(expected.values())[::-1][:5])


def test_the_same_text_has_a_cosine_of_one() -> None:
    """Which is a little less in float32."""
    vectors = unit_vectors(500, dimension=384)
    found = list(pairs_above(np.concatenate([vectors, vectors]), 1.0))
    assert [(one.first, one.second) for one in found] == [(at, at + 500) for at in range(500)]


@pytest.mark.usefixtures("block")
def test_nearest_cosines() -> None:
    """A text is not its own neighbour; a single one has none."""
    vectors = unit_vectors(30)
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -1)
    assert nearest_cosines(vectors) == pytest.approx(cosines.max(axis=1))
    assert nearest_cosines(vectors[:1]).tolist() == [-1.0]


def test_groups_are_chains() -> None:
    """a is like b and b like c: one group, though a is not like c."""
    angles = np.radians([0, 20, 40, 90, 180, 185])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    assert groups_above(vectors, math.cos(math.radians(21))) == [[0, 1, 2], [4, 5]]
    assert groups_above(vectors, 1.1) == []


def test_what_goes_is_like_something_that_stays() -> None:
    """Of a chain a, b, c, d, in which only neighbours are alike, a and c stay."""
    angles = np.radians([0, 20, 40, 60])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    least = math.cos(math.radians(21))
    assert standing_for_others(vectors, [0, 1, 2, 3], least) == {0: 2, 2: 2}
    assert standing_for_others(vectors, [3, 0, 1], least) == {3: 1, 0: 2}
    assert standing_for_others(vectors[[0, 0]], [0, 1], 1.0) == {0: 2}


@given(st.lists(st.floats(-1, 1, width=32), max_size=50))
def test_a_distribution_counts_everything_once(cosines: list[float]) -> None:
    """Each cosine falls into one twentieth, those below zero into the lowest."""
    counts = distribution(np.array(cosines, np.float32))
    assert sum(count for _, count in counts) == len(cosines)
    assert counts[0][0] == 0.0 and len(counts) == 20


def blobs() -> np.ndarray:
    """Three tight groups of different sizes, and one vector alone."""
    middles = np.eye(4, dtype=np.float32)
    rows = [middles[i] for i, count in enumerate((12, 8, 6, 1)) for _ in range(count)]
    noisy = np.stack(rows) + 0.01 * unit_vectors(27)
    return (noisy / np.linalg.norm(noisy, axis=1, keepdims=True)).astype(np.float32)


def test_kmeans_finds_groups() -> None:
    """The largest first, members nearest to the middle first, the same for the same seed."""
    clusters = kmeans(blobs(), 4)
    assert [(one.number, len(one.rows)) for one in clusters] == [(1, 12), (2, 8), (3, 6), (4, 1)]
    assert sorted(clusters[1].rows) == list(range(12, 20))
    assert kmeans(blobs(), 4) == clusters
    assert len(kmeans(np.ones((5, 1), np.float32), 4)) == 1


def test_hdbscan_leaves_over_what_fits_nowhere() -> None:
    """What is alone is in no cluster; too few texts make none."""
    clusters = hdbscan(blobs(), 5)
    assert [(one.number, len(one.rows)) for one in clusters] == [(1, 12), (2, 8), (3, 6), (None, 1)]
    assert hdbscan(blobs()[:3], 5)[0].number is None


def test_key_terms_by_hand() -> None:
    """tf · log(1 + A / f): A is 3.5 words, "cat" is 2 of 4 words there and 2 in all."""
    found = key_terms([["cat cat dog fish"], ["dog bird bird"]], 2)
    assert found == [["cat", "fish"], ["bird", "dog"]]
    weights = {"cat": 2 / 4 * math.log(1 + 3.5 / 2), "fish": 1 / 4 * math.log(1 + 3.5 / 1)}
    assert weights["cat"] > weights["fish"] > 1 / 4 * math.log(1 + 3.5 / 2)
