"""The rows of the experiments, cut so that a run takes about a minute: the same for every variant and seed.

hwu64 and banking77: texts of 64 and of 77 classes, measured by the class of the nearest training text.
hwu64-wrong: the same rows as hwu64, of which one in five is trained on with a wrong class; as training texts
are also what the nearest is searched among, it is measured by the nearest centre of a class, which is the
measure of hwu64-centres as well, with all classes right. nli: triplets of a premise, an entailed and a
contradicted hypothesis, each premise once in the test. medquad: medical questions and answers, searched among
all answers. No test text is trained on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import beside  # noqa: F401
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hard_negatives_sets import Rows, Sizes, medquad, prepared, shuffled
from mining_data import SEED, made_up
from throughput_data import WORDS

from sbert_triplet.data.texts import TextTable
from sbert_triplet.errors import DataError

WRONG = 0.2
LABELS, TRIPLETS, PAIRS = "labelled", "triplets", "pairs"
Row = tuple[str, ...]
TRIAL_CLASSES = 6


@dataclass(frozen=True)
class Shape:
    """How a set is cut and used. ``wrong``: share of training rows with a wrong class."""

    kind: str
    metric: str
    train: int
    test: int
    batch_size: int
    max_length: int
    wrong: float = 0.0
    others: int = 0


@dataclass(frozen=True)
class Cut:
    """A set in ``folder``: train.parquet, test.parquet and, for pairs, corpus.parquet.

    ``train``, ``test``: numbers of rows. ``fingerprint``: of all its texts and classes.
    """

    name: str
    shape: Shape
    folder: Path
    fingerprint: str
    train: int
    test: int

    def as_json(self) -> dict[str, Any]:
        """What runs must have in common to be compared."""
        shape = {**asdict(self.shape), "train": self.train, "test": self.test}
        return {**shape, "fingerprint": self.fingerprint}


SHAPES = {
    "hwu64": Shape(LABELS, "1-NN accuracy", 3000, 1076, 64, 64),
    "banking77": Shape(LABELS, "1-NN accuracy", 3000, 1000, 64, 64),
    "hwu64-centres": Shape(LABELS, "centroid accuracy", 3000, 1076, 64, 64),
    "hwu64-wrong": Shape(LABELS, "centroid accuracy", 3000, 1076, 64, 64, wrong=WRONG),
    "nli": Shape(TRIPLETS, "triplet accuracy", 5000, 1500, 64, 64),
    "medquad": Shape(PAIRS, "nDCG@10", 3600, 300, 32, 48, others=300),
}


def cut_of(name: str, data: Path | None, folder: Path) -> Cut:
    """The set called ``name`` out of the data sets in ``data``; made-up rows without."""
    shape = SHAPES[name] if data is not None else trial_shape(SHAPES[name])
    if shape.kind == PAIRS:
        rows = medquad(data) if data is not None else _trial_pairs()
        made = prepared(name, rows, Sizes(shape.train, shape.test, shape.others), folder / name)
        return Cut(name, shape, made.folder, made.fingerprint, made.train, made.test)
    if shape.kind == TRIPLETS:
        columns = ("anchor", "positive", "negative")
        train, test = _read(data, "nli", "triplets_", columns) if data is not None else _trial_triplets()
    else:
        columns = ("text", "label")
        source = name.split("-")[0]
        train, test = _read(data, source, "", columns) if data is not None else _trial_labels()
    return _written(name, shape, columns, train, test, folder / name)


def trial_shape(shape: Shape) -> Shape:
    """The same in small."""
    others = 20 if shape.others else 0
    return Shape(shape.kind, shape.metric, 60, 30, 16, 64, shape.wrong, others)


def _read(data: Path, source: str, prefix: str, columns: Sequence[str]) -> tuple[list[Row], list[Row]]:
    """Rows to train on and to test with, each in shuffled order."""

    def part(name: str) -> list[Row]:
        table = pq.read_table(data / source / f"{prefix}{name}.parquet", columns=list(columns)).to_pydict()
        return shuffled(list(zip(*(table[column] for column in columns), strict=True)))

    return part("train"), part("test")


def _written(
    name: str, shape: Shape, columns: Sequence[str], train: list[Row], test: list[Row], folder: Path
) -> Cut:
    """The first rows of both parts that hold no text, or for triplets no anchor, of an earlier one."""
    texts = 1 if shape.kind == LABELS else len(columns)
    seen = TextTable()
    held_out = _first_new(test, seen, texts, shape.test)
    limit = len(seen)
    taken: list[Row] = []
    known = TextTable()
    for row in train:
        if len(taken) == shape.train:
            break
        before = len(known)
        if min(seen.add(row[:texts])) >= limit and known.add(row[:1])[0] == before:
            taken.append(row)
    if len(taken) < shape.train or len(held_out) < shape.test:
        raise DataError(f"{name}: {len(taken):,} rows to train on and {len(held_out):,} to test are too few")
    taken = with_wrong_classes(taken, shape.wrong) if shape.wrong else taken
    folder.mkdir(parents=True, exist_ok=True)
    for part, rows in (("train", taken), ("test", held_out)):
        values = dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True))
        pq.write_table(pa.table(values), folder / f"{part}.parquet")
    digest = hashlib.sha256(repr((taken, held_out)).encode()).hexdigest()
    return Cut(name, shape, folder, digest, len(taken), len(held_out))


def _first_new(rows: Iterable[Row], seen: TextTable, texts: int, count: int) -> list[Row]:
    """Rows whose first text is new; all their texts are seen then."""
    found: list[Row] = []
    for row in rows:
        if len(found) == count:
            break
        before = len(seen)
        if seen.add(row[:texts])[0] == before:
            found.append(row)
    return found


def with_wrong_classes(rows: Sequence[Row], share: float) -> list[Row]:
    """The rows, of which a ``share`` have another class than theirs, any of the others alike."""
    generator = np.random.default_rng(SEED)
    names = sorted({row[-1] for row in rows})
    places = {name: place for place, name in enumerate(names)}
    found = list(rows)
    for number in generator.choice(len(rows), round(share * len(rows)), replace=False).tolist():
        text, label = rows[number]
        moved = places[label] + 1 + int(generator.integers(len(names) - 1))
        found[number] = (text, names[moved % len(names)])
    return found


def _trial_labels() -> tuple[list[Row], list[Row]]:
    """Texts that hold the word of their class."""
    texts = made_up(WORDS, 200, 0).queries
    classes = [WORDS[place % TRIAL_CLASSES] for place in range(len(texts))]
    rows = [(f"{text} {label}", label) for text, label in zip(texts, classes, strict=True)]
    return rows[:100], rows[100:]


def _trial_triplets() -> tuple[list[Row], list[Row]]:
    texts = made_up(WORDS, 200, 0)
    rows = [(one, f"about {one}", other) for one, other in zip(texts.queries, texts.documents, strict=True)]
    return rows[:100], rows[100:]


def _trial_pairs() -> Rows:
    texts = made_up(WORDS, 200, 100)
    pairs = [(query, f"about {query}") for query in texts.queries]
    return Rows(pairs[:100], pairs[100:], texts.others)
