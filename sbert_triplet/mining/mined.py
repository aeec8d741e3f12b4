"""What mining gives: negatives of every row, with their scores."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from sbert_triplet.data.examples import Examples, FloatArray, IntArray, Ragged
from sbert_triplet.data.kinds import Kind
from sbert_triplet.mining.candidates import Candidates
from sbert_triplet.mining.positives import Positives
from sbert_triplet.mining.rules import FilterCounts
from sbert_triplet.mining.suspects import Suspects


@dataclass(frozen=True)
class Mined:
    """Negatives of N rows (query, positive).

    ``rows``: (N,) which rows of the examples these are. ``queries``, ``positives``: (N,) text ids.
    ``positive_scores``: (N,). ``negatives``: row i holds the text ids of its negatives, best first;
    ``scores``: (C,) aligned with ``negatives.values``. Scores are similarities, or the cross-encoder's where
    one was given. Rows of one query have the same negatives. ``counts``: by filter. ``suspects``: the table
    of ``suspects.as_table``, likeliest first; ``suspected``: how many there are, with those not in the table.
    """

    rows: IntArray
    queries: IntArray
    positives: IntArray
    positive_scores: FloatArray
    negatives: Ragged
    scores: FloatArray
    counts: FilterCounts
    suspects: pa.Table
    suspected: int

    def __len__(self) -> int:
        return len(self.rows)

    def added_to(self, examples: Examples) -> Examples:
        """The N rows of ``examples`` with these negatives behind those that they had, none twice in a row.

        Pairs become triplets. A row for which none was found stays, without negatives.
        """
        chosen = examples.select(self.rows)
        negatives = self.negatives
        if chosen.negatives is not None:
            negatives = _joined(chosen.negatives, negatives)
        kind = Kind.TRIPLETS if examples.kind is Kind.PAIRS else examples.kind
        return replace(chosen, kind=kind, negatives=negatives)


@dataclass(frozen=True)
class Block:
    """What came out for the queries ``rows``: the candidates ``taken`` (Q, negatives), and the scores of
    their positives, which stand at ``places`` among all pairs.
    """

    rows: IntArray
    taken: Candidates
    places: IntArray
    positive_scores: FloatArray
    counts: FilterCounts
    suspects: Suspects


class Answer:
    """What was chosen for Q queries so far: (Q, negatives) documents and scores, -1 where there are fewer."""

    def __init__(self, positives: Positives, negatives: int) -> None:
        self._positives = positives
        self._documents = np.full((len(positives), negatives), -1, dtype=np.int64)
        self._scores = np.full((len(positives), negatives), -np.inf)
        self._positive_scores = np.full(len(positives.texts.values), np.nan)
        self.counts = FilterCounts()
        self.suspects, self.suspected = Suspects.none(), 0

    def take(self, block: Block, most_suspects: int) -> None:
        width = block.taken.documents.shape[1]
        self._documents[block.rows, :width] = block.taken.documents
        self._scores[block.rows, :width] = block.taken.scores
        self._positive_scores[block.places] = block.positive_scores
        self.counts += block.counts
        self.suspects = Suspects.joined([self.suspects, block.suspects]).ranked(most_suspects)
        self.suspected += len(block.suspects)

    def of_rows(self, examples: Examples, suspects: pa.Table) -> Mined:
        """Spread over the rows of ``examples`` that are one of the pairs."""
        pairs = self._positives.pairs
        query = np.searchsorted(self._positives.queries, examples.anchors)
        place = _place_of(pairs, np.stack([examples.anchors, _positives_of(examples)], axis=1))
        rows = np.flatnonzero(place >= 0)
        documents, scores = self._documents[query[rows]], self._scores[query[rows]]
        there = documents >= 0
        offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(there.sum(axis=1))])
        return Mined(
            rows=rows,
            queries=pairs[place[rows], 0],
            positives=pairs[place[rows], 1],
            positive_scores=self._positive_scores[place[rows]],
            negatives=Ragged(documents[there], offsets),
            scores=scores[there],
            counts=self.counts,
            suspects=suspects,
            suspected=self.suspected,
        )


def _positives_of(examples: Examples) -> IntArray:
    if examples.positives is None:
        raise ValueError("these examples have no positives")
    return examples.positives


def _place_of(pairs: IntArray, wanted: IntArray) -> IntArray:
    """(N,) where each wanted pair (N, 2) stands in ``pairs`` (n, 2), which ascend; -1 if it does not."""
    size = 1 + max(int(pairs.max(initial=0)), int(wanted.max(initial=0)))
    keys, wanted_keys = pairs[:, 0] * size + pairs[:, 1], wanted[:, 0] * size + wanted[:, 1]
    places = np.minimum(np.searchsorted(keys, wanted_keys), len(keys) - 1)
    return np.where(keys[places] == wanted_keys, places, -1)


def _joined(first: Ragged, second: Ragged) -> Ragged:
    """Row by row what is in the first, then what is in the second and not in the row yet."""
    owners = np.concatenate(
        [np.repeat(np.arange(len(part)), np.diff(part.offsets)) for part in (first, second)]
    )
    values = np.concatenate([first.values, second.values])
    order = np.lexsort((np.arange(len(values)), values, owners))
    repeated = np.zeros(len(values), dtype=bool)
    same = (owners[order][1:] == owners[order][:-1]) & (values[order][1:] == values[order][:-1])
    repeated[order[1:][same]] = True
    left = np.flatnonzero(~repeated)
    left = left[np.argsort(owners[left], kind="stable")]
    counts = np.bincount(owners[left], minlength=len(first))
    return Ragged(values[left], np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)]))
