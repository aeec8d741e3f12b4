"""Mahalanobis distances: fixed, from the covariance of a sample, and learned."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor, nn

from sbert_triplet.distances.base import Distance, full_precision, safe_sqrt
from sbert_triplet.distances.minkowski import squared_euclidean_pairs
from sbert_triplet.distances.options import AT_LEAST_ONE, check_choice
from sbert_triplet.errors import InputError

Form = Literal["fixed", "full", "low_rank", "diagonal"]


class Mahalanobis(nn.Module, Distance):
    """|W (x - y)|: Euclidean after a linear map. Subclasses say where W comes from."""

    name: ClassVar[str] = "mahalanobis"

    def matrix(self) -> Tensor:
        """W, (R, D): a Dense layer with this weight and the Euclidean distance give the same values."""
        raise TypeError(f"{type(self).__name__} does not define matrix()")

    def after_step(self) -> None:
        """Bring learned parameters back to their scale after an optimizer step; outside the graph."""

    def project(self, x: Tensor) -> Tensor:
        """(B, D) -> (B, R): W x, in full precision."""
        matrix = self.matrix()
        if x.shape[1] != matrix.shape[1]:
            raise ValueError(f"mahalanobis is for {matrix.shape[1]} dimensions, got {x.shape[1]}")
        x = full_precision(x)
        return x @ matrix.to(x.dtype).T

    def unit_range(self, dimensions: int) -> float:
        return 2.0 * float(torch.linalg.matrix_norm(self.matrix().detach().float(), ord=2))

    def _rowwise(self, x: Tensor, y: Tensor) -> Tensor:
        return safe_sqrt(self.project(x - y).square().sum(-1))

    def _pairwise(self, x: Tensor, y: Tensor) -> Tensor:
        projected = self.project(x)
        return safe_sqrt(squared_euclidean_pairs(projected, projected if x is y else self.project(y)))


class FixedMahalanobis(Mahalanobis):
    """Mahalanobis distance of a shrunk covariance, held in buffers and saved with the model.

    W is the inverse of the Cholesky factor of (1 - s) S + s tr(S)/D I with the sample's biased
    covariance S and the shrinkage s of Ledoit and Wolf (2004, J. Multivariate Analysis 88).
    Call ``fit`` before use, and again to estimate anew.
    """

    mean: Tensor
    whitening: Tensor
    fitted: Tensor

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        AT_LEAST_ONE.check("dimensions", dimensions)
        self.register_buffer("mean", torch.zeros(dimensions))
        self.register_buffer("whitening", torch.eye(dimensions))
        self.register_buffer("fitted", torch.zeros((), dtype=torch.bool))

    @torch.no_grad()
    def fit(self, sample: Tensor, shrinkage: float | None = None) -> float:
        """Estimate from ``sample`` (N, D); returns the shrinkage used (Ledoit-Wolf's unless given).

        Raises InputError where the sample has another dimension, one row or no variance.
        """
        if sample.dim() != 2 or sample.shape[1] != self.mean.shape[0] or sample.shape[0] < 2:
            raise InputError(
                f"mahalanobis wants at least two embeddings of {self.mean.shape[0]} dimensions, "
                f"got {tuple(sample.shape)}"
            )
        covariance, used = shrunk_covariance(sample, shrinkage)
        identity = torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
        factor = torch.linalg.cholesky(covariance)
        whitening = torch.linalg.solve_triangular(factor, identity, upper=False)
        self.mean.copy_(sample.double().mean(0))
        self.whitening.copy_(whitening)
        self.fitted.fill_(True)
        return used

    def matrix(self) -> Tensor:
        if not bool(self.fitted):
            raise InputError(
                "mahalanobis (fixed) has no covariance yet: call fit(sample of embeddings) first"
            )
        return self.whitening


class LearnedMahalanobis(Mahalanobis):
    """Learned metric: M = L^T L with L (D, D) or (rank, D), or M = diag(softplus(theta)).

    Starts as the Euclidean distance (low rank: as a scaled orthonormal projection). The trace of
    M is D and ``after_step`` keeps it there: otherwise a growing L would meet any margin.
    """

    def __init__(self, dimensions: int, form: Form = "full", rank: int | None = None) -> None:
        super().__init__()
        check_choice("form", form, ("full", "low_rank", "diagonal"))
        AT_LEAST_ONE.check("dimensions", dimensions)
        if (form == "low_rank") != (rank is not None):
            raise ValueError("rank belongs to form low_rank, which needs it")
        self.form, self.dimensions = form, dimensions
        if form == "diagonal":
            self.theta = nn.Parameter(torch.full((dimensions,), math.log(math.expm1(1.0))))
            return
        start = torch.eye(dimensions)
        if rank is not None:
            if not 1 <= rank <= dimensions:
                raise ValueError(f"rank is {rank}: it must be at least 1 and at most {dimensions}")
            start = torch.empty(rank, dimensions)
            nn.init.orthogonal_(start, gain=math.sqrt(dimensions / rank))
        self.factor = nn.Parameter(start)

    def matrix(self) -> Tensor:
        if self.form == "diagonal":
            return torch.diag(nn.functional.softplus(self.theta).sqrt())
        return self.factor

    @torch.no_grad()
    def start_from(self, matrix: Tensor) -> None:
        """Set W to ``matrix`` (R, D), principal directions for instance; the diagonal takes (D,) weights."""
        if self.form == "diagonal":
            weights = matrix.double()
            self.theta.copy_(weights + torch.log(-torch.expm1(-weights)))
        else:
            self.factor.copy_(matrix)

    @torch.no_grad()
    def after_step(self) -> None:
        trace = float(self.matrix().double().square().sum())
        scale = self.dimensions / max(trace, 1e-30)
        if self.form == "diagonal":
            self.start_from(nn.functional.softplus(self.theta.double()) * scale)
        else:
            self.factor.mul_(math.sqrt(scale))

    def unit_range(self, dimensions: int) -> float:
        """The most that training can reach while the trace stays D: all of it in one direction."""
        return 2.0 * math.sqrt(self.dimensions)

    def project(self, x: Tensor) -> Tensor:
        if self.form != "diagonal":
            return super().project(x)
        x = full_precision(x)
        return x * nn.functional.softplus(self.theta.to(x.dtype)).sqrt()


def mahalanobis(
    *,
    dimensions: Annotated[int, AT_LEAST_ONE],
    form: Form = "full",
    rank: Annotated[int, AT_LEAST_ONE] | None = None,
) -> Mahalanobis:
    """Mahalanobis distance: ``fixed`` (needs ``fit``), or learned ``full``, ``low_rank``, ``diagonal``."""
    check_choice("form", form, ("fixed", "full", "low_rank", "diagonal"))
    if form == "fixed":
        if rank is not None:
            raise ValueError("rank belongs to form low_rank")
        return FixedMahalanobis(dimensions)
    return LearnedMahalanobis(dimensions, form, rank)


def shrunk_covariance(sample: Tensor, shrinkage: float | None = None) -> tuple[Tensor, float]:
    """(N, D) -> (D, D) in fp64, positive definite, and the shrinkage used.

    Biased covariance shrunk towards a multiple of the identity, by ``shrinkage`` in (0, 1] or
    by the estimate of Ledoit and Wolf (2004).
    """
    if not bool(torch.isfinite(sample).all()):
        raise InputError("the sample of embeddings for mahalanobis holds numbers that are not finite")
    centred = sample.double() - sample.double().mean(0)
    count, dimensions = centred.shape
    covariance = centred.T @ centred / count
    level = covariance.trace() / dimensions
    if float(level) <= 0:
        raise InputError("mahalanobis: all embeddings of the sample are the same, there is no covariance")
    identity = torch.eye(dimensions, dtype=covariance.dtype, device=covariance.device)
    if shrinkage is None:
        spread = (covariance - level * identity).square().sum()
        # sum_k |x_k x_k^T - S|^2 = sum_k |x_k|^4 - N |S|^2, without N matrices.
        noise = centred.square().sum(1).square().sum() / count**2 - covariance.square().sum() / count
        shrinkage = 1.0 if float(spread) <= 0 else min(1.0, max(float(noise / spread), 1e-12))
    if not 0 < shrinkage <= 1:
        raise ValueError(f"shrinkage is {shrinkage}: it must be above 0 and at most 1")
    return (1 - shrinkage) * covariance + shrinkage * level * identity, shrinkage
