"""Groups of texts by meaning, and the terms that tell each group from the others."""

from __future__ import annotations

import math
import mmap
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bertcli.index.query import FUNCTION_WORDS
from bertcli.index.vectors import Vectors
from bertcli.index.words import UNSPACED

STARTS = 3
BLAS_BYTES = 40 << 20
"""What OpenBLAS takes for each thread that multiplies, and asks for without end if refused."""
_WORD = re.compile(r"[^\W\d_][\w'’-]*")


@dataclass(frozen=True, slots=True)
class Cluster:
    """Rows of vectors, those nearest to their middle first; `number` None for what fits nowhere."""

    number: int | None
    rows: tuple[int, ...]


def kmeans(vectors: Vectors, count: int, seed: int = 0) -> list[Cluster]:
    """Return at most `count` clusters of vectors `(n, d)` of length one, the largest first."""
    from sklearn.cluster import KMeans

    _see_to_memory()
    count = min(count, len(np.unique(vectors, axis=0)))
    labels = KMeans(count, n_init=STARTS, random_state=seed).fit_predict(vectors)
    return _clusters(vectors, labels)


def hdbscan(vectors: Vectors, min_size: int) -> list[Cluster]:
    """Return clusters of any number and shape with at least `min_size` rows, and what is left over.

    Campello, Moulavi and Sander (2013), as scikit-learn has it. Of vectors of length one the
    Euclidean distance orders as the cosine does.
    """
    from sklearn.cluster import HDBSCAN

    if len(vectors) < min_size:
        return [Cluster(None, tuple(range(len(vectors))))]
    _see_to_memory()
    labels = HDBSCAN(min_cluster_size=min_size, copy=True).fit_predict(vectors)
    return _clusters(vectors, labels)


def key_terms(texts: Sequence[Sequence[str]], count: int) -> list[list[str]]:
    """Return for each cluster of texts the terms that set it apart, strongest first.

    Class-based TF-IDF (Grootendorst 2022): a term's share of the words of its cluster times
    `log(1 + A / f)`, with A the mean number of words in a cluster and f how often the term is used
    in all. English function words are no terms.
    """
    counts = [Counter(term for text in one for term in terms(text)) for one in texts]
    totals: Counter[str] = Counter()
    for one in counts:
        totals.update(one)
    average = totals.total() / max(1, len(counts))
    found = []
    for one in counts:
        words = max(1, one.total())
        weights = {
            term: number / words * math.log(1 + average / totals[term])
            for term, number in one.items()
        }
        found.append(sorted(weights, key=lambda term: (-weights[term], term))[:count])
    return found


def terms(text: str) -> list[str]:
    """Return the words of a text in lower case, without function words; CJK by two characters.

    >>> terms("The cat's bed, 北京市")
    ["cat's", 'bed', '北京', '京市']
    """
    found = []
    for word in _WORD.findall(text.lower()):
        signs = UNSPACED.findall(word)
        if signs:
            found += [one + other for one, other in pairwise(signs)] or signs
        elif len(word) > 1 and word not in FUNCTION_WORDS:
            found.append(word)
    return found


def _see_to_memory() -> None:
    """Raise MemoryError where scikit-learn's threads could not all have what OpenBLAS takes."""
    try:
        mmap.mmap(-1, BLAS_BYTES * (os.cpu_count() or 1)).close()
    except OSError:
        raise MemoryError from None


def _clusters(vectors: Vectors, labels: NDArray[np.int_]) -> list[Cluster]:
    found = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        closeness = vectors[rows] @ vectors[rows].mean(axis=0)
        ranked = tuple(rows[np.argsort(-closeness, kind="stable")].tolist())
        found.append((label < 0, -len(ranked), ranked))
    found.sort()
    return [Cluster(None if left else i, rows) for i, (left, _, rows) in enumerate(found, 1)]
