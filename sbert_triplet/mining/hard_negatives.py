"""Hard negatives from end to end: search, exclude, rescore, filter, choose, audit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sbert_triplet.data.examples import Examples, FloatArray, IntArray, Ragged
from sbert_triplet.data.texts import TextTable
from sbert_triplet.mining import checks
from sbert_triplet.mining.candidates import Candidates
from sbert_triplet.mining.exclusion import Exclusion
from sbert_triplet.mining.filters import among
from sbert_triplet.mining.forms import TextForms
from sbert_triplet.mining.links import PositiveLinks
from sbert_triplet.mining.looking import Looked, look
from sbert_triplet.mining.marks import Marks
from sbert_triplet.mining.mined import Answer, Block, Mined
from sbert_triplet.mining.narrowing import chosen, narrowed
from sbert_triplet.mining.positives import Positives
from sbert_triplet.mining.rescoring import PairScorer, rescored
from sbert_triplet.mining.rules import FilterCounts, Rules
from sbert_triplet.mining.search import Search
from sbert_triplet.mining.suspects import Suspects, Suspicion, as_table, reciprocal

Progress = Callable[[int, int], None]
"""Called with the number of queries done and the number of all."""


def mine(
    examples: Examples,
    search: Search,
    texts: TextTable,
    rules: Rules,
    *,
    known: IntArray | None = None,
    marks: Marks | None = None,
    rescore: PairScorer | None = None,
    salt: tuple[int, ...] = (13,),
    most_suspects: int = 1000,
    memory_bytes: int = 1 << 28,
    progress: Progress | None = None,
) -> Mined:
    """Negatives for every row of ``examples`` whose texts belong together, out of ``search.documents``.

    In this order: the query's own text, texts equal or nearly equal to it or to a positive, known
    positives, marked pairs and texts joined by chains of positives are excluded; what is left is ranked,
    rescored where ``rescore`` is given (all candidates and positives of many queries at once),
    filtered by maximum and minimum score, absolute and relative margin against the least of the
    query's positives and the window of ranks, and chosen from. The search goes deeper until the
    window is full or the documents are at an end. Where too few are left fewer are given, never others.

    ``known``: (n, 2) further pairs that are no negatives, of held-out rows, for instance. ``marks``: pairs
    that a person judged; a marked negative passes every rule that guesses. ``salt`` (a seed, a round) decides
    choices at random, together with the ids of query and document alone. ``memory_bytes``: for the
    candidates of the queries that are worked on at once, beside what ``search`` takes.

    Raises InputError, before anything is encoded, for rows without positives, for text ids that are
    not in ``texts``, for too few documents, and for marks that contradict the data.
    """
    marks = marks or Marks.none()
    pairs = checks.pairs_of(examples, texts)
    further = np.zeros((0, 2), dtype=np.int64) if known is None else known
    known = np.unique(np.concatenate([pairs, further]), axis=0)
    checks.check(search.documents, known, marks, rules, texts)
    positives, forms = Positives.of(pairs), TextForms(texts.texts, words=rules.near_equal is not None)
    exclusion = Exclusion(positives, forms, known, marks, _links(known, marks, rules), rules.near_equal)
    scores = search.space.pairs(pairs[:, 0], pairs[:, 1])
    miner = _Miner(search, rules, marks, positives, scores, texts, rescore, salt, memory_bytes)
    answer = Answer(positives, rules.negatives)
    for looked in look(search, exclusion, rules.depth, memory_bytes):
        answer.take(miner.block(looked), most_suspects)
        if progress is not None:
            progress(answer.counts.queries, len(positives))
    table = as_table(answer.suspects, positives, forms, texts.texts)
    return answer.of_rows(examples, table)


def _links(known: IntArray, marks: Marks, rules: Rules) -> PositiveLinks | None:
    if rules.transitive_hops == 0:
        return None
    pairs = np.concatenate([known, marks.positives])
    return PositiveLinks(pairs, hops=rules.transitive_hops, largest=rules.transitive_size)


@dataclass(frozen=True)
class _Miner:
    """``similarities``: (P,) of all pairs of query and positive."""

    search: Search
    rules: Rules
    marks: Marks
    positives: Positives
    similarities: FloatArray
    texts: TextTable
    rescore: PairScorer | None
    salt: tuple[int, ...]
    memory_bytes: int

    def block(self, looked: Looked) -> Block:
        """Filters and choice for the queries looked at, and what is suspect among their candidates."""
        candidates, positives = looked.candidates, self.positives.select(looked.rows)
        places = self._places(looked.rows)
        similarities = self.similarities[places]
        greatest = positives.greatest(similarities)
        nearest = reciprocal(
            candidates, greatest, self.positives.queries, self.search.space, self.memory_bytes
        )
        suspicion = Suspicion.by_similarity(candidates, positives, similarities, nearest, self._margins)
        scores = similarities
        if self.rescore is not None:
            candidates, scores = rescored(
                candidates, candidates.there, positives, self.texts.texts, self.rescore
            )
            suspicion = suspicion.with_cross_encoder(candidates, positives, scores, self.rules)
        spared = among(candidates.queries, candidates.documents, self.marks.negatives)
        least = positives.least(scores)
        keep, removed = narrowed(candidates, candidates.there, least, self.rules, spared)
        choice = chosen(candidates, keep, self.rules, self.salt)
        taken = candidates.compacted(choice, self.rules.negatives)
        excluded = Suspicion.near_equal(looked.found, looked.near_equal, positives, similarities)
        return Block(
            rows=looked.rows,
            taken=taken,
            places=places,
            positive_scores=scores,
            counts=_counts(looked, removed, taken, self.rules.negatives),
            suspects=Suspects.joined([suspicion.suspects(spared, choice), excluded.suspects()]),
        )

    @property
    def _margins(self) -> Rules | None:
        """The rules whose margins hold for similarities: none where the margins are a cross-encoder's."""
        return self.rules if self.rescore is None else None

    def _places(self, rows: IntArray) -> IntArray:
        """Where the positives of these queries stand among all pairs."""
        numbers = np.arange(len(self.similarities), dtype=np.int64)
        return Ragged(numbers, self.positives.texts.offsets).select(rows).values


def _counts(looked: Looked, removed: dict[str, int], taken: Candidates, asked: int) -> FilterCounts:
    given = taken.there.sum(axis=1)
    return FilterCounts(
        queries=len(given),
        looked_at=looked.looked_at,
        removed=looked.removed | removed,
        chosen=int(given.sum()),
        asked=asked * len(given),
        short=int((given < asked).sum()),
        empty=int((given == 0).sum()),
    )
