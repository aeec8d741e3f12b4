"""What the log says of a training batch beside its loss: easy and hard triplets, alignment, uniformity."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sbert_triplet.distances import Cosine, Distance, unit
from sbert_triplet.losses.batch import Embedded, Loss
from sbert_triplet.losses.candidates import candidates_of
from sbert_triplet.selection import padded_columns
from sbert_triplet.training.collapse_causes import margin_of

ANCHORS = 64
"""Anchors of a batch that are looked at, evenly taken: some millions of triplets at most."""


@torch.no_grad()
def batch_figures(batch: Embedded, loss: Loss) -> dict[str, float]:
    """Figures of the triplets that a batch holds; empty where it does not say what belongs together.

    ``hard``: the share of all (anchor, positive, negative) with d(a, n) <= d(a, p), by the distance of the
    loss, cosine where it has none. With a margin also ``semi_hard``, within it, and ``easy``, beyond it
    (Schroff et al., 2015, arXiv 1503.03832). ``alignment`` and ``uniformity``: see ``evaluation.health``, the
    latter of the anchors. Of at most 64 anchors with all their candidates.
    """
    if batch.keys is not None or batch.scores is not None:
        return {}
    if len(batch.columns) == 1 and batch.labels is None:
        return {}
    found = candidates_of(batch)
    rows = _evenly(len(found.anchors)).to(found.anchors.device)
    anchors, positives, negatives = found.anchors[rows], found.positives[rows], found.negatives[rows]
    distance = loss.compares_by if isinstance(loss.compares_by, Distance) else Cosine()
    values = distance.oriented(distance.pairwise(anchors, found.candidates))
    return {
        **_classes(values, positives, negatives, margin_of(loss)),
        **_space(anchors, found.candidates, positives),
    }


def _evenly(count: int) -> Tensor:
    if count <= ANCHORS:
        return torch.arange(count)
    return torch.linspace(0, count - 1, ANCHORS).long()


def _classes(values: Tensor, positives: Tensor, negatives: Tensor, margin: float | None) -> dict[str, float]:
    """Shares of the triplets of (b, M) distances, by their gap d(a, p) - d(a, n)."""
    index, real = padded_columns(positives)
    if index.shape[1] == 0:
        return {}
    gaps = values.gather(1, index)[:, :, None] - values[:, None, :]
    there = real[:, :, None] & negatives[:, None, :]
    count = int(there.sum())
    if count == 0:
        return {}
    hard = int((there & (gaps >= 0)).sum())
    if margin is None:
        return {"hard": hard / count}
    easy = int((there & (gaps <= -margin)).sum())
    return {"hard": hard / count, "semi_hard": (count - hard - easy) / count, "easy": easy / count}


def _space(anchors: Tensor, candidates: Tensor, positives: Tensor) -> dict[str, float]:
    rows, others = unit(anchors), unit(candidates)
    owners, columns = positives.nonzero(as_tuple=True)
    found = {}
    if len(owners):
        found["alignment"] = float((rows[owners] - others[columns]).square().sum(1).mean())
    if len(rows) > 1:
        squared = (2 - 2 * rows @ rows.T).clamp(min=0)
        near = (-2 * squared[~torch.eye(len(rows), dtype=torch.bool, device=rows.device)]).exp()
        found["uniformity"] = math.log(float(near.mean()))
    return found
