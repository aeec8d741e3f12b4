"""What the cells of each column hold, from a sample: free text, categories, ids, dates, numbers, ..."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sbert_triplet.data.cell_reading import (
    TextCells,
    batches,
    is_json,
    is_list,
    is_string,
    read_numbers,
    read_texts,
)

_BLOCKS, _BLOCK_ROWS = 10, 1000
_HEAD_BYTES = 2000
_SMALL = 10
_FEW = 32


class Character(StrEnum):
    """What the cells of a column are like."""

    TEXT = "free text"
    TEXTS = "lists of text"
    CATEGORY = "short texts that repeat"
    CODE = "short codes"
    IDENTIFIER = "ids"
    DATE = "dates"
    LINK = "links or addresses"
    NUMBER = "numbers"
    BOOLEAN = "true or false"
    CLASS = "named classes"
    EMPTY = "no values"
    OTHER = "nested or binary values"


@dataclass(frozen=True)
class Column:
    """One column, as its sample shows it. Counts are of cells that are neither null nor blank.

    ``few``: the distinct values in small letters where there are few, for telling apart what a label
    means; never shown. ``low`` and ``high`` are of numbers.
    """

    name: str
    type: str
    character: Character
    cells: int = 0
    distinct: int = 0
    words: float = 0.0
    characters: float = 0.0
    ascii: bool = True
    low: float = math.nan
    high: float = math.nan
    whole: bool = False
    few: frozenset[str] = frozenset()
    class_names: tuple[str, ...] = ()

    @property
    def is_scalar(self) -> bool:
        return self.character not in (Character.TEXTS, Character.OTHER)

    @property
    def is_text(self) -> bool:
        """Whether it can be a text if its name says so."""
        return self.character in (Character.TEXT, Character.CATEGORY)

    @property
    def is_prose(self) -> bool:
        """Whether it is text by its look alone: phrases (outside ASCII a word is enough)."""
        return self.character is Character.TEXT and (self.words >= 2 or not self.ascii)

    @property
    def is_constant(self) -> bool:
        return self.distinct <= 1 and self.cells > 1

    @property
    def repeats(self) -> bool:
        """Whether values come back often enough to be classes; too few rows cannot speak against it."""
        return self.cells < _SMALL or self.distinct <= self.cells / 2

    @property
    def is_class_like(self) -> bool:
        if self.character is Character.NUMBER:
            return self.whole and self.repeats
        return self.is_scalar and self.repeats and self.character not in (Character.DATE, Character.EMPTY)

    @property
    def is_yes_no(self) -> bool:
        return self.character is Character.BOOLEAN or (
            self.is_numeric and bool(self.few) and self.few <= {"0", "1"}
        )

    @property
    def is_numeric(self) -> bool:
        return self.character in (Character.NUMBER, Character.BOOLEAN) or (
            self.character is Character.CLASS and bool(self.few) and not math.isnan(self.low)
        )

    def describe(self) -> str:
        """One clause about the cells that quotes none of them."""
        if self.character in (Character.EMPTY, Character.OTHER):
            return self.character.value
        share = "all distinct" if self.distinct == self.cells else f"{self.distinct:,} distinct"
        about = {
            Character.TEXT: f", {self.words:.0f} words on average",
            Character.TEXTS: f", {self.words:.0f} words on average",
            Character.NUMBER: f" from {self.low:g} to {self.high:g}" + (", whole" if self.whole else ""),
        }.get(self.character, "")
        return f"{self.character.value}{about}, {share}"


def profile_columns(dataset: datasets.Dataset) -> dict[str, Column]:
    """The columns of the dataset by name, from ten blocks of rows spread evenly (all rows of a small one).

    Blocks, not single rows at a stride: classes that take turns would hide behind a stride.
    """
    rows = len(dataset)
    starts: Sequence[int] = range(0, rows, _BLOCK_ROWS)
    if rows > _BLOCKS * _BLOCK_ROWS:
        starts = np.linspace(0, rows - _BLOCK_ROWS, _BLOCKS).astype(int).tolist()
    blocks = [dataset.select(range(start, min(start + _BLOCK_ROWS, rows))) for start in starts]
    return {name: _profile(name, blocks) for name in dataset.features}


def _profile(name: str, blocks: Sequence[datasets.Dataset]) -> Column:
    features = blocks[0].features
    sample = pa.concat_tables([batch for block in blocks for _, batch in batches(block, [name])])
    feature, type = features[name], sample.schema.field(name).type
    if isinstance(feature, datasets.ClassLabel):
        return _number_column(name, "ClassLabel", sample, Character.CLASS, tuple(feature.names))
    if pa.types.is_null(type):
        return Column(name, str(type), Character.EMPTY)
    if pa.types.is_boolean(type):
        return _number_column(name, str(type), sample, Character.BOOLEAN)
    if pa.types.is_integer(type) or pa.types.is_floating(type) or pa.types.is_decimal(type):
        return _number_column(name, str(type), sample, Character.NUMBER)
    if pa.types.is_temporal(type):
        distinct = pc.count_distinct(sample.column(name)).as_py()
        cells = sample.num_rows - sample.column(name).null_count
        return Column(name, str(type), Character.DATE, cells, distinct)
    if is_list(type) and is_string(type.value_type):
        return _string_column(name, str(type), read_texts(sample, name, features), Character.TEXTS)
    if is_string(type) or is_json(feature):
        shown = "mixed JSON" if is_json(feature) else str(type)
        return _string_column(name, shown, read_texts(sample, name, features), None)
    return Column(name, str(type).split("<", maxsplit=1)[0], Character.OTHER)


def _number_column(
    name: str, type: str, sample: pa.Table, character: Character, class_names: tuple[str, ...] = ()
) -> Column:
    numbers = read_numbers(sample, name)
    finite = numbers[np.isfinite(numbers)]
    if not finite.size:
        return Column(name, type, Character.EMPTY)
    distinct = np.unique(finite)
    few = frozenset(f"{value:g}" for value in distinct) if distinct.size <= _FEW else frozenset()
    whole = bool((distinct == np.round(distinct)).all())
    return Column(
        name,
        type,
        character,
        cells=finite.size,
        distinct=distinct.size,
        low=float(distinct[0]),
        high=float(distinct[-1]),
        whole=whole,
        few=few,
        class_names=class_names,
    )


def _string_column(name: str, type: str, cells: TextCells, character: Character | None) -> Column:
    whole = cells.values.cast(pa.large_binary())
    heads = pc.binary_slice(whole, 0, _HEAD_BYTES)
    raw = heads.to_pylist()
    texts = [text for cell in raw if cell is not None and (text := cell.decode(errors="replace").strip())]
    if not texts:
        return Column(name, type, character or Character.EMPTY)
    distinct = set(texts)
    beyond = (pc.sum(pc.binary_length(whole)).as_py() or 0) / pc.sum(pc.binary_length(heads)).as_py()
    column = Column(
        name,
        type,
        character or Character.TEXT,
        cells=len(texts),
        distinct=len(distinct),
        words=beyond * sum(len(text.split()) for text in texts) / len(texts),
        characters=beyond * sum(map(len, texts)) / len(texts),
        ascii=sum(map(str.isascii, texts)) >= len(texts) / 2,
        few=frozenset(map(str.casefold, distinct)) if len(distinct) <= _FEW else frozenset(),
    )
    if character is not None:
        return column
    found = _string_character(column, texts)
    if found is Character.NUMBER:
        return _number_column(name, type, pa.table({name: cells.values}), found)
    return replace(column, character=found)


_DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([T ].*)?|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}( .*)?|\d{1,2}:\d\d(:\d\d)?"
)
_LINK = re.compile(r"(https?|ftp)://\S+|www\.\S+|[^\s@]+@[^\s@]+\.[a-z]{2,}|/\S*/\S*", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf)", re.IGNORECASE)
_CODE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z]{2,4})?")
_IDENTIFIER = re.compile(r"(?=\S*\d)[\w.:/#@+-]+", re.ASCII)


def _string_character(column: Column, texts: Sequence[str]) -> Character:
    def most(pattern: re.Pattern[str]) -> bool:
        return sum(pattern.fullmatch(text[:200]) is not None for text in texts) >= 0.95 * len(texts)

    few_words = column.words <= 4 and column.characters <= 40
    tests: list[tuple[Character, Callable[[], bool]]] = [
        (Character.DATE, lambda: most(_DATE)),
        (Character.LINK, lambda: most(_LINK)),
        (Character.NUMBER, lambda: most(_NUMBER)),
        (Character.CODE, lambda: column.distinct <= min(60, column.cells / 2) and most(_CODE)),
        (Character.IDENTIFIER, lambda: most(_IDENTIFIER)),
        (Character.CATEGORY, lambda: few_words and column.distinct <= column.cells / 2),
        (Character.CATEGORY, lambda: column.words <= 8 and column.distinct <= column.cells / 20),
    ]
    return next((character for character, holds in tests if holds()), Character.TEXT)
