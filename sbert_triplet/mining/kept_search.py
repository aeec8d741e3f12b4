"""Answers of searches kept in files: a stopped search goes on, and the same search again reads them.

Queries are cut into slices, and the answer for a slice is one file, whole or not there. It is found by what
searched (its kind and parameters), by the fingerprints of the embeddings, by what documents and queries
say, and by k; documents stand in it by their place among those searched, since text ids differ from one
run to the next. The files lie where embeddings are kept (``encoding.embedding_cache``).
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sbert_triplet.data.cache import EMBEDDINGS, new_file, tell_not_kept
from sbert_triplet.data.content import content_of
from sbert_triplet.data.examples import IntArray
from sbert_triplet.data.splits import Texts
from sbert_triplet.data.trimming import trim, used
from sbert_triplet.encoding.tokens import Side
from sbert_triplet.errors import MachineError
from sbert_triplet.mining.approximate import ApproximateSearch
from sbert_triplet.mining.candidates import Candidates
from sbert_triplet.mining.search import DenseSearch, LexicalSearch, MixedSearch, Search, Wrapping
from sbert_triplet.mining.sharded import QueriesShared, ShardedSearch
from sbert_triplet.processes import agreed, from_all, local_rank

QUERIES_AT_ONCE = 4096
FEWEST = 1_000
"""Documents from which on a file is worth its while."""
Fingerprint = Callable[[Side], str | None]
"""A name for what embeddings of a side are made by: ``Embedder.fingerprint``."""
_FORMAT = 2
_logger = logging.getLogger(__name__)


@dataclass
class Spared:
    """``seconds``: what answers that were read here took when they were made."""

    seconds: float = 0.0


@dataclass(frozen=True)
class KeptSearch(Wrapping):
    """The answers of ``search``, which are looked for in ``folder`` first and put there.

    ``texts`` gives the texts of queries and documents. ``shared``: all processes of the run search for the
    same at the same time.
    """

    folder: Path
    texts: Texts
    fingerprint: Fingerprint
    queries_at_once: int = QUERIES_AT_ONCE
    shared: bool = False
    spared: Spared = field(default_factory=Spared)

    def __call__(self, queries: IntArray, k: int) -> Candidates:
        name = self._name if len(self.documents) >= FEWEST else None
        if name is None or not len(queries):
            return self.search(queries, k)
        k, step = min(k, len(self.documents)), self.queries_at_once
        parts = [
            self._slice(name, queries[start : start + step], k) for start in range(0, len(queries), step)
        ]
        documents, scores, sources = (
            np.concatenate([getattr(part, column) for part in parts])
            for column in ("documents", "scores", "sources")
        )
        return Candidates.found(queries, documents, scores, sources)

    @cached_property
    def _name(self) -> str | None:
        """For all that an answer depends on beside queries and k; None where that is not known."""
        parts = [_described(self.search), *(self.fingerprint(side) for side in self.space.sides)]
        if None in parts:
            return None
        return json.dumps([_FORMAT, *parts, content_of(self.texts, self.documents)])

    def _slice(self, name: str, queries: IntArray, k: int) -> Candidates:
        key = hashlib.sha256(f"{name} {k} {content_of(self.texts, queries)}".encode()).hexdigest()[:40]
        file = self.folder / f"search-{key}.npz"
        kept = self._read(file, queries, k)
        if all(self._everyones(kept is not None)) and kept is not None:
            # What lies on another machine need not be the same to the last bit.
            kept = agreed(kept) if self.shared else kept
            self.spared.seconds += kept[1]
            return kept[0]
        start = time.perf_counter()
        found = self.search(queries, k)
        if not self.shared or local_rank() == 0:
            self._write(file, found, time.perf_counter() - start)
        return found

    def _read(self, file: Path, queries: IntArray, k: int) -> tuple[Candidates, float] | None:
        """The answer in a file and the seconds it took; None where there is none that is whole and fits."""
        if not file.is_file():
            return None
        try:
            with np.load(file, allow_pickle=False) as held:
                places, scores, sources = (held[name] for name in ("places", "scores", "sources"))
                seconds = float(held["seconds"])
            if not places.shape == scores.shape == sources.shape == (len(queries), k):
                return None
            if places.min(initial=0) < -1 or places.max(initial=-1) >= len(self.documents):
                return None
        except Exception:  # a damaged file may fail in any way, and is made again
            return None
        used(file)
        documents = np.where(places >= 0, self.documents[places], -1)
        return Candidates.found(queries, documents, scores, sources), seconds

    def _write(self, file: Path, found: Candidates, seconds: float) -> None:
        places = np.where(found.there, np.searchsorted(self.documents, found.documents), -1)
        try:
            with new_file(file) as written, written.open("wb") as stream:
                np.savez(
                    stream,
                    places=places.astype(np.int32 if len(self.documents) < 1 << 31 else np.int64),
                    scores=found.scores,
                    sources=found.sources,
                    seconds=np.float64(seconds),
                )
            trim()
        except (OSError, MachineError) as error:
            tell_not_kept(_logger, self.folder, "answers of searches", EMBEDDINGS, error)

    def _everyones(self, value: bool) -> list[bool]:
        return from_all(value) if self.shared else [value]


def _described(search: Search) -> list[Any] | None:
    """What searches, by kind and parameters; None for a search or a distance that is not known here."""
    if isinstance(search, MixedSearch):
        parts = [_described(search.first), _described(search.second)]
        return None if None in parts else ["mixed", *parts]
    if isinstance(search, QueriesShared):
        return _described(search.search)
    similarity = search.space.similarity
    if not isinstance(similarity, str):
        return None
    if isinstance(search, DenseSearch | ShardedSearch):
        return ["exact", similarity]
    if isinstance(search, LexicalSearch):
        return ["bm25", similarity, importlib.metadata.version("bm25s")]
    if isinstance(search, ApproximateSearch):
        numbers = [search.lists, search.probes, search.links, search.breadth]
        return [
            "approximate",
            similarity,
            search.kind,
            *numbers,
            importlib.import_module("faiss").__version__,
        ]
    return None
