"""Data against what is asked of it: enough rows, enough texts of a class, a margin within reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from sbert_triplet.data.examples import Examples
from sbert_triplet.data.kinds import Kind
from sbert_triplet.data.wording import times
from sbert_triplet.evaluation.audit.findings import Finding, about_rows

FEW = 200
FEW_HELD_OUT = 50


def refused_cells(cells: Sequence[tuple[int, str, str]], set_aside: bool = False) -> list[Finding]:
    """One finding for each reason and column of ``cells``: (source row, column, reason).

    An error, or a note where their rows were ``set_aside``.
    """
    by_reason: dict[tuple[str, str], list[int]] = {}
    for row, column, reason in cells:
        by_reason.setdefault((column, reason), []).append(row)
    return [
        about_rows(
            "bad-cells",
            "note" if set_aside else "error",
            f"Column '{column}': {times(len(rows), 'cell is', 'cells are')} {reason}. "
            + _set_aside_or_correct(len(rows), set_aside),
            np.array(rows, dtype=np.int64),
        )
        for (column, reason), rows in by_reason.items()
    ]


def _set_aside_or_correct(rows: int, set_aside: bool) -> str:
    if set_aside:
        return f"{times(rows, 'row was', 'rows were')} set aside."
    return f"Correct {'it' if rows == 1 else 'them'}, or set data.on_bad_row: skip to go on without."


def few_rows(examples: Examples, other: Mapping[str, Examples]) -> list[Finding]:
    """Too little to learn from, or to tell a gain from chance."""
    anchors = len(np.unique(examples.anchors))
    noun = "texts" if examples.kind in (Kind.LABELLED, Kind.TEXTS) else "anchors"
    findings = []
    if anchors < FEW:
        message = (
            f"Only {anchors:,} different {noun}: too few to hold out a test set that shows anything but a "
            "large gain. Add rows, or read the interval rather than the difference."
        )
        findings.append(Finding("few-rows", "warning", message))
    for name, rows in other.items():
        held_out = len(np.unique(rows.anchors))
        if held_out < FEW_HELD_OUT:
            message = f"{name} has only {held_out:,} different {noun}: only a large gain will show on them."
            findings.append(Finding(f"few-rows-{name}", "warning", message))
    return findings


def constant_labels(examples: Examples) -> list[Finding]:
    """A single class, or a single score: nothing to tell apart."""
    if examples.kind is Kind.LABELLED and examples.labels is not None and len(np.unique(examples.labels)) < 2:
        message = (
            "All texts have the same class, so there is nothing to tell apart. Name another label column."
        )
        return [Finding("single-class", "error", message)]
    if examples.kind is Kind.SCORED and examples.scores is not None and len(np.unique(examples.scores)) < 2:
        message = "All pairs have the same score, so there is no order to learn. Name another score column."
        return [Finding("constant-scores", "error", message)]
    return []


def small_classes(examples: Examples, batch_plan: tuple[int, int] | None) -> list[Finding]:
    """Classes with fewer distinct texts than batches of P classes times K texts ask for."""
    if batch_plan is None or examples.kind is not Kind.LABELLED or examples.labels is None:
        return []
    classes, wanted = batch_plan
    size = 1 + int(examples.anchors.max())
    present, counts = np.unique(
        np.unique(examples.labels * size + examples.anchors) // size, return_counts=True
    )
    if len(present) < 2:
        return []
    findings, usable = [], int(np.count_nonzero(counts >= 2))
    asked = f"batches of {classes} classes x {wanted} texts"
    if usable < min(2, classes):
        message = f"Fewer than two classes have two different texts, so {asked} cannot be made. Add texts."
        findings.append(Finding("too-few-classes", "error", message))
    elif usable < classes:
        message = f"Only {usable} classes have two different texts; {asked} will hold {usable} classes."
        findings.append(Finding("too-few-classes", "warning", message))
    short = present[counts < wanted]
    if len(short):
        alone = int(np.count_nonzero(counts == 1))
        unusable = f"; {alone:,} with a single text cannot be used at all" if alone else ""
        message = (
            f"{times(len(short), 'class has', 'classes have')} fewer than {wanted} different texts, too few "
            f"for {asked}{unusable}. Add texts or merge classes."
        )
        rows = examples.row_numbers[np.isin(examples.labels, short)]
        findings.append(about_rows("small-classes", "warning", message, rows))
    return findings


class Margin(NamedTuple):
    """A margin, the largest value of its ``distance`` on the encoder's output, and the key that sets it."""

    value: float
    reach: float
    distance: str
    key: str = "loss.margin"


def unreachable_margin(margin: Margin | None) -> list[Finding]:
    """An error where the margin can never be met, or asks for nothing."""
    if margin is None or 0 < margin.value <= margin.reach:
        return []
    why = "can never be met" if margin.value > margin.reach else "asks for nothing"
    message = (
        f"A margin of {margin.value:g} {why}: {margin.distance} lies between 0 and {margin.reach:g} on this "
        f"encoder's output. Set {margin.key} above 0 and well below {margin.reach:g}."
    )
    return [Finding("margin-out-of-reach", "error", message)]
