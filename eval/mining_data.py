"""Texts and embeddings of the mining benchmark, made once, for every process to find the same.

Real texts: docstrings and captions. Half of the queries are real, each with its own document; the others
are edited copies of these. Where more documents are wanted than are real, edited copies follow. A copy's
embedding is that of its original, moved by a seeded random vector to a cosine of about 0.95 and made
unit length again: three hundred thousand texts need not be encoded to be searched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sbert_triplet.data.sources import Table, load_source
from sbert_triplet.data.texts import TextTable
from sbert_triplet.errors import DataError

SEED = 13
REAL_OTHERS = 30_000
"""Real documents beside those of the queries."""
TRIAL_DIMENSIONS = 32
MOVED = 0.33
"""Length of the random vector beside the unit one: the cosine is 1 / sqrt(1 + 0.33^2) = 0.95."""
Vectors = NDArray[np.float32]
Encode = Callable[[Path, Path], None]
"""Reads the texts of a parquet file, and writes their embeddings beside it as ``npy``."""


@dataclass(frozen=True)
class Texts:
    """Real ``queries``, their ``documents`` in the same order, and ``others``; no text comes twice."""

    queries: list[str]
    documents: list[str]
    others: list[str]


@dataclass(frozen=True)
class Material:
    """N documents and Q queries with (N, D) and (Q, D) unit embeddings, all in memory.

    ``own``: (Q,) which document is the query's positive.
    """

    documents: list[str]
    queries: list[str]
    own: NDArray[np.int64]
    document_vectors: Vectors
    query_vectors: Vectors

    @classmethod
    def read(cls, folder: Path) -> Material:
        """What ``of_size`` has written."""
        queries = pq.read_table(folder / "queries.parquet")
        return cls(
            read_texts(folder / "documents.parquet"),
            queries["text"].to_pylist(),
            queries["own"].to_numpy().astype(np.int64),
            np.load(folder / "documents.npy"),
            np.load(folder / "queries.npy"),
        )


def real_texts(data: Path, pairs: int, others: int) -> Texts:
    """Half of the pairs are docstrings, half are captions; ``others`` are further captions, if there are."""
    seen = TextTable()
    captions = _rows(str(data / "multi30k" / "train.parquet"))
    docstrings = _rows("docstrings:")
    found = distinct_pairs(docstrings, seen, pairs // 2)
    found += distinct_pairs(captions, seen, pairs - len(found))
    if len(found) < pairs:
        raise DataError(f"{pairs:,} pairs are wanted, and only {len(found):,} have texts of their own")
    further = new_texts(chain.from_iterable(captions), seen, others)
    return Texts([query for query, _ in found], [document for _, document in found], further)


def made_up(words: Iterable[str], pairs: int, others: int) -> Texts:
    """Texts of a few words, for a trial without data."""
    generator, vocabulary = np.random.default_rng(SEED), list(words)

    def some(name: str, count: int) -> list[str]:
        return [
            " ".join(["number", f"{name}{number}", *generator.choice(vocabulary, generator.integers(3, 20))])
            for number in range(count)
        ]

    return Texts(some("q", pairs), some("d", pairs), some("o", others))


def made_up_vectors(texts: Path, out: Path) -> None:
    """Random embeddings for a trial: rows of the same number lie near each other, in whichever file."""
    shape = len(read_texts(texts)), TRIAL_DIMENSIONS
    shared = np.random.default_rng(SEED).standard_normal(shape)
    own = np.random.default_rng([SEED, len(texts.name)]).standard_normal(shape)
    vectors = shared + 0.5 * own
    np.save(out, (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32))


def _rows(source: str) -> list[tuple[str, str]]:
    """Pairs (anchor, positive) in shuffled order."""
    table = load_source(source)
    if not isinstance(table, Table):
        raise DataError(f"{source}: this is a folder of queries and documents, not a table")
    order = np.random.default_rng(SEED).permutation(len(table.dataset))
    rows = table.dataset.select(order).to_dict()
    return list(zip(rows["anchor"], rows["positive"], strict=True))


def distinct_pairs(rows: Iterable[tuple[str, str]], seen: TextTable, count: int) -> list[tuple[str, str]]:
    """The first ``count`` pairs of which both texts are new."""
    found: list[tuple[str, str]] = []
    for pair in rows:
        if len(found) == count:
            break
        before = len(seen)
        seen.add(pair)
        if len(seen) == before + 2:
            found.append(pair)
    return found


def new_texts(texts: Iterable[str], seen: TextTable, count: int) -> list[str]:
    found: list[str] = []
    for text in texts:
        if len(found) == count:
            break
        before = len(seen)
        seen.add([text])
        if len(seen) > before:
            found.append(text)
    return found


def edited(text: str, copy: int) -> str:
    """The ``copy``-th copy of a text, from 1; the text itself for 0."""
    return f"{text} (version {copy + 1})" if copy else text


def moved(vectors: Vectors, copy: int, salt: int) -> Vectors:
    """The embeddings of the ``copy``-th copies of all rows."""
    if not copy:
        return vectors
    noise = np.random.default_rng([SEED, salt, copy]).standard_normal(vectors.shape, dtype=np.float32)
    found = vectors + MOVED * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    unit: Vectors = found / np.linalg.norm(found, axis=1, keepdims=True)
    return unit


def encoded(texts: Texts, folder: Path, encode: Encode) -> None:
    """Write the real texts and their embeddings into ``folder``, unless they are there."""
    for name, part in (("queries", texts.queries), ("documents", [*texts.documents, *texts.others])):
        file = folder / f"{name}.parquet"
        if not file.with_suffix(".npy").is_file() or read_texts(file) != part:
            folder.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table({"text": pa.array(part, pa.large_string())}), file)
            encode(file, file.with_suffix(".npy"))


def of_size(real: Path, size: int, folder: Path) -> Path:
    """``size`` documents and all queries, real and copied, out of what ``encoded`` wrote into ``real``."""
    folder.mkdir(parents=True, exist_ok=True)
    queries, documents = read_texts(real / "queries.parquet"), read_texts(real / "documents.parquet")
    if size < len(queries):
        raise DataError(
            f"{size:,} documents: the queries have {len(queries):,} of their own; take fewer queries"
        )
    own = np.tile(np.arange(len(queries)), 2)
    texts = pa.array([edited(text, copy) for copy in range(2) for text in queries], pa.large_string())
    pq.write_table(pa.table({"text": texts, "own": own}), folder / "queries.parquet")
    _copied(np.load(real / "queries.npy"), len(own), folder / "queries.npy", salt=1)
    written = [edited(documents[row % len(documents)], row // len(documents)) for row in range(size)]
    pq.write_table(pa.table({"text": pa.array(written, pa.large_string())}), folder / "documents.parquet")
    _copied(np.load(real / "documents.npy"), size, folder / "documents.npy", salt=2)
    return folder


def _copied(vectors: Vectors, size: int, file: Path, salt: int) -> None:
    """The rows, then their copies, ``size`` of them."""
    out = np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=(size, vectors.shape[1]))
    for copy, first in enumerate(range(0, size, len(vectors))):
        part = moved(vectors, copy, salt)[: size - first]
        out[first : first + len(part)] = part
    out.flush()


def read_texts(file: Path) -> list[str]:
    """The column of texts."""
    texts: list[str] = pq.read_table(file)["text"].to_pylist()
    return texts
