"""CoSENT: similarities of pairs in the order of their scores."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from sbert_triplet.distances.options import POSITIVE
from sbert_triplet.errors import InputError
from sbert_triplet.losses.batch import Embedded, Loss, LossOutput, Needs, connected_zero
from sbert_triplet.losses.candidates import pair_columns, weights_of
from sbert_triplet.losses.softmax import Similarity, default_scale, row_similarities


class CoSENTLoss(Loss):
    """ln(1 + sum over y_i < y_j of e^(scale (s_i - s_j))) (Huang et al., 2024, 10.1109/TASLP.2024.3402087).

    s is the similarity of a row's two texts and y its score; only the order of scores counts, so
    their range is free, and equal scores never pair. Row weights multiply into the pairs.
    O(B log B). 0 where all scores are equal.
    """

    needs = Needs(columns=2, scores=True)

    def __init__(
        self, *, scale: Annotated[float, POSITIVE] | None = None, similarity: Similarity = "cosine"
    ) -> None:
        super().__init__()
        usual = default_scale(similarity)
        if scale is not None:
            POSITIVE.check("scale", scale)
        self.scale, self.similarity = usual if scale is None else scale, similarity

    @property
    def compares_by(self) -> str:
        return self.similarity

    def forward(self, batch: Embedded) -> LossOutput:
        left, right = pair_columns(batch)
        scores = scores_of(batch)
        values = self.scale * row_similarities(left, right, self.similarity)
        weights = weights_of(batch, values)
        some = weights > 0
        value, pairs = ordered_logsumexp(values[some], scores[some], weights[some].log())
        stats = {"n_valid": float(pairs)}
        if pairs == 0:
            return LossOutput(connected_zero(left, right), stats)
        return LossOutput(value, stats)


def ordered_logsumexp(values: Tensor, scores: Tensor, log_weights: Tensor) -> tuple[Tensor, int]:
    """ln(1 + sum over scores_i < scores_j of w_i w_j e^(values_i - values_j)) of (B,) inputs, and the pairs.

    After sorting by score, the sum over j is a suffix of one running log-sum-exp.
    """
    rows = scores.shape[0]
    ordered, order = scores.sort(stable=True)
    start = torch.searchsorted(ordered, ordered, right=True)
    paired = start < rows
    if not bool(paired.any()):
        return values.sum() * 0, 0
    up, down = (log_weights + values)[order], (log_weights - values)[order]
    suffix = down.flip(0).logcumsumexp(0).flip(0)
    terms = up[paired] + suffix[start[paired]]
    one = torch.cat([terms.new_zeros(1), terms])
    return torch.logsumexp(one, dim=0), int((rows - start).sum())


def scores_of(batch: Embedded, low: float | None = None, high: float | None = None) -> Tensor:
    """The scores of a batch; raises InputError where there are none, or one is not in [low, high]."""
    if batch.scores is None:
        raise InputError("this loss wants one score a row, the batch has none")
    if batch.scores.shape != (batch.rows,):
        raise InputError(f"{batch.rows} rows with scores of shape {tuple(batch.scores.shape)}")
    bad = ~torch.isfinite(batch.scores)
    if low is not None and high is not None:
        bad = bad | (batch.scores < low) | (batch.scores > high)
    if bool(bad.any()):
        row = int(bad.nonzero()[0])
        span = "a finite number" if low is None else f"between {low:g} and {high:g}"
        raise InputError(f"score {float(batch.scores[row]):g} in row {row} of the batch: it must be {span}")
    return batch.scores
