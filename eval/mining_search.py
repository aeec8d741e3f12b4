"""Negatives by this package and by sentence-transformers (ST) from the same stored embeddings.

The time is told in two stages. Search: of this package all calls of its search; of ST what lies between the
embeddings of the queries and the scores of the positives, its Python loop over the pairs included. The
rest: whatever else is done up to the table of triplets with scores.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from isolated import peak_above
from mining_cases import MEMORY, NEGATIVES, WINDOW, Way
from mining_data import Material, Vectors
from numpy.typing import NDArray
from sentence_transformers.util import mine_hard_negatives
from sentence_transformers.util.similarity import SimilarityFunction

from sbert_triplet.data.examples import Examples
from sbert_triplet.data.kinds import Kind
from sbert_triplet.data.texts import TextTable
from sbert_triplet.encoding.tokens import Side
from sbert_triplet.mining.candidates import Candidates
from sbert_triplet.mining.hard_negatives import mine
from sbert_triplet.mining.output import as_dataset
from sbert_triplet.mining.rules import Rules
from sbert_triplet.mining.search import DenseSearch
from sbert_triplet.mining.space import Space

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Answer:
    """``documents``: (Q, n) row numbers, -1 where there are fewer; ``scores``: (Q, n), -inf there;
    ``positives``: (Q,) scores of the queries' own documents, NaN where they are not told.
    """

    documents: IntArray
    scores: FloatArray
    positives: FloatArray

    @classmethod
    def read(cls, file: Path) -> Answer:
        with np.load(file) as found:
            return cls(found["documents"], found["scores"], found["positives"])

    def write(self, file: Path) -> None:
        np.savez(file, documents=self.documents, scores=self.scores, positives=self.positives)


@dataclass(frozen=True)
class Step:
    """``run`` gives a table, and ``answer`` what it says; ``searched``: seconds of searching in it."""

    run: Callable[[], Any]
    answer: Callable[[Any], Answer]
    searched: Callable[[], float]


def mined(way: Way, folder: Path, answer: Path) -> dict[str, float]:
    """Mine once: seconds, those of the search among them, and the peak above what was there before."""
    step = (_ours if way.ours else _st)(way, Material.read(folder))
    found: list[Any] = []
    seconds, peak = peak_above(lambda: found.append(step.run()))
    step.answer(found[0]).write(answer)
    return {"seconds": seconds, "search": step.searched(), "peak": peak}


class _TimedSearch:
    """A search that is timed."""

    def __init__(self, search: DenseSearch) -> None:
        self._search, self.seconds = search, 0.0

    @property
    def space(self) -> Space:
        return self._search.space

    @property
    def documents(self) -> IntArray:
        return self._search.documents

    def __call__(self, queries: IntArray, k: int) -> Candidates:
        start = time.perf_counter()
        try:
            return self._search(queries, k)
        finally:
            self.seconds += time.perf_counter() - start


def _ours(way: Way, material: Material) -> Step:
    texts = TextTable()
    documents, queries = texts.add(material.documents), texts.add(material.queries)
    if len(texts) != len(documents) + len(queries):
        raise ValueError("a text comes twice: the answers could not be compared")
    vectors = {"document": material.document_vectors, "query": material.query_vectors}
    firsts = {"document": 0, "query": len(documents)}

    def embed(side: Side, ids: IntArray) -> Vectors:
        return _rows(vectors[side], ids - firsts[side])

    search = _TimedSearch(DenseSearch(Space(embed, device="cpu"), documents, MEMORY - MEMORY // 4))
    examples = Examples(Kind.PAIRS, queries, np.arange(len(queries)), documents[material.own])
    filters: dict[str, Any] = {} if way.all_filters else {"near_equal": None, "transitive_hops": 0}
    rules = Rules(negatives=NEGATIVES, range_max=WINDOW, relative_margin=way.margin, **filters)

    def run() -> Any:
        found = mine(examples, search, texts, rules, memory_bytes=MEMORY // 4)
        return found, as_dataset(found, texts.texts)

    def answer(found: Any) -> Answer:
        counts = np.diff(found[0].negatives.offsets)
        rows = np.repeat(found[0].rows, counts)
        positives = np.full(len(queries), np.nan)
        positives[found[0].rows] = found[0].positive_scores
        return _answer(rows, found[0].negatives.values, found[0].scores, positives)

    return Step(run, answer, lambda: search.seconds)


class _Stored:
    """What ``mine_hard_negatives`` asks of a model, answered from stored embeddings."""

    device = torch.device("cpu")

    def __init__(self, material: Material) -> None:
        self.material = material
        self.documents = {text: row for row, text in enumerate(material.documents)}
        self.queries = {text: row for row, text in enumerate(material.queries)}
        self.similarity = SimilarityFunction.to_similarity_fn("cosine")
        self._pairwise = SimilarityFunction.to_similarity_pairwise_fn("cosine")
        self.marks = [0.0, 0.0]

    def encode_document(self, texts: list[str], **_: Any) -> Vectors:
        return _rows(self.material.document_vectors, np.array([self.documents[text] for text in texts]))

    def encode_query(self, texts: list[str], **_: Any) -> Vectors:
        found = _rows(self.material.query_vectors, np.array([self.queries[text] for text in texts]))
        self.marks[0] = time.perf_counter()
        return found

    def similarity_pairwise(self, first: Any, second: Any) -> Any:
        self.marks[1] = time.perf_counter()
        return self._pairwise(first, second)

    def get_embedding_dimension(self) -> int:
        return int(self.material.document_vectors.shape[1])


def _st(way: Way, material: Material) -> Step:
    os.environ["TQDM_DISABLE"] = "1"
    model: Any = _Stored(material)
    positives = [material.documents[row] for row in material.own]
    rows = datasets.Dataset.from_dict({"anchor": material.queries, "positive": positives})

    def run() -> datasets.Dataset:
        return mine_hard_negatives(
            rows,
            model,
            corpus=material.documents,
            range_max=WINDOW,
            relative_margin=way.margin,
            num_negatives=NEGATIVES,
            output_scores=True,
            faiss_batch_size=way.queries_at_once,
            use_faiss=way.faiss,
            verbose=False,
        )

    def answer(found: datasets.Dataset) -> Answer:
        owners = np.array([model.queries[text] for text in found["anchor"]], dtype=np.int64)
        negatives = np.array([model.documents[text] for text in found["negative"]], dtype=np.int64)
        scores = np.array(found["scores"], dtype=np.float64).reshape(-1, 2)[:, 1]
        return _answer(owners, negatives, scores, np.full(len(material.queries), np.nan))

    return Step(run, answer, lambda: float(model.marks[1] - model.marks[0]))


def _rows(vectors: Vectors, places: IntArray) -> Vectors:
    """Rows of embeddings; what lies together is not copied, as of a file of embeddings."""
    if len(places) and np.array_equal(places, np.arange(len(places)) + places[0]):
        return vectors[places[0] : places[0] + len(places)]
    return vectors[places]


def _answer(owners: IntArray, negatives: IntArray, scores: FloatArray, positives: FloatArray) -> Answer:
    """From triplets, those of one query together and best first."""
    shape = len(positives), NEGATIVES
    documents, found = np.full(shape, -1, dtype=np.int64), np.full(shape, -np.inf)
    order = np.argsort(owners, kind="stable")
    starts = np.searchsorted(owners[order], owners[order])
    places = np.arange(len(owners)) - starts
    documents[owners[order], places] = negatives[order]
    found[owners[order], places] = scores[order]
    return Answer(documents, found, positives)
