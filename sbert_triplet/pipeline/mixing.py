"""Several sources and splits brought together: weights, limits, shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import datasets
import numpy as np
from numpy.typing import NDArray

from sbert_triplet.data.binding import binding_of
from sbert_triplet.data.cell_reading import batches, role_columns
from sbert_triplet.data.components import rows_with_any
from sbert_triplet.data.examples import Examples
from sbert_triplet.data.keys import keys, uniforms
from sbert_triplet.data.kinds import Roles
from sbert_triplet.data.splits import SplitPlan, Splits, Texts, split_examples
from sbert_triplet.recipe.model import Recipe
from sbert_triplet.recipe.sources import Source

IntArray = NDArray[np.int64]
HELD_OUT = ("dev", "test")
LIMIT_PURPOSE, WEIGHT_PURPOSE = 4, 3


def exact_codes(dataset: datasets.Dataset, roles: Roles) -> IntArray:
    """(rows,) hashes that are equal where every cell with a role is the same to the letter."""
    texts = (roles.anchor, roles.positive, *roles.more_positives, *roles.negatives)
    columns = [name for role in texts if role for name in role_columns(role, dataset.features)]
    columns += [name for name in (roles.label, roles.score) if name]
    codes = [
        hash(tuple(map(repr, cells)))
        for _, batch in batches(dataset, list(dict.fromkeys(columns)))
        for cells in zip(*(column.to_pylist() for column in batch.columns), strict=True)
    ]
    return np.array(codes, dtype=np.int64)


def repeats_by_weight(parts: Sequence[Examples], sources: Sequence[Source], seed: int) -> IntArray | None:
    """How often each row of the joined parts comes in one pass; None where each comes once.

    A weight of 2 is twice, of 0.5 a half of the rows, chosen by (seed, row).
    """
    weights = np.concatenate(
        [np.full(len(part), source.weight) for part, source in zip(parts, sources, strict=True)]
    )
    if (weights == 1.0).all():
        return None
    whole = np.floor(weights)
    more = uniforms(np.arange(len(weights)), seed, WEIGHT_PURPOSE) < weights - whole
    times: IntArray = (whole + more).astype(np.int64)
    return times


def rows_with_held_out_texts(rows: Examples, held_out: Sequence[Examples]) -> NDArray[np.bool_]:
    """(N,) whether a row's anchor or positive is a text by which held-out rows are kept apart."""
    ids = [column for part in held_out if len(part) for column in binding_of(part).columns]
    if not ids:
        return np.zeros(len(rows), dtype=bool)
    columns = [rows.anchors] if rows.positives is None else [rows.anchors, rows.positives]
    return rows_with_any(columns, np.unique(np.concatenate(ids)))


def take_queries(judgements: datasets.Dataset, limit: int) -> datasets.Dataset:
    """At most ``limit`` judgements, all or none of a query's, the queries spread over the table."""
    if limit >= len(judgements):
        return judgements
    queries, rows = np.unique(np.array(judgements["query_id"], dtype=object), return_inverse=True)
    order = np.argsort(keys(np.arange(len(queries)), LIMIT_PURPOSE), kind="stable")
    fits = np.cumsum(np.bincount(rows)[order]) <= limit
    fits[0] = True
    return judgements.select(np.flatnonzero(np.isin(rows, order[fits])))


def cut_splits(train: Examples, given: Mapping[str, Examples], recipe: Recipe, texts: Texts) -> Splits:
    """What is held out of the rows that were read for training: the splits that were not given."""
    evaluate, split = recipe.evaluate, recipe.data.split
    dev, max_dev = (0.0, None) if "dev" in given else _share(evaluate.dev, len(train))
    test, max_test = (0.0, None) if "test" in given else _share(evaluate.test, len(train))
    if not dev and not test:
        every = np.arange(len(train), dtype=np.int64)
        none = np.zeros(0, dtype=np.int64)
        return Splits(every, none, none, None, _nothing_cut(given))
    plan = SplitPlan(
        dev=dev,
        test=test,
        by=split.by,
        how=split.how,
        seed=recipe.train.seed,
        max_dev=max_dev,
        max_test=max_test,
    )
    return split_examples(train, plan, texts)


def _nothing_cut(given: Mapping[str, Examples]) -> str:
    if not given:
        return "No rows were held out."
    names = " and ".join(name for name in HELD_OUT if name in given)
    return f"Nothing was cut from train: {names} as given."


def _share(wanted: float | int, rows: int) -> tuple[float, int | None]:
    """A share of the rows, and the number of rows that it is capped at, out of either."""
    if isinstance(wanted, int) and wanted > 0:
        return min(wanted / rows, 0.5), wanted
    return float(wanted), None
