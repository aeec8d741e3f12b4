"""What was run, so that it can be run again."""

from __future__ import annotations

from sbert_triplet.reporting.html import element, join
from sbert_triplet.reporting.record import RunRecord
from sbert_triplet.reporting.section import Section, paragraph


def draw(run: RunRecord) -> Section | None:
    """None where neither command nor recipe is known. Paths and prompts are the person's: no Markdown."""
    command = run.report.get("command")
    if not command and not run.recipe:
        return None
    parts: list[object] = []
    if command:
        parts += [paragraph("The command:"), element("pre", element("code", command), class_="command")]
    if run.recipe:
        note = "The recipe as resolved, with every default and decision; it is recipe.yaml in the run folder:"
        parts += [paragraph(note), element("pre", element("code", run.recipe), tabindex="0")]
    return Section("recipe", "To run it again", join(parts))
