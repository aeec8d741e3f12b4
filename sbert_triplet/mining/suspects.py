"""Candidates that are probably positives nobody noted: ranked, with texts and the reason in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntFlag
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sbert_triplet.data.examples import FloatArray, IntArray
from sbert_triplet.data.parquet import write_parquet
from sbert_triplet.data.splits import Texts
from sbert_triplet.errors import MachineError
from sbert_triplet.mining.candidates import BoolArray, Candidates
from sbert_triplet.mining.forms import TextForms
from sbert_triplet.mining.positives import Positives
from sbert_triplet.mining.rules import Rules
from sbert_triplet.mining.space import Space
from sbert_triplet.nearest import top_k


class Reason(IntFlag):
    """Why a candidate is suspected; the sum of all that hold."""

    NEAR_EQUAL = 1
    SCORE = 2
    CROSS_ENCODER = 4
    RECIPROCAL = 8


WORDS = {
    Reason.NEAR_EQUAL: "its words are nearly those of the query or of a positive",
    Reason.SCORE: "by its embedding it is as near to the query as a positive, or within the margin of one",
    Reason.CROSS_ENCODER: "the cross-encoder scores it as high as a positive, or within the margin of one",
    Reason.RECIPROCAL: "query and candidate are the nearest to each other",
}


@dataclass(frozen=True)
class Suspects:
    """n suspected pairs of query and document; each array (n,).

    ``positives``: the positive with the least score, ``positive_scores``: its score, on the scale of
    ``scores`` (the cross-encoder's where ``rescored``). ``ranks``: of the document among the candidates,
    -1 where it was excluded. ``reasons``: values of ``Reason``. ``mined``: it was given as a negative.
    """

    queries: IntArray
    documents: IntArray
    positives: IntArray
    scores: FloatArray
    positive_scores: FloatArray
    ranks: IntArray
    reasons: IntArray
    rescored: BoolArray
    mined: BoolArray

    @classmethod
    def none(cls) -> Suspects:
        whole, real, flag = np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0, dtype=bool)
        return cls(whole, whole, whole, real, real, whole, whole, flag, flag)

    @classmethod
    def joined(cls, parts: Sequence[Suspects]) -> Suspects:
        return cls(*(np.concatenate([getattr(part, item.name) for part in parts]) for item in fields(cls)))

    def __len__(self) -> int:
        return len(self.queries)

    def select(self, rows: IntArray) -> Suspects:
        return Suspects(*(getattr(self, item.name)[rows] for item in fields(self)))

    def ranked(self, limit: int) -> Suspects:
        """The ``limit`` likeliest: most reasons first, then by how far the score is above the positive's."""
        reasons = np.sum([self.reasons & reason > 0 for reason in Reason], axis=0)
        gaps = self.scores - self.positive_scores
        return self.select(np.lexsort((self.documents, self.queries, -gaps, -reasons))[:limit])


@dataclass(frozen=True)
class Suspicion:
    """Reasons (Q, K) to suspect candidates; ``positives``, ``least``: (Q,) the positive that scores least."""

    candidates: Candidates
    reasons: NDArray[np.int64]
    positives: IntArray
    least: FloatArray
    rescored: bool = False
    excluded: bool = False

    @classmethod
    def by_similarity(
        cls,
        candidates: Candidates,
        positives: Positives,
        scores: FloatArray,
        nearest: BoolArray,
        rules: Rules | None,
    ) -> Suspicion:
        """``scores``: (P,) of the positives of the Q queries. ``nearest``: (Q, K) as of ``reciprocal``.

        ``rules``: whose margins are broken; without them a candidate that scores as a positive does.
        """
        least = positives.least(scores)
        reasons = Reason.RECIPROCAL * nearest + Reason.SCORE * reaching(candidates, least, rules)
        return cls(candidates, reasons, positives.least_texts(scores), least)

    @classmethod
    def near_equal(
        cls, found: Candidates, mask: BoolArray, positives: Positives, scores: FloatArray
    ) -> Suspicion:
        """Those of the search's answer that were excluded as nearly equal texts, ``mask`` (Q, K)."""
        least = positives.least(scores)
        reasons = mask * (Reason.NEAR_EQUAL + Reason.SCORE * reaching(found, least, None))
        return cls(found, reasons, positives.least_texts(scores), least, excluded=True)

    def with_cross_encoder(
        self, candidates: Candidates, positives: Positives, scores: FloatArray, rules: Rules
    ) -> Suspicion:
        """The same candidates rescored, whose ranks say where they stood; ``scores``: (P,) of positives."""
        least = positives.least(scores)
        reasons = np.take_along_axis(self.reasons, candidates.ranks, axis=1)
        reasons = reasons | Reason.CROSS_ENCODER * reaching(candidates, least, rules)
        return Suspicion(candidates, reasons, positives.least_texts(scores), least, rescored=True)

    def suspects(self, spared: BoolArray | None = None, mined: BoolArray | None = None) -> Suspects:
        """As a list, without what is ``spared`` (Q, K); ``mined``: (Q, K) what was chosen as a negative."""
        reasons = self.reasons if spared is None else np.where(spared, 0, self.reasons)
        rows, columns = np.nonzero(reasons)
        return Suspects(
            queries=self.candidates.queries[rows],
            documents=self.candidates.documents[rows, columns],
            positives=self.positives[rows],
            scores=self.candidates.scores[rows, columns].astype(np.float64),
            positive_scores=self.least[rows],
            ranks=np.full(len(rows), -1) if self.excluded else self.candidates.ranks[rows, columns],
            reasons=reasons[rows, columns],
            rescored=np.full(len(rows), self.rescored),
            mined=np.zeros(len(rows), dtype=bool) if mined is None else mined[rows, columns],
        )


def reaching(candidates: Candidates, least: FloatArray, rules: Rules | None) -> BoolArray:
    """(Q, K) which candidates break a margin against the ``least`` (Q,) positive score.

    Without margins those that score at least as high.
    """
    bounds = []
    if rules is not None and rules.absolute_margin is not None:
        bounds.append(least - rules.absolute_margin)
    if rules is not None and rules.relative_margin is not None:
        bounds.append(least - rules.relative_margin * np.abs(least))
    if not bounds:
        bounds.append(np.nextafter(least, -np.inf))
    broken: BoolArray = candidates.there & (candidates.scores > np.minimum.reduce(bounds)[:, None])
    return broken


def reciprocal(
    candidates: Candidates,
    greatest: FloatArray,
    queries: IntArray,
    space: Space,
    memory_bytes: int = 1 << 28,
) -> BoolArray:
    """(Q, K) candidates that are the nearest to their query, to which of all ``queries`` it is the nearest.

    Nearer than every positive, that is: ``greatest`` (Q,) is the greatest score among these.
    ``memory_bytes``: for the comparison with all queries.
    """
    found = np.zeros_like(candidates.there)
    rows = np.flatnonzero(candidates.scores.max(axis=1, initial=-np.inf) >= greatest)
    if not len(rows):
        return found
    columns = candidates.scores[rows].argmax(axis=1)
    documents, places = np.unique(candidates.documents[rows, columns], return_inverse=True)
    nearest, _ = top_k(
        space.documents(documents),
        space.queries(queries),
        1,
        similarity=space.similarity,
        memory_bytes=memory_bytes,
        device=space.device,
    )
    mutual = queries[nearest[places, 0]] == candidates.queries[rows]
    found[rows[mutual], columns[mutual]] = True
    return found


def as_table(suspects: Suspects, positives: Positives, forms: TextForms, texts: Texts) -> pa.Table:
    """The suspects with their texts, and a column ``mark`` to be filled for ``marks.read_marks``.

    The positive shown is the one that a near-equal candidate resembles most, otherwise the one with
    the least score; ``positive_score`` is the least in any case.
    """
    shown = _resembled(suspects, positives, forms)
    table = {
        "query_id": suspects.queries,
        "positive_id": shown,
        "document_id": suspects.documents,
        "query": _strings(suspects.queries, texts),
        "positive": _strings(shown, texts),
        "document": _strings(suspects.documents, texts),
        "score": suspects.scores,
        "positive_score": suspects.positive_scores,
        "scored_by": pa.array(
            np.where(suspects.rescored, "cross-encoder", "embedding").tolist(), pa.string()
        ),
        "rank": pa.array(suspects.ranks, mask=suspects.ranks < 0),
        "mined": suspects.mined,
        "reason": pa.array([in_words(int(reasons)) for reasons in suspects.reasons], pa.string()),
        "mark": pa.nulls(len(suspects), pa.string()),
    }
    return pa.table(table)


def in_words(reasons: int) -> str:
    """The reasons as one text."""
    return "; ".join(words for reason, words in WORDS.items() if reasons & reason)


def write_table(table: pa.Table, path: Path) -> None:
    """A parquet file that is complete or absent. Raises MachineError where it cannot be written."""
    try:
        write_parquet(table, path)
    except OSError as error:
        raise MachineError(f"{path}: cannot be written ({error.strerror or error}); make room") from error


def _resembled(suspects: Suspects, positives: Positives, forms: TextForms) -> IntArray:
    shown = suspects.positives.copy()
    rows = np.flatnonzero(suspects.reasons & Reason.NEAR_EQUAL)
    if not len(rows):
        return shown
    own = positives.select(np.searchsorted(positives.queries, suspects.queries[rows]))
    owners = np.repeat(np.arange(len(rows)), own.counts)
    likeness = forms.jaccard(suspects.documents[rows][owners], own.texts.values)
    order = np.lexsort((own.texts.values, -likeness, owners))
    first = order[own.texts.offsets[:-1]]
    shown[rows] = np.where(likeness[first] > 0, own.texts.values[first], shown[rows])
    return shown


def _strings(ids: IntArray, texts: Texts) -> pa.Array:
    return pa.array(list(texts(ids)), pa.large_string())
