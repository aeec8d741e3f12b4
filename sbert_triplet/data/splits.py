"""Train, dev and test without leakage.

Only anchors and positives bind rows together; negatives and other columns never do. What must
stay together is a group (a text, a component of texts, a customer), and a group goes where a
keyed hash of its name says: the name of a component is the normalised text of its first
anchor, the name of a customer is the customer. So the assignment depends on the seed and on
that name alone, not on how many rows there are: rows that are added later move no group that
was there before. Two corrections are made where chance is too coarse, and said in the notes:
a split that would get less than half or more than twice its share is filled or emptied by the
groups whose hashes lie nearest to its range. A ranking of hashes would meet the shares exactly
and would move groups with every row that is added.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sbert_triplet.data.assignment import (
    DEV,
    PART_NAMES,
    TEST,
    TRAIN,
    Groups,
    Shares,
    assign,
    hash_units,
)
from sbert_triplet.data.binding import Binding, binding_of
from sbert_triplet.data.components import rows_with_any
from sbert_triplet.data.examples import Examples, IntArray
from sbert_triplet.data.kinds import Kind
from sbert_triplet.data.ordering import How, Ordering, in_time_order, read_ordering
from sbert_triplet.data.texts import normalise
from sbert_triplet.data.wording import percent, times
from sbert_triplet.errors import DataError

Texts = Callable[[IntArray], Sequence[str]]


@dataclass(frozen=True)
class SplitPlan:
    """How to split. ``dev`` and ``test`` are shares of the rows; 0 leaves that split empty.

    ``by``: a kept column, for time order (dates, numbers) or whole groups (anything else);
    ``how`` settles which where the type of the column would mislead (customer numbers).
    ``max_dev``, ``max_test``: at most so many rows; what is over goes back to train.
    """

    dev: float = 0.1
    test: float = 0.1
    by: str | None = None
    how: How | None = None
    seed: int = 13
    max_dev: int | None = None
    max_test: int | None = None

    def shares(self) -> Shares:
        """The plan's numbers, checked. Raises DataError where they cannot be met."""
        for name, share in (("dev", self.dev), ("test", self.test)):
            if not (math.isfinite(share) and 0 <= share < 1):
                raise DataError(f"evaluate.{name} is {share}; give a share of the rows from 0 to below 1.")
        if self.dev + self.test >= 1:
            raise DataError(
                f"evaluate.dev {self.dev} and evaluate.test {self.test} leave no rows to train on; "
                "together they must stay below 1."
            )
        for name, cap in (("dev", self.max_dev), ("test", self.max_test)):
            if cap is not None and cap < 1:
                raise DataError(
                    f"The cap on {name} rows is {cap}; give at least 1, or a share of 0 for none."
                )
        return Shares(dev=self.dev, test=self.test, max_dev=self.max_dev, max_test=self.max_test)


@dataclass(frozen=True)
class Splits:
    """Row positions of each split, ascending.

    ``groups``: (N,) for every row of the examples the group that was kept whole, numbered from
    0: what to resample as a whole. ``method``: one plain sentence. ``notes``: everything that
    was left out, kept in train or moved, with counts. ``documents_seen_in_training``: the share
    of the distinct test documents that occur in train; None where texts are not shared.
    """

    train: IntArray
    dev: IntArray
    test: IntArray
    groups: IntArray | None
    method: str
    notes: tuple[str, ...] = ()
    documents_seen_in_training: float | None = None


def split_examples(examples: Examples, plan: SplitPlan, texts: Texts | None = None) -> Splits:
    """Splits N rows into train, dev and test.

    ``texts`` gives the texts of text ids, as ``TextTable.texts`` does. Without it the ids
    themselves are hashed, which is stable only while equal texts keep equal ids.

    Raises DataError where the rows fall into too few groups to fill the splits.
    """
    shares = plan.shares()
    if len(examples) == 0:
        raise DataError("There are no rows to split.")
    binding = binding_of(examples, held_out=plan.dev + plan.test)
    if not shares.wanted():
        parts = np.full(len(examples), TRAIN, dtype=np.int64)
        return _splits(examples, binding, shares, parts, binding.groups, "No rows were held out.", [])
    if plan.by is not None:
        return _split_by(examples, plan, shares, binding, plan.by)
    first = np.unique(binding.groups, return_index=True)[1]
    names = texts(examples.anchors[first]) if texts else [f"#{number}" for number in examples.anchors[first]]
    stratified = examples.kind is Kind.LABELLED and examples.labels is not None
    groups = Groups(
        units=hash_units(map(normalise, names), plan.seed),
        sizes=np.bincount(binding.groups),
        one=binding.one,
        many=binding.many,
        classes=examples.labels[first] if stratified and examples.labels is not None else None,
    )
    parts, notes = assign(groups, shares)
    method = f"Split at random: {binding.sentence}."
    return _splits(examples, binding, shares, parts[binding.groups], binding.groups, method, notes)


