"""What a comparison says, in one word and in one sentence that needs no statistics to read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from sbert_triplet.evaluation.metrics import Metric, parse_metric
from sbert_triplet.evaluation.power import reason_in_words, significant
from sbert_triplet.evaluation.results import Comparison

Verdict = Literal["better", "not shown better", "worse"]
CHANCE = 0.05


def verdict(comparison: Comparison) -> Verdict:
    """``better`` or ``worse`` where the interval of the difference is clear of 0 and chance is ruled out.

    Both have to say so: with few items that changed, an interval can be clear of 0 while the
    randomisation p-value, adjusted where several metrics were looked at, is above ``CHANCE``. A comparison
    without an interval (NaN: too few items) shows nothing.
    """
    return reading(comparison.low, comparison.high, comparison.decisive_p)


def reading(low: float, high: float, p_value: float) -> Verdict:
    """What an interval and its p-value say together; an undefined p-value (NaN) objects to nothing."""
    if p_value > CHANCE:
        return "not shown better"
    if low > 0:
        return "better"
    return "worse" if high < 0 else "not shown better"


def plain_sentence(comparison: Comparison) -> str:
    """The comparison in words, with the interval in brackets.

    A share of searches, triplets or texts is told in counts: "Of 100 searches, 7 more find the
    right text among the first 3 (5 to 9)."; of 1,000 or more where 100 would round the gain away.
    Other metrics name both values and the interval of the difference. Where nothing is shown, a second
    sentence says whether the items were too few to tell, and where the interval is approximate, a last
    one says so. Raises ``ValueError`` for a metric that ``parse_metric`` does not know.
    """
    metric = parse_metric(comparison.metric)
    if not math.isfinite(comparison.difference):
        return f"{comparison.metric} is undefined for at least one of the models."
    counted = _counted(metric)
    sentence = _in_counts(comparison, counted) if counted else _in_values(comparison, _ORDERED[metric.family])
    if math.isfinite(comparison.low):
        return " ".join([sentence, *_remarks(comparison, counted is not None)])
    number, thing = (comparison.n, "item") if comparison.groups is None else (comparison.groups, "group")
    few = f"{number} {thing} is" if number == 1 else f"{number} {thing}s are"
    return f"{sentence} {few} too few to tell whether that is luck."


def _remarks(comparison: Comparison, counted: bool) -> Iterator[str]:
    """What is to be said after the sentence, where there is something."""
    if verdict(comparison) == "not shown better":
        told = reason_in_words(comparison, amount=_of_a_hundred if counted else significant)
        if told:
            yield told
    if comparison.approximate:
        yield "The interval is approximate: too few items differ, or too unevenly, for an exact one."


def _of_a_hundred(difference: float) -> str:
    return f"{significant(100 * difference)} in 100"


@dataclass(frozen=True)
class _Counted:
    """``things``, several of which ``do`` and one of which ``does`` something."""

    things: str
    do: str
    does: str


def _counted(metric: Metric) -> _Counted | None:
    where = "first" if metric.cutoff == 1 else f"among the first {metric.cutoff}"
    if metric.family == "Success" and metric.cutoff == 1:
        return _Counted("searches", "rank a right text first", "ranks a right text first")
    if metric.family == "Success":
        return _Counted("searches", f"find the right text {where}", f"finds the right text {where}")
    if metric.family == "R":
        return _Counted("right texts", f"are ranked {where}", f"is ranked {where}")
    if metric.family == "P":
        things = "texts ranked first" if metric.cutoff == 1 else f"texts ranked {where}"
        return _Counted(things, "are right ones", "is a right one")
    return _COUNTED.get(metric.family)


_COUNTED = {
    "triplet accuracy": _Counted("triplets", "are ordered right", "is ordered right"),
    "1-NN accuracy": _Counted(
        "labelled texts",
        "have a text of their own class as the nearest",
        "has a text of its own class as the nearest",
    ),
    "centroid accuracy": _Counted(
        "labelled texts",
        "lie nearest to the centre of their own class",
        "lies nearest to the centre of its own class",
    ),
    "logistic accuracy": _Counted(
        "labelled texts",
        "are given their own class by a logistic regression",
        "is given its own class by a logistic regression",
    ),
}


@dataclass(frozen=True)
class _Ordered:
    """How a metric that is no share of things is put into words."""

    better: str
    worse: str
    unproven: str


_RIGHT_TEXTS = _Ordered(
    better="Searches rank the right texts higher",
    worse="Searches rank the right texts lower",
    unproven="Searches are not shown to rank the right texts higher",
)
_ORDERED = {
    "nDCG": _RIGHT_TEXTS,
    "nDCG-exp": _RIGHT_TEXTS,
    "AP": _RIGHT_TEXTS,
    "RR": _Ordered(
        better="Searches rank the first right text higher",
        worse="Searches rank the first right text lower",
        unproven="Searches are not shown to rank the first right text higher",
    ),
    "Spearman": _Ordered(
        better="The ranking of similarity follows the given scores more closely",
        worse="The ranking of similarity follows the given scores less closely",
        unproven="The ranking of similarity is not shown to follow the given scores more closely",
    ),
    "Pearson": _Ordered(
        better="Similarity follows the given scores more closely",
        worse="Similarity follows the given scores less closely",
        unproven="Similarity is not shown to follow the given scores more closely",
    ),
    "pair AP": _Ordered(
        better="Similarity tells pairs that belong together from the others better",
        worse="Similarity tells pairs that belong together from the others worse",
        unproven="Similarity is not shown to tell pairs that belong together from the others better",
    ),
    "V-measure": _Ordered(
        better="Groups found among the texts follow the classes more closely",
        worse="Groups found among the texts follow the classes less closely",
        unproven="Groups found among the texts are not shown to follow the classes more closely",
    ),
}


def _in_counts(comparison: Comparison, counted: _Counted) -> str:
    said = verdict(comparison)
    scale = 100 if said == "not shown better" else _scale(min(abs(comparison.low), abs(comparison.high)))
    difference = round(comparison.difference * scale)
    told = f"as many {counted.do} as before"
    if difference:
        verb = counted.does if abs(difference) == 1 else counted.do
        told = f"{_more_or_fewer(difference)} {verb}"
    start = f"Of {scale:,} {counted.things}, {told}"
    if not math.isfinite(comparison.low):
        return f"{start}."
    low, high = round(comparison.low * scale), round(comparison.high * scale)
    if said == "not shown better":
        luck = ", which may be luck" if difference else ""
        return f"{start}{luck} ({_more_or_fewer(low)} to {_more_or_fewer(high)})."
    least, most = sorted((abs(low), abs(high)))
    return f"{start} ({least:,} to {most:,})."


def _scale(nearest: float) -> int:
    """100, or as many more as it takes for the end of the interval nearest to 0 not to round to 0."""
    scale = 100
    while round(nearest * scale) == 0:
        scale *= 10
    return scale


def _more_or_fewer(count: int) -> str:
    return "0" if count == 0 else f"{abs(count):,} {'more' if count > 0 else 'fewer'}"


def _in_values(comparison: Comparison, words: _Ordered) -> str:
    said = verdict(comparison)
    clause = {"better": words.better, "worse": words.worse, "not shown better": words.unproven}[said]
    digits = _digits(comparison)
    values = (
        f"{comparison.metric} {_number(comparison.tuned, digits)} against {_number(comparison.base, digits)}"
    )
    if not math.isfinite(comparison.low):
        return f"{clause}: {values}."
    ends = f"{_number(comparison.low, digits)} to {_number(comparison.high, digits)}"
    return f"{clause}: {values} (difference {ends})."


def _digits(comparison: Comparison) -> int:
    """2 decimals, or as many more (up to 6) as it takes to tell apart what the sentence sets side by side."""
    apart = [(comparison.base, comparison.tuned)] if comparison.difference else []
    if math.isfinite(comparison.low) and comparison.low != comparison.high:
        apart.append((comparison.low, comparison.high))
    if verdict(comparison) != "not shown better":
        apart += [(0.0, comparison.low), (0.0, comparison.high)]
    for digits in range(2, 6):
        if all(round(one, digits) != round(two, digits) for one, two in apart):
            return digits
    return 6


def _number(value: float, digits: int) -> str:
    """As correlations are printed: without the zero before the point."""
    text = f"{round(value, digits) + 0.0:.{digits}f}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text
