"""The page of the report: one file that asks for nothing and runs no script but its own."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from string import Template

from sbert_triplet.reporting.html import Html, element, escape, join
from sbert_triplet.reporting.record import RunRecord
from sbert_triplet.reporting.section import Section


def page(run: RunRecord, sections: Sequence[Section]) -> str:
    """The HTML of the whole report.

    Its content security policy forbids every request and every script but the one of this package
    (by its SHA-256), so that nothing in the data could act even if it were taken for markup.
    """
    script = _asset("script.js")
    links = [element("a", section.title, href=f"#{section.key}") for section in sections]
    return Template(_asset("page.html")).substitute(
        title=escape(f"{run.name}: tuned against base"),
        policy=escape(_policy(script)),
        style=_asset("style.css"),
        script=script,
        name=escape(run.name),
        about=_about(run),
        contents=element("nav", *links, aria_label="Contents"),
        sections=join(_section(section) for section in sections),
    )


def _policy(script: str) -> str:
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _about(run: RunRecord) -> Html:
    model = run.part("model").get("name")
    known = [
        f"task: {run.report['task']}" if run.report.get("task") else None,
        f"base model: {model}" if model else None,
    ]
    return escape(" · ".join(text for text in [*known, str(run.report.get("created") or "")] if text))


def _section(section: Section) -> Html:
    heading = element("h2", section.title, id_=f"{section.key}-title")
    return element("section", heading, section.html, id_=section.key, aria_labelledby=f"{section.key}-title")


def _asset(name: str) -> str:
    return (files("sbert_triplet.reporting") / "assets" / name).read_text(encoding="utf-8")
