"""Ladder loss: candidates in the order of their graded relevance, rung by rung."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise as neighbours
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from sbert_triplet.distances.options import check_choice
from sbert_triplet.errors import InputError
from sbert_triplet.losses.batch import Embedded, Loss, LossOutput, Needs, connected_zero
from sbert_triplet.losses.batch_all import all_triplets
from sbert_triplet.losses.candidates import (
    column_ids,
    forbidden_negatives,
    hard_negatives,
    labels_of,
    pair_columns,
    weights_of,
)
from sbert_triplet.losses.links import Hinge
from sbert_triplet.losses.masks import equal_texts
from sbert_triplet.losses.softmax import SIMILARITIES, Similarity, similarities

Relevance = Literal["scores", "teacher", "labels"]


@dataclass(frozen=True)
class Direction:
    """Queries ``rows`` (B, D), ``candidates`` (M, D), ``relevance`` (B, M), and ``used`` (B, M)."""

    rows: Tensor
    candidates: Tensor
    relevance: Tensor
    used: Tensor


class LadderLoss(Loss):
    """Sum over rungs l of weight_l [margin_l - s(q, i) + s(q, j)]_+, i at or above the rung, j below it.

    Zhou et al. (2020, arXiv 1911.07528); the mean over queries with a rung of that sum, added over
    both directions. ``thresholds`` descend. ``hard`` takes the least similar i and the most
    similar j of each rung; otherwise all pairs are summed, in O(B^2 log B). Rungs with nothing
    above or below are skipped. ``relevance`` of a candidate:

    - ``scores``: the row's score for the own positive (1 if there are none), the scores of other
      rows of an equal anchor for theirs, and ``negative_scores`` for hard negatives; hard negatives
      without a score and texts of other anchors are below all rungs
    - ``teacher``: the cosine of ``teacher``, an encoder named as a folder, a Hub id, or ``base`` for
      the trained encoder as it was before; the own positive is above all rungs
    - ``labels``: minus the distance of two ordinal labels, so thresholds are 0, -1, ...; one
      column, or two, whose own positive is above all rungs and whose hard negatives are below

    Equal texts and blocked pairs are not used.
    """

    def __init__(
        self,
        *,
        thresholds: Sequence[float] = (1.0, 0.63),
        margins: Sequence[float] = (0.2, 0.01),
        rung_weights: Sequence[float] = (1.0, 0.25),
        relevance: Relevance = "scores",
        hard: bool = True,
        both_directions: bool = True,
        similarity: Similarity = "cosine",
        teacher: str = "base",
    ) -> None:
        super().__init__()
        check_choice("relevance", relevance, ("scores", "teacher", "labels"))
        check_choice("similarity", similarity, SIMILARITIES)
        if not len(thresholds) == len(margins) == len(rung_weights) or not len(thresholds):
            raise ValueError(
                f"thresholds, margins and rung_weights have one number a rung, got {len(thresholds)}, "
                f"{len(margins)} and {len(rung_weights)}"
            )
        if any(low >= high for high, low in neighbours(thresholds)):
            raise ValueError(f"thresholds are {list(thresholds)}: they must descend")
        if min(margins) <= 0 or min(rung_weights) < 0:
            raise ValueError("margins must be above 0 and rung_weights at least 0")
        self.rungs = tuple(zip(thresholds, margins, rung_weights, strict=True))
        self.relevance, self.hard, self.teacher = relevance, hard, teacher
        self.both_directions, self.similarity = both_directions, similarity
        self.needs = self.needs_for("labelled" if relevance == "labels" else "pairs")

    @property
    def compares_by(self) -> str:
        return self.similarity

    def needs_for(self, kind: str) -> Needs:
        if self.relevance == "labels":
            return Needs(columns=1 if kind == "labelled" else 2, labels=True)
        if self.relevance == "teacher":
            return Needs(columns=2, guide=self.teacher)
        return Needs(columns=2, scores=kind in ("scored", "retrieval"))

    def forward(self, batch: Embedded) -> LossOutput:
        directions = [self._forward_direction(batch)]
        if self.both_directions and len(batch.columns) == 2:
            directions.append(self._back_direction(batch))
        value: Tensor | None = None
        count, met = 0, 0
        for direction in directions:
            total, rungs = self._rows(direction)
            weights = weights_of(batch, total) * (rungs > 0)
            count += int(((rungs > 0) & (weights > 0)).sum())
            met += int(rungs.sum())
            if float(weights.sum()) > 0:
                mean = (weights * total).sum() / weights.sum()
                value = mean if value is None else value + mean
        stats = {"n_valid": float(count), "rungs": float(met)}
        extra = [] if batch.negatives is None else [batch.negatives]
        return LossOutput(connected_zero(*batch.columns, *extra) if value is None else value, stats)

    def _rows(self, direction: Direction) -> tuple[Tensor, Tensor]:
        """(B,) sums over rungs, and (B,) how many rungs have something above and below."""
        near = similarities(direction.rows, direction.candidates, self.similarity)
        total = near.new_zeros(near.shape[0])
        rungs = torch.zeros(near.shape[0], dtype=torch.long, device=near.device)
        for threshold, margin, weight in self.rungs:
            above = direction.used & (direction.relevance >= threshold)
            below = direction.used & (direction.relevance < threshold)
            some = above.any(1) & below.any(1)
            if self.hard:
                worst = torch.where(above, near, torch.inf).amin(1)
                best = torch.where(below, near, -torch.inf).amax(1)
                over = functional.relu(margin - torch.where(some, worst - best, 0.0))
                cost = torch.where(some, over, 0.0)
            else:
                cost = all_triplets(-near, above, below, Hinge(margin))[0]
            total = total + weight * cost
            rungs = rungs + some
        return total, rungs

    def _forward_direction(self, batch: Embedded) -> Direction:
        if len(batch.columns) == 1:
            return self._of_one_column(batch)
        anchor, positive = pair_columns(batch)
        extra = hard_negatives(batch)
        candidates = positive if extra is None else torch.cat([positive, extra[0]])
        relevance = self._relevance(batch, candidates, back=False)
        used = _all_but(self._forbidden(batch))
        if self.relevance == "scores":
            used[:, : batch.rows] |= _same_query(batch)
        return Direction(anchor, candidates, relevance, used)

    def _back_direction(self, batch: Embedded) -> Direction:
        anchor, positive = pair_columns(batch)
        used = _all_but(self._forbidden(batch)[:, : batch.rows].T)
        return Direction(positive, anchor, self._relevance(batch, anchor, back=True), used)

    def _forbidden(self, batch: Embedded) -> Tensor:
        # Ordinal labels grade the texts of other rows; classes only say which of them are no negatives.
        return forbidden_negatives(replace(batch, labels=None) if self.relevance == "labels" else batch)

    def _of_one_column(self, batch: Embedded) -> Direction:
        if self.relevance != "labels":
            raise InputError(f"ladder with relevance {self.relevance!r} wants two columns, the batch has one")
        labels = labels_of(batch)
        (column,), (ids,) = batch.columns, column_ids(batch)
        itself = torch.eye(batch.rows, dtype=torch.bool, device=column.device) | equal_texts(ids, ids)
        return Direction(column, column, _label_relevance(labels), ~itself)

    def _relevance(self, batch: Embedded, candidates: Tensor, back: bool) -> Tensor:
        rows = batch.rows
        own = torch.arange(rows, device=candidates.device)
        out = torch.full((rows, candidates.shape[0]), -torch.inf, device=candidates.device)
        if self.relevance == "teacher":
            out[:] = self._teacher(batch, back)
        elif self.relevance == "labels":
            out[:, :rows] = _label_relevance(labels_of(batch))
        elif not back:
            self._given_scores(batch, out)
        out[own, own] = torch.inf
        if self.relevance == "scores":
            out[own, own] = 1.0 if batch.scores is None else batch.scores.to(out)
        return out

    @staticmethod
    def _given_scores(batch: Embedded, out: Tensor) -> None:
        """Write the scores of the texts that are judged for a row's anchor into ``out`` (B, B + C)."""
        rows = batch.rows
        if batch.scores is not None:
            out[:, :rows] = torch.where(_same_query(batch), batch.scores.to(out), out[:, :rows])
        extra = hard_negatives(batch)
        if extra is not None and batch.negative_scores is not None:
            place = rows + torch.arange(extra[0].shape[0], device=out.device)
            out[extra[2], place] = batch.negative_scores.to(out)

    def _teacher(self, batch: Embedded, back: bool) -> Tensor:
        if batch.guide is None:
            raise InputError("ladder with relevance 'teacher' wants the batch embedded by a guide")
        anchor, positive = pair_columns(batch.guide)
        if back:
            return similarities(positive, anchor, "cosine")
        negatives = batch.guide.negatives
        others = positive if negatives is None else torch.cat([positive, negatives])
        return similarities(anchor, others, "cosine")


def _label_relevance(labels: Tensor) -> Tensor:
    """(B,) ordinal labels -> (B, B): 0 for the same, -1 for neighbours, and so on."""
    return -(labels[:, None] - labels[None]).abs().float()


def _same_query(batch: Embedded) -> Tensor:
    """(B, B): the other row is of an equal anchor and brings another text, so its score grades that text."""
    anchor_ids, positive_ids = column_ids(batch)
    if batch.scores is None:
        return torch.zeros(batch.rows, batch.rows, dtype=torch.bool, device=anchor_ids.device)
    return equal_texts(anchor_ids, anchor_ids) & ~equal_texts(positive_ids, positive_ids)


def _all_but(forbidden: Tensor) -> Tensor:
    used = ~forbidden
    own = torch.arange(forbidden.shape[0], device=forbidden.device)
    used[own, own] = True
    return used
