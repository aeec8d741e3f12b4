"""The candidates of every anchor of a batch, and which of them are positive or negative."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sbert_triplet.errors import InputError
from sbert_triplet.losses.batch import Embedded
from sbert_triplet.losses.masks import blocked_pairs, equal_texts, ids_or_unknown


@dataclass(frozen=True)
class Candidates:
    """``anchors`` (B, D) against ``candidates`` (M, D), with (B, M) bool masks of positives and negatives.

    The masks are disjoint; what is in neither is not used: the anchor itself, equal texts, and
    pairs that are blocked. ``masked`` counts candidates that would be negatives but for these.
    """

    anchors: Tensor
    candidates: Tensor
    positives: Tensor
    negatives: Tensor
    masked: int


def candidates_of(batch: Embedded) -> Candidates:
    """Candidates of a batch of one or two columns.

    One column with labels: every row is a candidate of every other; its class makes it positive
    or negative. Two columns: all positives, then all hard negatives, are candidates of every
    anchor, whose only positive is its own; with labels, rows of its class are no negatives.
    """
    if len(batch.columns) == 1:
        return _by_label(batch)
    anchor, positive = pair_columns(batch)
    extra = hard_negatives(batch)
    forbidden = forbidden_negatives(batch)
    own = torch.zeros_like(forbidden)
    own.fill_diagonal_(True)
    return Candidates(
        anchor,
        torch.cat([positive, extra[0]]) if extra is not None else positive,
        own,
        ~(forbidden | own),
        int((forbidden & ~own).count_nonzero()),
    )


def forbidden_negatives(batch: Embedded) -> Tensor:
    """(B, B + C) bool: candidates that are no negatives of the row's anchor.

    Columns are the positives of all rows, then all hard negatives. Forbidden are the anchor's own
    text, the text of its positive, positives of a row with an equal anchor, blocked pairs, and
    positives of rows with the same label. The own positive is forbidden too.
    """
    anchor = pair_columns(batch)[0]
    rows = anchor.shape[0]
    eye = torch.eye(rows, dtype=torch.bool, device=anchor.device)
    anchor_ids, positive_ids = column_ids(batch)
    among = eye | equal_texts(anchor_ids, anchor_ids)
    if batch.labels is not None:
        among = among | (batch.labels[:, None] == batch.labels[None])
    candidate_ids = positive_ids
    extra = hard_negatives(batch)
    if extra is not None:
        candidate_ids = torch.cat([positive_ids, extra[1]])
        among = torch.cat([among, among.new_zeros(rows, extra[0].shape[0])], dim=1)
    return (
        among
        | equal_texts(anchor_ids, candidate_ids)
        | equal_texts(positive_ids, candidate_ids)
        | blocked_pairs(anchor_ids, candidate_ids, batch.blocked)
    )


def pair_columns(batch: Embedded) -> tuple[Tensor, Tensor]:
    """The two columns of a batch; raises InputError where it has another number."""
    if len(batch.columns) != 2:
        raise InputError(
            f"this loss wants two columns (anchor and positive, or the sides of a pair), "
            f"the batch has {len(batch.columns)}"
        )
    first, second = batch.columns
    if first.shape != second.shape:
        raise InputError(f"columns of one batch differ in shape: {tuple(first.shape)}, {tuple(second.shape)}")
    return first, second


def column_ids(batch: Embedded) -> tuple[Tensor, ...]:
    """The text ids of each column, -1 where they are not known."""
    if batch.ids is None:
        return tuple(ids_or_unknown(None, column) for column in batch.columns)
    return batch.ids


def hard_negatives(batch: Embedded) -> tuple[Tensor, Tensor, Tensor] | None:
    """Embeddings (C, D), text ids (C,) and own row (C,) of the hard negatives; None where there are none."""
    if batch.negatives is None or batch.negatives.shape[0] == 0:
        return None
    if batch.negative_rows is None or batch.negative_rows.shape[0] != batch.rows + 1:
        raise InputError("hard negatives need negative_rows, row pointers of length B + 1")
    counts = batch.negative_rows.diff()
    rows = torch.repeat_interleave(torch.arange(batch.rows, device=counts.device), counts)
    if rows.shape[0] != batch.negatives.shape[0]:
        raise InputError(
            f"negative_rows point at {rows.shape[0]} hard negatives, the batch has {batch.negatives.shape[0]}"
        )
    return batch.negatives, ids_or_unknown(batch.negative_ids, batch.negatives), rows


def given_negatives(batch: Embedded) -> tuple[Tensor, Tensor, int] | None:
    """The hard negatives that are negatives of their row: embeddings (C', D), row (C',), how many are not.

    Left out are the row's own texts, known positives of its anchor and blocked pairs. None where the
    batch has no hard negatives.
    """
    found = hard_negatives(batch)
    if found is None:
        return None
    negatives, _, rows = found
    place = batch.rows + torch.arange(len(rows), device=rows.device)
    wanted = ~forbidden_negatives(batch)[rows, place]
    return negatives[wanted], rows[wanted], int((~wanted).sum())


def labels_of(batch: Embedded) -> Tensor:
    """The labels of a batch; raises InputError where it has none, or another number than rows."""
    if batch.labels is None:
        raise InputError("this loss wants class labels, the batch has none")
    if batch.labels.shape != (batch.rows,):
        raise InputError(f"{batch.rows} rows with labels of shape {tuple(batch.labels.shape)}")
    return batch.labels


def weights_of(batch: Embedded, like: Tensor) -> Tensor:
    """(B,) row weights, all 1 where the batch has none; raises InputError for a negative or NaN weight."""
    if batch.weights is None:
        return torch.ones(batch.rows, dtype=like.dtype, device=like.device)
    if not bool((batch.weights >= 0).all()):
        raise InputError("row weights must be numbers of at least 0")
    return batch.weights.to(like)


def _by_label(batch: Embedded) -> Candidates:
    (column,) = batch.columns
    labels = labels_of(batch)
    (ids,) = column_ids(batch)
    same = labels[:, None] == labels[None]
    itself = torch.eye(len(labels), dtype=torch.bool, device=column.device) | equal_texts(ids, ids)
    forbidden = itself | blocked_pairs(ids, ids, batch.blocked)
    return Candidates(
        column, column, same & ~itself, ~same & ~forbidden, int((forbidden & ~same).count_nonzero())
    )
