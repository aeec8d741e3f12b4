"""The rows of the comparison: the same splits and test pools for both sides and every seed.

Each set is cut so that a run takes a minute or three. Rows to test with are taken first, then those of dev,
then those to train on, each in shuffled order; a row that has a text in common with an earlier split is left
out: either text of pairs, the anchor of triplets, the text of a class; of scored pairs, the pair itself.

medquad: pairs, of the sources GHR and GARD, whose answers on one illness look alike; further documents.
mlquestions: a retrieval folder; the judgements of its split dev are trained on. covid_faq: a retrieval folder
too small for one test: questions of one answer stay together, a fifth of them is dev, the others are four
folds, each tested by a model that was trained on the other three. nli: triplets. banking77, hwu64, trec:
labels. stsb: scores. Splits that a set has are kept; else dev is cut from train.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hard_negatives_sets import medquad, mlquestions, shuffled
from quality_plan import LABELS, PAIRS, RETRIEVAL, SCORES, TRIPLETS

from sbert_triplet.data.components import components
from sbert_triplet.errors import DataError

Row = tuple[Any, ...]
SPLITS = ("train", "dev", "test")
FOLDS = 4
COLUMNS = {
    PAIRS: ("anchor", "positive"),
    RETRIEVAL: ("anchor", "positive"),
    TRIPLETS: ("anchor", "positive", "negative"),
    LABELS: ("text", "label"),
    SCORES: ("sentence1", "sentence2", "score"),
}
JUDGED = "judged"
"""The folder of queries, documents and judgements; of pairs, for measuring only."""


@dataclass(frozen=True)
class Sizes:
    """Rows of each split, and further documents."""

    train: int
    dev: int
    test: int
    others: int = 0

    def smaller(self, share: int) -> Sizes:
        """The same held-out rows, and one in so many to train on."""
        return Sizes(self.train // share, self.dev, self.test, self.others)


@dataclass(frozen=True)
class Parts:
    """The rows of each split, of one fold, and further documents."""

    train: Sequence[Row]
    dev: Sequence[Row]
    test: Sequence[Row]
    others: Sequence[str] = ()


@dataclass(frozen=True)
class Case:
    """A set: its kind, its sizes, after how many tokens texts are cut, and its folds from DATA and sizes."""

    kind: str
    sizes: Sizes
    read: Callable[[Path, Sizes], list[Parts]]
    max_length: int | None = None


@dataclass(frozen=True)
class Prepared:
    """A set on the disk, a folder for each fold; ``rows`` of its splits, those of all folds together.

    ``share``: one in so many rows is trained on.
    """

    name: str
    kind: str
    max_length: int | None
    folds: tuple[Path, ...]
    fingerprint: str
    rows: dict[str, int]
    share: int = 1


def texts_apart(kind: str, row: Row) -> set[Hashable]:
    """What a row must not have in common with a row of another split."""
    texts = [str(cell).casefold() for cell in row]
    if kind in (PAIRS, RETRIEVAL):
        return {*texts}
    return {(texts[0], texts[1])} if kind == SCORES else {texts[0]}


def cut(kind: str, rows: dict[str, Iterable[Row]], sizes: Sizes, others: Iterable[str] = ()) -> Parts:
    """The first rows of each split that may be taken; dev from train's last where it has none of its own."""
    train = list(rows["train"])
    given = {"test": rows["test"], "dev": rows.get("dev", reversed(train)), "train": train}
    held: set[Hashable] = set()
    taken: dict[str, list[Row]] = {}
    for split, part in given.items():
        found: dict[Row, None] = {}
        for row in part:
            if len(found) == getattr(sizes, split):
                break
            apart = texts_apart(kind, row)
            if not apart & held and (kind not in (PAIRS, RETRIEVAL) or len(apart) == 2):
                found[row] = None
        held |= {text for row in found for text in texts_apart(kind, row)}
        taken[split] = list(found)
    further = (text for text in dict.fromkeys(others) if text.casefold() not in held)
    return Parts(**taken, others=[text for text, _ in zip(further, range(sizes.others), strict=False)])


def prepared(name: str, case: Case, data: Path, folder: Path, share: int = 1) -> Prepared:
    """Cut the set and write it; ``share``: one in so many rows to train on. Raises DataError for too few."""
    folds = case.read(data, case.sizes.smaller(share))
    digest = hashlib.sha256(repr((case.kind, case.max_length)).encode())
    for number, parts in enumerate(folds):
        for split in SPLITS:
            if len(getattr(parts, split)) < 10:
                raise DataError(f"{name}: too few rows for {split}")
        digest.update(repr(parts).encode())
        _write(case.kind, parts, folder / str(number))
    rows = {split: sum(len(getattr(parts, split)) for parts in folds) for split in SPLITS}
    places = tuple(folder / str(number) for number in range(len(folds)))
    name = name if share == 1 else f"{name}, 1 in {share}"
    return Prepared(name, case.kind, case.max_length, places, digest.hexdigest(), rows, share)


