"""Losses that learn a metric on top of the embeddings: relative comparisons and OASIS."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from sbert_triplet.distances import Distance, full_precision
from sbert_triplet.distances.options import AT_LEAST_ONE, NOT_NEGATIVE, POSITIVE, check_choice
from sbert_triplet.losses.batch import Embedded, Loss, LossOutput, Needs
from sbert_triplet.losses.links import Hinge
from sbert_triplet.losses.triplet_terms import Miner, reduce_terms, triplet_needs, triplet_terms

LearnedMiner = Literal["none", "all", "hard"]
MINERS = ("none", "all", "hard")


class WeightedSquares(nn.Module, Distance):
    """sum_r w_r (A^T (x - y))_r^2 with learned weights w >= 0 and a fixed A (D, R), or the identity."""

    name: ClassVar[str] = "weighted_squares"

    transform: Tensor | None

    def __init__(self, dimensions: int, form: str, transform: Tensor | None = None) -> None:
        super().__init__()
        if transform is not None and (transform.dim() != 2 or transform.shape[0] != dimensions):
            raise ValueError(f"transform is {tuple(transform.shape)}: it must be ({dimensions}, R)")
        size = dimensions if transform is None else transform.shape[1]
        self.dimensions, self.form = dimensions, form
        self.register_buffer("transform", transform)
        one = torch.ones(size)
        self.theta = nn.Parameter(one if form == "projected" else one.expm1().log())

    def weights(self) -> Tensor:
        """(R,): w."""
        return functional.softplus(self.theta) if self.form == "softplus" else self.theta

    def matrix(self) -> Tensor:
        """(R, D) matrix L with |L (x - y)|^2 equal to this distance: diag(sqrt w) A^T."""
        root = self.weights().detach().clamp(min=0).sqrt()
        return torch.diag(root) if self.transform is None else root[:, None] * self.transform.T

    def squared_norm(self) -> Tensor:
        """|A diag(w) A^T|_F^2, which is |w|^2 without A."""
        w = self.weights()
        if self.transform is None:
            return w.square().sum()
        gram = self.transform.T @ self.transform
        return w @ (gram.square() @ w)

    @torch.no_grad()
    def after_step(self) -> None:
        if self.form == "projected":
            self.theta.clamp_(min=0)

    def unit_range(self, dimensions: int) -> float:
        return 4.0 * float(torch.linalg.matrix_norm(self.matrix().float(), ord=2).square())

    def _project(self, x: Tensor) -> Tensor:
        if x.shape[1] != self.dimensions:
            raise ValueError(f"this metric is for {self.dimensions} dimensions, got {x.shape[1]}")
        return x if self.transform is None else x @ self.transform.to(x.dtype)

    def _rowwise(self, x: Tensor, y: Tensor) -> Tensor:
        return self._project(x - y).square() @ self.weights().to(x.dtype)

    def _pairwise(self, x: Tensor, y: Tensor) -> Tensor:
        w = self.weights().to(x.dtype)
        centre = y.detach().mean(0)
        x, y = self._project(x - centre), self._project(y - centre)
        lengths = (x.square() @ w)[:, None] + (y.square() @ w)[None]
        return (lengths - 2 * (x * w) @ y.T).clamp(min=0)


class RelativeComparisonsLoss(Loss):
    """|A diag(w) A^T|_F^2 / 2 + C sum of [1 - d_w^2(a, n) + d_w^2(a, p)]_+ with weights w >= 0.

    Schultz and Joachims (2003, NIPS 16). d_w^2 = sum_r w_r (A^T (x - y))_r^2 with a fixed A
    (``transform`` (D, R), the identity by default); the unit margin fixes the scale. ``weights``:
    ``projected`` to w >= 0 after each step, or ``softplus`` of free parameters. ``slack_cost`` is
    C: small where the encoder is trained too. ``average="all"`` divides the slacks by their
    number, so that C does not depend on the batch size.
    """

    def __init__(
        self,
        *,
        dimensions: Annotated[int, AT_LEAST_ONE],
        slack_cost: Annotated[float, POSITIVE] = 1.0,
        weights: Literal["projected", "softplus"] = "projected",
        miner: LearnedMiner = "none",
        average: Literal["sum", "all"] = "sum",
        transform: Tensor | None = None,
    ) -> None:
        super().__init__()
        AT_LEAST_ONE.check("dimensions", dimensions)
        POSITIVE.check("slack_cost", slack_cost)
        check_choice("weights", weights, ("projected", "softplus"))
        check_choice("miner", miner, MINERS)
        check_choice("average", average, ("sum", "all"))
        self.distance = WeightedSquares(dimensions, weights, transform)
        self.slack_cost, self.miner = slack_cost, Miner(miner)
        self.average: Literal["sum", "all"] = average
        self.needs = triplet_needs(miner)

    def needs_for(self, kind: str) -> Needs:
        return triplet_needs(self.miner.name, kind)

    @property
    def embedding_sized(self) -> bool:
        return True

    @property
    def compares_by(self) -> Distance:
        return self.distance

    def after_step(self) -> None:
        self.distance.after_step()

    def forward(self, batch: Embedded) -> LossOutput:
        slacks = reduce_terms(
            batch, triplet_terms(batch, self.distance, Hinge(1.0), self.miner), self.average
        )
        if slacks.stats["n_valid"] == 0:
            return slacks
        penalty = self.distance.squared_norm() / 2
        stats = {**slacks.stats, "slacks": float(slacks.value.detach()), "penalty": float(penalty.detach())}
        return LossOutput(penalty + self.slack_cost * slacks.value, stats)


class Bilinear(nn.Module, Distance):
    """q^T W d with W = I + U V^T of rank r beyond the identity, or W = L^T L with L = I + U V^T.

    A similarity. V starts at 0, so training starts from the dot product.
    """

    name: ClassVar[str] = "bilinear"
    smaller_is_closer: ClassVar[bool] = False

    def __init__(self, dimensions: int, rank: int, symmetric: bool) -> None:
        super().__init__()
        self.dimensions, self.symmetric = dimensions, symmetric
        self.left = nn.Parameter(torch.randn(dimensions, rank) / dimensions**0.5)
        self.right = nn.Parameter(torch.zeros(dimensions, rank))

    def factor(self) -> Tensor:
        """(D, D): I + U V^T."""
        identity = torch.eye(self.dimensions, dtype=self.left.dtype, device=self.left.device)
        return identity + self.left @ self.right.T

    def matrix(self) -> Tensor:
        """(D, D): W."""
        factor = self.factor()
        return factor.T @ factor if self.symmetric else factor

    def squared_change(self) -> Tensor:
        """|U V^T|_F^2, the squared distance of the factor from the identity."""
        return ((self.left.T @ self.left) * (self.right.T @ self.right)).sum()

    def unit_range(self, dimensions: int) -> float:
        return 2.0 * float(torch.linalg.matrix_norm(self.matrix().detach().float(), ord=2))

    def _rowwise(self, x: Tensor, y: Tensor) -> Tensor:
        return (self._query(x) * self._document(y)).sum(-1)

    def _pairwise(self, x: Tensor, y: Tensor) -> Tensor:
        return self._query(x) @ self._document(y).T

    def _query(self, x: Tensor) -> Tensor:
        if x.shape[1] != self.dimensions:
            raise ValueError(f"this similarity is for {self.dimensions} dimensions, got {x.shape[1]}")
        return self._document(x) if self.symmetric else full_precision(x)

    def _document(self, y: Tensor) -> Tensor:
        y = full_precision(y)
        return y + (y @ self.right.to(y.dtype)) @ self.left.to(y.dtype).T


class OasisLoss(Loss):
    """Mean of [1 - S(q, p) + S(q, n)]_+ with S(q, d) = q^T W d, trained as a low-rank head.

    The objective of OASIS (Chechik, Sharma, Shalit and Bengio, 2010, JMLR 11) by gradient
    descent: W = I + U V^T of ``rank``, pulled to the identity by ``decay`` |U V^T|_F^2 / 2. With
    ``symmetric`` W = L^T L, L = I + U V^T, which a single Dense layer can serve.
    ``passive_aggressive.fit_oasis`` is the original algorithm on frozen embeddings.
    """

    def __init__(
        self,
        *,
        dimensions: Annotated[int, AT_LEAST_ONE],
        rank: Annotated[int, AT_LEAST_ONE] = 32,
        decay: Annotated[float, NOT_NEGATIVE] = 0.01,
        symmetric: bool = False,
        miner: LearnedMiner = "none",
    ) -> None:
        super().__init__()
        AT_LEAST_ONE.check("dimensions", dimensions)
        AT_LEAST_ONE.check("rank", rank)
        NOT_NEGATIVE.check("decay", decay)
        check_choice("miner", miner, MINERS)
        self.distance = Bilinear(dimensions, rank, symmetric)
        self.decay, self.miner = decay, Miner(miner)
        self.needs = triplet_needs(miner)

    def needs_for(self, kind: str) -> Needs:
        return triplet_needs(self.miner.name, kind)

    @property
    def embedding_sized(self) -> bool:
        return True

    @property
    def compares_by(self) -> Distance:
        return self.distance

    def forward(self, batch: Embedded) -> LossOutput:
        hinge = reduce_terms(batch, triplet_terms(batch, self.distance, Hinge(1.0), self.miner), "all")
        if hinge.stats["n_valid"] == 0:
            return hinge
        change = self.distance.squared_change()
        stats = {**hinge.stats, "change": float(change.detach().sqrt())}
        return LossOutput(hinge.value + self.decay * change / 2, stats)
