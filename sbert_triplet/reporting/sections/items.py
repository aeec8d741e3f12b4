"""The items that gained and lost most, side by side: the person's texts, so never in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from sbert_triplet.data.wording import times
from sbert_triplet.reporting import numbers
from sbert_triplet.reporting.html import Html, element, join
from sbert_triplet.reporting.predictions import Item, Movers, Result, read_movers
from sbert_triplet.reporting.record import RunRecord
from sbert_triplet.reporting.section import Section, paragraph
from sbert_triplet.reporting.text import clean, markdown_escape, shorten

MOST = 10
"""Items shown of each direction."""
TITLE_LIMIT, FIELD_LIMIT, RESULT_LIMIT = 240, 2000, 420
"""Characters shown; what is left out is counted."""


def draw(run: RunRecord) -> Section | None:
    """None where the run kept no results per item."""
    movers = None if run.items_file is None else read_movers(run.items_file, MOST)
    if movers is None:
        return None
    counts = (
        f"{times(movers.better, 'item', 'items')} gained, {numbers.count(movers.worse)} lost, "
        f"{numbers.count(movers.equal)} stayed as they were"
    )
    counts += f" ({run.main_metric})." if run.main_metric else "."
    html = join([paragraph(counts), *_group("Gained most", movers.gained), *_group("Lost most", movers.lost)])
    return Section("items", _title(movers), html, markdown_escape(counts))


def _title(movers: Movers) -> str:
    results = [result for item in (*movers.gained, *movers.lost) for result in item.base_top + item.tuned_top]
    if any(result.label is not None for result in results):
        return "Texts that changed most"
    return "Queries that changed most" if results else "Items that changed most"


def _group(title: str, items: Sequence[Item]) -> list[Html]:
    if not items:
        return [element("h3", title), paragraph("None.")]
    return [element("h3", title), *(_item(item, opened=place == 0) for place, item in enumerate(items))]


def _item(item: Item, opened: bool) -> Html:
    name = item.fields[0][1] if item.fields else f"item {item.number}"
    change = f"{numbers.fixed(item.base, 2)} → {numbers.fixed(item.tuned, 2)}"
    changed = element("span", change, class_="change")
    fields = item.fields if len(name) > TITLE_LIMIT else item.fields[1:]
    body = [_field(name, value) for name, value in fields]
    body += [paragraph(_others(item), class_="muted")] if item.others else []
    if item.base_top or item.tuned_top:
        sides = (_ranking("Base", item.base_top), _ranking("Tuned", item.tuned_top))
        body.append(element("div", *sides, class_="columns"))
    if not body:
        return element("p", changed, " ", _text(name, TITLE_LIMIT), class_="item")
    summary = element("summary", changed, " ", _text(name, TITLE_LIMIT))
    return element("details", summary, *body, class_="item", open=opened)


def _others(item: Item) -> str:
    """What other metrics made of the item; those that did not change with a single value."""
    found = []
    for name, base, tuned in item.others:
        one, two = numbers.fixed(base, 2), numbers.fixed(tuned, 2)
        found.append(f"{name} {one}" if one == two else f"{name} {one} → {two}")
    return " · ".join(found)


def _field(name: str, value: str) -> Html:
    return element(
        "div", element("h4", name.replace("_", " ").capitalize()), _text(value, FIELD_LIMIT), class_="field"
    )


def _ranking(title: str, results: Sequence[Result]) -> Html:
    listed = (
        element("ol", *(_result(result) for result in results)) if results else paragraph("Nothing kept.")
    )
    labelled = any(result.label is not None for result in results)
    what = "nearest texts of known class" if labelled else "top results"
    return element("div", element("h4", f"{title}: {what}"), listed)


def _result(result: Result) -> Html:
    mark = _mark(result)
    return element(
        "li",
        mark,
        " " if mark else None,
        _text(result.text, RESULT_LIMIT),
        class_="hit" if result.relevant else None,
    )


def _mark(result: Result) -> Html | None:
    if result.label is not None:
        label = element("bdi", clean(result.label), dir="auto")
        return element("b", "✓ ", label, class_="hit") if result.relevant else element("b", label)
    return element("b", "✓ relevant", class_="hit") if result.relevant else None


def _text(value: str, limit: int) -> Html:
    """A person's text: its own direction of writing, kept apart from what stands around it."""
    kept, left = shorten(clean(value), limit)
    rest = element("small", f" … {numbers.count(left)} more characters") if left else None
    return join([element("bdi", kept, dir="auto"), rest])
