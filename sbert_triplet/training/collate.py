"""From row numbers to one batch: token groups to encode, and how the loss's columns come out of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sbert_triplet.data.examples import Examples
from sbert_triplet.encoding.groups import plan_groups
from sbert_triplet.encoding.tokens import Side, TokenTable
from sbert_triplet.losses.batch import Needs
from sbert_triplet.training.known import KnownPositives
from sbert_triplet.training.samplers import keys

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class TokenBatch:
    """A global batch as one process sees it.

    ``groups``: features of this process's share of the U distinct texts; ``places``: where the
    rows of the joined groups stand in the share; ``shares``: how many texts each process encodes,
    in the order of the ranks (their sum is U, or more where a process had none and encodes one
    for the others' sake). ``columns``: (k, B) positions among the U texts, ``ids``: (k, B) text
    ids. The rest is as in ``losses.batch.Embedded``, the same on every process.
    """

    groups: list[dict[str, Any]]
    places: torch.Tensor
    shares: tuple[int, ...]
    columns: torch.Tensor
    ids: torch.Tensor
    rows: torch.Tensor
    tokens: int
    negatives: torch.Tensor | None = None
    negative_ids: torch.Tensor | None = None
    negative_rows: torch.Tensor | None = None
    labels: torch.Tensor | None = None
    scores: torch.Tensor | None = None
    weights: torch.Tensor | None = None
    blocked: torch.Tensor | None = None

    def to(self, device: torch.device) -> TokenBatch:
        """The batch with its tensors on ``device``."""
        moved = {item.name: _moved(getattr(self, item.name), device) for item in fields(self)}
        return TokenBatch(**moved)


@dataclass
class Collator:
    """Turns the row numbers of a global batch into a TokenBatch.

    ``sides``: how anchors and how positives and negatives are encoded. ``budget``: tokens of one
    forward pass, padding counted. With ``needs.views`` the text is encoded twice, and nothing is
    encoded once for several places. Labelled text for a loss over pairs gets another text of the
    class as its second column, drawn anew for each ``epoch``. The trainer sets ``epoch``, ``rank``
    and the number of ``processes``.
    """

    examples: Examples
    tokens: TokenTable
    needs: Needs
    sides: tuple[Side, Side]
    budget: int
    known: KnownPositives
    seed: int = 13
    rank: int = 0
    processes: int = 1
    epoch: int = 0

    def prepare(self) -> None:
        """Tokenise every text of the examples."""
        self.tokens.add(self.sides[0], self.examples.anchors)
        if self.examples.positives is not None:
            self.tokens.add(self.sides[1], self.examples.positives)
        if self.examples.negatives is not None:
            self.tokens.add(self.sides[1], self.examples.negatives.values)

    def __call__(self, rows: Sequence[int]) -> TokenBatch:
        numbers = np.asarray(rows, dtype=np.int64)
        batch = self.examples.select(numbers)
        columns = self._columns(batch, numbers)
        negatives = batch.negatives
        wanted = [*columns, *([(self.sides[1], negatives.values)] if negatives is not None else [])]
        forms = np.concatenate([np.full(len(ids), self.tokens.form(side)) for side, ids in wanted])
        ids = np.concatenate([ids for _, ids in wanted])
        texts, back = self._distinct(forms, ids)
        groups, places, shares, tokens = self._share(forms[texts], ids[texts])
        size, count = len(numbers), len(columns)
        blocked = self.known.among(ids)
        return TokenBatch(
            groups=groups,
            places=places,
            shares=shares,
            columns=torch.from_numpy(back[: count * size].reshape(count, size)),
            ids=torch.from_numpy(ids[: count * size].reshape(count, size)),
            rows=torch.from_numpy(batch.row_numbers),
            tokens=tokens,
            negatives=torch.from_numpy(back[count * size :]) if negatives is not None else None,
            negative_ids=torch.from_numpy(ids[count * size :]) if negatives is not None else None,
            negative_rows=torch.from_numpy(negatives.offsets) if negatives is not None else None,
            labels=_tensor(batch.labels),
            scores=_tensor(batch.scores),
            weights=_tensor(batch.weights),
            blocked=torch.from_numpy(blocked) if len(blocked) else None,
        )

    def _columns(self, batch: Examples, numbers: IntArray) -> list[tuple[Side, IntArray]]:
        first = (self.sides[0], batch.anchors)
        if self.needs.views:
            return [first, first]
        if self.needs.columns == 1:
            return [first]
        if batch.positives is None:
            return [first, (self.sides[0], self._partners(batch, numbers))]
        return [first, (self.sides[1], batch.positives)]

    def _partners(self, batch: Examples, numbers: IntArray) -> IntArray:
        """Another text of the class of each row, drawn by (seed, epoch, row); itself where it has none."""
        if batch.labels is None:
            raise ValueError("a loss over pairs needs a second text or class labels")
        members, width = self._class_texts
        first = np.searchsorted(members, batch.labels * width)
        others = np.searchsorted(members, (batch.labels + 1) * width) - first - 1
        own = np.searchsorted(members, batch.labels * width + batch.anchors)
        draw = keys(numbers, self.seed, self.epoch, 2) % np.maximum(others, 1).astype(np.uint64)
        place = first + draw.astype(np.int64)
        place += place >= own
        place[others == 0] = own[others == 0]
        partners: IntArray = members[place] % width
        return partners

    @cached_property
    def _class_texts(self) -> tuple[IntArray, int]:
        """The distinct (class, text) pairs as sorted numbers class * width + text, and the width."""
        labels, anchors = self.examples.labels, self.examples.anchors
        width = int(anchors.max(initial=0)) + 1
        return (np.unique(labels * width + anchors) if labels is not None else anchors[:0]), width

    def _distinct(self, forms: IntArray, ids: IntArray) -> tuple[IntArray, IntArray]:
        """Positions of the texts to encode, and for every place the number of its text among them."""
        if self.needs.views:
            everything = np.arange(len(ids), dtype=np.int64)
            return everything, everything
        _, first, back = np.unique(
            forms * (int(ids.max(initial=0)) + 1) + ids, return_index=True, return_inverse=True
        )
        return first, back.astype(np.int64)

    def _share(
        self, forms: IntArray, ids: IntArray
    ) -> tuple[list[dict[str, Any]], torch.Tensor, tuple[int, ...], int]:
        """This process's slice of the texts, of about equally many tokens for every process."""
        lengths = np.zeros(len(ids), dtype=np.int64)
        for form in range(self.tokens.forms):
            lengths[forms == form] = self.tokens.lengths(form, ids[forms == form])
        ends = np.searchsorted(
            np.cumsum(lengths), lengths.sum() * np.arange(1, self.processes) / self.processes, side="left"
        )
        cuts = np.concatenate([[0], ends, [len(ids)]])
        mine = np.arange(cuts[self.rank], cuts[self.rank + 1])
        if not len(mine):
            mine = np.zeros(1, dtype=np.int64)
        groups: list[dict[str, Any]] = []
        places: list[IntArray] = []
        for form in range(self.tokens.forms):
            chosen = np.flatnonzero(forms[mine] == form)
            for group in plan_groups(lengths[mine[chosen]], self.budget):
                groups.append(self.tokens.features(form, ids[mine[chosen[group]]]))
                places.append(chosen[group])
        shares = tuple(int(size) for size in np.diff(cuts))
        return groups, torch.from_numpy(np.concatenate(places)), shares, int(lengths.sum())


def _tensor(values: NDArray[Any] | None) -> torch.Tensor | None:
    return None if values is None else torch.from_numpy(values)


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, torch.Tensor):
        if device.type == "mps" and value.dtype == torch.float64:
            value = value.float()  # Apple's devices have no double precision
        return value.to(device, non_blocking=True)
    if isinstance(value, list):
        return [{name: _moved(part, device) for name, part in group.items()} for group in value]
    return value
