"""Every distance by the name that recipes use."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from sbert_triplet.distances.angular import Cosine, Dot
from sbert_triplet.distances.base import Distance
from sbert_triplet.distances.jaccard import jaccard
from sbert_triplet.distances.mahalanobis import mahalanobis
from sbert_triplet.distances.minkowski import Chebyshev, Euclidean, Manhattan, Minkowski, SquaredEuclidean
from sbert_triplet.distances.options import EXPONENT, nearest_spelling


def minkowski(*, p: Annotated[float, EXPONENT]) -> Distance:
    """Minkowski distance of any real p >= 1 or infinity."""
    return Minkowski(float(p))


DISTANCES: dict[str, Callable[..., Distance]] = {
    "minkowski": minkowski,
    "manhattan": Manhattan,
    "euclidean": Euclidean,
    "chebyshev": Chebyshev,
    "squared_euclidean": SquaredEuclidean,
    "cosine": Cosine,
    "dot": Dot,
    "jaccard": jaccard,
    "mahalanobis": mahalanobis,
}


def build_distance(
    distance: str | Mapping[str, Any] | Distance, *, dimensions: int | None = None
) -> Distance:
    """A distance from its name, from ``{"name": ..., option: ...}``, or as it is.

    ``dimensions`` of the encoder reaches the distances that hold a matrix. Raises ValueError
    with the nearest spelling for an unknown name or option.
    """
    if isinstance(distance, Distance):
        return distance
    options: dict[str, Any] = {"name": distance} if isinstance(distance, str) else dict(distance)
    name = options.pop("name", None)
    if name not in DISTANCES:
        raise ValueError(f"distance {name!r} is not known: {nearest_spelling(str(name), tuple(DISTANCES))}")
    constructor = DISTANCES[name]
    known = tuple(inspect.signature(constructor).parameters)
    if "dimensions" in known and dimensions is not None:
        options.setdefault("dimensions", dimensions)
    for option in options:
        if option not in known:
            hint = nearest_spelling(option, known) if known else "it has none"
            raise ValueError(f"distance {name} has no option {option!r}: {hint}")
    try:
        return constructor(**options)
    except TypeError as error:
        raise ValueError(f"distance {name}: {error}") from error
