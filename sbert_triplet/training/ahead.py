"""The next batch, made in a thread of its own while the step before it runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

from torch.profiler import record_function
from torch.utils.data import DataLoader

from sbert_triplet.training.collate import BatchMaker, TokenBatch

WAITING = "batches"
"""What a profile calls the time that a step waits for its batch."""


class BatchesAhead:
    """Batches of ``maker``, of which the next is made while the one before it is used.

    A batch that was made before the maker changed is made again, so that what is taken is always what
    ``maker`` makes at that moment.
    """

    def __init__(self, maker: BatchMaker) -> None:
        self.maker = maker
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._announced: deque[list[int]] = deque()
        self._making: tuple[list[int], int, Future[TokenBatch]] | None = None

    def announce(self, rows: Sequence[int]) -> list[int]:
        """The rows of a batch that will be taken after those announced before; returns them."""
        self._announced.append(list(rows))
        return self._announced[-1]

    def take(self, rows: Sequence[int]) -> TokenBatch:
        """The batch of ``rows``; the next one is begun. What was announced before them was left out."""
        wanted = list(rows)
        with record_function(WAITING):
            made = self._made(wanted)
            batch = self.maker(wanted) if made is None else made
        while self._announced and self._announced.popleft() != wanted:
            pass
        if self._announced:
            following = self._announced[0]
            self._making = following, self.maker.changes, self._thread.submit(self.maker, following)
        return batch

    def settle(self) -> None:
        """Wait until nothing is being made: the maker and its tables may be changed then."""
        if self._making is not None:
            wait([self._making[2]])

    def _made(self, rows: list[int]) -> TokenBatch | None:
        """The batch that was begun, where it is the one that the maker would make."""
        making, self._making = self._making, None
        if making is None or making[0] != rows or making[1] != self.maker.changes:
            return None
        return making[2].result()


class RowsAhead(DataLoader[Any]):
    """A data loader that fetches an item before the one ahead of it is used.

    The first epoch of a resumed run goes without: accelerate leaves batches out by a loader of its own.
    """

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        return _one_ahead(super().__iter__())


def _one_ahead(items: Iterator[Any]) -> Iterator[Any]:
    item = next(items, None)
    while item is not None:
        following = next(items, None)
        yield item
        item = following
