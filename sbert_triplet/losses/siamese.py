"""The two pair objectives of SBERT (Reimers and Gurevych, 2019, arXiv 1908.10084)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import nn
from torch.nn import functional

from sbert_triplet.distances import full_precision
from sbert_triplet.distances.options import AT_LEAST_ONE, Range
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
    """Weighted mean of (cosine - score)^2; scores from -1 to 1."""

    needs = Needs(columns=2, scores=True)
    scores_between = (-1.0, 1.0)

    def __init__(self) -> None:
        super().__init__()

    @property
    def compares_by(self) -> str:
        return "cosine"

    def forward(self, batch: Embedded) -> LossOutput:
        left, right = pair_columns(batch)
        cosine = row_similarities(left, right, "cosine")
        target = scores_of(batch, *self.scores_between).to(cosine)
        weights = weights_of(batch, cosine)
        total = weights.sum()
        if batch.rows == 0 or float(total) == 0:
            return LossOutput(connected_zero(left, right), {"n_valid": 0.0})
        value = (weights * (cosine - target).square()).sum() / total
        return LossOutput(
            value, {"n_valid": float((weights > 0).sum()), "mean_cosine": float(cosine.detach().mean())}
        )
