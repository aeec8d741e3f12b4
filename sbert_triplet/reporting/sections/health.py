"""How embeddings lie in their space, before and after, each figure with what it says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sbert_triplet.reporting import numbers
from sbert_triplet.reporting.html import join
from sbert_triplet.reporting.record import RunRecord, mapping
from sbert_triplet.reporting.section import Section, paragraph
from sbert_triplet.reporting.tables import Cell, Column, Table
from sbert_triplet.reporting.text import markdown_escape

ALIKE = 0.02
"""A figure that changed by a smaller share of the old one reads as unchanged."""
FIGURES = {
    "alignment": (
        "Alignment",
        "texts that belong together have moved closer",
        "texts that belong together have moved apart",
    ),
    "uniformity": (
        "Uniformity",
        "texts fill the space more evenly",
        "texts fill the space less evenly",
    ),
    "anisotropy": (
        "Anisotropy",
        "different texts are less alike on average",
        "different texts are more alike on average",
    ),
    "effective_rank_centred": (
        "Effective rank",
        "texts differ along fewer directions",
        "texts differ along more directions",
    ),
}
"""The name of a figure, and what it says when it is lower, and when it is higher than before."""
EXPLAINED = (
    "Alignment: mean squared distance of texts that belong together (0 to 4, low is good). Uniformity: 0 "
    "where all texts coincide, about −4 where they fill the sphere. Anisotropy: mean cosine of two different "
    "texts. Effective rank: how many directions the texts differ along. All of embeddings of length 1."
)


def draw(run: RunRecord) -> Section | None:
    """None where the run did not look at the health of its models."""
    base, tuned = (mapping(run.part("health").get(name)) for name in ("base", "tuned"))
    if not base or not tuned:
        return None
    table = _table(base, tuned)
    sentences = [
        f"Of {numbers.count(tuned.get('texts'))} held-out texts, in {numbers.count(tuned.get('dimensions'))} "
        "dimensions."
    ]
    same = numbers.number(run.part("health").get("same_text"))
    if same is not None:
        sentences.append(f"A text's embeddings before and after have a mean cosine of {numbers.fixed(same)}.")
    about = " ".join(sentences)
    html = join([paragraph(about), table.html(), paragraph(EXPLAINED, class_="muted")])
    return Section(
        "health", "Health of the embeddings", html, f"{markdown_escape(about)}\n\n{table.markdown()}"
    )


def _table(base: Mapping[str, Any], tuned: Mapping[str, Any]) -> Table:
    columns = [
        Column("Figure"),
        Column("Base", numeric=True),
        Column("Tuned", numeric=True),
        Column("Reading"),
    ]
    rows = [
        [
            Cell(title),
            _cell(name, base.get(name)),
            _cell(name, tuned.get(name)),
            Cell(reading(name, numbers.number(base.get(name)), numbers.number(tuned.get(name)))),
        ]
        for name, (title, _, _) in FIGURES.items()
    ]
    return Table("How the embeddings lie", columns, rows, wordy=True)


def _cell(name: str, value: object) -> Cell:
    digits = 1 if "rank" in name else 3
    return Cell(numbers.fixed(value, digits), order=numbers.number(value))


def reading(name: str, base: float | None, tuned: float | None) -> str:
    """What the change of a figure says, in a line."""
    if base is None or tuned is None:
        return "not known"
    if abs(tuned - base) <= ALIKE * max(abs(base), ALIKE):
        return "about as before"
    _, lower, higher = FIGURES[name]
    return lower if tuned < base else higher
