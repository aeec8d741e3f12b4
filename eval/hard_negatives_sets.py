"""The rows of the comparison of hard negatives: the same ones for every method and seed.

Each set is cut so that a run takes minutes. Every test query and its document come once, no text of theirs
is trained on, and the further documents are searched in mining and in the test.

mlquestions: questions on machine learning, those of its split dev to train on. medquad: of the sources GHR
and GARD, whose answers on one illness, or on one question of many, look alike; rows of one illness stay
together. docstrings: at most 60 of each package of this machine, whole packages held out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from mining_data import SEED, distinct_pairs, made_up, new_texts
from throughput_data import WORDS

from sbert_triplet.data.sources import Table, load_source
from sbert_triplet.data.texts import TextTable
from sbert_triplet.errors import DataError

Pair = tuple[str, str]
MEDQUAD_SOURCES = ("GHR", "GARD")
DOCSTRINGS = "docstrings:?limit_per_package=60"


@dataclass(frozen=True)
class Rows:
    """Pairs (query, document) to train on and to test with, and further documents; the first are taken."""

    train: Iterable[Pair]
    test: Iterable[Pair]
    others: Iterable[str]


@dataclass(frozen=True)
class Sizes:
    """How many of each."""

    train: int
    test: int
    others: int


@dataclass(frozen=True)
class Prepared:
    """A set in ``folder``: train.parquet, test.parquet, corpus.parquet. ``fingerprint``: of all its texts."""

    name: str
    folder: Path
    fingerprint: str
    train: int
    test: int
    documents: int


def prepared(name: str, rows: Rows, sizes: Sizes, folder: Path) -> Prepared:
    """Cut the set and write it. Raises DataError where there are too few rows."""
    seen = TextTable()
    test = distinct_pairs(rows.test, seen, sizes.test)
    held_out = len(seen)
    train: dict[Pair, None] = {}
    for pair in rows.train:
        if len(train) == sizes.train:
            break
        query, document = seen.add(pair)
        if query != document and min(query, document) >= held_out:
            train[pair] = None
    others = new_texts(rows.others, seen, sizes.others)
    if len(train) < sizes.train or len(test) < min(sizes.test, 20):
        raise DataError(f"{name}: {len(train):,} rows to train on and {len(test):,} to test with are too few")
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    for part, pairs in (("train", list(train)), ("test", test)):
        columns = {"anchor": [query for query, _ in pairs], "positive": [document for _, document in pairs]}
        pq.write_table(pa.table(columns), folder / f"{part}.parquet")
        digest.update(repr(pairs).encode())
    pq.write_table(pa.table({"text": pa.array(others, pa.string())}), folder / "corpus.parquet")
    digest.update(repr(others).encode())
    documents = len({document for _, document in chain(train, test)}) + len(others)
    return Prepared(name, folder, digest.hexdigest(), len(train), len(test), documents)


def mlquestions(data: Path) -> Rows:
    """Questions and passages."""
    folder = data / "mlquestions"
    texts = {
        name: dict(zip(table["_id"].to_pylist(), table["text"].to_pylist(), strict=True))
        for name in ("queries", "corpus")
        for table in [pq.read_table(folder / f"{name}.parquet")]
    }

    def judged(split: str) -> list[Pair]:
        rows = pq.read_table(folder / "qrels" / f"{split}.parquet").to_pylist()
        pairs = [(texts["queries"][row["query-id"]], texts["corpus"][row["corpus-id"]]) for row in rows]
        return shuffled(pairs)

    return Rows(judged("dev"), judged("test"), shuffled(list(texts["corpus"].values())))


def medquad(data: Path) -> Rows:
    """Questions of two sources in turn, each in its own order; others are documents of later rows."""

    def read(split: str) -> list[Pair]:
        rows = pq.read_table(data / "medquad" / f"{split}.parquet").to_pylist()
        parts = [
            [(row["anchor"], row["positive"]) for row in rows if row["source"] == source]
            for source in MEDQUAD_SOURCES
        ]
        return [pair for pairs in zip_longest(*parts) for pair in pairs if pair is not None]

    train = read("train")
    return Rows(train, read("test"), [document for _, document in train])


def docstrings(_: Path) -> Rows:
    """Packages in shuffled order: the first ones to test with, the others to train on."""
    table = load_source(DOCSTRINGS)
    if not isinstance(table, Table):
        raise DataError(f"{DOCSTRINGS}: this is no table")
    columns = table.dataset.select_columns(["package", "anchor", "positive"]).to_dict()
    packages: dict[str, list[Pair]] = {}
    for package, query, document in zip(*columns.values(), strict=True):
        packages.setdefault(package, []).append((query, document))
    names = shuffled(sorted(packages))
    held_out = names[: len(names) // 4]
    train = [pair for name in names[len(held_out) :] for pair in packages[name]]
    test = [pair for name in held_out for pair in packages[name]]
    return Rows(train, test, [document for _, document in reversed(train)])


def trial(_: Path) -> Rows:
    """Rows of words, for a trial without data: a document holds the words of its query."""
    texts = made_up(WORDS, 200, 100)
    pairs = [(query, f"about {query}") for query in texts.queries]
    return Rows(pairs[:150], pairs[150:], texts.others)


def shuffled(items: list[Any]) -> list[Any]:
    """The same order at every call."""
    return [items[place] for place in np.random.default_rng(SEED).permutation(len(items))]


SETS: dict[str, Callable[[Path], Rows]] = {
    "mlquestions": mlquestions,
    "medquad": medquad,
    "docstrings": docstrings,
}
