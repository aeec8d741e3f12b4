"""Texts that stand where they cannot be right: beside themselves, or as their own negatives."""

from __future__ import annotations

import numpy as np

from sbert_triplet.data.examples import Examples
from sbert_triplet.data.kinds import Kind
from sbert_triplet.data.splits import Texts
from sbert_triplet.data.wording import percent, times
from sbert_triplet.evaluation.audit.findings import Finding, about_rows

SWAPPED_ROWS = 50
SWAPPED_SAMPLE = 2_000
SWAPPED_LENGTH = 3.0
_QUESTION_MARKS = ("?", "？", "؟", "⁇")


def equal_sides(examples: Examples) -> list[Finding]:
    """An anchor that equals its positive; for scored pairs and NLI, equal texts that are said to differ."""
    if examples.positives is None:
        return []
    equal = examples.anchors == examples.positives
    code, what = "anchor-equals-positive", "the same text is anchor and positive, which teaches nothing"
    if examples.kind is Kind.SCORED and examples.scores is not None:
        top, bottom = examples.scores.max(initial=0.0), examples.scores.min(initial=0.0)
        equal &= examples.scores < top - (top - bottom) / 4
        code, what = (
            "equal-texts-scored-low",
            "two equal texts are scored below the top quarter of the scores",
        )
    elif examples.kind is Kind.NLI and examples.labels is not None:
        equal &= examples.labels != 0
        code, what = "equal-texts-not-entailed", "two equal texts have a label other than entailment"
    if not equal.any():
        return []
    if equal.all() and code == "anchor-equals-positive":
        message = "In every row the same text is anchor and positive: there is nothing to learn from."
        return [Finding(code, "error", message)]
    message = f"In {times(int(equal.sum()), 'row', 'rows')} {what}. Remove or correct them."
    return [about_rows(code, "warning", message, examples.row_numbers[equal])]


def false_negatives(examples: Examples) -> list[Finding]:
    """A given negative that is a known positive of its anchor in any row, or the anchor itself."""
    if examples.negatives is None or examples.positives is None or not len(examples.negatives.values):
        return []
    owners = np.repeat(np.arange(len(examples)), np.diff(examples.negatives.offsets))
    negatives, anchors = examples.negatives.values, examples.anchors[owners]
    known = examples.known_positives()
    size = 1 + max(int(negatives.max()), int(known.max(initial=0)))
    is_positive = np.isin(anchors * size + negatives, known[:, 0] * size + known[:, 1])
    found = (
        ("negative-is-positive", "a negative is a positive of the same anchor", is_positive),
        ("negative-equals-anchor", "a negative is the anchor's own text", negatives == anchors),
    )
    return [
        about_rows(
            code,
            "warning",
            f"In {times(len(np.unique(owners[wrong])), 'row', 'rows')} {what}: the model is pushed away from "
            "a right answer. Remove these negatives.",
            examples.row_numbers[owners[wrong]],
        )
        for code, what, wrong in found
        if wrong.any()
    ]


def swapped_columns(examples: Examples, texts: Texts, seed: int) -> list[Finding]:
    """Anchors that look like documents beside positives that look like queries.

    Said only on two signs together: anchors at least three times as long as positives (medians),
    and either questions among the positives and hardly any among the anchors, or positives that
    are all different beside anchors that repeat.
    """
    kinds = (Kind.PAIRS, Kind.TRIPLETS)
    if examples.kind not in kinds or examples.positives is None or len(examples) < SWAPPED_ROWS:
        return []
    rows = np.arange(len(examples))
    if len(rows) > SWAPPED_SAMPLE:
        rows = np.sort(np.random.default_rng(seed).choice(rows, SWAPPED_SAMPLE, replace=False))
    anchors, positives = texts(examples.anchors[rows]), texts(examples.positives[rows])
    long, short = (float(np.median([len(text) for text in side])) for side in (anchors, positives))
    if long < SWAPPED_LENGTH * max(short, 1):
        return []
    asked, asking = (
        float(np.mean([text.rstrip().endswith(_QUESTION_MARKS) for text in side]))
        for side in (anchors, positives)
    )
    distinct = [len(np.unique(side)) / len(examples) for side in (examples.anchors, examples.positives)]
    signs = []
    if asking >= 0.3 and asking >= 3 * asked:
        signs.append(f"{percent(asking)} of the positives are questions and {percent(asked)} of the anchors")
    if distinct[0] <= 0.7 and distinct[1] >= 0.95:
        signs.append("anchors repeat and positives do not")
    if not signs:
        return []
    message = (
        f"Anchor and positive look swapped: anchors are {long / max(short, 1):.0f} times as long as "
        f"positives, and {' and '.join(signs)}. If positives are the queries, exchange the two under "
        "data.columns."
    )
    return [Finding("swapped-columns", "warning", message)]
