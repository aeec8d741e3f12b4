"""How crowded the embeddings of a training batch are, in a few milliseconds."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np
import torch
from torch import Tensor

from sbert_triplet.distances import unit
from sbert_triplet.losses.batch import Embedded
from sbert_triplet.losses.reach import is_unit

FEWEST = 8
"""A batch of fewer different texts tells nothing of the rest."""
LOOKED_AT = 256
"""Texts of a batch that are looked at, at most."""
_ROUNDING = float(torch.finfo(torch.float32).eps) ** 2


@dataclass(frozen=True)
class Crowding:
    """How the different texts of one batch lie, by direction.

    ``cosine``: mean over pairs of different texts. ``rank``: effective rank (Roy and Vetterli, 2007), not
    centred. ``nearness``: mean squared distance of texts that belong together over that of others, 1 where
    they are told apart no better than by chance, NaN where the batch does not say what belongs together.
    ``dataset``: as of the batch. ``unit``: whether the embeddings have length 1.
    """

    cosine: float
    rank: float
    nearness: float
    dataset: int = 0
    unit: bool = True

    @property
    def spread(self) -> float:
        """Mean cosine distance of two different texts."""
        return max(1.0 - self.cosine, 0.0)

    def numbers(self) -> tuple[float, ...]:
        """As ``of_numbers`` takes them."""
        return tuple(float(value) for value in astuple(self))

    @classmethod
    def of_numbers(cls, cosine: float, rank: float, nearness: float, dataset: float, unit: float) -> Crowding:
        return cls(cosine, rank, nearness, int(dataset), bool(unit))


@torch.no_grad()
def crowding_of(batch: Embedded) -> Crowding | None:
    """The crowding of a batch, of at most 256 of its texts; None for one of fewer than 8 different texts."""
    texts = _different(batch)
    if len(texts) < FEWEST:
        return None
    rows = unit(texts.cpu().double())
    count = len(rows)
    total, squares = rows.sum(0), float(rows.square().sum())
    gram = rows @ rows.T if count <= rows.shape[1] else rows.T @ rows
    values = torch.linalg.eigvalsh(gram)
    roots = values[values > _ROUNDING * count].sqrt()
    shares = roots / roots.sum()
    return Crowding(
        cosine=(float(total @ total) - squares) / (count * (count - 1)),
        rank=float(torch.special.entr(shares).sum().exp()),
        nearness=_nearness(batch),
        dataset=batch.dataset,
        unit=is_unit(texts),
    )


def _different(batch: Embedded) -> Tensor:
    """(n, D): each text of columns and hard negatives once, evenly taken where there are many."""
    parts, ids = list(batch.columns), list(batch.ids or ())[: len(batch.columns)]
    if batch.negatives is not None and batch.keys is None:
        parts.append(batch.negatives)
        if batch.negative_ids is not None:
            ids.append(batch.negative_ids)
    rows = torch.cat(parts)
    first = np.arange(len(rows))
    if len(ids) == len(parts):
        known = torch.cat(ids).cpu().numpy()
        first = np.sort(
            np.concatenate([np.unique(known, return_index=True)[1], np.flatnonzero(known < 0)[1:]])
        )
    if len(first) > LOOKED_AT:
        first = first[np.linspace(0, len(first) - 1, LOOKED_AT).astype(np.int64)]
    return rows[torch.from_numpy(first).to(rows.device)]


def _nearness(batch: Embedded) -> float:
    columns = [unit(column.double()) if _has_double(column) else unit(column) for column in batch.columns]
    if len(columns) == 1 and batch.keys is not None:
        columns.append(unit(batch.keys).to(columns[0]))
    if len(columns) == 1:
        return float("nan") if batch.labels is None else _within_classes(columns[0], batch.labels)
    left, right = columns[0], columns[1]
    own = (left - right).square().sum(1)
    if batch.scores is not None:
        high = batch.scores > batch.scores.float().mean()
        return _ratio(own[high].mean(), own[~high].mean())
    across = left.square().sum(1).mean() + right.square().sum(1).mean() - 2 * left.mean(0) @ right.mean(0)
    return _ratio(own.mean(), across)


def _within_classes(rows: Tensor, labels: Tensor) -> float:
    """The mean squared distance of two texts of a class over that of any two."""
    places = torch.unique(labels, return_inverse=True)[1]
    sizes = places.bincount().to(rows)
    sums = torch.zeros(len(sizes), rows.shape[1], dtype=rows.dtype, device=rows.device)
    sums.index_add_(0, places, rows)
    squares = rows.square().sum()
    pairs = (sizes * (sizes - 1) / 2).sum()
    # Of n rows the squared distances of all pairs add up to n sum |x|^2 - |sum x|^2.
    inside = (sizes[places] * rows.square().sum(1)).sum() - sums.square().sum()
    count = len(rows)
    everything = count * squares - rows.sum(0).square().sum()
    return _ratio(inside / pairs, everything / (count * (count - 1) / 2))


def _ratio(own: Tensor, others: Tensor) -> float:
    """1 where all coincide, NaN where one of the two is of nothing."""
    if float(others) == 0 and float(own) == 0:
        return 1.0
    return float(own) / float(others) if float(others) else float("nan")


def _has_double(rows: Tensor) -> bool:
    return rows.device.type != "mps"
