"""Base against tuned on embeddings that were cut to their first dimensions."""

from __future__ import annotations

from sbert_triplet.reporting.html import Html, join
from sbert_triplet.reporting.record import Change, RunRecord, mapping
from sbert_triplet.reporting.section import Section, paragraph
from sbert_triplet.reporting.sections.results import metrics_table
from sbert_triplet.reporting.tables import Table
from sbert_triplet.reporting.text import markdown_escape

ABOUT = (
    "Both models with their embeddings cut to the first dimensions, as truncate_dim does it, and compared "
    "as they are served."
)


def draw(run: RunRecord) -> Section | None:
    """None where no nested dimensions were trained. A table a metric, the main one first."""
    sizes = {size: mapping(metrics) for size, metrics in run.part("dimensions").items()}
    names = list(dict.fromkeys(name for metrics in sizes.values() for name in metrics))
    if not names:
        return None
    tables = []
    for name in sorted(names, key=lambda name: name != run.main_metric):
        changes = [
            Change.from_json(str(size), metrics[name]) for size, metrics in sizes.items() if name in metrics
        ]
        tables.append((name, metrics_table(f"{name} by dimensions", changes, heading="Dimensions")))
    html: list[Html] = [paragraph(ABOUT), *(table.html() for _, table in tables)]
    return Section("dimensions", "Fewer dimensions", join(html), _markdown(tables))


def _markdown(tables: list[tuple[str, Table]]) -> str:
    return "\n\n".join(
        [ABOUT, *(f"{markdown_escape(name)}:\n\n{table.markdown()}" for name, table in tables)]
    )
