from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import pytest

from sbert_triplet.reporting import charts
from sbert_triplet.reporting.marks import (
    PAD,
    WIDTH,
    Scale,
    difference_scale,
    interval_axis,
    interval_mark,
    pair_mark,
)
from sbert_triplet.reporting.record import Change

HOSTILE = "$x_1$ </svg><script>alert(1)</script> \x00 \ud800"


def paint(axes: Any) -> None:
    axes.plot([0, 1, 2], [1.0, 3.0, 2.0], color=charts.TUNED, label=HOSTILE, marker="o")
    axes.set_xlabel("step")
    axes.legend()


def test_chart_text_is_text_and_its_colours_are_the_pages() -> None:
    drawn = charts.chart("key", "Loss", 'from "3" to <2>', paint)
    root = ElementTree.fromstring(drawn)
    texts = ["".join(node.itertext()) for node in root.iter("text")]
    assert "step" in texts
    assert any(text.startswith("$x_1$ </svg><script>alert(1)</script> ␀") for text in texts)
    svg = root.find("svg")
    assert svg is not None
    assert svg.get("aria-label") == 'from "3" to <2>'
    assert "var(--tuned)" in drawn
    assert not re.search(r"#0a0b0\d|font-family|https?:|<style|<metadata", drawn)


def test_charts_share_no_id_and_find_their_own() -> None:
    first, second = (ElementTree.fromstring(charts.chart(key, "t", "d", paint)) for key in ("a", "b"))
    ids = [[node.get("id") for node in root.iter() if node.get("id")] for root in (first, second)]
    assert ids[0]
    assert not set(ids[0]) & set(ids[1])
    referred = set(re.findall(r"#([\w.-]+)", ElementTree.tostring(first, encoding="unicode")))
    assert referred == set(ids[0])


def test_a_chart_is_the_same_every_time() -> None:
    assert charts.chart("key", "t", "d", paint) == charts.chart("key", "t", "d", paint)


def test_scales_end_in_round_figures_and_hold_zero() -> None:
    scale = difference_scale(
        [Change("a", 0.5, 0.56, 0.06, 0.041, 0.078), Change("b", 0.5, 0.5, 0.0, -0.013, 0.01)]
    )
    assert (scale.low, scale.high) == (pytest.approx(-0.02), pytest.approx(0.08))
    assert scale.at(scale.low) == PAD
    assert scale.at(scale.high) == WIDTH - PAD
    assert Scale.over([0.5, 0.5, None]).at(0.5) == PAD
    assert Scale.over([]).at(0.5) == WIDTH / 2


def test_interval_mark_says_by_shape_what_it_shows() -> None:
    better, worse, unclear = (
        Change("a", 0, 1, 1.0, 0.5, 1.5),
        Change("b", 1, 0, -1, -2, -0.5),
        Change("c", 0, 0, 0, -1, 1),
    )
    scale = difference_scale([better, worse, unclear])
    marks = [ElementTree.fromstring(interval_mark(change, scale)) for change in (better, worse, unclear)]
    groups = [mark.find("g") for mark in marks]
    assert [group.get("class") for group in groups if group is not None] == ["better", "worse", "open"]
    assert [mark.find("g/circle") is None for mark in marks] == [False, True, False]
    circle = marks[0].find("g/circle")
    assert circle is not None
    assert float(circle.get("cx", "nan")) == scale.at(1.0)
    ends = marks[0].find("g/line")
    assert ends is not None
    assert (float(ends.get("x1", "nan")), float(ends.get("x2", "nan"))) == (scale.at(0.5), scale.at(1.5))


def test_marks_of_what_is_not_known_are_empty() -> None:
    assert interval_mark(Change("a", None, None, None), Scale(0, 1)) == ""
    assert pair_mark(Change("a", 0.5, float("nan"), None), Scale(0, 1)) == ""
    alone = ElementTree.fromstring(interval_mark(Change("a", 0.5, 0.6, 0.1), Scale(0, 1)))
    assert alone.find("g/line") is None


def test_the_axis_always_names_zero() -> None:
    labels = [
        "".join(node.itertext())
        for node in ElementTree.fromstring(interval_axis(Scale(-0.01, 0.09))).iter("text")
    ]
    assert labels == ["0", "+0.09"]
    labels = [
        "".join(node.itertext())
        for node in ElementTree.fromstring(interval_axis(Scale(-0.05, 0.05))).iter("text")
    ]
    assert labels == ["0", "−0.05", "+0.05"]
