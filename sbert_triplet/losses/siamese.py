"""The two pair objectives of SBERT (Reimers and Gurevych, 2019, arXiv 1908.10084)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import nn
from torch.nn import functional

from sbert_triplet.distances import full_precision
from sbert_triplet.distances.options import ANY_NUMBER, AT_LEAST_ONE, Range
from sbert_triplet.errors import InputError
from sbert_triplet.losses.batch import Embedded, Loss, LossOutput, Needs, connected_zero
from sbert_triplet.losses.candidates import labels_of, pair_columns, weights_of
from sbert_triplet.losses.cosent import scores_of
from sbert_triplet.losses.softmax import row_similarities

TWO_OR_MORE = Range(low=2)


class SoftmaxClassificationLoss(Loss):
    """Cross-entropy of a linear classifier on [u; v; |u - v|], with parameters of the embedding's size.

    ``classes`` labels from 0; two columns and one label a row (NLI). ln(classes) at weight 0.
    """

    needs = Needs(columns=2, labels=True)

    def __init__(
        self,
        *,
        classes: Annotated[int, TWO_OR_MORE],
        dimensions: Annotated[int, AT_LEAST_ONE],
        bias: bool = True,
    ) -> None:
        super().__init__()
        TWO_OR_MORE.check("classes", classes)
        AT_LEAST_ONE.check("dimensions", dimensions)
        self.classes, self.dimensions = classes, dimensions
        self.classifier = nn.Linear(3 * dimensions, classes, bias=bias)

    @property
    def embedding_sized(self) -> bool:
        return True

    def forward(self, batch: Embedded) -> LossOutput:
        left, right = pair_columns(batch)
        if left.shape[1] != self.dimensions:
            raise InputError(
                f"softmax_classification is for {self.dimensions} dimensions, got {left.shape[1]}"
            )
        labels = labels_of(batch)
        if bool(((labels < 0) | (labels >= self.classes)).any()):
            bad = int(labels[(labels < 0) | (labels >= self.classes)][0])
            raise InputError(
                f"label {bad} of {self.classes} classes: labels run from 0 to {self.classes - 1}"
            )
        weights = weights_of(batch, full_precision(left))
        if batch.rows == 0 or float(weights.sum()) == 0:
            return LossOutput(connected_zero(left, right), {"n_valid": 0.0, "accuracy": 0.0})
        u, v = full_precision(left), full_precision(right)
        features = torch.cat([u, v, (u - v).abs()], dim=1)
        logits = self.classifier(features.to(self.classifier.weight.dtype))
        rows = functional.cross_entropy(logits, labels, reduction="none")
        accuracy = float((logits.argmax(1) == labels).float().mean())
        value = (weights * rows).sum() / weights.sum()
        return LossOutput(value, {"n_valid": float((weights > 0).sum()), "accuracy": accuracy})


class CosineRegressionLoss(Loss):
    """Weighted mean of (cosine - target)^2, target = (score - zero) / (one - zero).

    ``score_at_zero``, ``score_at_one``: the scores that stand for cosines of 0 and 1, by which any scale is
    learned from, also one on which less is nearer. As they are: scores from -1 to 1 are cosines. A score
    may not stand for a cosine beyond -1 or 1.
    """

    needs = Needs(columns=2, scores=True)

    def __init__(
        self,
        *,
        score_at_zero: Annotated[float, ANY_NUMBER] = 0.0,
        score_at_one: Annotated[float, ANY_NUMBER] = 1.0,
    ) -> None:
        super().__init__()
        for name, value in (("score_at_zero", score_at_zero), ("score_at_one", score_at_one)):
            ANY_NUMBER.check(name, value)
        if score_at_zero == score_at_one:
            raise ValueError(f"score_at_zero and score_at_one are both {score_at_zero:g}; they must differ")
        self.score_at_zero, self.score_at_one = score_at_zero, score_at_one
        ends = (2 * score_at_zero - score_at_one, score_at_one)
        self._ends = (min(ends), max(ends))
        self.scores_between = self._ends

    @property
    def compares_by(self) -> str:
        return "cosine"

    def forward(self, batch: Embedded) -> LossOutput:
        left, right = pair_columns(batch)
        cosine = row_similarities(left, right, "cosine")
        scores = scores_of(batch, *self._ends).to(cosine)
        target = (scores - self.score_at_zero) / (self.score_at_one - self.score_at_zero)
        weights = weights_of(batch, cosine)
        total = weights.sum()
        if batch.rows == 0 or float(total) == 0:
            return LossOutput(connected_zero(left, right), {"n_valid": 0.0})
        value = (weights * (cosine - target).square()).sum() / total
        return LossOutput(
            value, {"n_valid": float((weights > 0).sum()), "mean_cosine": float(cosine.detach().mean())}
        )
