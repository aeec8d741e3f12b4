"""Search by products of low precision, whose error is bounded, and exact scores of what they leave.

A score s = q.d is computed as the product of coarse vectors q' and d'. With r = q - q' and t = d - d',

    |q.d - q'.d'| <= |r| |d| + |q'| |t|    (Cauchy and Schwarz),

and rounding in the sum and in its result adds a known amount. Each coarse score thus gives a lower and
an upper bound of the exact one; a document whose upper bound lies below k lower bounds is not among
the k nearest. What is left, little more than k a query, is scored in float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from sbert_triplet.nearest.coarse import ROUNDING, Coarse, coarse_precision, sum_error
from sbert_triplet.nearest.ranking import RANKING_BYTES, ranked
from sbert_triplet.nearest.scan import scan
from sbert_triplet.nearest.similarities import PRODUCTS, Table

TILE, ROWS = 32768, 512
"""Documents and queries of a block of scores, at most."""
LARGEST_GROUP = 32
"""Scores of which the highest alone is looked at first."""
FEWEST_PRODUCTS = 1 << 29
"""Multiplications below which a scan of all scores is as fast."""
_LARGEST = 1e38
_SHARES = 4
"""Of the memory: one each for queries, documents and scores, and one for what comes and goes."""
_CANDIDATE_BYTES = 20
"""Memory that a candidate takes while documents are compared."""


@dataclass(frozen=True)
class Screen:
    """``dtype`` of the products. Scores are made for ``tile`` documents at once, and the highest of each
    ``group`` of them looked at. At most ``kept`` documents are left of a query, which is scanned
    otherwise. ``documents`` and ``queries``: how many are held.
    """

    dtype: torch.dtype
    tile: int
    group: int
    kept: int
    documents: int
    queries: int

    @classmethod
    def fit(cls, queries: Table, documents: Table, k: int, memory_bytes: int) -> Screen | None:
        """How it is done within ``memory_bytes``; None where a scan does better or nothing else fits."""
        if queries.similarity not in PRODUCTS or queries.device.type not in ("cpu", "cuda"):
            return None
        if len(queries) * len(documents) * queries.width < FEWEST_PRODUCTS:
            return None
        dtype, share = coarse_precision(queries.device), memory_bytes // _SHARES
        if dtype is None:
            return None
        kept, vector = max(4 * k, 256), queries.width * dtype.itemsize
        at_once = min(share // (vector + _CANDIDATE_BYTES * kept), len(queries))
        tile = min(TILE, share // vector, share // (ROWS * dtype.itemsize) - LARGEST_GROUP, len(documents))
        group = next((size for size in _groups() if tile // size >= 2 * k), None)
        if group is None or at_once < min(ROWS, len(queries)) or share < ROWS * kept * RANKING_BYTES:
            return None
        held = min(share // vector // tile * tile, len(documents))
        return cls(dtype, tile, group, kept, held, at_once)


def _groups() -> Iterator[int]:
    """Sizes from the largest down: k lower bounds come from as many groups."""
    size = LARGEST_GROUP
    while size > 1:
        yield size
        size //= 2


def screened(
    queries: Table, documents: Table, k: int, screen: Screen, memory_bytes: int
) -> tuple[Tensor, Tensor]:
    """Scores (Q, k) and positions (Q, k) on the CPU, best first, equal scores by the lower position."""
    scores = torch.empty(len(queries), k, dtype=torch.float32, device="cpu")
    positions = torch.empty(len(queries), k, dtype=torch.int64, device="cpu")
    buffer = torch.empty((screen.tile + screen.group) * ROWS, dtype=screen.dtype, device=queries.device)
    for start in range(0, len(queries), screen.queries):
        end = min(start + screen.queries, len(queries))
        asked = Coarse.of(queries, start, end, screen.dtype)
        blocks = [
            _Block.of(asked, first, min(first + ROWS, end - start), k, screen)
            for first in range(0, end - start, ROWS)
        ]
        for first in range(0, len(documents), screen.documents):
            last = min(first + screen.documents, len(documents))
            held = Coarse.of(documents, first, last, screen.dtype)
            for block in blocks:
                for tile in range(0, len(held), screen.tile):
                    block.compare(held.part(tile, tile + screen.tile), first + tile, buffer)
            # Or it would stand beside the next ones.
            del held
        for block in blocks:
            rows = slice(start + block.first, start + block.first + len(block))
            scores[rows], positions[rows] = block.nearest(queries, documents, start)
        failed = start + torch.cat([block.failed for block in blocks]).cpu().nonzero().flatten()
        del asked, blocks
        if len(failed):
            others = replace(queries, values=queries.values[failed.numpy()])
            scores[failed], positions[failed] = scan(others, documents, k, memory_bytes // _SHARES)
    return scores, positions


@dataclass
class _Block:
    """Some queries, from the ``first`` of those held, and what may be among their k nearest.

    ``lower`` (q, k): bounds that the k nearest reach. ``failed`` (q,): queries of which too many are left.
    ``found``: rows, positions and upper bounds of scores.
    """

    first: int
    queries: Coarse
    k: int
    screen: Screen
    lower: Tensor
    failed: Tensor
    found: list[tuple[Tensor, Tensor, Tensor]] = field(default_factory=list)

    @classmethod
    def of(cls, queries: Coarse, first: int, last: int, k: int, screen: Screen) -> _Block:
        device = queries.vectors.device
        lower = torch.full((last - first, k), -torch.inf, dtype=torch.float32, device=device)
        failed = torch.zeros(last - first, dtype=torch.bool, device=device)
        return cls(first, queries.part(first, last), k, screen, lower, failed)

    def __len__(self) -> int:
        return len(self.queries)

    def compare(self, documents: Coarse, position: int, buffer: Tensor) -> None:
        """Compare with documents that begin at ``position``; those of one call come before the next."""
        if self.failed.all():
            return
        # Documents by queries: highest scores of groups of documents are then those of whole rows.
        scores = self._scores(documents, buffer)
        groups = scores.view(-1, self.screen.group, len(self))
        highest = groups.amax(dim=1).T.contiguous()
        error = self._error(documents)
        # Where no sum can overflow, no score is lost among its group's.
        self.failed |= ~torch.isfinite(error) | ~torch.isfinite(highest).all(dim=1)
        self._raise_bounds(highest, error)
        # A lower precision is rounded to the nearest of its values, and scores are such values.
        threshold = self._threshold(error).to(scores.dtype)
        hit = highest >= threshold[:, None]
        self.failed |= hit.sum(dim=1) > self.screen.kept
        hit &= ~self.failed[:, None]
        rows, group = hit.nonzero(as_tuple=True)
        inside = groups[group, :, rows]
        within = inside >= threshold[rows, None]
        counts = torch.zeros(len(self), dtype=torch.int64, device=rows.device)
        self.failed |= counts.index_add_(0, rows, within.sum(dim=1)) > self.screen.kept
        within &= ~self.failed[rows, None]
        which, place = within.nonzero(as_tuple=True)
        positions = position + group[which] * self.screen.group + place
        values = inside[which, place].float()
        upper = values + ROUNDING[scores.dtype] * values.abs() + error[rows[which]]
        self.found.append((rows[which], positions, upper))
        if sum(len(part[0]) for part in self.found) > self.screen.kept * len(self) // 2:
            self._prune()

    def nearest(self, queries: Table, documents: Table, start: int) -> tuple[Tensor, Tensor]:
        """Scores and positions (q, k) on the CPU, best first; of no meaning where the query has ``failed``.

        ``start``: where among the queries the first block begins.
        """
        self._prune()
        rows, positions, _ = (part.cpu() for part in self.found[0])
        first = start + self.first
        own = replace(queries, values=queries.values[first : first + len(self)])
        return ranked(own, documents, rows, positions, self.k)

    def _scores(self, documents: Coarse, buffer: Tensor) -> Tensor:
        missing = -len(documents) % self.screen.group
        shape = len(documents) + missing, len(self)
        scores = buffer[: shape[0] * shape[1]].view(shape)
        torch.matmul(documents.vectors, self.queries.vectors.T, out=scores[: len(documents)])
        # With an upper bound that is NaN these are never kept.
        scores[len(documents) :] = -torch.inf
        return scores

    def _error(self, documents: Coarse) -> Tensor:
        """(q,) bound of what a coarse score is off by, but for the rounding of its own value."""
        longest, left_out = documents.lengths.max(), documents.residuals.max()
        lengths, residuals = self.queries.lengths + self.queries.residuals, self.queries.residuals
        reach = lengths * (longest + left_out)
        error = residuals * longest + lengths * left_out + sum_error(self.queries.vectors.shape[1]) * reach
        # Products of numbers near the smallest of float32 may be lost altogether.
        return torch.where(reach < _LARGEST, error + 1e-30, torch.inf).float()

    def _raise_bounds(self, highest: Tensor, error: Tensor) -> None:
        """The k highest lower bounds, of documents of different groups."""
        values = highest.topk(min(self.k, highest.shape[1]), dim=1).values.float()
        values = values - ROUNDING[highest.dtype] * values.abs() - error[:, None]
        self.lower = torch.cat([self.lower, values], dim=1).topk(self.k, dim=1).values

    def _threshold(self, error: Tensor) -> Tensor:
        """(q,) the least coarse score whose upper bound reaches the k-th lower bound."""
        value = self.lower.amin(dim=1) - error
        rounding = ROUNDING[self.screen.dtype]
        return torch.where(value >= 0, value / (1 + rounding), value / (1 - rounding))

    def _prune(self) -> None:
        """Leave out what better documents have been found than, and queries of which too many are left."""
        rows, positions, upper = (torch.cat(column) for column in zip(*self.found, strict=True))
        for _ in range(2):
            keep = (upper >= self.lower.amin(dim=1)[rows]) & ~self.failed[rows]
            rows, positions, upper = rows[keep], positions[keep], upper[keep]
            self.failed |= rows.bincount(minlength=len(self)) > self.screen.kept
        self.found = [(rows, positions, upper)]
