"""Texts that given train, dev and test files have in common."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from sbert_triplet.data.binding import binding_of
from sbert_triplet.data.components import rows_with_any
from sbert_triplet.data.examples import Examples, IntArray
from sbert_triplet.data.kinds import Kind
from sbert_triplet.data.wording import percent
from sbert_triplet.evaluation.audit.findings import Finding, about_rows


def leaks(train: Examples, other: Mapping[str, Examples]) -> list[Finding]:
    """Rows of a given file whose anchors or positives occur in another that comes before it.

    Where the rows of train are retrieval, or those of the other file are, documents are shared
    rightly and only anchors count. Row numbers are those of the later file.
    """
    files = {"train": train, **other}
    return [
        finding
        for (earlier, first), (later, second) in combinations(files.items(), 2)
        for finding in _between(earlier, first, later, second)
    ]


def _between(earlier: str, first: Examples, later: str, second: Examples) -> list[Finding]:
    if not len(first) or not len(second):
        return []
    both = len(binding_of(first).columns) > 1 and second.kind is not Kind.RETRIEVAL
    seen = np.unique(np.concatenate(_columns(first, both)))
    shared = rows_with_any(_columns(second, both), seen)
    if not shared.any():
        return []
    what = "an anchor" if second.positives is not None and not both else "a text"
    pairs = _same_pairs(first, second) if both else 0
    same = f"; {pairs:,} {'is' if pairs == 1 else 'are'} the same pair" if pairs else ""
    share = percent(float(shared.mean()), 1)
    message = (
        f"{int(shared.sum()):,} of {len(second):,} rows of {later} ({share}) have {what} that "
        f"{earlier} has too{same}. Results on {later} will look better than they are: remove these rows from "
        f"{earlier}, or let one file be split instead."
    )
    return [about_rows(f"leak-{earlier}-{later}", "warning", message, second.row_numbers[shared])]


def _columns(examples: Examples, both: bool) -> list[IntArray]:
    return (
        [examples.anchors, examples.positives]
        if both and examples.positives is not None
        else [examples.anchors]
    )


def _same_pairs(first: Examples, second: Examples) -> int:
    """Rows of ``second`` whose two texts stand together in a row of ``first``, in either order."""
    if first.positives is None or second.positives is None:
        return 0
    size = 1 + max(int(ids.max()) for rows in (first, second) for ids in _columns(rows, both=True))
    codes = [
        np.minimum(anchors, positives) * size + np.maximum(anchors, positives)
        for anchors, positives in ((first.anchors, first.positives), (second.anchors, second.positives))
    ]
    return int(np.isin(codes[1], codes[0]).sum())
