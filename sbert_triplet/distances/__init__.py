"""Distances (smaller is closer) and similarities (larger is closer) of embeddings and of token sets.

Every one gives ``rowwise(x, y) -> (B,)``, ``pairwise(x, y) -> (B, C)`` and
``unit_range(dimensions)``; ``smaller_is_closer`` says which way it runs. ``DISTANCES`` holds
their constructors by name.
"""

from sbert_triplet.distances.angular import Cosine, Dot
from sbert_triplet.distances.base import Distance, full_precision, unit
from sbert_triplet.distances.jaccard import Ruzicka, Tanimoto, jaccard
from sbert_triplet.distances.mahalanobis import (
    FixedMahalanobis,
    LearnedMahalanobis,
    Mahalanobis,
    mahalanobis,
    shrunk_covariance,
)
from sbert_triplet.distances.minkowski import Chebyshev, Euclidean, Manhattan, Minkowski, SquaredEuclidean
from sbert_triplet.distances.names import DISTANCES, build_distance, minkowski
from sbert_triplet.distances.tokens import token_jaccard, token_jaccard_pairs, token_set

__all__ = [
    "DISTANCES",
    "Chebyshev",
    "Cosine",
    "Distance",
    "Dot",
    "Euclidean",
    "FixedMahalanobis",
    "LearnedMahalanobis",
    "Mahalanobis",
    "Manhattan",
    "Minkowski",
    "Ruzicka",
    "SquaredEuclidean",
    "Tanimoto",
    "build_distance",
    "full_precision",
    "jaccard",
    "mahalanobis",
    "minkowski",
    "shrunk_covariance",
    "token_jaccard",
    "token_jaccard_pairs",
    "token_set",
    "unit",
]
