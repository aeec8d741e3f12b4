"""Exact nearest neighbours over arrays of embeddings, in bounded memory.

Legend: Q queries, N documents, D dimensions. A similarity is named as in
sentence-transformers: ``cosine``, ``dot``, ``euclidean``, ``manhattan``; or it is a distance that
has no such name, as an object. Distances are negated, so that larger is closer throughout.
"""

from sbert_triplet.nearest.ordering import highest
from sbert_triplet.nearest.pairs import row_similarities
from sbert_triplet.nearest.search import top_k
from sbert_triplet.nearest.similarities import (
    SIMILARITIES,
    DistanceLike,
    Embeddings,
    Float32Array,
    FloatArray,
    IntArray,
    Similarity,
)

__all__ = [
    "SIMILARITIES",
    "DistanceLike",
    "Embeddings",
    "Float32Array",
    "FloatArray",
    "IntArray",
    "Similarity",
    "highest",
    "row_similarities",
    "top_k",
]
