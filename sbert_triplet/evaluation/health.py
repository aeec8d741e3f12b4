"""How embeddings lie in their space: what shows that a model is collapsing, or crowds its texts.

Alignment and uniformity after Wang and Isola (2020, arXiv 2005.10242), the effective rank after Roy and
Vetterli (2007, EUSIPCO). All of them look at directions: rows are brought to length 1, a zero row stays 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sbert_triplet.errors import InputError
from sbert_triplet.evaluation.results import FloatArray
from sbert_triplet.nearest import Embeddings, IntArray

SAMPLE = 10_000
"""Texts whose pairs the uniformity is taken over at most: 50 million pairs, seconds of work."""
_MEMORY = 1 << 26
_ROUNDING = float(np.finfo(np.float32).eps) ** 2
"""Mean square of a direction below which it is the rounding of embeddings in float32."""


@dataclass(frozen=True)
class TripletShares:
    """Shares of ``triplets`` by their gap d(a, p) - d(a, n); NaN where there are none.

    ``easy`` up to -margin, ``hard`` from 0 on, ``semi_hard`` between. ``active``: with a positive hinge.
    """

    triplets: int
    margin: float
    easy: float
    semi_hard: float
    hard: float
    active: float


@dataclass(frozen=True)
class Health:
    """How N embeddings (N, D) of different texts lie; NaN for what is undefined on them.

    ``alignment``: mean squared distance of texts that belong together, 0 to 4, small is good.
    ``uniformity``: 0 where all coincide, about -4 where they fill the sphere; over all pairs of
    ``uniformity_texts`` of the texts. ``anisotropy``: mean cosine of two different texts, 1 where all
    coincide. ``effective_rank``: how many directions the embeddings take, from 1 to min(N, D);
    ``effective_rank_centred``: how many their differences from the mean take, 0 where there are none.
    ``triplets``: what a margin makes of given triplets.
    """

    texts: int
    dimensions: int
    positives: int
    alignment: float
    uniformity: float
    uniformity_texts: int
    anisotropy: float
    effective_rank: float
    effective_rank_centred: float
    triplets: TripletShares | None = None

    def as_json(self) -> dict[str, Any]:
        """For the run folder; JSON has no NaN, so what is undefined is null."""
        found = asdict(self)
        if self.triplets is not None:
            found["triplets"] = _without_nan(found["triplets"])
        return _without_nan(found)


def health(
    embeddings: Embeddings,
    positives: IntArray | None = None,
    *,
    triplets: TripletShares | None = None,
    texts: int = SAMPLE,
    seed: int = 13,
) -> Health:
    """The health of the embeddings (N, D) of N different texts.

    ``positives`` (M, 2): rows of texts that belong together. ``triplets`` are passed on. ``texts`` and
    ``seed``: the sample for the uniformity where there are more. Raises InputError for a row with numbers
    that are not finite, ValueError for shapes that do not fit.
    """
    given = np.zeros((0, 2), dtype=np.int64) if positives is None else np.asarray(positives)
    return Health(
        texts=len(embeddings),
        dimensions=embeddings.shape[1],
        positives=len(given),
        alignment=alignment(embeddings, given),
        uniformity=uniformity(embeddings, texts=texts, seed=seed),
        uniformity_texts=min(len(embeddings), texts),
        anisotropy=anisotropy(embeddings),
        effective_rank=effective_rank(embeddings, centred=False),
        effective_rank_centred=effective_rank(embeddings, centred=True),
        triplets=triplets,
    )


def alignment(embeddings: Embeddings, positives: IntArray, *, memory_bytes: int = _MEMORY) -> float:
    """Mean squared distance of the unit vectors of paired rows, ``positives`` (M, 2); NaN without any."""
    _check(embeddings)
    if positives.ndim != 2 or positives.shape[1] != 2:
        raise ValueError(f"positives must be pairs of rows (M, 2); got shape {positives.shape}")
    if len(positives) and not (positives.min() >= 0 and positives.max() < len(embeddings)):
        raise ValueError(f"positives name row {positives.max()}, and there are {len(embeddings)} rows")
    total, step = 0.0, _rows_at_once(embeddings, memory_bytes)
    for start in range(0, len(positives), step):
        left, right = (
            _unit(embeddings[rows], rows) for rows in positives[start : start + step].T.astype(np.int64)
        )
        total += float(np.square(left - right).sum())
    return total / len(positives) if len(positives) else float("nan")


def uniformity(
    embeddings: Embeddings, *, texts: int = SAMPLE, seed: int = 13, memory_bytes: int = _MEMORY
) -> float:
    """ln of the mean over pairs of different rows of e^(-2 |x - y|^2), for unit vectors x and y.

    From 0 (all coincide) down to about -4 + 8 / D. Over all pairs of the N rows, or of ``texts`` of them
    drawn by ``seed`` where N is larger. In tiles: beside the rows in use it takes about ``memory_bytes``.
    NaN for fewer than two rows.
    """
    _check(embeddings)
    chosen = np.arange(len(embeddings))
    if len(chosen) > texts:
        chosen = np.sort(np.random.default_rng(seed).choice(len(chosen), texts, replace=False))
    count = len(chosen)
    if count < 2:
        return float("nan")
    rows = np.concatenate([_unit(embeddings[some], some) for some in _parts(chosen, embeddings)])
    lengths, total = np.square(rows).sum(axis=1), 0.0
    # A tile is held as products, as distances and as their exponential.
    size = max(1, memory_bytes // (3 * 8 * count))
    for start in range(0, count, size):
        tile, rest = rows[start : start + size], rows[start:]
        squared = lengths[start : start + size, None] + lengths[None, start:] - 2 * (tile @ rest.T)
        near = np.exp(-2 * np.maximum(squared, 0.0))
        total += float(np.triu(near[:, : len(tile)], 1).sum() + near[:, len(tile) :].sum())
    return math.log(total / (count * (count - 1) / 2))


def anisotropy(embeddings: Embeddings) -> float:
    """Mean cosine of two different rows, (|sum x|^2 - sum |x|^2) / (N (N - 1)) of unit vectors; O(N D).

    NaN for fewer than two rows.
    """
    _check(embeddings)
    count = len(embeddings)
    if count < 2:
        return float("nan")
    total, squares = np.zeros(embeddings.shape[1]), 0.0
    for rows in _unit_parts(embeddings):
        total += rows.sum(axis=0)
        squares += float(np.square(rows).sum())
    return float((total @ total - squares) / (count * (count - 1)))


def effective_rank(embeddings: Embeddings, *, centred: bool) -> float:
    """e^(-sum p ln p) of the singular values' shares p, of unit vectors, or of these less their mean.

    From 1 to min(N, D); 0 where nothing is left, as of embeddings that coincide and are centred. Directions
    below the rounding of float32 do not count.
    """
    _check(embeddings)
    count, dimensions = embeddings.shape
    if count == 0:
        return float("nan")
    mean = np.zeros(dimensions)
    if centred:
        for rows in _unit_parts(embeddings):
            mean += rows.sum(axis=0) / count
    if count <= dimensions:
        squares = np.square(
            np.linalg.svd(np.concatenate([*_unit_parts(embeddings)]) - mean, compute_uv=False)
        )
    else:
        gram = np.zeros((dimensions, dimensions))
        for rows in _unit_parts(embeddings):
            gram += (rows - mean).T @ (rows - mean)
        squares = np.linalg.eigvalsh(gram)
    values = np.sqrt(squares[squares > _ROUNDING * count])
    if len(values) == 0:
        return 0.0
    shares = values / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def triplet_shares(gaps: FloatArray, margin: float) -> TripletShares:
    """What the triplets with the gaps d(a, p) - d(a, n), (T,), are for a hinge of that margin.

    Classes of Schroff, Kalenichenko and Philbin (2015, arXiv 1503.03832). Raises ValueError for a margin
    that is not positive, InputError for a gap that is not finite.
    """
    gaps = np.asarray(gaps, dtype=np.float64)
    if not margin > 0:
        raise ValueError(f"margin is {margin:g}; without a positive one nothing is semi-hard")
    if not np.isfinite(gaps).all():
        raise InputError(f"the gap of triplet {int(np.flatnonzero(~np.isfinite(gaps))[0])} is not finite")
    hard, active = gaps >= 0, gaps + margin > 0
    count = len(gaps)

    def share(number: int) -> float:
        return number / count if count else float("nan")

    return TripletShares(
        triplets=count,
        margin=margin,
        easy=share(int((~active).sum())),
        semi_hard=share(int((active & ~hard).sum())),
        hard=share(int(hard.sum())),
        active=share(int(active.sum())),
    )


def _check(embeddings: Embeddings) -> None:
    if embeddings.ndim != 2:
        raise ValueError(f"embeddings must be a table (rows, D); got shape {embeddings.shape}")


def _rows_at_once(embeddings: Embeddings, memory_bytes: int) -> int:
    width = int(embeddings.shape[1])
    return max(1, memory_bytes // (4 * 8 * max(1, width)))


def _parts(rows: IntArray, embeddings: Embeddings) -> Iterator[IntArray]:
    step = _rows_at_once(embeddings, _MEMORY)
    for start in range(0, len(rows), step):
        yield rows[start : start + step]


def _unit_parts(embeddings: Embeddings) -> Iterator[FloatArray]:
    for rows in _parts(np.arange(len(embeddings)), embeddings):
        yield _unit(embeddings[rows[0] : rows[-1] + 1], rows)


def _unit(table: Embeddings, rows: IntArray) -> FloatArray:
    """Rows of length 1 in float64; ``rows`` are their numbers, for an error."""
    wide = np.asarray(table, dtype=np.float64)
    if not np.isfinite(wide).all():
        row = int(rows[np.flatnonzero(~np.isfinite(wide).all(axis=1))[0]])
        raise InputError(f"row {row} of the embeddings holds NaN or infinity; check the model that made them")
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    unit: FloatArray = wide / np.where(lengths == 0, 1.0, lengths)
    return unit


def _without_nan(found: dict[str, Any]) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in found.items()
    }
