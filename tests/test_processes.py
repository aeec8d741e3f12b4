"""What processes of one run agree on, in a process that is alone; several are in tests/mining."""

from __future__ import annotations

import pytest

from sbert_triplet.processes import agreed, from_all, machine, place, together


def test_a_process_that_is_alone_asks_itself() -> None:
    assert place() == (0, 1)
    assert machine() == 0
    assert agreed(3) == 3
    assert from_all("value") == ["value"]
    assert together(lambda: 7) == [7]


def test_what_it_raises_is_raised() -> None:
    with pytest.raises(MemoryError, match="none left"):
        together(lambda: (_ for _ in ()).throw(MemoryError("none left")))
