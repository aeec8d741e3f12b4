"""Which rows make a batch: a function of seed, epoch and row number, never of who asks when.

Every process draws the same global batches; each then encodes its share of the texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from sbert_triplet.data.keys import keys, uniforms

IntArray = NDArray[np.int64]
ORDER_PURPOSE = 5


class Batches:
    """All batches of one epoch after the other; ``set_epoch`` chooses the epoch.

    Subclasses define ``epoch_batches``: the batches of one epoch as arrays of row numbers. ``in_turn``:
    a batch is meant for its step, and not to be shuffled among those of its epoch.
    """

    in_turn = False

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def epoch_batches(self, epoch: int) -> list[IntArray]:
        """The batches of an epoch, the same for every caller."""
        raise TypeError(f"{type(self).__name__} does not define epoch_batches(epoch)")

    def state(self, step: int) -> dict[str, float]:
        """What the log says of a step, counted from 0: nothing unless batches change with the step."""
        del step
        return {}

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.epoch_batches(self.epoch):
            yield batch.tolist()

    def __len__(self) -> int:
        return len(self.epoch_batches(0))


class JointBatches(Batches):
    """The batches of several data sets in shuffled order, each of one data set alone.

    ``sizes``: how many rows each data set has; the rows of a later one are numbered on from those of
    the earlier ones. Batches of a data set that come ``in_turn`` keep their order among each other.
    """

    def __init__(self, parts: Sequence[Batches], sizes: Sequence[int], *, seed: int) -> None:
        super().__init__(seed)
        self.parts = tuple(parts)
        self.starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)

    def epoch_batches(self, epoch: int) -> list[IntArray]:
        batches = [
            batch + start
            for part, start in zip(self.parts, self.starts, strict=True)
            for batch in part.epoch_batches(epoch)
        ]
        return [batches[place] for place in self._order(epoch)]

    def state(self, step: int) -> dict[str, float]:
        if not any(part.in_turn for part in self.parts):
            return {}
        epoch, number = divmod(step, len(self))
        place, lengths = int(self._order(epoch)[number]), np.array([len(part) for part in self.parts])
        owner = int(np.searchsorted(np.cumsum(lengths), place, side="right"))
        own = epoch * int(lengths[owner]) + place - int(lengths[:owner].sum())
        return self.parts[owner].state(own)

    def _order(self, epoch: int) -> IntArray:
        """Which of all batches, one data set after the other, comes when."""
        order = np.argsort(keys(np.arange(len(self)), self.seed, epoch, ORDER_PURPOSE), kind="stable")
        owners = np.repeat(np.arange(len(self.parts)), [len(part) for part in self.parts])[order]
        for number, part in enumerate(self.parts):
            if part.in_turn:
                order[owners == number] = np.sort(order[owners == number])
        return order

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)


class RowBatches(Batches):
    """Every row once an epoch, in shuffled order, in batches as even as possible.

    n rows make ceil(n / batch_size) batches whose sizes differ by at most one, so that no row is
    left out and no batch is much smaller than the others.
    """

    def __init__(self, rows: int, batch_size: int, *, seed: int) -> None:
        super().__init__(seed)
        self.rows, self.batch_size = rows, batch_size

    def epoch_batches(self, epoch: int) -> list[IntArray]:
        order = np.argsort(keys(np.arange(self.rows), self.seed, epoch), kind="stable")
        return np.array_split(order, len(self))

    def __len__(self) -> int:
        return max(-(-self.rows // self.batch_size), 1)


class ClassBatches(Batches):
    """Batches of P classes times K texts each (Hermans, Beyer, Leibe 2017, 1703.07737).

    An epoch cuts the shuffled texts of each class into portions of K (the last one filled up from
    the class's own start; a class of fewer than K texts is one smaller portion) and draws P classes
    a batch with the number of their portions left as weight. Every epoch has as many batches, and
    uses as many portions, as when the classes with most portions left were always taken; portions
    left over when fewer than two classes remain are not used in that epoch.
    ``too_small``: classes with fewer than two texts, which make no portion.
    """

    def __init__(self, labels: IntArray, classes: int, texts: int, *, seed: int) -> None:
        super().__init__(seed)
        if classes < 2 or texts < 2:
            raise ValueError(f"P x K batches need at least 2 x 2, not {classes} x {texts}")
        self.classes, self.texts = classes, texts
        names, counts = np.unique(labels, return_counts=True)
        self.too_small: IntArray = names[counts < 2]
        self._members = [np.flatnonzero(labels == name) for name in names[counts >= 2]]
        if len(self._members) < 2:
            raise ValueError("P x K batches need at least two classes with two texts each")
        self._length = self._most_batches()

    def epoch_batches(self, epoch: int) -> list[IntArray]:
        portions = [self._portions(members, epoch) for members in self._members]
        left = np.array([len(portion) for portion in portions], dtype=np.int64)
        batches: list[IntArray] = []
        everyone = np.arange(len(portions))
        for number in range(len(self)):
            # Exponential times with rates ``left``: the first P of them are P draws without replacement.
            times = -np.log1p(-uniforms(everyone, self.seed, epoch, 1, number))
            with np.errstate(divide="ignore", invalid="ignore"):
                times = np.where(left > 0, times / left, np.inf)
            # A class with as many portions as there are batches to come has to be in each of them.
            due = np.where(left >= len(self) - number, -left, 0)
            chosen = np.lexsort((times, due))[: min(self.classes, np.count_nonzero(left))]
            left[chosen] -= 1
            batches.append(np.concatenate([portions[index][left[index]] for index in chosen]))
        return batches

    def __len__(self) -> int:
        return self._length

    def _most_batches(self) -> int:
        left = np.array([-(-len(members) // self.texts) for members in self._members])
        count = 0
        while np.count_nonzero(left) >= 2:
            chosen = np.argsort(-left, kind="stable")[: min(self.classes, np.count_nonzero(left))]
            left[chosen] -= 1
            count += 1
        return count

    def _portions(self, members: IntArray, epoch: int) -> list[IntArray]:
        shuffled = members[np.argsort(keys(members, self.seed, epoch), kind="stable")]
        size = min(self.texts, len(shuffled))
        short = -len(shuffled) % size
        filled = np.concatenate([shuffled, shuffled[:short]])
        return list(filled.reshape(-1, size))
