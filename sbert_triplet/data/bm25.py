"""BM25 over a collection of texts: the lexical ranking that evaluation compares with and mining draws from.

Robertson and Zaragoza 2009, doi:10.1561/1500000019, in Lucene's variant (k1 = 1.5, b = 0.75) by
``bm25s`` (Lù 2024, arXiv 2407.03618). Texts are lower-cased and cut into runs of two or more
word characters; English stop words are dropped. Words are not stemmed: the stemmers are English
too, need a compiled package, and would help BM25 in one language only. Scripts without spaces
between words are therefore served badly.
"""

from __future__ import annotations

from collections.abc import Sequence

import bm25s
import numpy as np
import torch

from sbert_triplet.data.examples import IntArray
from sbert_triplet.nearest import Float32Array, highest

_BLOCK_BYTES = 64 << 20


class Bm25Index:
    """N documents, ready to be ranked for any number of queries."""

    def __init__(self, document_texts: Sequence[str]) -> None:
        self._documents = len(document_texts)
        self._index: bm25s.BM25 | None = None
        tokens = bm25s.tokenize(list(document_texts), stopwords="en", show_progress=False)
        if any(len(document) for document in tokens.ids):
            self._index = bm25s.BM25(method="lucene", k1=1.5, b=0.75, backend="numpy")
            self._index.index(tokens, show_progress=False)

    def rank(self, query_texts: Sequence[str], k: int) -> tuple[IntArray, Float32Array]:
        """Positions and BM25 scores, each (Q, min(k, N)), best first; as ``bm25_rank``."""
        k = min(k, self._documents)
        positions = np.tile(np.arange(k, dtype=np.int64), (len(query_texts), 1))
        scores = np.full((len(query_texts), k), -np.inf, dtype=np.float32)
        if k == 0 or not query_texts or self._index is None:
            return positions, scores
        queries = bm25s.tokenize(list(query_texts), stopwords="en", return_ids=False, show_progress=False)
        chunk = max(1, _BLOCK_BYTES // (4 * self._documents))
        for first in range(0, len(query_texts), chunk):
            rows = slice(first, first + chunk)
            block = np.stack([self._scores(words) for words in queries[rows]])
            block[block <= 0] = -np.inf
            values, found = highest(torch.from_numpy(block), k)
            scores[rows], positions[rows] = values.numpy(), found.numpy()
        return positions, scores

    def _scores(self, words: list[str]) -> Float32Array:
        known = self._index.get_tokens_ids(words) if self._index is not None else []
        if self._index is None or not known:
            return np.zeros(self._documents, dtype=np.float32)
        return np.array(self._index.get_scores_from_ids(known), dtype=np.float32)


def bm25_rank(
    query_texts: Sequence[str], document_texts: Sequence[str], k: int
) -> tuple[IntArray, Float32Array]:
    """Positions and BM25 scores, each (Q, min(k, N)), best first.

    Equal scores are ordered by the lower position. A document that shares no word with the query
    is not retrieved: its score is -inf.
    """
    return Bm25Index(document_texts).rank(query_texts, k)
