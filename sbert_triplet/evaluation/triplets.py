"""Triplets: the share in which the anchor is closer to the positive than to the negative."""

from __future__ import annotations

import warnings

import numpy as np

from sbert_triplet.data.examples import IntArray, Ragged
from sbert_triplet.errors import InputError
from sbert_triplet.evaluation.results import FloatArray, MetricValues


def list_triplets(anchors: IntArray, positives: IntArray, negatives: Ragged) -> tuple[IntArray, IntArray]:
    """Every (anchor, positive, negative) of N rows, a row once for each of its negatives.

    Returns the text ids (T, 3) and the row (T,) each came from, which is the group to resample
    whole: triplets of one row share an anchor.
    """
    if not len(anchors) == len(positives) == len(negatives):
        raise ValueError(
            f"{len(anchors)} anchors, {len(positives)} positives, {len(negatives)} negative lists"
        )
    rows = np.repeat(np.arange(len(anchors), dtype=np.int64), np.diff(negatives.offsets))
    found = negatives.values[negatives.offsets[0] : negatives.offsets[-1]]
    return np.stack([anchors[rows], positives[rows], found], axis=1), rows


def evaluate_triplets(to_positive: FloatArray, to_negative: FloatArray) -> MetricValues:
    """Per triplet 1 where similarity to the positive is strictly larger than to the negative, else 0.

    ``to_positive`` and ``to_negative`` (T,): similarities, larger is closer. A tie is an error, so a
    collapsed model scores 0 and not 1. Without triplets: NaN with a warning.
    """
    near, far = np.asarray(to_positive, np.float64), np.asarray(to_negative, np.float64)
    if near.shape != far.shape or near.ndim != 1:
        raise ValueError(f"similarities {near.shape} and {far.shape} cannot be paired")
    finite = np.isfinite(near) & np.isfinite(far)
    if not finite.all():
        raise InputError(
            f"the similarities of triplet {int(np.flatnonzero(~finite)[0])} are not finite numbers"
        )
    right = (near > far).astype(np.float64)
    if len(right) == 0:
        reason = "there are no triplets"
        warnings.warn(f"triplet accuracy is undefined: {reason}", RuntimeWarning, stacklevel=2)
        return MetricValues("triplet accuracy", float("nan"), right, reason)
    return MetricValues("triplet accuracy", float(right.mean()), right)
