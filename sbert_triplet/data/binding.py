"""Which texts bind rows together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sbert_triplet.data.components import components
from sbert_triplet.data.examples import Examples, IntArray
from sbert_triplet.data.kinds import Kind

LARGEST_COMPONENT = 0.1
"""Pairs whose largest component holds a greater share of the rows are taken for retrieval."""


@dataclass(frozen=True)
class Binding:
    """What binds rows together: ``columns`` of text ids, and ``groups``, (N,) their components.

    ``shares_documents``: positives do not bind, so splits have documents in common.
    """

    columns: tuple[IntArray, ...]
    groups: IntArray
    shares_documents: bool
    sentence: str

    @property
    def one(self) -> str:
        return "text" if len(self.columns) == 1 else "chain of shared texts"

    @property
    def many(self) -> str:
        return "texts" if len(self.columns) == 1 else "chains of shared texts"


def binding_of(examples: Examples, held_out: float = 0.2) -> Binding:
    """Which texts bind rows together, by the kind of the examples and by what they share.

    Pairs and triplets bind through both sides, unless that joined more than a tenth of the
    rows: then positives are documents that many anchors share, and only anchors bind. Scored
    pairs and NLI bind through both sides unless hardly anything would be left to hold out.
    """
    anchors = (examples.anchors,)
    if examples.kind is Kind.LABELLED:
        sentence = "rows of the same text stay together, and every class is spread over the splits"
        return Binding(anchors, components(anchors), False, sentence)
    if examples.kind is Kind.TEXTS:
        return Binding(anchors, components(anchors), False, "equal texts stay together")
    if examples.kind is Kind.RETRIEVAL or examples.positives is None:
        retrieval = examples.positives is not None
        return Binding(anchors, components(anchors), retrieval, "all rows of a query stay together")
    both = (examples.anchors, examples.positives)
    joined = components(both)
    if _joins_too_much(examples, joined, held_out):
        sentence = "all rows of an anchor stay together, and the splits share documents"
        return Binding(anchors, components(anchors), True, sentence)
    return Binding(both, joined, False, "rows that share a text on either side stay together")


def groups_of(rows: Examples) -> IntArray | None:
    """(N,) the group of each row of a given split: rows that share a text are resampled together.

    None where no two do.
    """
    if not len(rows):
        return None
    groups = binding_of(rows).groups
    return groups if len(np.unique(groups)) < len(rows) else None


def _joins_too_much(examples: Examples, joined: IntArray, held_out: float) -> bool:
    sizes = np.bincount(joined)
    large = sizes > LARGEST_COMPONENT * len(joined)
    if examples.kind in (Kind.PAIRS, Kind.TRIPLETS):
        inside = large[joined]
        return len(np.unique(examples.anchors[inside])) > int(np.count_nonzero(large))
    apart = sizes[~(large & (sizes > 2 * sizes.mean()))]
    return len(apart) < 3 or int(apart.sum()) < held_out / 2 * len(joined)