def _write(kind: str, parts: Parts, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if kind in (PAIRS, RETRIEVAL):
        _write_judged(parts, folder / JUDGED)
    if kind == RETRIEVAL:
        return
    for split in SPLITS:
        columns = zip(*getattr(parts, split), strict=True)
        _table(folder / f"{split}.parquet", dict(zip(COLUMNS[kind], map(list, columns), strict=True)))
    if parts.others:
        _table(folder / "corpus.parquet", {"text": list(parts.others)})


def _write_judged(parts: Parts, folder: Path) -> None:
    """Queries, documents and the judgements of each split, as BEIR has them."""
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    every = [*parts.train, *parts.dev, *parts.test]
    queries = {text: f"q{number}" for number, text in enumerate(dict.fromkeys(row[0] for row in every))}
    texts = dict.fromkeys([*(row[1] for row in every), *parts.others])
    corpus = {text: f"d{number}" for number, text in enumerate(texts)}
    _table(folder / "queries.parquet", {"_id": list(queries.values()), "text": list(queries)})
    _table(folder / "corpus.parquet", {"_id": list(corpus.values()), "text": list(corpus)})
    for split in SPLITS:
        rows = getattr(parts, split)
        judged = {
            "query-id": [queries[query] for query, _ in rows],
            "corpus-id": [corpus[document] for _, document in rows],
            "score": [1] * len(rows),
        }
        _table(folder / "qrels" / f"{split}.parquet", judged)


def _table(file: Path, columns: dict[str, list[Any]]) -> None:
    pq.write_table(pa.table(columns), file)


def _file(data: Path, name: str, kind: str) -> list[Row]:
    """The rows of a file in shuffled order."""
    table = pq.read_table(data / f"{name}.parquet", columns=list(COLUMNS[kind]))
    return shuffled(list(zip(*(column.to_pylist() for column in table.columns), strict=True)))


def _of_files(kind: str, **files: str) -> Callable[[Path, Sizes], list[Parts]]:
    def read(data: Path, sizes: Sizes) -> list[Parts]:
        return [cut(kind, {split: _file(data, name, kind) for split, name in files.items()}, sizes)]

    return read


def _medquad(data: Path, sizes: Sizes) -> list[Parts]:
    rows = medquad(data)
    return [cut(PAIRS, {"train": rows.train, "test": shuffled(list(rows.test))}, sizes, rows.others)]


def _mlquestions(data: Path, sizes: Sizes) -> list[Parts]:
    rows = mlquestions(data)
    return [cut(RETRIEVAL, {"train": rows.train, "test": rows.test}, sizes, rows.others)]


def _covid_faq(data: Path, sizes: Sizes) -> list[Parts]:
    folder = data / "covid_faq"
    texts: dict[str, str] = {}
    for name in ("queries", "corpus"):
        for row in pq.read_table(folder / f"{name}.parquet").to_pylist():
            texts[row["_id"]] = f"{row['title']}\n{row['text']}" if row.get("title") else row["text"]
    judged = pq.read_table(folder / "qrels" / "test.parquet").to_pylist()
    # Some entries are the same text under two ids.
    rows = list(dict.fromkeys((texts[row["query-id"]], texts[row["corpus-id"]]) for row in judged))
    return folds_of(rows, list(dict.fromkeys(texts[row] for row in texts if row.startswith("faq"))), sizes)


def folds_of(rows: list[Row], documents: list[str], sizes: Sizes) -> list[Parts]:
    """Rows that share a text stay together: some of these are dev, the others are tested in turn."""
    numbers: dict[str, int] = {}
    ids = np.array([[numbers.setdefault(text, len(numbers)) for text in row] for row in rows])
    joined = components((ids[:, 0], ids[:, 1]))
    together = shuffled(
        [[rows[place] for place in np.flatnonzero(joined == one)] for one in np.unique(joined)]
    )
    dev: list[Row] = []
    while len(dev) < sizes.dev:
        dev += together.pop()
    folds = [list(chain.from_iterable(together[number::FOLDS])) for number in range(FOLDS)]
    return [
        Parts(
            [row for other in folds if other is not fold for row in other][: sizes.train],
            dev,
            fold,
            documents,
        )
        for fold in folds
    ]


SETS = {
    "medquad": Case(PAIRS, Sizes(400, 120, 400, 300), _medquad, 128),
    "mlquestions": Case(RETRIEVAL, Sizes(600, 150, 500, 300), _mlquestions, 128),
    "covid_faq": Case(RETRIEVAL, Sizes(200, 48, 200), _covid_faq, 128),
    "nli": Case(
        TRIPLETS,
        Sizes(2000, 500, 1500),
        _of_files(TRIPLETS, train="nli/triplets_train", test="nli/triplets_test"),
    ),
    "banking77": Case(
        LABELS, Sizes(5000, 1000, 1500), _of_files(LABELS, train="banking77/train", test="banking77/test")
    ),
    "hwu64": Case(
        LABELS,
        Sizes(5000, 1000, 1000),
        _of_files(LABELS, train="hwu64/train", dev="hwu64/dev", test="hwu64/test"),
    ),
    "trec": Case(LABELS, Sizes(4500, 800, 500), _of_files(LABELS, train="trec/train", test="trec/test")),
    "stsb": Case(
        SCORES,
        Sizes(3000, 1500, 1379),
        _of_files(SCORES, train="stsb/train", dev="stsb/dev", test="stsb/test"),
    ),
}
