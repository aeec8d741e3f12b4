"""Mining that one process is to do as several do: imported by a test, and started by it.

As a script: ``shared_mining.py FOLDER``, with the environment that ``accelerate launch`` sets; writes what
each way of mining gave to ``FOLDER/RANK.pt``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from sbert_triplet.data.examples import Examples, IntArray
from sbert_triplet.data.kinds import Kind
from sbert_triplet.data.texts import TextTable
from sbert_triplet.encoding import embedding_cache
from sbert_triplet.encoding.embedder import Embedder
from sbert_triplet.encoding.embedding_cache import EmbeddingCache
from sbert_triplet.encoding.encode import Progress
from sbert_triplet.encoding.tiny import tiny_encoder
from sbert_triplet.encoding.tokens import Side, TokenTable
from sbert_triplet.mining.approximate import ApproximateSearch
from sbert_triplet.mining.hard_negatives import mine
from sbert_triplet.mining.kept_search import KeptSearch
from sbert_triplet.mining.mined import Mined
from sbert_triplet.mining.rescoring import PairScorer, shared
from sbert_triplet.mining.rules import Rules
from sbert_triplet.mining.search import DenseSearch, LexicalSearch, MixedSearch, Search
from sbert_triplet.mining.sharded import QueriesShared, ShardedSearch
from sbert_triplet.mining.space import Space
from sbert_triplet.processes import join, several_processes

WORDS = ("red", "green", "blue", "cat", "dog", "horse", "runs", "sleeps", "eats", "slowly", "house", "tree")
QUERIES, COUNT = 201, 1301
TEXTS = [
    " ".join(WORDS[(5 * number + 3 * place * place) % 12] for place in range(1 + number * 7 % 13))
    + f" {number}"
    for number in range(COUNT)
]
WAYS = ("exact", "bm25", "mixed", "hnsw", "rescored", "kept", "kept again")


def rounded(embedder: Embedder) -> Callable[[Side, IntArray], np.ndarray]:
    """Embeddings of few digits: their products are exact, whatever tiles they are made in."""
    return lambda side, ids: np.round(8 * embedder(side, ids)) / 8


def search_of(way: str, space: Space, documents: IntArray, table: TextTable) -> Search:
    together = several_processes()
    if way == "hnsw":
        approximate = ApproximateSearch(space, documents, "hnsw")
        return QueriesShared(approximate) if together else approximate
    exact = ShardedSearch(space, documents) if together else DenseSearch(space, documents)
    words: Search = LexicalSearch(space, documents, table.texts)
    words = QueriesShared(words) if together else words
    return {"bm25": words, "mixed": MixedSearch(exact, words)}.get(way, exact)


class Scorer:
    """Scores a pair by the lengths of its texts, and counts."""

    def __init__(self) -> None:
        self.scored = 0

    def __call__(self, pairs: list[tuple[str, str]]) -> list[float]:
        self.scored += len(pairs)
        return [len(query) % 7 - len(document) % 11 / 2 for query, document in pairs]


class Counted(TokenTable):
    """Counts the texts that are encoded in this process."""

    encoded = 0

    def group_inputs(self, form: int, ids: IntArray) -> dict[str, Any]:
        self.encoded += len(ids)
        return super().group_inputs(form, ids)


@cache
def encoder() -> SentenceTransformer:
    return tiny_encoder(TEXTS[:100])


def mined(way: str, folder: Path, progress: Progress | None = None) -> dict[str, Any]:
    """What mining one negative or two for each query gives, and what this process did for it."""
    table = TextTable()
    ids = table.add(TEXTS)
    model = encoder()
    tokens = Counted(model, table.texts)
    assert not tokens.why_not_packed
    tokens.encoded = 0
    documents, together = ids[QUERIES:], several_processes()
    embedder = Embedder(
        model,
        tokens,
        budget=200,
        progress=progress,
        cache=EmbeddingCache(folder, shared=together) if way.startswith("kept") else None,
        at_once=[("document", documents)],
        shared=together,
    )
    search = search_of(way, Space(rounded(embedder), "dot"), documents, table)
    if way.startswith("kept"):
        search = KeptSearch(search, folder, table.texts, embedder.fingerprint, 64, shared=together)
    scorer = Scorer()
    rescore: PairScorer | None = None
    if way == "rescored":
        rescore = shared(scorer) if together else scorer
    examples = Examples(Kind.PAIRS, ids[:QUERIES], np.arange(QUERIES), positives=documents[:QUERIES])
    rules = Rules(negatives=2, absolute_margin=-0.2, near_equal=0.5)
    found = mine(examples, search, table, rules, rescore=rescore, memory_bytes=1 << 17)
    return {
        "mined": plain(found),
        "embeddings": np.array(embedder("document", documents)),
        "queries": np.array(embedder("query", ids[:QUERIES])),
        "encoded": tokens.encoded,
        "scored": scorer.scored,
        "seconds": embedder.encoding_seconds,
    }


def plain(found: Mined) -> dict[str, Any]:
    return {
        "rows": found.rows,
        "positive_scores": found.positive_scores,
        "offsets": found.negatives.offsets,
        "negatives": found.negatives.values,
        "scores": found.scores,
        "counts": found.counts.as_json(),
        "suspects": found.suspects.to_pydict(),
    }


def everything(folder: Path) -> dict[str, Any]:
    found = {way: mined(way, folder / "cache") for way in WAYS}
    return found | {"stopped": mined_after_a_stop(folder / "stopped")}


def on_two_machines(folder: Path) -> dict[str, Any]:
    """Each process on a machine of its own: with a cache each, with one for both, and with one that knows."""
    rank = os.environ["RANK"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCAL_RANK", "0")
        patch.setattr(embedding_cache, "AT_ONCE", 0.2)
        apart = {"a cache each": folder / f"machine {rank}", "one cache": folder / "of both"}
        found = {way: mined("kept", where) for way, where in apart.items()}
        knows = folder / ("machine 0" if rank == "0" else "nothing yet")
        return found | {"one knows": mined("kept", knows)}


def mined_after_a_stop(folder: Path) -> dict[str, Any]:
    """Mining that was interrupted after a third of the texts, and then begun again."""

    def stop(done: int, total: int) -> None:
        if 3 * done >= total:
            raise KeyboardInterrupt

    with suppress(KeyboardInterrupt):
        mined("kept", folder, progress=stop)
    return mined("kept", folder)


def failures(folder: Path) -> dict[str, str]:
    """What each process says where memory runs out in the second one alone."""

    def fail(*_: Any, **__: Any) -> None:
        raise MemoryError("no memory left")

    said = {}
    for way, owner, name in (
        ("encoding", Counted, "group_inputs"),
        ("searching", DenseSearch, "__call__"),
        ("scoring", Scorer, "__call__"),
    ):
        with pytest.MonkeyPatch.context() as patch:
            if os.environ["RANK"] == "1":
                patch.setattr(owner, name, fail)
            try:
                mined("rescored" if way == "scoring" else "kept", folder / way)
            except Exception as error:
                said[way] = f"{type(error).__name__}: {error}"
    return said


if __name__ == "__main__":
    torch.set_num_threads(1)
    encoder()  # once they have met, only one process would write the files of a new one
    join("cpu")
    home, rank = Path(sys.argv[1]), os.environ["RANK"]
    found = everything(home) | on_two_machines(home) | {"failures": failures(home)}
    torch.save(found, home / f"{rank}.pt")
    torch.distributed.destroy_process_group()
