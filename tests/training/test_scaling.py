"""The search for a scale of fp16's gradients: what belongs to it, and what is a bad step."""

from __future__ import annotations

import torch

from sbert_triplet.training.scaling import MOST_IN_A_ROW, ScaleSearch


def scaler(scale: float) -> torch.amp.GradScaler:
    made = torch.amp.GradScaler("cpu", init_scale=scale)
    made.scale(torch.ones(()))  # it has a scale from the first use on
    return made


def test_an_overflow_at_a_large_scale_is_searching() -> None:
    search = ScaleSearch()
    assert search.goes_on(scaler(2.0), finite=False)
    assert not search.goes_on(scaler(2.0), finite=True)
    assert search.skipped == 1


def test_an_overflow_without_a_scale_is_bad() -> None:
    search = ScaleSearch()
    assert not search.goes_on(scaler(1.0), finite=False)
    assert not search.goes_on(None, finite=False)
    assert search.skipped == 0


def test_no_search_takes_more_than_twenty_steps_in_a_row() -> None:
    search, large = ScaleSearch(), scaler(2.0**40)
    found = [search.goes_on(large, finite=False) for _ in range(MOST_IN_A_ROW + 2)]
    assert found == [True] * 20 + [False] * 2
    search.goes_on(large, finite=True)
    assert search.goes_on(large, finite=False)


def test_a_resumed_search_counts_on() -> None:
    search, large = ScaleSearch(), scaler(2.0**40)
    assert search.state() == {}
    for _ in range(MOST_IN_A_ROW):
        search.goes_on(large, finite=False)
    resumed = ScaleSearch()
    resumed.load_state(search.state())
    assert resumed.skipped == 20
    assert not resumed.goes_on(large, finite=False)
