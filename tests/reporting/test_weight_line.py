"""The line between base and tuned weights in the report: curve, choice, and what is not there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sbert_triplet.reporting.record import read_run
from sbert_triplet.reporting.section import Section
from sbert_triplet.reporting.sections import weight_line

Write = Callable[..., Path]


def drawn(write: Write, report: dict[str, Any]) -> Section | None:
    return weight_line.draw(read_run(write(report=report)))


def labels(section: Section) -> list[str]:
    return re.findall(r'aria-label="([^"]*by weights[^"]*)"', section.html)


def test_the_curves_and_the_choice(run_folder: Write, report: dict[str, Any]) -> None:
    section = drawn(run_folder, report)
    assert section is not None
    assert section.key == "weight-line"
    dev, general = labels(section)
    assert dev.startswith("nDCG@10 on dev by weights: 0 (base): 0.684, 0.2: 0.703")
    assert dev.endswith("0.9: 0.746, 1 (tuned): 0.743; chosen: 0.8")
    assert general.startswith("General check by weights: 0 (base): 0.927, 0.2: 0.931")
    assert (
        "the weights at 0.8 of the way are what the test rows judge: nDCG@10 on dev is highest there, 0.7461"
        in section.html
    )
    assert "Measured on 600 of 2,488 queries over 4,100 of 34,120 documents in 1 min 2 s." in section.html
    lines = section.markdown.splitlines()
    assert "| 0 (base) | 0.6840 | 0.927 |  |  |" in lines
    assert "| 0.8 | 0.7461 | 0.913 | −0.031 to +0.004 | chosen |" in lines
    assert "| 0.9 | 0.7459 | 0.905 | −0.042 to −0.002 | ruled out |" in lines


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        (0, "the base is kept: because"),
        (0.35, "the weights at 0.35 of the way are what the test rows judge: because"),
        (1.0, "the tuned weights are what the test rows judge: because"),
    ],
)
def test_what_is_said_of_each_choice(
    chosen: float, said: str, run_folder: Write, report: dict[str, Any]
) -> None:
    report["weight_line"].update(chosen=chosen, reason="because")
    section = drawn(run_folder, report)
    assert section is not None
    assert said in section.html
    assert said in section.markdown


def test_a_line_that_was_not_searched(run_folder: Write, report: dict[str, Any]) -> None:
    report["weight_line"] = {"metric": "AP", "points": [], "chosen": 1.0, "reason": "there is no dev"}
    section = drawn(run_folder, report)
    assert section is not None
    assert section.markdown == "The line between base and tuned weights was not searched: there is no dev."
    assert "<svg" not in section.html


def test_points_without_a_general_check(run_folder: Write, report: dict[str, Any]) -> None:
    """They are not on its curve, and not ruled out."""
    points = report["weight_line"]["points"]
    for point in points[1:4]:
        point.update(general=None, general_low=None, general_high=None, allowed=None)
    section = drawn(run_folder, report)
    assert section is not None
    assert labels(section)[1].startswith("General check by weights: 0 (base): 0.927, 0.7: 0.918")
    assert "| 0.4 | 0.7220 | – | – |  |" in section.markdown


def test_without_a_general_check_there_is_no_curve_of_it(run_folder: Write, report: dict[str, Any]) -> None:
    for point in report["weight_line"]["points"]:
        point.update(general=None, general_low=None, general_high=None, allowed=True, dev=None)
    section = drawn(run_folder, report)
    assert section is not None
    assert labels(section) == []
    assert section.markdown.split("\n\n")[1].startswith("| Weights | nDCG@10 on dev | Choice |")


def test_a_run_without_a_line(run_folder: Write, report: dict[str, Any]) -> None:
    del report["weight_line"]
    assert drawn(run_folder, report) is None


def test_what_others_wrote_there_is_no_error(run_folder: Write, report: dict[str, Any]) -> None:
    report["weight_line"] = {"reason": "r", "points": [3, {"at": "x"}, {"at": 0.5}], "chosen": "y"}
    section = drawn(run_folder, report)
    assert section is not None
    assert "| 0.5 | – |  |" in section.markdown
