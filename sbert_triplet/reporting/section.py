"""One part of the report. Each lives in a file of its own in ``reporting/sections``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sbert_triplet.reporting.html import Html, element
from sbert_triplet.reporting.record import RunRecord


@dataclass(frozen=True)
class Section:
    """``html`` may show the person's texts; ``markdown`` holds figures alone, and is left out where empty."""

    key: str
    title: str
    html: Html
    markdown: str = ""


Draw = Callable[[RunRecord], Section | None]
"""What a section's file gives: the section, or None where the run has nothing for it."""


def paragraph(*parts: object, class_: str | None = None) -> Html:
    """Text between ``<p>`` tags; ``muted`` is the class of an explanation."""
    return element("p", *parts, class_=class_)


def facts(*pairs: tuple[str, object] | None) -> Html:
    """Names and values one under the other; pairs that are None, or have an empty value, are left out."""
    rows = [
        element("div", element("dt", pair[0]), element("dd", pair[1]))
        for pair in pairs
        if pair is not None and pair[1] not in (None, "")
    ]
    return element("dl", *rows, class_="facts") if rows else Html("")
