"""From row numbers to one batch: token groups to encode, and how the loss's columns come out of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from sbert_triplet.data.examples import Examples
from sbert_triplet.data.keys import keys
from sbert_triplet.encoding.forward import moved
from sbert_triplet.encoding.tokens import Side, TokenTable
from sbert_triplet.losses.batch import Needs
from sbert_triplet.training.known import KnownPositives

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Share:
    """U distinct texts of which each process encodes a part.

    ``groups``: features of this process's part; ``places``: where the rows of the joined groups
    stand in it; ``sizes``: how many texts each process encodes, in the order of the ranks (their sum
    is U; a process with none encodes one for the others' sake).
    """

    groups: list[dict[str, Any]]
    places: torch.Tensor
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class TokenBatch:
    """A global batch as one process sees it.

    ``texts``: the texts to encode with gradient; ``columns``: (k, B) positions among them. ``ids``:
    (columns, B) text ids. ``rows``: (B,) data rows; ``numbers``: what the batch was made of. ``keys``: the
    texts for a momentum encoder, of positives and hard negatives, which are positions among these then;
    ``key_column``: (B,) the positives. ``guide``: (kB + C, G) what a guide makes of all columns, one after
    the other, and of the hard negatives. ``dataset``: the place of the data set that all rows are of. The
    rest is as in ``losses.batch.Embedded``, the same on every process.
    """

    texts: Share
    columns: torch.Tensor
    ids: torch.Tensor
    rows: torch.Tensor
    numbers: tuple[int, ...]
    tokens: int
    keys: Share | None = None
    key_column: torch.Tensor | None = None
    guide: torch.Tensor | None = None
    negatives: torch.Tensor | None = None
    negative_ids: torch.Tensor | None = None
    negative_rows: torch.Tensor | None = None
    labels: torch.Tensor | None = None
    scores: torch.Tensor | None = None
    weights: torch.Tensor | None = None
    blocked: torch.Tensor | None = None
    dataset: int = 0

    def to(self, device: torch.device) -> TokenBatch:
        """The batch with its tensors on ``device``."""
        moved: TokenBatch = _moved(self, device)
        return moved


class BatchMaker(Protocol):
    """What a trainer makes batches of row numbers with."""

    def __call__(self, rows: Sequence[int]) -> TokenBatch: ...

    def __len__(self) -> int:
        """How many rows there are."""

    def place(self, rank: int, processes: int) -> None:
        """Which of how many processes this one is."""

    def set_epoch(self, epoch: int) -> None:
        """Which epoch batches are made for."""

    @property
    def changes(self) -> int:
        """How often anything that batches depend on was set; a batch is as good as this number."""

    @property
    def budget(self) -> int:
        """Tokens of one forward pass at most, but for a longer text."""

    @budget.setter
    def budget(self, tokens: int) -> None: ...


@dataclass
class Collator:
    """Turns the row numbers of a global batch into a TokenBatch.

    ``sides``: how anchors and how positives and negatives are encoded. ``budget``: tokens of one
    forward pass. With ``needs.views`` the text is encoded twice, and nothing is
    encoded once for several places. With ``needs.momentum`` only anchors are encoded with gradient.
    Labelled text for a loss over pairs gets another text of the class as its second column, drawn
    anew for each ``epoch``. ``guide`` gives the embeddings that ``needs.guide`` asks for. The trainer
    says the epoch and which of how many processes this one is.
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
    guide: Callable[[Side, IntArray], NDArray[np.float32]] | None = None
    dataset: int = 0
    changes: int = field(default=0, init=False, compare=False)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        super().__setattr__("changes", getattr(self, "changes", 0) + 1)

    def __len__(self) -> int:
        return len(self.examples)

    def place(self, rank: int, processes: int) -> None:
        self.rank, self.processes = rank, processes

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def wanted(self) -> list[tuple[Side, IntArray]]:
        """Every text of the examples, and how it is encoded."""
        examples = self.examples
        wanted = [(self.sides[0], examples.anchors)]
        if examples.positives is not None:
            wanted.append((self.sides[1], examples.positives))
        if examples.negatives is not None:
            wanted.append((self.sides[1], examples.negatives.values))
        return wanted

    def prepare(self) -> None:
        """Tokenise every text of the examples."""
        for side, ids in self.wanted():
            self.tokens.add(side, ids)

    def __call__(self, rows: Sequence[int]) -> TokenBatch:
        numbers = np.asarray(rows, dtype=np.int64)
        batch = self.examples.select(numbers)
        columns = self._columns(batch, numbers)
        negatives = batch.negatives
        extra = [(self.sides[1], negatives.values)] if negatives is not None else []
        trained, keyed = [*columns, *extra], list[tuple[Side, IntArray]]()
        if self.needs.momentum is not None:
            trained, keyed = columns[:1], [*columns[1:], *extra]
        texts, places, tokens = self._distinct(trained)
        keys, key_places, key_tokens = self._distinct(keyed) if keyed else (None, [], 0)
        everything = np.concatenate([ids for _, ids in [*columns, *extra]])
        related = self.known.touching if self.needs.momentum is not None else self.known.among
        blocked = related(everything)
        return TokenBatch(
            texts=texts,
            columns=torch.from_numpy(np.stack(places[: 1 if keyed else len(columns)])),
            ids=torch.from_numpy(np.stack([ids for _, ids in columns])),
            rows=torch.from_numpy(batch.row_numbers),
            numbers=tuple(rows),
            tokens=tokens + key_tokens,
            keys=keys,
            key_column=torch.from_numpy(key_places[0]) if keyed else None,
            guide=self._guided([*columns, *extra]),
            negatives=torch.from_numpy((key_places or places)[-1]) if negatives is not None else None,
            negative_ids=torch.from_numpy(negatives.values) if negatives is not None else None,
            negative_rows=torch.from_numpy(negatives.offsets) if negatives is not None else None,
            labels=_tensor(batch.labels),
            scores=_tensor(batch.scores),
            weights=_tensor(batch.weights),
            blocked=torch.from_numpy(blocked) if len(blocked) else None,
            dataset=self.dataset,
        )

    def _guided(self, wanted: list[tuple[Side, IntArray]]) -> torch.Tensor | None:
        if self.needs.guide is None:
            return None
        if self.guide is None:
            raise ValueError("the loss wants a guide, and the collator was given none")
        return torch.from_numpy(np.concatenate([self.guide(side, ids) for side, ids in wanted]))

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

    def _distinct(self, wanted: list[tuple[Side, IntArray]]) -> tuple[Share, list[IntArray], int]:
        """The texts to encode, the places of each column among them, and the number of tokens."""
        forms = np.concatenate([np.full(len(ids), self.tokens.form(side)) for side, ids in wanted])
        ids = np.concatenate([ids for _, ids in wanted])
        if self.needs.views:
            first = back = np.arange(len(ids), dtype=np.int64)
        else:
            _, first, back = np.unique(
                forms * (int(ids.max(initial=0)) + 1) + ids, return_index=True, return_inverse=True
            )
        share, tokens = self._share(forms[first], ids[first])
        ends = np.cumsum([len(part) for _, part in wanted])
        return share, np.split(back.astype(np.int64), ends[:-1]), tokens

    def _share(self, forms: IntArray, ids: IntArray) -> tuple[Share, int]:
        """This process's part of the texts, of about equally many tokens for every process."""
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
            for group, features in self.tokens.inputs(form, ids[mine[chosen]], self.budget):
                groups.append(features)
                places.append(chosen[group])
        sizes = tuple(int(size) for size in np.diff(cuts))
        return Share(groups, torch.from_numpy(np.concatenate(places)), sizes), int(lengths.sum())


def _tensor(values: NDArray[Any] | None) -> torch.Tensor | None:
    return None if values is None else torch.from_numpy(values)


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, torch.Tensor):
        if device.type == "mps" and value.dtype == torch.float64:
            value = value.float()  # Apple's devices have no double precision
        return value.to(device, non_blocking=True)
    if isinstance(value, list):
        return [moved(group, device) for group in value]
    if isinstance(value, TokenBatch | Share):
        return replace(
            value, **{item.name: _moved(getattr(value, item.name), device) for item in fields(value)}
        )
    return value
