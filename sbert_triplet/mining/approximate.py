"""Approximate search by faiss, and how much of the exact answer it finds.

Douze et al. 2024, arXiv 2401.08281; HNSW: Malkov and Yashunin 2018, arXiv 1603.09320.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from sbert_triplet.data.examples import IntArray
from sbert_triplet.data.keys import keys
from sbert_triplet.errors import InputError
from sbert_triplet.mining.candidates import Candidates, Source
from sbert_triplet.mining.search import DenseSearch, Search
from sbert_triplet.mining.space import Space
from sbert_triplet.nearest import Embeddings
from sbert_triplet.nearest.rows import Rows, finite_rows, unit_rows

INSTALL = 'pip install "sbert-triplet[faiss]"'
SIMILARITIES = ("cosine", "dot", "euclidean")
RECALL_QUERIES = 200
_ROWS_AT_ONCE = 65536
_SAMPLE_PURPOSE = 41
# faiss warns below this number of training points for each list, and its lists are poor then.
_POINTS_PER_LIST = 39
_POINTS_TRAINED_ON = 64


@dataclass(frozen=True)
class ApproximateSearch:
    """Nearest neighbours by an index of faiss on the CPU, which holds its own copy of the embeddings.

    ``kind``: ``ivf`` (documents in ``lists`` by their nearest centre, of which ``probes`` are looked at; by
    default 4 sqrt(N) lists and a sixteenth of them) or ``hnsw`` (a graph of ``links`` a document, searched
    ``breadth`` wide and at least twice k). The graph is built by one thread: with several, two
    runs would build different ones. ``documents``: (N,) distinct text ids, ascending.

    Raises InputError where faiss is not installed, for a similarity that it does not have, and for embeddings
    that are not finite.
    """

    space: Space
    documents: IntArray
    kind: Literal["ivf", "hnsw"] = "ivf"
    lists: int | None = None
    probes: int | None = None
    links: int = 32
    breadth: int = 128

    def __post_init__(self) -> None:
        _faiss()
        if self.space.similarity not in SIMILARITIES:
            named = getattr(self.space.similarity, "name", self.space.similarity)
            raise InputError(
                f"approximate search compares by {', '.join(SIMILARITIES)}, not by {named}: "
                "use the exact search"
            )
        if self.kind not in ("ivf", "hnsw"):
            raise ValueError(f"unknown kind of index {self.kind!r}; it is ivf or hnsw")

    def __call__(self, queries: IntArray, k: int) -> Candidates:
        k = min(k, len(self.documents))
        index = self._index
        if self.kind == "hnsw":
            index.hnsw.efSearch = max(self.breadth, 2 * k)
        vectors = self._prepared(self.space.queries(queries), "queries", 0)
        scores, positions = index.search(vectors, k)
        if self.space.similarity == "euclidean":
            scores = -np.sqrt(np.maximum(scores, 0))
        scores = np.where(positions >= 0, scores, -np.inf).astype(np.float32)
        order = np.lexsort((positions, -scores), axis=1)
        positions = np.take_along_axis(positions, order, axis=1)
        documents = np.where(positions >= 0, self.documents[positions], -1)
        return Candidates.found(queries, documents, np.take_along_axis(scores, order, axis=1), Source.DENSE)

    def recall(
        self, queries: IntArray, k: int, *, sample: int = RECALL_QUERIES, memory_bytes: int = 1 << 30
    ) -> float:
        """``measured_recall`` beside the exact search over the same documents."""
        exact = DenseSearch(self.space, self.documents, memory_bytes)
        return measured_recall(self, exact, queries, k, sample=sample)

    @cached_property
    def _index(self) -> Any:
        faiss = _faiss()
        embeddings = self.space.documents(self.documents)
        rows, width = embeddings.shape
        metric = faiss.METRIC_L2 if self.space.similarity == "euclidean" else faiss.METRIC_INNER_PRODUCT
        if self.kind == "hnsw":
            index = faiss.IndexHNSWFlat(width, self.links, metric)
            index.hnsw.efConstruction = max(2 * self.links, 100)
        else:
            index = self._lists(faiss, embeddings, width, metric)
        with _threads(faiss, 1 if self.kind == "hnsw" else None):
            for first in range(0, rows, _ROWS_AT_ONCE):
                part = embeddings[first : first + _ROWS_AT_ONCE]
                index.add(self._prepared(part, "documents", first))
        return index

    def _lists(self, faiss: Any, embeddings: Embeddings, width: int, metric: int) -> Any:
        rows = len(embeddings)
        lists = self.lists or round(4 * rows**0.5)
        lists = max(1, min(lists, rows // _POINTS_PER_LIST))
        centres = faiss.IndexFlat(width, metric)
        index = faiss.IndexIVFFlat(centres, width, lists, metric)
        index.cp.spherical = self.space.similarity == "cosine"
        index.nprobe = min(lists, self.probes or max(1, -(-lists // 16)))
        # Drawn here and not by faiss, which would be given a copy of all.
        wanted = min(rows, _POINTS_TRAINED_ON * lists)
        sample = np.sort(np.argsort(keys(np.arange(rows), _SAMPLE_PURPOSE), kind="stable")[:wanted])
        index.train(self._prepared(embeddings[sample], "documents", 0))
        return index

    def _prepared(self, embeddings: Embeddings, name: str, first: int) -> Rows:
        vectors = finite_rows(embeddings, name, np.float32, first=first)
        return unit_rows(vectors) if self.space.similarity == "cosine" else vectors


def measured_recall(
    approximate: Search, exact: Search, queries: IntArray, k: int, *, sample: int = RECALL_QUERIES
) -> float:
    """Mean share of the k nearest that is found, over a sample of the queries (Q,).

    The sample is a function of the queries' ids. A document counts as found when it is as near as
    the k-th of the exact search, so that ties at the cut cost nothing. NaN without queries.
    """
    chosen = np.unique(queries)
    chosen = np.sort(chosen[np.argsort(keys(chosen, _SAMPLE_PURPOSE), kind="stable")[:sample]])
    if not len(chosen):
        return float("nan")
    nearest, found = exact(chosen, k), approximate(chosen, k)
    # An index makes its products in float32.
    last = nearest.scores[:, -1:]
    near = found.scores >= last - 1e-5 * np.maximum(np.abs(last), 1)
    return float(near.sum() / nearest.there.sum())


@contextmanager
def _threads(faiss: Any, count: int | None) -> Iterator[None]:
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count or before)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise InputError(f"approximate search needs faiss, which is not installed: {INSTALL}") from error
    return faiss
