"""Why the tuned model may not be better: causes with the figures that speak for them, the likeliest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sbert_triplet.reporting import numbers
from sbert_triplet.reporting.html import Html, element, join
from sbert_triplet.reporting.record import RunRecord, mapping
from sbert_triplet.reporting.section import Section, paragraph
from sbert_triplet.reporting.text import markdown_escape

STRONG, FAIR = 0.7, 0.45
ABOUT = (
    "What the figures of this run point to, the likeliest first. A figure that speaks for a cause does not "
    "prove it: change one thing at a time."
)
NOTHING = (
    "No figure of this run points to a cause: neither the held-out rows nor data nor training stand out."
)


def draw(run: RunRecord) -> Section | None:
    """None where the tuned model is better, or the run looked for no causes."""
    causes = run.report.get("causes")
    if run.report.get("verdict") in (None, "better") or not isinstance(causes, list):
        return None
    found = [mapping(cause) for cause in causes]
    if not found:
        return Section("causes", "Likely causes", paragraph(NOTHING), NOTHING)
    html = join([paragraph(ABOUT), element("ol", *map(_cause, found), class_="causes")])
    return Section("causes", "Likely causes", html, _markdown(found))


def _cause(cause: Mapping[str, Any]) -> Html:
    name = str(cause.get("cause") or "")
    return element(
        "li",
        element("b", name[:1].upper() + name[1:]),
        " ",
        element("small", _weight(cause.get("strength"))),
        paragraph(_closed(cause.get("evidence"))),
        paragraph(element("b", "Try: "), _closed(cause.get("advice"))),
    )


def _weight(strength: object) -> str:
    value = numbers.number(strength) or 0.0
    return "strong signs" if value >= STRONG else "some signs" if value >= FAIR else "weak signs"


def _closed(sentence: object) -> str:
    """With a capital at the start and a full stop at the end."""
    text = str(sentence or "")
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


def _markdown(causes: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        f"{place}. **{markdown_escape(cause.get('cause'))}** ({_weight(cause.get('strength'))}). "
        f"{markdown_escape(_closed(cause.get('evidence')))} "
        f"Try: {markdown_escape(_closed(cause.get('advice')))}"
        for place, cause in enumerate(causes, start=1)
    ]
    return "\n".join([ABOUT, "", *lines])
