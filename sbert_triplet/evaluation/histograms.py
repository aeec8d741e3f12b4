"""Similarities of pairs that belong together and of others, counted in bins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sbert_triplet.evaluation.results import FloatArray

BINS = 40
Groups = Mapping[str, FloatArray]


def histograms(groups: Groups, edges: FloatArray) -> dict[str, dict[str, Any]]:
    """Of each group of similarities (m,): ``n``, ``mean``, ``sd``, and ``counts`` between the ``edges``.

    Of every group but the first also ``told_apart``: the chance that a pair of the first is nearer than one
    of this group, ties as half (0.5: not told apart). A group without pairs is left out.
    """
    filled = {name: values for name, values in groups.items() if len(values)}
    found: dict[str, dict[str, Any]] = {}
    first = next(iter(filled.values()), np.zeros(0))
    for place, (name, values) in enumerate(filled.items()):
        found[name] = {
            "n": len(values),
            "mean": float(values.mean()),
            "sd": float(values.std()),
            "counts": np.histogram(values, edges)[0].tolist(),
        }
        if place:
            found[name]["told_apart"] = told_apart(first, values)
    return found


def told_apart(near: FloatArray, far: FloatArray) -> float:
    """The share of all pairs of a ``near`` (m,) and a ``far`` (k,) value in which the near one is larger.

    Equal values count half: the area under the ROC curve, Mann and Whitney's U over m k.
    """
    ordered = np.sort(far)
    below = np.searchsorted(ordered, near, side="left")
    upto = np.searchsorted(ordered, near, side="right")
    return float((below + upto).mean() / 2 / len(far))


def edges_over(*groups: Groups, bins: int = BINS) -> FloatArray:
    """(bins + 1,) edges of bins that hold every value of all groups, of one width."""
    values = [each for group in groups for each in group.values() if len(each)]
    low = min((float(each.min()) for each in values), default=0.0)
    high = max((float(each.max()) for each in values), default=1.0)
    return np.linspace(low, high if high > low else low + 1.0, bins + 1)
