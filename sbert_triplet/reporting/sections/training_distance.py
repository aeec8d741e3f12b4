"""The same comparison under the distance that the loss trained with, where no model can be served with it."""

from __future__ import annotations

from sbert_triplet.reporting.html import join
from sbert_triplet.reporting.record import Change, RunRecord, mapping
from sbert_triplet.reporting.section import Section, paragraph
from sbert_triplet.reporting.sections.results import metrics_table
from sbert_triplet.reporting.text import markdown_escape


def draw(run: RunRecord) -> Section | None:
    """None where the model is served with what it was trained with."""
    part = run.part("training_distance")
    metrics = mapping(part.get("metrics"))
    if not metrics:
        return None
    name = str(part.get("name") or "the distance of the loss")
    served = str(run.part("model").get("similarity") or "another similarity")
    ordered = sorted(metrics, key=lambda metric: metric != run.main_metric)
    changes = [Change.from_json(metric, metrics[metric]) for metric in ordered]
    table = metrics_table(f"Metrics under {name}", changes)
    about = (
        f"The loss compared texts by {name}, for which a saved model has no name. The model is served with "
        f"{served}, and the verdict and all other figures are under {served}. Here the same embeddings of "
        f"the same rows are compared by {name}."
    )
    html = join([paragraph(about), table.html()])
    return Section(
        "training-distance",
        "Under the training distance",
        html,
        f"{markdown_escape(about)}\n\n{table.markdown()}",
    )
