"""What is decided before a run: how many threads compute."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from sbert_triplet.pipeline import start


@pytest.fixture
def four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("decided", "granted", "wanted", "expected"),
    [
        ({}, None, None, 4),
        ({}, 2, None, 2),
        ({}, 8, None, 4),
        ({}, 2, "4", 4),
        ({"threads": 3}, 2, None, 3),
        ({"threads": "many"}, 2, None, 2),
    ],
)
def test_threads_of_a_run(
    four_threads: None,
    monkeypatch: pytest.MonkeyPatch,
    decided: dict[str, Any],
    granted: int | None,
    wanted: str | None,
    expected: int,
) -> None:
    monkeypatch.setattr(start, "granted_cores", lambda: granted)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if wanted is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", wanted)
    with start.chosen_threads(decided):
        assert torch.get_num_threads() == expected
    assert torch.get_num_threads() == 4
