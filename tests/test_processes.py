"""What processes of one run agree on, in a process that is alone; several are in tests/mining."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from sbert_triplet.processes import agreed, from_all, join, machine, place, together


def test_a_process_that_is_alone_asks_itself() -> None:
    assert place() == (0, 1)
    assert machine() == 0
    assert agreed(3) == 3
    assert from_all("value") == ["value"]
    assert together(lambda: 7) == [7]


def test_processes_wait_for_each_other_for_as_long_as_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The libraries' own limits are 10 minutes and half an hour: one process may tokenise for longer."""
    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    met: list[dict[str, Any]] = []

    class State:
        def __init__(self, **given: Any) -> None:
            met.append(given)

        def destroy_process_group(self) -> None: ...

    monkeypatch.setattr("accelerate.PartialState", State)
    join("cpu")
    assert met[0]["cpu"]
    assert met[0]["timeout"] >= timedelta(days=1)


def test_what_it_raises_is_raised() -> None:
    with pytest.raises(MemoryError, match="none left"):
        together(lambda: (_ for _ in ()).throw(MemoryError("none left")))
