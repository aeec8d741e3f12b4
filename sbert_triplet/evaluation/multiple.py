"""Several metrics at once: the more of them are looked at, the sooner one differs by luck."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from sbert_triplet.evaluation.results import Comparison, FloatArray


def holm(p_values: ArrayLike) -> FloatArray:
    """Holm's adjusted p-values (m,) of ``p_values`` (m,), in order (Holm 1979, jstor.org/stable/4615733).

    Rejecting what is at most .05 after it, the chance of one or more false alarms among all is at most
    .05, however they hang together. NaN (undefined) stays NaN and does not count. Raises ``ValueError`` for
    a value outside 0 to 1.
    """
    given = np.asarray(p_values, dtype=np.float64)
    if given.ndim != 1:
        raise ValueError(f"p-values must be in one row, got the shape {given.shape}")
    defined = np.flatnonzero(~np.isnan(given))
    outside = defined[(given[defined] < 0) | (given[defined] > 1)]
    if len(outside):
        raise ValueError(f"p-value {int(outside[0])} is {given[outside[0]]}; it must lie between 0 and 1")
    order = defined[np.argsort(given[defined], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted = np.full(len(given), np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * given[order]), 1.0)
    return adjusted


def adjust_beside(main: str, comparisons: Mapping[str, Comparison]) -> dict[str, Comparison]:
    """``adjust`` over all but ``main``: that one was named beforehand, and stands by itself."""
    others = adjust({name: each for name, each in comparisons.items() if name != main})
    return {name: others.get(name, each) for name, each in comparisons.items()}


def adjust(comparisons: Mapping[str, Comparison]) -> dict[str, Comparison]:
    """The comparisons with ``adjusted_p``, Holm's over all of them; None where p is undefined."""
    adjusted = holm([comparison.p_value for comparison in comparisons.values()])
    return {
        name: replace(comparison, adjusted_p=None if np.isnan(p) else float(p))
        for (name, comparison), p in zip(comparisons.items(), adjusted, strict=True)
    }
