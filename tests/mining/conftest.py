"""A small world for mining: texts with ids, and an embedding for each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from sbert_triplet.data.examples import Examples, IntArray
from sbert_triplet.data.kinds import Kind
from sbert_triplet.data.texts import TextTable
from sbert_triplet.encoding.tokens import Side
from sbert_triplet.mining.mined import Mined
from sbert_triplet.mining.search import DenseSearch
from sbert_triplet.mining.space import Space


@dataclass
class World:
    """``vectors``: row i is the embedding of text i. ``encoded``: the sides that were asked for."""

    texts: TextTable
    vectors: np.ndarray
    encoded: list[Side] = field(default_factory=list)

    def embed(self, side: Side, ids: IntArray) -> np.ndarray:
        self.encoded.append(side)
        return self.vectors[ids]

    @property
    def space(self) -> Space:
        return Space(self.embed, "dot")

    def search(self, documents: Sequence[int] | IntArray) -> DenseSearch:
        return DenseSearch(self.space, np.asarray(documents, dtype=np.int64))


@pytest.fixture(scope="session")
def world() -> Callable[..., World]:
    """Makes a world of the texts and vectors given, or of ``count`` unlike texts and random vectors."""

    def make(
        texts: Sequence[str] | None = None,
        vectors: np.ndarray | None = None,
        *,
        count: int = 40,
        seed: int = 0,
    ) -> World:
        given = (
            list(texts) if texts is not None else [f"word{number} only{number}" for number in range(count)]
        )
        table = TextTable()
        table.add(given)
        assert len(table) == len(given)
        if vectors is None:
            # Small integers: their products are exact, so ties are true ties.
            vectors = np.random.default_rng(seed).integers(-3, 4, size=(len(given), 4))
        return World(table, np.asarray(vectors, dtype=np.float32))

    return make


@pytest.fixture(scope="session")
def by_query() -> Callable[[Mined], dict[int, list[tuple[int, float]]]]:
    """Documents and scores of each query; its rows have the same."""

    def read(mined: Mined) -> dict[int, list[tuple[int, float]]]:
        found: dict[int, list[tuple[int, float]]] = {}
        for row, query in enumerate(mined.queries.tolist()):
            part = slice(mined.negatives.offsets[row], mined.negatives.offsets[row + 1])
            pairs = list(zip(mined.negatives.values[part].tolist(), mined.scores[part].tolist(), strict=True))
            assert found.setdefault(query, pairs) == pairs
        return found

    return read


@pytest.fixture(scope="session")
def pairs() -> Callable[..., Examples]:
    """Makes examples of (anchor, positive) text ids."""

    def make(*rows: tuple[int, int], kind: Kind = Kind.PAIRS) -> Examples:
        ids = np.array(rows, dtype=np.int64).reshape(-1, 2)
        return Examples(kind, ids[:, 0].copy(), np.arange(len(ids)), positives=ids[:, 1].copy())

    return make


@pytest.fixture(scope="session")
def one_query(world: Callable[..., World]) -> World:
    """Query 0 has positives 1 (score 8) and 2 (score 4); documents 3 to 9 score 9, 8, 6, 4, 2, 0, -2."""
    scores = [8, 4, 9, 8, 6, 4, 2, 0, -2]
    return world(vectors=np.array([[1, 0]] + [[score, 1] for score in scores]), count=10)
