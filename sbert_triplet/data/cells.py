"""Cells that cannot be trained on, each with its row, its column and the reason."""

from __future__ import annotations

from collections.abc import Iterator

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sbert_triplet.data.bad_cells import BadCell, BadCells, Codes, Reason
from sbert_triplet.data.cell_reading import (
    TextCells,
    batches,
    is_string,
    one_array,
    read_numbers,
    read_texts,
    role_columns,
)
from sbert_triplet.data.examples import IntArray
from sbert_triplet.data.kinds import Kind, Roles
from sbert_triplet.data.labels import class_names, nli_codes
from sbert_triplet.data.texts import IGNORABLE_RANGES

__all__ = ["BadCell", "BadCells", "Reason", "scan_cells"]

# In RE2 as pyarrow has it, \s is ASCII only; \p{Z}, \p{Cc} and \p{Cf} are separators, control and format.
_VISIBLE = (
    r"[^\s\p{Z}\p{Cc}\p{Cf}"
    + "".join(rf"\x{{{low:X}}}-\x{{{high:X}}}" for low, high in IGNORABLE_RANGES)
    + "]"
)


def scan_cells(dataset: datasets.Dataset, roles: Roles, *, max_characters: int = 1_000_000) -> BadCells:
    """The cells that make their row unfit for training; rows are counted from 0.

    Texts: null, blank (nothing visible), not text, longer than ``max_characters``, a lone surrogate or
    other broken bytes. Labels, scores and weights: null, NaN, infinite, no number, a negative weight, an
    unknown NLI label. A missing cell is fine where a row may have fewer: in several columns of negatives
    or of positives (but not in all of these), an empty list of negatives. Reads a bounded number of rows
    at a time.
    """
    scanner = _Scanner(roles, dataset.features, max_characters)
    columns = {name for role in scanner.texts for name in role_columns(role, dataset.features)}
    columns |= {name for name in (roles.label, roles.score, roles.weight) if name}
    parts: list[tuple[IntArray, int, Codes]] = []
    for first, batch in batches(dataset, sorted(columns)):
        for column, codes in scanner.scan(batch):
            bad = np.flatnonzero(codes)
            if bad.size:
                parts.append((bad + first, scanner.names.index(column), codes[bad]))
    rows = np.concatenate([rows for rows, _, _ in parts]) if parts else np.zeros(0, dtype=np.int64)
    where = np.repeat([column for _, column, _ in parts], [len(rows) for rows, _, _ in parts]).astype(
        np.int64
    )
    reasons = np.concatenate([codes for _, _, codes in parts]) if parts else np.zeros(0, dtype=np.int8)
    order = np.lexsort((where, rows))
    return BadCells(scanner.names, rows[order], where[order], reasons[order])


