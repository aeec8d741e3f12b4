"""Counts, shares and first lines of errors in messages."""

from __future__ import annotations

import pytest

from sbert_triplet.data.wording import first_line, percent, times


def test_one_and_many() -> None:
    assert [times(n, "row", "rows") for n in (0, 1, 2000)] == ["0 rows", "1 row", "2,000 rows"]


@pytest.mark.parametrize(
    ("share", "digits", "shown"), [(0.681, 0, "68 %"), (0.2, 1, "20.0 %"), (1, 0, "100 %")]
)
def test_percent(share: float, digits: int, shown: str) -> None:
    assert percent(share, digits) == shown


def test_a_long_first_line_is_cut_at_a_word() -> None:
    text = "To enable downloads online, set HF_HUB_OFFLINE to 0"
    assert first_line(ValueError(f" {text}\nmore")) == text
    assert first_line(ValueError(text), len(text)) == text
    assert first_line(ValueError(text), len(text) - 1) == "To enable downloads online, set HF_HUB_OFFLINE to…"
    assert first_line(ValueError(text), 40) == "To enable downloads online, set…"
    assert first_line(ValueError("x" * 30), 10) == f"{'x' * 10}…"
    assert first_line(ValueError()) == "ValueError"
