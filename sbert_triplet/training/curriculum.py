"""Batches from the easiest rows first, then from more and more of them (curriculum learning).

Wu, Dyer, Neyshabur (2021, arXiv 2012.03107); Hacohen, Weinshall (2019, arXiv 1904.03626). Everything is
a function of the step, so that a run which goes on from a checkpoint draws what it would have drawn.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sbert_triplet.data.keys import keys, uniforms
from sbert_triplet.training.pacing import Pacing
from sbert_triplet.training.samplers import Batches, ClassBatches, RowBatches

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
Order = Literal["curriculum", "anti", "random"]
RANK_PURPOSE, ROW_PURPOSE, CLASS_PURPOSE = 7, 8, 9


def in_order(rows: int, order: Order, scores: FloatArray | None, *, seed: int) -> IntArray:
    """(N,) row numbers by ``scores`` (N,), larger for more difficult: easy ones first, ``anti`` last.

    Rows of equal score come in an order that the seed decides, rows whose score is NaN at the end.
    ``random`` is the order of the seed alone, to compare with under the same pacing. Raises ValueError
    where scores are wanted and missing.
    """
    ties = keys(np.arange(rows), seed, RANK_PURPOSE)
    if order == "random":
        return np.argsort(ties, kind="stable")
    if scores is None or len(scores) != rows:
        raise ValueError(f"order {order} needs one score for each of {rows:,} rows")
    return np.lexsort([ties, -scores if order == "anti" else scores])


def drawn(count: int, among: int, *salt: int) -> IntArray:
    """``count`` different numbers below ``among``, each set of them equally likely.

    In O(count): algorithm F2 of Bentley and Floyd (1987, doi 10.1145/30401.315746).
    """
    chosen: dict[int, None] = {}
    draws = keys(np.arange(count), *salt).tolist()
    for last, draw in zip(range(among - count, among), draws, strict=True):
        place = draw % (last + 1)
        chosen[last if place in chosen else place] = None
    return np.fromiter(chosen, dtype=np.int64, count=count)


class PacedBatches(Batches):
    """Batches of the first rows of ``order``, as many of them as ``pacing`` says at each step.

    Step t is batch t mod len of epoch t // len, where len and the size of each batch are those of
    ``plain``. Until all rows are in use each batch is drawn anew, uniformly from those in use; from then
    on batches are the epochs of ``plain``, so that every row comes once a pass. Subclasses define
    ``early``, which draws from some of the rows. ``least``: rows that one batch needs.
    """

    in_turn = True

    def __init__(self, plain: Batches, order: IntArray, pacing: Pacing, *, least: int) -> None:
        super().__init__(plain.seed)
        self.plain, self.order, self.pacing, self.least = plain, order, pacing, least
        self.full_from = pacing.full_from(len(order), least)

    def in_use(self, step: int) -> int:
        """How many rows the batch of a step is drawn from."""
        return self.pacing.rows(step, len(self.order), self.least)

    def early(self, step: int, in_use: int) -> IntArray:
        """The batch of a step, out of the first ``in_use`` rows of the order."""
        raise TypeError(f"{type(self).__name__} does not define early(step, in_use)")

    def epoch_batches(self, epoch: int) -> list[IntArray]:
        passes: dict[int, list[IntArray]] = {}
        batches = []
        for step in range(epoch * len(self), (epoch + 1) * len(self)):
            if step < self.full_from:
                batches.append(self.early(step, self.in_use(step)))
                continue
            number, place = divmod(step - self.full_from, len(self))
            if number not in passes:
                passes[number] = self.plain.epoch_batches(number)
            batches.append(passes[number][place])
        return batches

    def state(self, step: int) -> dict[str, float]:
        return {"data_share": self.in_use(step) / len(self.order)}

    def __len__(self) -> int:
        return len(self.plain)


class PacedRows(PacedBatches):
    """A curriculum in place of ``RowBatches``."""

    def __init__(self, plain: RowBatches, order: IntArray, pacing: Pacing) -> None:
        super().__init__(plain, order, pacing, least=min(plain.batch_size, plain.rows))

    def early(self, step: int, in_use: int) -> IntArray:
        smaller, one_more = divmod(len(self.order), len(self))
        size = smaller + (step % len(self) < one_more)
        return self.order[drawn(size, in_use, self.seed, step, ROW_PURPOSE)]


class PacedClasses(PacedBatches):
    """A curriculum in place of ``ClassBatches``: P classes times K texts of those in use.

    Classes are drawn with their number of texts in use as weight. At least as many rows are in use as
    it takes for one whole batch: P classes with K texts each, or with all that they have.
    """

    def __init__(self, plain: ClassBatches, labels: IntArray, order: IntArray, pacing: Pacing) -> None:
        self._labels = labels[order]
        _, self._labels, sizes = np.unique(self._labels, return_inverse=True, return_counts=True)
        by_class = np.argsort(self._labels, kind="stable")
        self._places = np.split(by_class, np.cumsum(sizes)[:-1])
        """Of each class, where in the order its texts stand."""
        enough = sorted(
            int(places[min(plain.texts, len(places)) - 1]) + 1 for places in self._places if len(places) > 1
        )
        self._classes, self._texts = plain.classes, plain.texts
        super().__init__(plain, order, pacing, least=enough[min(plain.classes, len(enough)) - 1])

    def early(self, step: int, in_use: int) -> IntArray:
        counts = np.bincount(self._labels[:in_use], minlength=len(self._places))
        usable = np.flatnonzero(counts > 1)
        # Exponential times with the counts as rates: the first P are P draws without replacement.
        times = -np.log1p(-uniforms(usable, self.seed, step, CLASS_PURPOSE)) / counts[usable]
        chosen = usable[np.argsort(times, kind="stable")[: self._classes]]
        places = [self._some(step, label, int(counts[label])) for label in chosen.tolist()]
        return self.order[np.concatenate(places)]

    def _some(self, step: int, label: int, count: int) -> IntArray:
        picked = drawn(min(self._texts, count), count, self.seed, step, ROW_PURPOSE, label)
        places: IntArray = self._places[label][picked]
        return places


def paced(plain: Batches, order: IntArray, pacing: Pacing, *, labels: IntArray | None = None) -> PacedBatches:
    """The curriculum in place of ``plain``. Raises TypeError for batches that have none."""
    if isinstance(plain, RowBatches):
        return PacedRows(plain, order, pacing)
    if isinstance(plain, ClassBatches) and labels is not None:
        return PacedClasses(plain, labels, order, pacing)
    raise TypeError(f"there is no curriculum for {type(plain).__name__}")