def _split_by(examples: Examples, plan: SplitPlan, shares: Shares, binding: Binding, by: str) -> Splits:
    ordering = read_ordering(examples.kept, by, plan.how)
    rows = np.flatnonzero(ordering.keys >= 0)
    parts = np.full(len(examples), -1, dtype=np.int64)
    if ordering.how == "time":
        parts[rows], notes = in_time_order(ordering.keys[rows], shares, by)
        method = f"Split in the order of '{by}': the oldest rows train, the newest test."
        groups = binding.groups
    else:
        parts[rows], notes = _by_group(ordering, rows, plan.seed, shares, by)
        method = f"Split at random by '{by}': all rows of one value stay together."
        groups = np.where(ordering.keys >= 0, ordering.keys, len(ordering.names))
    empty = len(examples) - len(rows)
    if empty:
        notes.append(f"{times(empty, 'row has', 'rows have')} no '{by}', left out of every split.")
    notes += _clear_overlaps(parts, binding)
    return _splits(examples, binding, shares, parts, groups, method, notes)


def _by_group(
    ordering: Ordering, rows: IntArray, seed: int, shares: Shares, by: str
) -> tuple[IntArray, list[str]]:
    keys = ordering.keys[rows]
    groups = Groups(
        units=hash_units(ordering.names, seed),
        sizes=np.bincount(keys, minlength=len(ordering.names)),
        one=f"value of '{by}'",
        many=f"values of '{by}'",
    )
    parts, notes = assign(groups, shares)
    return parts[keys], notes


def _clear_overlaps(parts: IntArray, binding: Binding) -> list[str]:
    """Takes out of train, and then of dev, the rows whose binding texts are held out; in place."""
    notes = []
    for earlier, later, names in ((DEV, (TEST,), "dev"), (TRAIN, (DEV, TEST), "training")):
        held_out = np.isin(parts, later)
        ids = np.unique(np.concatenate([column[held_out] for column in binding.columns]))
        shared = (parts == earlier) & rows_with_any(binding.columns, ids)
        if shared.any():
            parts[shared] = -1
            where = "test" if earlier == DEV else "dev or test"
            notes.append(
                f"{np.count_nonzero(shared):,} {names} rows were left out because a text of theirs "
                f"stands in {where} rows too."
            )
    return notes


def _splits(
    examples: Examples,
    binding: Binding,
    shares: Shares,
    parts: IntArray,
    groups: IntArray,
    method: str,
    notes: list[str],
) -> Splits:
    for part in (TRAIN, *(part for part, _, _ in shares.wanted())):
        if not (parts == part).any():
            raise DataError(
                f"No rows are left for {PART_NAMES[part]}: each shares a text with rows held out after it. "
                "Leave data.split.by out, or give files of your own as data.dev and data.test."
            )
    train, dev, test = (np.flatnonzero(parts == part) for part in (TRAIN, DEV, TEST))
    seen = _documents_seen(examples, train, test) if binding.shares_documents and len(test) else None
    if seen is not None:
        notes = [*notes, f"{percent(seen)} of the test documents occur in training rows of other anchors."]
    return Splits(train, dev, test, groups, method, tuple(notes), seen)


def _documents_seen(examples: Examples, train: IntArray, test: IntArray) -> float | None:
    if examples.positives is None:
        return None
    judged = (
        test
        if examples.kind is not Kind.RETRIEVAL or examples.scores is None
        else (test[examples.scores[test] > 0])
    )
    documents = np.unique(examples.positives[judged])
    if not len(documents):
        return None
    seen = examples.positives[train]
    if examples.negatives is not None:
        seen = np.concatenate([seen, examples.negatives.select(train).values])
    return float(np.isin(documents, seen).mean())
