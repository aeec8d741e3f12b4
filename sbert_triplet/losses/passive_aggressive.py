"""OASIS as published: passive-aggressive updates of a bilinear similarity on frozen embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sbert_triplet.distances.options import AT_LEAST_ONE, POSITIVE, check_choice
from sbert_triplet.errors import InputError

Array = NDArray[np.float64]
Finish = Literal["none", "symmetric", "positive"]


@dataclass(frozen=True)
class OasisFit:
    """``matrix`` W (D, D) of S(q, d) = q^T W d, and the mean hinge before each update, one number a pass."""

    matrix: Array
    losses: tuple[float, ...]
    updates: int


def fit_oasis(
    queries: NDArray[np.floating],
    positives: NDArray[np.floating],
    negatives: NDArray[np.floating],
    *,
    aggressiveness: float = 0.1,
    passes: int = 1,
    seed: int = 13,
    start: NDArray[np.floating] | None = None,
    finish: Finish = "none",
) -> OasisFit:
    """Learn W from triplets of frozen embeddings, each (N, D), in O(D^2) a triplet.

    Chechik, Sharma, Shalit and Bengio (2010, JMLR 11): from W = I, each triplet with a loss
    l = [1 - q^T W p + q^T W n]_+ above 0 adds min(aggressiveness, l / |V|_F^2) V, V = q (p - n)^T,
    after which an unclipped triplet's loss is exactly 0. Triplets with V = 0 are skipped. They
    are visited in an order drawn from ``seed`` and the pass. ``finish``: ``symmetric`` gives
    (W + W^T) / 2, ``positive`` its projection on positive semi-definite matrices.
    Raises InputError for arrays of different shape or with numbers that are not finite.
    """
    POSITIVE.check("aggressiveness", aggressiveness)
    AT_LEAST_ONE.check("passes", passes)
    check_choice("finish", finish, ("none", "symmetric", "positive"))
    query, positive, negative = (
        _checked(side, np.shape(queries)) for side in (queries, positives, negatives)
    )
    gap = positive - negative
    squared = (query**2).sum(1) * (gap**2).sum(1)
    dimensions = query.shape[1]
    weight = np.eye(dimensions) if start is None else np.array(start, dtype=np.float64)
    if weight.shape != (dimensions, dimensions):
        raise InputError(f"oasis: start is {weight.shape}, the embeddings have {dimensions} dimensions")
    losses, updates = [], 0
    for number in range(passes):
        total = 0.0
        for row in np.random.default_rng((seed, number)).permutation(len(query)):
            if squared[row] == 0:
                continue
            loss = 1.0 - float(query[row] @ weight @ gap[row])
            if loss > 0:
                step = min(aggressiveness, loss / squared[row])
                weight += np.outer(step * query[row], gap[row])
                total += loss
                updates += 1
        losses.append(total / max(1, int((squared > 0).sum())))
    return OasisFit(_finished(weight, finish), tuple(losses), updates)


def _checked(side: NDArray[np.floating], shape: tuple[int, ...]) -> Array:
    out = np.asarray(side, dtype=np.float64)
    if out.ndim != 2 or out.shape != shape:
        raise InputError(f"oasis wants queries, positives and negatives of one shape (N, D), got {out.shape}")
    if not np.isfinite(out).all():
        raise InputError("oasis: the embeddings hold numbers that are not finite")
    return out


def _finished(weight: Array, finish: Finish) -> Array:
    if finish == "none":
        return weight
    even: Array = (weight + weight.T) / 2
    if finish == "symmetric":
        return even
    values, vectors = np.linalg.eigh(even)
    projected: Array = (vectors * np.maximum(values, 0.0)) @ vectors.T
    return projected
