"""The parts of a card about data, purpose and limits, as the report has them; no text of the data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sbert_triplet.reporting import numbers
from sbert_triplet.reporting.record import Change, mapping
from sbert_triplet.reporting.text import markdown_escape, markdown_fence, one_line, without_folders

_MEANT_FOR = {
    "retrieval": "finding documents that answer a query, in a pool like the one it was measured on",
    "scored pairs": "scoring how alike two texts are",
    "binary pairs": "telling pairs of texts that belong together from those that do not",
    "triplets": "ordering texts by how near they are to another one",
    "labelled text": "finding texts of the same class, by their nearest neighbours",
}


def data_section(report: Mapping[str, Any], licence: str | None) -> str:
    """Where the rows came from and under which ``licence``; of paths the last part."""
    data = mapping(report.get("data"))
    rows = ", ".join(f"{one_line(name)} {numbers.count(n)}" for name, n in mapping(data.get("rows")).items())
    sources = [without_folders(each) for each in _listed(data.get("sources"))]
    facts = [
        ("Sources", ", ".join(sources)),
        ("Kind", data.get("kind")),
        ("Rows", rows),
        ("Split", data.get("split")),
        ("SHA-256 of the rows", data.get("fingerprint")),
        ("Licence", licence or "not stated by who published this model"),
    ]
    lines = [f"- {name}: {markdown_escape(value)}" for name, value in facts if value]
    return "\n\n".join(["## Data", "\n".join(lines), "The rows themselves are not part of this repository."])


def hub_data(report: Mapping[str, Any]) -> list[str]:
    """Ids of the data sets on the Hub that the rows came from."""
    found = []
    for source in map(one_line, _listed(mapping(report.get("data")).get("sources"))):
        named = source.split("[")[0].split(":")[0]
        if named.count("/") == 1 and without_folders(source) == source:
            found.append(named)
    return list(dict.fromkeys(found))


def purpose_section(report: Mapping[str, Any]) -> str:
    """What it is for, and what it is not."""
    meant = _MEANT_FOR.get(str(report.get("task")), "comparing texts by the similarity of their embeddings")
    return (
        f"## Intended use\n\nFor {meant}: texts like those of its training data, in their language and "
        "domain. It was measured on rows of the same source; on other text it has to be measured first. An "
        "embedding says how alike two texts are, not whether one is true, safe or fit for anybody: decisions "
        "about people should not rest on it."
    )


def limits_section(report: Mapping[str, Any], changes: Sequence[Change]) -> str:
    """What the figures do not show, or show to be worse."""
    lines = list(_limits(report, changes))
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in lines)


def _limits(report: Mapping[str, Any], changes: Sequence[Change]) -> Iterable[str]:
    model = mapping(report.get("model"))
    if report.get("verdict") != "better":
        yield "The tuned model was not shown to be better than the base model on the main metric."
    for change in changes:
        if change.reading == "worse":
            yield f"{markdown_escape(change.name)} fell by {numbers.fixed(abs(change.difference or 0.0))}."
    general = Change.from_json("general check", mapping(report.get("general")))
    if general.reading == "worse":
        yield "It lost on everyday text unlike the training data; see the results."
    if model.get("max_length"):
        yield f"What comes after {numbers.count(model['max_length'])} tokens of a text is not read."
    if changes and changes[0].approximate:
        yield "The interval of the main metric is approximate: there were few rows, or few groups of them."
    n = changes[0].n if changes else None
    if n is not None:
        yield f"The main metric rests on {numbers.count(n)} held-out items of one source."
    yield "It has the biases of the base model's training data and of its own; they were not measured."


def examples_section(examples: Sequence[str]) -> str:
    """Texts of the data, quoted because they were asked for."""
    return "\n\n".join(["## Examples of the held-out texts", *(markdown_fence(text) for text in examples)])


def _listed(value: object) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else []
