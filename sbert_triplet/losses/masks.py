"""Masks by text id: which candidates must not be pushed away from an anchor."""

from __future__ import annotations

import torch
from torch import Tensor


def equal_texts(row_ids: Tensor, candidate_ids: Tensor) -> Tensor:
    """(R,), (M,) -> (R, M) bool: both are the same text. Negative ids are unknown texts, equal to none."""
    return (row_ids[:, None] == candidate_ids[None]) & (row_ids >= 0)[:, None]


def blocked_pairs(row_ids: Tensor, candidate_ids: Tensor, blocked: Tensor | None) -> Tensor:
    """(R,), (M,), (K, 2) -> (R, M) bool: the pair of texts is among ``blocked``, in either order.

    A join by sorting: O((R + M + K) log(R + M) + hits), with no table over all texts.
    """
    mask = torch.zeros(len(row_ids), len(candidate_ids), dtype=torch.bool, device=row_ids.device)
    if blocked is None or blocked.numel() == 0 or mask.numel() == 0:
        return mask
    pairs = torch.cat([blocked, blocked.flip(1)]).to(row_ids)
    rows, candidates = row_ids.sort(), candidate_ids.sort()
    row_low, row_count = _occurrences(rows.values, pairs[:, 0])
    candidate_low, candidate_count = _occurrences(candidates.values, pairs[:, 1])
    present = (row_count > 0) & (candidate_count > 0)
    # A pair given twice would multiply its hits; once is enough.
    unique = torch.unique(
        torch.stack([row_low, row_count, candidate_low, candidate_count], dim=1)[present], dim=0
    )
    row_low, row_count, candidate_low, candidate_count = unique.unbind(1)
    hits = row_count * candidate_count
    pair = torch.repeat_interleave(torch.arange(len(hits), device=hits.device), hits)
    place = torch.arange(len(pair), device=hits.device) - (hits.cumsum(0) - hits)[pair]
    row = row_low[pair] + place // candidate_count[pair]
    candidate = candidate_low[pair] + place % candidate_count[pair]
    mask[rows.indices[row], candidates.indices[candidate]] = True
    return mask


def ids_or_unknown(ids: Tensor | None, like: Tensor) -> Tensor:
    """Ids as given, or -1 (unknown) for every row of ``like``."""
    return torch.full((like.shape[0],), -1, device=like.device) if ids is None else ids


def _occurrences(ordered: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    values = values.contiguous()
    low = torch.searchsorted(ordered, values)
    return low, torch.searchsorted(ordered, values, right=True) - low
