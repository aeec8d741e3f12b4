from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sbert_triplet.errors import InputError
from sbert_triplet.reporting.record import Change, read_run


@pytest.mark.parametrize(
    ("low", "high", "reading"),
    [
        (0.01, 0.03, "better"),
        (-0.03, -0.01, "worse"),
        (-0.01, 0.02, "open"),
        (0.0, 0.02, "open"),
        (None, None, "open"),
    ],
)
def test_reading_of_an_interval(low: float | None, high: float | None, reading: str) -> None:
    assert Change("m", 0.5, 0.5, 0.0, low, high).reading == reading


def test_a_missing_difference_is_worked_out() -> None:
    change = Change.from_json("cooking", {"base": 0.5, "tuned": 0.75, "n": 30})
    assert change.difference == 0.25
    assert Change.from_json("x", None) == Change("x", None, None, None)


def test_the_main_metric_comes_first(run_folder: Callable[..., Path], report: dict[str, Any]) -> None:
    run = read_run(run_folder())
    assert [change.name for change in run.changes] == ["nDCG@10", "RR@10", "AP", "R@100", "P@1"]
    assert run.changes[0].high == 0.065
    assert run.recipe is not None
    assert run.items_file is not None


def test_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no report\.json"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not readable as JSON"),
        (b"\xff\xfe", "not readable as JSON"),
        (b"[]", "holds a list"),
        (json.dumps({"format": 2}).encode(), "format 2"),
        (json.dumps({"format": "new"}).encode(), "format 'new'"),
    ],
)
def test_broken_reports_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "report.json").write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_run(tmp_path)
    assert "report.json" in str(caught.value)
