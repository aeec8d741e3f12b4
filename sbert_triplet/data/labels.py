"""What the cells of a label column mean: classes, or entailment, neutral and contradiction."""

from __future__ import annotations

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sbert_triplet.data.cell_reading import (
    is_list,
    is_string,
    one_array,
    read_numbers,
    read_strings,
    read_texts,
)
from sbert_triplet.data.column_profile import Character, Column
from sbert_triplet.data.examples import IntArray

NLI_LABELS = ("entailment", "neutral", "contradiction")
"""By their codes 0, 1, 2: the order of SNLI and MultiNLI."""
_NLI_CODES = {
    **dict.fromkeys(("entailment", "entails", "entailed", "entail", "e"), 0),
    **dict.fromkeys(("neutral", "n"), 1),
    **dict.fromkeys(("contradiction", "contradicts", "contradictory", "contradict", "c"), 2),
}
_NOT_LABELLED = frozenset({"-", "-1"})
_NEGATIONS = ("not", "non", "no", "un", "dis", "ir", "in", "false", "wrong", "contradict", "negative")


def nli_codes(batch: pa.Table, column: str, features: datasets.Features) -> IntArray:
    """(R,) 0 entailment, 1 neutral, 2 contradiction, -1 for what is none of them.

    Names are read as names, those of a ``datasets.ClassLabel`` too; numbers without names as 0, 1, 2.
    """
    array = one_array(batch, column)
    feature = features[column]
    if isinstance(feature, datasets.ClassLabel) or is_string(array.type):
        names = read_texts(batch, column, features).values
        codes = {**_NLI_CODES, "0": 0, "1": 1, "2": 2}
        return np.array(
            [codes.get((name or "").strip().casefold(), -1) for name in read_strings(names)], dtype=np.int64
        )
    numbers = read_numbers(batch, column)
    return np.where(np.isin(numbers, (0, 1, 2)), numbers, -1).astype(np.int64)


def class_names(batch: pa.Table, column: str, features: datasets.Features) -> pa.Array:
    """(R,) the class of each row as text; null for null, NaN, blank and -1 of a ClassLabel (unlabelled)."""
    array = one_array(batch, column)
    if is_list(array.type) or pa.types.is_struct(array.type):
        return pa.nulls(len(array), pa.large_string())
    if pa.types.is_floating(array.type):
        array = pc.if_else(pc.is_finite(array), array, None)
        batch = pa.table({column: array})
    names = read_texts(batch, column, features).values
    return pc.if_else(pc.equal(pc.ascii_trim_whitespace(names), ""), None, names)


def means_nli(column: Column, *, bare_numbers: bool) -> bool:
    """Whether a column tells entailment, neutral and contradiction apart.

    ``bare_numbers``: whether 0, 1, 2 without names do (texts named premise and hypothesis).
    """
    if column.class_names:
        return len(column.class_names) <= 3 and all(
            name.casefold() in _NLI_CODES for name in column.class_names
        )
    if column.character is Character.NUMBER:
        return bare_numbers and {"0", "1", "2"} <= column.few <= {"-1", "0", "1", "2"}
    return bool(column.few - _NOT_LABELLED) and column.few - _NOT_LABELLED <= set(_NLI_CODES)


def means_score(column: Column) -> bool:
    """Whether a label column is a score: yes or no as 0 and 1, or numbers that are not whole."""
    return column.is_numeric and not is_upside_down(column) and (column.is_yes_no or not column.whole)


def is_upside_down(column: Column) -> bool:
    """Whether 1 is the name of the negative answer, as in entailment 0, not_entailment 1."""
    if len(column.class_names) != 2:
        return False
    no, yes = (name.casefold() for name in column.class_names)
    return yes.startswith(_NEGATIONS) and not no.startswith(_NEGATIONS)
