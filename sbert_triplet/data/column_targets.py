"""Finding the column that says what the texts of a row are worth: a class, a score, an NLI label."""

from __future__ import annotations

from collections.abc import Collection

from sbert_triplet.data import column_names as names
from sbert_triplet.data.column_profile import Column
from sbert_triplet.data.column_search import Pair, UnclearError, listed
from sbert_triplet.data.kinds import Kind
from sbert_triplet.data.labels import means_nli, means_score

_SCORE_RANGE = 10


def find_label(free: Collection[Column]) -> tuple[list[Column], bool]:
    """The columns with the plainest claim to be the class, and whether their name can mean nothing else."""
    ranked: dict[int, list[Column]] = {}
    for column in free:
        rank = names.label_rank(column.name)
        if rank is not None and column.is_class_like and not column.is_constant:
            ranked.setdefault(rank, []).append(column)
    if not ranked:
        return [], False
    best = min(ranked)
    return ranked[best], best < len(names.LABELS)


def find_score(free: Collection[Column], pair: Pair) -> Column | None:
    """The column that scores the pair, by its name and numbers. Counts (of votes, of clicks) are none."""
    ranked: dict[int, list[Column]] = {}
    for column in free:
        rank = names.score_rank(column.name)
        if rank is None or not column.is_numeric or column.is_constant:
            continue
        counts = column.whole and not column.is_yes_no and column.high - column.low > _SCORE_RANGE
        if pair.symmetric or (rank < 2 and not counts):
            ranked.setdefault(rank, []).append(column)
    if not ranked:
        return None
    best = ranked[min(ranked)]
    if len(best) > 1:
        best = [column for column in best if names.key(column.name) == "score"] or best
    if len(best) > 1:
        raise UnclearError(f"score: {listed(best)} could each be it")
    return best[0]


def pair_labels(free: Collection[Column]) -> list[Column]:
    """Columns that can be the label of a pair: by their whole name, the plainest first, then those with
    "label" in their name that hold 0 and 1 or fractions."""
    usable = [column for column in free if column.is_scalar and column.cells and not column.is_constant]
    named = [column for column in usable if names.key(column.name) in names.LABELS]
    named.sort(key=lambda column: names.LABELS.index(names.key(column.name)))
    rest = [column for column in usable if column not in named and "label" in names.words(column.name)]
    return named + [column for column in rest if means_score(column)]


def label_kind(label: Column, pair: Pair) -> Kind | None:
    """What the label makes of the pair: NLI, scored, or None where it is neither."""
    premise = "premise" in names.words(pair.anchor.roles[0]) or pair.anchor.reason == "as given"
    if means_nli(label, bare_numbers=premise):
        return Kind.NLI
    return Kind.SCORED if means_score(label) else None
