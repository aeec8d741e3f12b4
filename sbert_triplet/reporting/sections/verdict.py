"""The verdict in one sentence, and what was shipped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from sbert_triplet.reporting import numbers
from sbert_triplet.reporting.html import Html, element, join
from sbert_triplet.reporting.record import Change, RunRecord, mapping
from sbert_triplet.reporting.section import Section, paragraph
from sbert_triplet.reporting.sections.weight_line import is_between, way
from sbert_triplet.reporting.text import clean, markdown_escape

HEADLINES = {
    "better": "The tuned model is better",
    "not shown better": "The tuned model is not shown to be better",
    "worse": "The tuned model is worse",
}
OPEN = (None, "auto")
"""What stands in a resolved recipe where a value is the model's own."""
_CLASSES = {"better": "better", "worse": "worse"}
_SHIPPED = {
    "tuned": "model/ holds the tuned model.",
    "base": "model/ holds {base}; {candidate}.",
    "interpolated": "model/ holds weights between base and tuned.",
}
_CHOSEN_ON_DEV = (
    "model/ holds {base} all the same: dev rows and the general check chose it before a test row was "
    "looked at; {candidate}."
)


def draw(run: RunRecord) -> Section | None:
    """None where the report holds neither verdict nor sentence."""
    verdict = str(run.report.get("verdict") or "")
    sentence = str(run.report.get("sentence") or "")
    if not verdict and not sentence:
        return None
    headline = HEADLINES.get(verdict, verdict)
    shipped = shipped_sentence(run.report, run.recipe)
    main = next(iter(run.changes), None)
    html = join(
        [
            paragraph(headline, class_=f"badge {_CLASSES.get(verdict, 'open')}"),
            *_large_and_small(sentence),
            None if main is None else paragraph(change_sentence(main)),
            None if not shipped else paragraph(shipped, class_="shipped"),
            None if main is None else _tiles(run, main),
        ]
    )
    # The sentence is made of figures by the run; nothing of the data is in it.
    lines = [f"**{markdown_escape(headline)}.** {markdown_escape(sentence)}".rstrip()]
    lines += [markdown_escape(change_sentence(main)) if main else "", shipped]
    return Section("verdict", "Verdict", html, "\n\n".join(line for line in lines if line))


def _large_and_small(sentence: str) -> list[Html]:
    """What was found in large letters, and what is to be said of it in small ones."""
    found, ended, beside = sentence.partition(". ")
    large = [paragraph(f"{found}." if ended else found, class_="sentence")] if found else []
    return [*large, *([paragraph(beside)] if beside else [])]


def shipped_sentence(report: Mapping[str, Any], recipe: str | None) -> str:
    """What lies in ``model/``, and what in ``candidate/`` beside the base; empty where it is not known.

    ``recipe`` is ``recipe.yaml``: the base is saved with the length and the prompts that it sets.
    """
    shipped, line = report.get("shipped"), mapping(report.get("weight_line"))
    sentence = _SHIPPED.get(str(shipped), "") if shipped else ""
    if shipped == "base" and report.get("verdict") == "better":
        sentence = _CHOSEN_ON_DEV
    changed = set_by_recipe(recipe)
    return sentence.format(
        base=f"the base model's weights with the {changed} of the recipe"
        if changed
        else "the base model, unchanged",
        candidate=f"candidate/ holds the weights at {way(line)} from base to tuned"
        if is_between(line)
        else "the tuned one is in candidate/",
    )


def set_by_recipe(recipe: str | None) -> str:
    """What of a model the recipe sets beside its weights: ``max_length and prompts``, one, or none."""
    try:
        given = mapping(yaml.safe_load(clean(recipe or "")))
    except yaml.YAMLError:
        return ""
    prompts = mapping(given.get("prompts")).values()
    found = {
        "max_length": given.get("max_length") not in OPEN,
        "prompts": any(prompt not in OPEN for prompt in prompts),
    }
    return " and ".join(name for name, is_set in found.items() if is_set)


def change_sentence(change: Change) -> str:
    """``nDCG@10 went from 0.689 to 0.746: +0.057 (95 % interval +0.049 to +0.065), p < 0.001.``"""
    text = f"{change.name} went from {numbers.fixed(change.base)} to {numbers.fixed(change.tuned)}"
    text += f": {numbers.signed(change.difference)}"
    if change.low is not None and change.high is not None:
        text += f" (95 % interval {numbers.interval(change.low, change.high)})"
    if change.p_value is not None:
        shown = numbers.p_value(change.p_value)
        text += f", p {shown}" if shown.startswith("<") else f", p = {shown}"
    return f"{text}."


def _tiles(run: RunRecord, main: Change) -> Html:
    pool, train = run.part("pool"), run.part("train")
    tiles = [
        (f"{main.name}, base", numbers.fixed(main.base)),
        (f"{main.name}, tuned", numbers.fixed(main.tuned)),
        ("held-out rows" if not pool.get("queries") else "held-out queries", numbers.count(main.n)),
        ("training time", numbers.seconds(train.get("seconds"))),
    ]
    shown = [
        element("div", element("dt", name), element("dd", value))
        for name, value in tiles
        if value != numbers.NONE
    ]
    return element("dl", *shown, class_="tiles")
