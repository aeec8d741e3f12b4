"""Rows of a table, its roles and a text table become Examples."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sbert_triplet.data.build_retrieval import build_retrieval
from sbert_triplet.data.cell_reading import batches, is_json, read_numbers, read_texts, role_columns
from sbert_triplet.data.concatenation import concatenate
from sbert_triplet.data.examples import Examples, FloatArray, IntArray, Ragged
from sbert_triplet.data.kinds import Kind, Roles
from sbert_triplet.data.labels import NLI_LABELS, class_names, nli_codes
from sbert_triplet.data.templates import shown
from sbert_triplet.data.texts import TextTable, text_ids
from sbert_triplet.errors import DataError

__all__ = ["build_examples", "build_retrieval", "concatenate"]


def build_examples(
    dataset: datasets.Dataset, roles: Roles, texts: TextTable, *, skip: Collection[int] | IntArray = ()
) -> Examples:
    """The rows of the dataset as text ids; their texts go into ``texts``.

    ``skip``: row numbers to leave out, as ``scan_cells`` lists them in ``BadCells.rows``. A row with
    several positives becomes one row for each, with the same row number, negatives and label. Classes
    are numbered in the order of their names. ``kept`` holds the kept columns, then those of the query
    and document ids; named classes in it are names. Raises DataError for a row outside ``skip`` that
    has no text, label, score or weight where its role needs one.
    """
    builder = _Builder(roles, dataset.features, texts)
    left_out = np.unique(np.asarray(list(skip), dtype=np.int64))
    for first, batch in batches(dataset, builder.columns):
        numbers = np.arange(first, first + batch.num_rows, dtype=np.int64)
        wanted = ~np.isin(numbers, left_out, assume_unique=True)
        if not wanted.all():
            batch, numbers = batch.filter(pa.array(wanted)), numbers[wanted]
        builder.add(batch, numbers)
    return builder.examples()


class _Builder:
    def __init__(self, roles: Roles, features: datasets.Features, texts: TextTable) -> None:
        self.roles, self.features, self.texts = roles, features, texts
        self.positive_roles = tuple(role for role in (roles.positive, *roles.more_positives) if role)
        self.kept_columns = [name for name in (*roles.kept, roles.query_id, roles.document_id) if name]
        text_roles = (roles.anchor, *self.positive_roles, *roles.negatives)
        used = [name for role in text_roles for name in role_columns(role, features)]
        used += [name for name in (roles.label, roles.score, roles.weight) if name]
        self.columns = list(dict.fromkeys([*used, *self.kept_columns]))
        self.parts: defaultdict[str, list[NDArray[Any]]] = defaultdict(list)
        self.kept: list[pa.Table] = []
        self.classes: dict[str, int] = {}

    def add(self, batch: pa.Table, row_numbers: IntArray) -> None:
        roles, parts = self.roles, self.parts
        _, anchors = self._texts(batch, (roles.anchor,), row_numbers)
        rows = np.arange(len(row_numbers), dtype=np.int64)
        if self.positive_roles:
            rows, positives = self._texts(batch, self.positive_roles, row_numbers)
            parts["positives"].append(positives)
        parts["anchors"].append(anchors[rows])
        parts["row_numbers"].append(row_numbers[rows])
        if roles.negatives:
            owners, ids = self._texts(batch, roles.negatives, row_numbers, required=False)
            negatives = Ragged(ids, _offsets(np.bincount(owners, minlength=batch.num_rows))).select(rows)
            parts["negatives"].append(negatives.values)
            parts["negative_counts"].append(np.diff(negatives.offsets))
        if roles.label:
            parts["labels"].append(self._labels(batch, roles.label, row_numbers)[rows])
        for name, column in (("scores", roles.score), ("weights", roles.weight)):
            if column:
                parts[name].append(self._numbers(batch, column, row_numbers)[rows])
        if self.kept_columns:
            kept = self._kept(batch)
            self.kept.append(kept if len(rows) == batch.num_rows else kept.take(pa.array(rows)))

    def examples(self) -> Examples:
        roles = self.roles
        labels, names = self._ordered_labels()
        negatives = Ragged(self._ids("negatives"), _offsets(self._ids("negative_counts")))
        return Examples(
            kind=roles.kind,
            anchors=self._ids("anchors"),
            row_numbers=self._ids("row_numbers"),
            positives=self._ids("positives") if self.positive_roles else None,
            negatives=negatives if roles.negatives else None,
            labels=labels,
            label_names=names,
            scores=np.concatenate([np.zeros(0), *self.parts["scores"]]) if roles.score else None,
            weights=np.concatenate([np.zeros(0), *self.parts["weights"]]) if roles.weight else None,
            kept=pa.concat_tables(self.kept) if self.kept else None,
        )

    def _ids(self, name: str) -> IntArray:
        return np.concatenate([np.zeros(0, dtype=np.int64), *self.parts[name]])

    def _texts(
        self, batch: pa.Table, roles: Sequence[str], row_numbers: IntArray, *, required: bool = True
    ) -> tuple[IntArray, IntArray]:
        """Rows and text ids of the roles, in the order of the rows, within a row in that of the roles.

        Of several roles any cell may be missing, and where texts are ``required`` not all of a row's.
        """
        found = [self._role_texts(batch, role, row_numbers, missing_allowed=len(roles) > 1) for role in roles]
        rows = np.concatenate([rows for rows, _ in found])
        ids = np.concatenate([ids for _, ids in found])
        if len(found) > 1:
            order = np.argsort(rows, kind="stable")
            rows, ids = rows[order], ids[order]
        if required:
            without = np.flatnonzero(np.bincount(rows, minlength=batch.num_rows) == 0)
            if without.size:
                raise _missing(roles[0], int(row_numbers[without[0]]), "text")
        return rows, ids

    def _role_texts(
        self, batch: pa.Table, role: str, row_numbers: IntArray, *, missing_allowed: bool
    ) -> tuple[IntArray, IntArray]:
        cells = read_texts(batch, role, self.features)
        rows, values = cells.rows(), cells.values
        present = values.is_valid().to_numpy(zero_copy_only=False)
        ids = np.full(len(values), -1, dtype=np.int64)
        ids[present] = text_ids(values.filter(pa.array(present)) if values.null_count else values, self.texts)
        blank = self.texts.lookup("")
        if blank is not None:
            ids[ids == blank] = -1
        missing = ids < 0
        if missing.any() and not missing_allowed:
            raise _missing(role, int(row_numbers[rows[missing][0]]), "text")
        return rows[~missing], ids[~missing]

    def _labels(self, batch: pa.Table, column: str, row_numbers: IntArray) -> IntArray:
        if self.roles.kind is Kind.NLI:
            codes = nli_codes(batch, column, self.features)
            if (codes < 0).any():
                raise _missing(column, int(row_numbers[codes < 0][0]), "NLI label")
            return codes
        names = class_names(batch, column, self.features)
        if names.null_count:
            missing = names.is_null().to_numpy(zero_copy_only=False)
            raise _missing(column, int(row_numbers[missing][0]), "label")
        encoded = names.dictionary_encode()
        known = [self.classes.setdefault(name, len(self.classes)) for name in encoded.dictionary.to_pylist()]
        return np.array(known, dtype=np.int64)[np.asarray(encoded.indices, dtype=np.int64)]

    def _numbers(self, batch: pa.Table, column: str, row_numbers: IntArray) -> FloatArray:
        numbers = read_numbers(batch, column)
        if not np.isfinite(numbers).all():
            raise _missing(column, int(row_numbers[~np.isfinite(numbers)][0]), "finite number")
        return numbers

    def _kept(self, batch: pa.Table) -> pa.Table:
        columns = {}
        for name in self.kept_columns:
            feature = self.features[name]
            named = isinstance(feature, datasets.ClassLabel) or is_json(feature)
            columns[name] = read_texts(batch, name, self.features).values if named else batch.column(name)
        return pa.table(columns)

    def _ordered_labels(self) -> tuple[IntArray | None, tuple[str, ...]]:
        """Labels as positions in the sorted names, which do not depend on the order of the rows."""
        if not self.roles.label:
            return None, ()
        labels = self._ids("labels")
        if self.roles.kind is Kind.NLI:
            return labels, NLI_LABELS
        names = sorted(self.classes)
        position = np.zeros(len(names), dtype=np.int64)
        position[[self.classes[name] for name in names]] = np.arange(len(names))
        return position[labels], tuple(names)


def _offsets(counts: IntArray) -> IntArray:
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts, dtype=np.int64)])


def _missing(role: str, row: int, what: str) -> DataError:
    return DataError(
        f"row {row + 1}, column {shown(role)}: no {what}; mend it, "
        "or leave out the rows that scan_cells lists"
    )
