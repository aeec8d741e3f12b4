"""Batches made ahead: always those that the maker would make when they are taken."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest

from sbert_triplet.training.ahead import BatchesAhead, RowsAhead


class Maker:
    """Makes (rows, setting) and notes in which thread; ``changes`` follows ``setting``."""

    def __init__(self) -> None:
        self.setting = 0
        self.calls: list[tuple[list[int], str]] = []
        self.fails: list[int] = []

    @property
    def changes(self) -> int:
        return self.setting

    def __call__(self, rows: Sequence[int]) -> Any:
        self.calls.append((list(rows), threading.current_thread().name))
        if list(rows) == self.fails:
            raise ValueError("no such row")
        return list(rows), self.setting


@pytest.fixture
def maker() -> Maker:
    return Maker()


@pytest.fixture
def ahead(maker: Maker) -> BatchesAhead:
    found = BatchesAhead(maker)  # type: ignore[arg-type]
    for rows in ([0, 1], [2, 3], [4, 5]):
        found.announce(rows)
    return found


def test_the_next_batch_is_made_in_another_thread(ahead: BatchesAhead, maker: Maker) -> None:
    assert [ahead.take(rows) for rows in ([0, 1], [2, 3], [4, 5])] == [([0, 1], 0), ([2, 3], 0), ([4, 5], 0)]
    here = threading.current_thread().name
    assert [rows for rows, _ in maker.calls] == [[0, 1], [2, 3], [4, 5]]
    assert [name == here for _, name in maker.calls] == [True, False, False]


def test_a_batch_from_before_a_change_is_made_again(ahead: BatchesAhead, maker: Maker) -> None:
    ahead.take([0, 1])
    ahead.settle()
    maker.setting = 7
    assert ahead.take([2, 3]) == ([2, 3], 7)
    ahead.settle()
    assert [rows for rows, _ in maker.calls] == [[0, 1], [2, 3], [2, 3], [4, 5]]


def test_batches_that_are_left_out(ahead: BatchesAhead, maker: Maker) -> None:
    ahead.take([0, 1])
    assert ahead.take([4, 5]) == ([4, 5], 0)
    assert ahead.take([8, 9]) == ([8, 9], 0), "one that nobody announced"


def test_settling_waits_for_what_is_made(ahead: BatchesAhead, maker: Maker) -> None:
    ahead.take([0, 1])
    ahead.settle()
    assert [rows for rows, _ in maker.calls] == [[0, 1], [2, 3]]


def test_a_failure_shows_when_the_batch_is_taken_and_not_before(ahead: BatchesAhead, maker: Maker) -> None:
    maker.fails = [2, 3]
    ahead.take([0, 1])
    ahead.settle()
    with pytest.raises(ValueError, match="no such row"):
        ahead.take([2, 3])


def test_a_loader_fetches_one_item_ahead() -> None:
    fetched: list[list[int]] = []

    def note(rows: list[int]) -> list[int]:
        fetched.append(rows)
        return rows

    loader = RowsAhead(range(5), batch_size=2, collate_fn=note)  # type: ignore[arg-type]
    seen = [(rows, len(fetched)) for rows in loader]
    assert seen == [([0, 1], 2), ([2, 3], 3), ([4], 3)]
