"""Scores of the training rows against those that a loss takes, before the first step."""

from __future__ import annotations

import numpy as np

from sbert_triplet.data.examples import Examples
from sbert_triplet.data.kinds import Kind
from sbert_triplet.losses.batch import Loss
from sbert_triplet.losses.siamese import CosineRegressionLoss


def _advice(loss: Loss) -> str:
    order = "choose cosent, for which only their order counts"
    if isinstance(loss, CosineRegressionLoss):
        return f"Say what the ends of the scale are (loss.score_at_zero, loss.score_at_one), or {order}"
    return f"Rescale that column, or {order}"


def refuse_scores(rows: Examples, loss: Loss) -> None:
    """Raise ValueError, naming the first row, for a score that ``loss`` or a part of it does not take."""
    if rows.kind is not Kind.SCORED or rows.scores is None:
        return
    for part in loss.modules():
        if not isinstance(part, Loss):
            continue
        low, high = part.scores_between or (-np.inf, np.inf)
        wrong = (rows.scores < low) | (rows.scores > high)
        taken = f"from {low:g} to {high:g}"
        if part.scores_yes_or_no:
            wrong, taken = (rows.scores != 0) & (rows.scores != 1), "0 and 1 only"
        if wrong.any():
            first = int(np.flatnonzero(wrong)[0])
            raise ValueError(
                f"it takes scores {taken}, and row {int(rows.row_numbers[first]) + 1} of the data has "
                f"{rows.scores[first]:g}; these run from {rows.scores.min():g} to {rows.scores.max():g}. "
                f"{_advice(part)}"
            )