class _Scanner:
    """One pass over the roles of a batch: for each column or template a code for each row."""

    def __init__(self, roles: Roles, features: datasets.Features, max_characters: int) -> None:
        self.roles, self.features, self.max_characters = roles, features, max_characters
        self.positives = tuple(role for role in (roles.positive, *roles.more_positives) if role)
        self.texts = (roles.anchor, *self.positives, *roles.negatives)
        numbers = tuple(name for name in (roles.label, roles.score, roles.weight) if name)
        self.names = tuple(dict.fromkeys((*self.texts, *numbers)))

    def scan(self, batch: pa.Table) -> Iterator[tuple[str, Codes]]:
        yield self.roles.anchor, self._texts(batch, self.roles.anchor)
        yield from self._positives(batch)
        several = len(self.roles.negatives) > 1
        for role in self.roles.negatives:
            yield role, self._texts(batch, role, missing_allowed=several, empty_allowed=True)
        if self.roles.label:
            yield self.roles.label, self._labels(batch, self.roles.label)
        for column in (self.roles.score, self.roles.weight):
            if column:
                yield column, self._numbers(batch, column)

    def _positives(self, batch: pa.Table) -> Iterator[tuple[str, Codes]]:
        if len(self.positives) == 1:
            yield self.positives[0], self._texts(batch, self.positives[0])
            return
        missing = np.ones(batch.num_rows, dtype=bool)
        found = {}
        for role in self.positives:
            codes = self._texts(batch, role)
            missing &= np.isin(codes, _MISSING)
            found[role] = np.where(np.isin(codes, _MISSING), np.int8(0), codes)
        if self.positives:
            found[self.positives[0]] = np.where(missing, np.int8(Reason.NULL), found[self.positives[0]])
        yield from found.items()

    def _texts(
        self, batch: pa.Table, role: str, *, missing_allowed: bool = False, empty_allowed: bool = False
    ) -> Codes:
        cells = read_texts(batch, role, self.features)
        codes = _text_codes(cells, self.max_characters)
        if cells.offsets is not None:
            codes = _first_of_each(codes, cells.offsets, Reason.GOOD if empty_allowed else Reason.EMPTY_LIST)
        return np.where(missing_allowed & np.isin(codes, _MISSING), np.int8(0), codes)

    def _labels(self, batch: pa.Table, column: str) -> Codes:
        null = _is_null(batch, column)
        if self.roles.kind is Kind.NLI:
            unknown = nli_codes(batch, column, self.features) < 0
            return np.select([null, unknown], [Reason.NULL, Reason.UNLABELLED], 0).astype(np.int8)
        array = one_array(batch, column)
        if is_string(array.type):
            return _text_codes(read_texts(batch, column, self.features), self.max_characters)
        missing = class_names(batch, column, self.features).is_null().to_numpy(zero_copy_only=False)
        other = Reason.NAN if pa.types.is_floating(array.type) else Reason.UNLABELLED
        return np.select([null, missing], [Reason.NULL, other], 0).astype(np.int8)

    def _numbers(self, batch: pa.Table, column: str) -> Codes:
        numbers = read_numbers(batch, column)
        written = is_string(one_array(batch, column).type)
        unlabelled = isinstance(self.features[column], datasets.ClassLabel) & (numbers < 0)
        return np.select(
            [
                _is_null(batch, column),
                np.isnan(numbers),
                np.isinf(numbers),
                unlabelled,
                (numbers < 0) & (column == self.roles.weight),
            ],
            [
                Reason.NULL,
                Reason.NOT_A_NUMBER if written else Reason.NAN,
                Reason.INFINITE,
                Reason.UNLABELLED,
                Reason.NEGATIVE,
            ],
            0,
        ).astype(np.int8)


_MISSING = (Reason.NULL, Reason.BLANK, Reason.EMPTY_LIST)


def _text_codes(cells: TextCells, max_characters: int) -> Codes:
    """A code for each value."""
    values = cells.values
    codes = np.zeros(len(values), dtype=np.int8)
    codes[values.is_null().to_numpy(zero_copy_only=False)] = Reason.NULL
    codes[cells.not_text] = Reason.NOT_TEXT
    try:
        values.validate(full=True)
    except pa.ArrowInvalid:
        broken = _broken(values)
        codes[broken != 0] = broken[broken != 0]
        values = pc.if_else(pa.array(broken == 0), values.cast(pa.large_binary()), None).cast(
            pa.large_string()
        )
    visible = pc.fill_null(pc.match_substring_regex(values, _VISIBLE), True).to_numpy(zero_copy_only=False)
    codes[~visible] = Reason.BLANK
    if (pc.max(pc.binary_length(values)).as_py() or 0) > max_characters:
        long = pc.fill_null(pc.greater(pc.utf8_length(values), max_characters), False)
        codes[long.to_numpy(zero_copy_only=False)] = Reason.TOO_LONG
    return codes


def _broken(values: pa.Array) -> Codes:
    codes = np.zeros(len(values), dtype=np.int8)
    for at, cell in enumerate(values.cast(pa.large_binary()).to_pylist()):
        try:
            (cell or b"").decode()
        except UnicodeDecodeError:
            codes[at] = Reason.SURROGATE if _has_surrogate(cell) else Reason.BROKEN
    return codes


def _has_surrogate(cell: bytes) -> bool:
    try:
        cell.decode(errors="surrogatepass")
    except UnicodeDecodeError:
        return False
    return True


def _first_of_each(codes: Codes, offsets: IntArray, empty: Reason) -> Codes:
    """For each row the code of its first bad item, or that of an empty list."""
    found = np.zeros(len(offsets) - 1, dtype=np.int8)
    found[np.diff(offsets) == 0] = empty
    bad = np.flatnonzero(codes)[::-1]
    found[np.searchsorted(offsets, bad, side="right") - 1] = codes[bad]
    return found


def _is_null(batch: pa.Table, column: str) -> NDArray[np.bool_]:
    return np.asarray(one_array(batch, column).is_null().to_numpy(zero_copy_only=False))
