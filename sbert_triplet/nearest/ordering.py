"""The highest scores, equal ones by the lower position."""

from __future__ import annotations

from torch import Tensor


def highest(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k highest of each row of ``scores`` (R, N): values and positions (R, min(k, N)), best first.

    Equal scores are ordered by the lower position, which ``torch.topk`` does not promise.
    """
    k = min(k, scores.shape[1])
    if k == scores.shape[1]:
        values, positions = scores.sort(dim=1, descending=True, stable=True)
        return values, positions
    values, positions = scores.topk(k + 1, dim=1)
    tied_at_the_cut = (values[:, k - 1] == values[:, k]).nonzero().flatten()
    positions, order = positions[:, :k].sort(dim=1)
    values, again = values[:, :k].gather(1, order).sort(dim=1, descending=True, stable=True)
    positions = positions.gather(1, again)
    if len(tied_at_the_cut):
        ordered = scores[tied_at_the_cut].sort(dim=1, descending=True, stable=True)
        values[tied_at_the_cut], positions[tied_at_the_cut] = ordered[0][:, :k], ordered[1][:, :k]
    return values, positions
