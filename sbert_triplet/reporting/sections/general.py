"""The general check: whether the model unlearned what it knew about everyday text."""

from __future__ import annotations

from sbert_triplet.reporting import numbers
from sbert_triplet.reporting.html import join
from sbert_triplet.reporting.marks import Scale, pair_axis, pair_mark
from sbert_triplet.reporting.record import Change, RunRecord, mapping
from sbert_triplet.reporting.section import Section, paragraph
from sbert_triplet.reporting.sections.verdict import change_sentence
from sbert_triplet.reporting.tables import Cell, Column, Table
from sbert_triplet.reporting.text import markdown_escape

_READINGS = {
    "better": "Tuning helped here as well.",
    "worse": "Tuning cost something here: part of what the model knew about other text is lost.",
    "open": "No loss is shown: chance is not ruled out.",
}


def draw(run: RunRecord) -> Section | None:
    """None where the run made no general check."""
    general = run.part("general")
    if not general:
        return None
    change = Change.from_json(str(general.get("metric") or "general check").capitalize(), general)
    about = "A probe of everyday sentences, unlike the training data: what falls here was unlearned."
    measured = change.low is not None and change.high is not None
    sentences = [change_sentence(change), _READINGS[change.reading] if measured else ""]
    summary = " ".join(sentence for sentence in sentences if sentence)
    topics = [
        Change.from_json(str(name), figures) for name, figures in mapping(general.get("topics")).items()
    ]
    table = _topics_table(topics) if topics else None
    html = join(
        [paragraph(about), paragraph(summary), table.html() if table else None, _legend() if table else None]
    )
    markdown = "\n\n".join([about, markdown_escape(summary), *([table.markdown()] if table else [])])
    return Section("general", "General check", html, markdown)


def _legend() -> str:
    return paragraph("Ring: base; full circle: tuned.", class_="muted")


def _topics_table(topics: list[Change]) -> Table:
    scale = Scale.over(value for topic in topics for value in (topic.base, topic.tuned))
    columns = [Column("Topic"), Column("Base", numeric=True), Column("Tuned", numeric=True)]
    columns += [
        Column("Difference", numeric=True),
        Column("Base to tuned", drawn=True),
        Column("n", numeric=True),
    ]
    rows = [
        [
            Cell(topic.name),
            Cell(numbers.fixed(topic.base), order=topic.base),
            Cell(numbers.fixed(topic.tuned), order=topic.tuned),
            Cell(numbers.signed(topic.difference), order=topic.difference),
            Cell("", pair_mark(topic, scale), order=topic.difference),
            Cell(numbers.count(topic.n), order=topic.n),
        ]
        for topic in topics
    ]
    foot = [Cell("", pair_axis(scale)) if column.drawn else "" for column in columns]
    return Table("General check by topic", columns, rows, foot)
