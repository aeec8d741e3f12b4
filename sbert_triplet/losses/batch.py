"""What a loss sees and what it gives back.

Shapes (one legend for the whole package): B rows of a batch, C candidates (hard
negatives of all rows together), D dimensions, Q queries, N documents, T tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from sbert_triplet.distances import Distance
from sbert_triplet.errors import DivergedError

LONGEST_QUEUE = 65536


@dataclass(frozen=True)
class Momentum:
    """A momentum encoder and its queue: share of the old weights kept at a step, and number of keys.

    Without a number it is ``LONGEST_QUEUE``, or the rows of an epoch where they are fewer.
    """

    decay: float = 0.999
    size: int | None = None


@dataclass(frozen=True)
class Needs:
    """What a loss needs beyond the embeddings of its columns.

    The objective reads this and supplies it; the loss never asks a model for anything.
    """

    columns: int = 2
    """Number of (B, D) columns: 1 text, or 2 for anchor and positive (or both sides of a pair)."""
    negatives: bool = False
    """At least one hard negative in the batch."""
    labels: bool = False
    """Class labels; with one column in batches of P classes times K texts."""
    scores: bool = False
    """One score a row."""
    views: bool = False
    """The text column encoded twice with different dropout, given as two columns."""
    guide: str | None = None
    """The same batch embedded by this frozen encoder: a folder, a Hub id, or ``base`` for the encoder
    itself as it was before training."""
    momentum: Momentum | None = None
    """Keys of a momentum encoder and the queue of earlier keys; only the first column is trained."""


@dataclass(frozen=True)
class Queue:
    """Earlier keys of a momentum encoder: ``keys`` (K, D), detached; ``ids`` (K,), their text ids."""

    keys: Tensor
    ids: Tensor


@dataclass(frozen=True)
class Embedded:
    """One batch of embeddings, with everything a loss may look at.

    ``columns``: each (B, D). One column for labelled text; anchor and positive, or the two
    sides of a pair, otherwise.
    ``ids``: each (B,), the text ids of the columns, -1 for an unknown text; None where nothing is
    known (ST's collator gives token rows only, from which the objective makes ids of equal rows).
    ``negatives``: (C, D), ``negative_ids``: (C,), ``negative_rows``: (B + 1,) row pointers, so the
    hard negatives of row b are ``negatives[negative_rows[b]:negative_rows[b + 1]]``.
    ``negative_scores``: (C,) graded relevance of each hard negative, where known.
    ``labels``: (B,) classes. ``scores``: (B,). ``weights``: (B,) row weights, None for all 1.
    ``blocked``: (K, 2) pairs of text ids that must never be used as negatives of each other,
    in either order (known positives, marked rows).
    ``guide``: the same batch embedded by a frozen guide. ``keys``: (B, D) momentum keys of the
    positives, ``queue``: earlier keys; ``ids`` then has the positives' ids as well, and hard negatives
    are momentum keys too. ``dataset``: place of the data set that the rows are of, where there are several.
    """

    columns: tuple[Tensor, ...]
    ids: tuple[Tensor, ...] | None = None
    negatives: Tensor | None = None
    negative_ids: Tensor | None = None
    negative_rows: Tensor | None = None
    negative_scores: Tensor | None = None
    labels: Tensor | None = None
    scores: Tensor | None = None
    weights: Tensor | None = None
    blocked: Tensor | None = None
    guide: Embedded | None = None
    keys: Tensor | None = None
    queue: Queue | None = None
    dataset: int = 0

    @property
    def rows(self) -> int:
        """B."""
        return self.columns[0].shape[0]


@dataclass(frozen=True)
class LossOutput:
    """``value``: scalar to minimise. ``stats``: named numbers for the log, never added to the loss."""

    value: Tensor
    stats: Mapping[str, float] = field(default_factory=dict)


class Loss(nn.Module):
    """A pure function of embeddings, with parameters of its own at most.

    Subclasses set ``needs`` and implement ``forward(batch: Embedded) -> LossOutput``.
    """

    needs: Needs = Needs()
    scores_between: tuple[float, float] | None = None
    """Smallest and largest score that it takes, where it takes scores; None for any."""
    scores_yes_or_no: bool = False
    """Whether it takes scores of 0 and 1 only."""

    def needs_for(self, kind: str) -> Needs:
        """What this loss needs of data of ``kind`` (a value of ``data.kinds.Kind``)."""
        del kind
        return self.needs

    @property
    def embedding_sized(self) -> bool:
        """Whether parameters or buffers have the embedding's size, so that no part of it can be cut off."""
        return False

    @property
    def compares_by(self) -> Distance | str | None:
        """What two texts are near by after training: a distance, or a similarity by its name in
        sentence-transformers. None where the loss orders no texts (a classifier on top of them).
        """
        return None

    def forward(self, batch: Embedded) -> LossOutput:
        raise TypeError(f"{type(self).__name__} does not define forward(batch)")

    def after_step(self) -> None:
        """Project parameters back into their range after an optimizer step; outside the graph."""

    def __call__(self, batch: Embedded) -> LossOutput:
        """The loss of ``batch``, with autocast off; raises DivergedError where an embedding is not finite."""
        check_finite(batch)
        with torch.autocast(device_type=batch.columns[0].device.type, enabled=False):
            output: LossOutput = super().__call__(batch)
        return output


def check_finite(batch: Embedded) -> None:
    """Raise DivergedError, naming the first bad row, where an embedding is NaN or infinite."""
    named: list[tuple[str, Tensor | None]] = [
        (f"column {place}", column) for place, column in enumerate(batch.columns)
    ]
    named += [("negatives", batch.negatives), ("momentum keys", batch.keys)]
    for name, tensor in named:
        if tensor is None or bool(torch.isfinite(tensor).all()):
            continue
        row = int((~torch.isfinite(tensor).all(dim=1)).nonzero()[0])
        raise DivergedError(
            f"the embeddings hold numbers that are not finite: {name}, row {row} of the batch; "
            "lower the learning rate, or train in bf16 or fp32 instead of fp16"
        )


def connected_zero(*tensors: Tensor) -> Tensor:
    """0 that is connected to the graph: what a loss returns when no row is valid."""
    total = torch.zeros((), dtype=torch.float32, device=tensors[0].device)
    for tensor in tensors:
        finite = torch.where(torch.isfinite(tensor), tensor, torch.zeros_like(tensor))
        total = total + 0.0 * finite.float().sum()
    return total
