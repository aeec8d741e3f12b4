"""From which similarity on two texts are taken as the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sbert_triplet.reporting import numbers
from sbert_triplet.reporting.html import Html, element, join
from sbert_triplet.reporting.record import RunRecord, mapping
from sbert_triplet.reporting.section import Section, paragraph
from sbert_triplet.reporting.tables import Cell, Column, Table
from sbert_triplet.reporting.text import markdown_escape

TITLES = {"tuned": "Tuned", "interpolated": "Interpolated", "base": "Base"}
TRUST = (
    "The cut was chosen on dev rows, on which it looks better than it is; what it gives on the test rows, by "
    "which nothing was chosen, is what to expect of rows like these. For other pairs choose it anew."
)


def draw(run: RunRecord) -> Section | None:
    """None where the dev rows did not say what is the same."""
    cuts = {name: mapping(cut) for name, cut in run.part("thresholds").items() if mapping(cut)}
    if not cuts:
        return None
    shipped = str(run.report.get("shipped"))
    told = cuts.get(shipped) or next(iter(cuts.values()))
    sentence = threshold_sentence(told)
    table = _table(cuts)
    wanted = numbers.share(told.get("precision_wanted"))
    about = (
        f"Wanted: a precision of {wanted}. A pair is {told.get('pairs')}. The cut of the model in model/ "
        "stands in model/calibration.json."
    )
    html = join(
        [
            paragraph(sentence),
            paragraph(about),
            table.html(),
            paragraph(TRUST, class_="muted"),
        ]
    )
    lines = [markdown_escape(sentence), markdown_escape(about), table.markdown(), TRUST]
    return Section("threshold", "Same or not the same", html, "\n\n".join(lines))


def threshold_sentence(cut: Mapping[str, Any]) -> str:
    """What to use, or that there is nothing to use; of a model's entry in ``thresholds``."""
    text = str(cut.get("sentence") or "")
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


def _table(cuts: Mapping[str, Mapping[str, Any]]) -> Table:
    titles = ("Cut", "Precision, dev", "Recall, dev", "n, dev", "Precision, test", "Recall, test", "n, test")
    columns = [Column("Model"), *(Column(title, numeric=True) for title in titles)]
    rows = []
    for name, title in TITLES.items():
        if name not in cuts:
            continue
        cut, test = cuts[name], mapping(cuts[name].get("test"))
        rows.append(
            [
                Cell(title),
                _with_interval(cut, "similarity"),
                _with_interval(cut, "precision"),
                _with_interval(cut, "recall"),
                _cell(cut.get("n"), numbers.count(cut.get("n"))),
                _cell(test.get("precision"), numbers.fixed(test.get("precision"))),
                _cell(test.get("recall"), numbers.fixed(test.get("recall"))),
                _cell(test.get("n"), numbers.count(test.get("n"))),
            ]
        )
    return Table("The cut of each model", columns, rows)


def _with_interval(cut: Mapping[str, Any], name: str) -> Cell:
    value, low, high = (cut.get(f"{name}{end}") for end in ("", "_low", "_high"))
    shown = numbers.fixed(value)
    if numbers.number(low) is None:
        return _cell(value, shown)
    upper = numbers.fixed(high) if numbers.number(high) is not None else "none"
    interval = f"{numbers.fixed(low)} to {upper}"
    html: Html = join([shown, element("small", interval)], " ")
    return Cell(f"{shown} ({interval})", html, order=numbers.number(value))


def _cell(value: object, shown: str) -> Cell:
    return Cell(shown, order=numbers.number(value))
