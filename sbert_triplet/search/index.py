"""The index: documents in, documents out; a model, and a store behind a URL.

with Index.create("faiss:tickets.index", "runs/tickets") as index:
    index.upsert([Document("a", "How do I reset my password?", {"language": "en"})])
    hits = index.search(["lost password"], k=3, where={"language": "en"})[0]
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType

from sentence_transformers import SentenceTransformer

from sbert_triplet.errors import InputError
from sbert_triplet.search.encoder import Encoder, prepared
from sbert_triplet.search.filters import Condition, Where, conditions_of
from sbert_triplet.search.ingest import BATCH, Acknowledged, Document, Upserted, ingest
from sbert_triplet.search.store import (
    About,
    Collection,
    Count,
    Cut,
    FloatMatrix,
    Found,
    Metadata,
    Passage,
    Store,
    StoreError,
)
from sbert_triplet.search.stores import open_store

__all__ = ["About", "Count", "Cut", "Document", "Hit", "Index", "Passage", "StoreError", "Upserted"]

_PASSAGES_A_DOCUMENT = 4
"""How many passages are asked for at first for each document wanted, where documents are cut."""


@dataclass(frozen=True)
class Hit:
    """A document that was found, by its best passage.

    ``score``: cosine, dot product, or the negated distance, by ``Index.about.similarity``; larger is closer.
    ``text``: of the best passage, the document's own where it is not cut. ``passage``: where that stands.
    """

    id: str
    score: float
    text: str
    metadata: Metadata
    passage: Passage


class Index:
    """Documents that are searched by meaning. Made by ``create`` or ``open``; close it, or use ``with``.

    Searches may come from several threads.
    """

    def __init__(
        self, store: Store, collection: Collection, encoder: Encoder | None, device: str | None
    ) -> None:
        self.store, self._collection, self._encoder, self._device = store, collection, encoder, device

    @classmethod
    def create(
        cls,
        url: str,
        model: str | SentenceTransformer,
        *,
        precision: str = "fp32",
        passages: Cut | None = None,
        device: str | None = None,
    ) -> Index:
        """A new index at ``url`` for embeddings of ``model`` (a name, a folder, a run folder, or loaded).

        ``precision``: what embeddings are kept in, one of ``store.PRECISIONS``. ``passages``: how long
        documents are cut. Raises StoreError where there is an index already or the store lacks the precision,
        InputError for passages that the model cannot read, ModelError for the model.
        """
        encoder, store = Encoder.of(model, device=device), open_store(url)
        if store.current() is not None:
            store.close()
            raise StoreError(f"{store.url}: there is an index already; open it, or name another place")
        # One that was begun and is not current holds nothing that anybody was told of.
        for begun in store.generations():
            store.drop(begun)
        about = about_of(encoder, precision=precision, passages=passages)
        return cls(store, store.open(store.create(about)), encoder, device)

    @classmethod
    def open(
        cls,
        url: str,
        model: str | SentenceTransformer | None = None,
        *,
        generation: str | None = None,
        device: str | None = None,
    ) -> Index:
        """The index at ``url``; ``model`` None: the one it was made with, loaded when a text is searched.

        ``generation``: another than the current one. Raises StoreError where there is none, or the model's
        fingerprint is not that of the index.
        """
        store = open_store(url)
        named = generation or store.current()
        if named is None:
            store.close()
            raise StoreError(f"{store.url}: there is no index here; make one with `sbert-triplet index`")
        index = cls(store, store.open(named), None, device)
        if model is not None:
            try:
                index._take(Encoder.of(model, device=device))
            except BaseException:
                index.close()
                raise
        return index

    @property
    def about(self) -> About:
        """Fingerprint and name of the model, dimensions, precision, similarity, passages."""
        return self._collection.about

    @property
    def exact(self) -> bool:
        """Whether a search compares with every passage; else it goes through a graph and may miss some."""
        return self._collection.exact

    def upsert(
        self,
        documents: Iterable[Document],
        *,
        acknowledged: Acknowledged | None = None,
        batch: int = BATCH,
    ) -> Upserted:
        """Add documents, or replace those of the same id; unchanged ones are not embedded again.

        ``acknowledged`` is called with the ids of each batch once they outlast a kill. Call ``settle`` after
        many. Raises DataError for a document that cannot be kept.
        """
        return ingest(documents, self._collection, self.encoder, acknowledged=acknowledged, batch=batch)

    def delete(self, ids: Sequence[str]) -> int:
        """Remove documents; how many of them there were."""
        return self._collection.delete(list(ids))

    def search(self, queries: Sequence[str], k: int = 10, where: Where | None = None) -> list[list[Hit]]:
        """The (at most) k nearest documents of each query, best first; equal scores in the order of ids.

        ``where``: conditions on metadata (``search.filters``). Raises InputError for one that is none.
        """
        conditions = conditions_of(where)
        if not queries:
            return []
        return self._hits(self.embed_queries(queries), k, conditions)

    def search_embeddings(
        self, embeddings: FloatMatrix, k: int = 10, where: Where | None = None
    ) -> list[list[Hit]]:
        """As ``search``, of embeddings (Q, D) that the index's own model made of queries.

        Raises InputError for another width, or values that are not finite.
        """
        return self._hits(embeddings, k, conditions_of(where))

    def embed_queries(self, queries: Sequence[str]) -> FloatMatrix:
        """(Q, D) embeddings for ``search_embeddings``, with the model's prompt for queries."""
        return self.encoder.queries(queries)

    @property
    def encoder(self) -> Encoder:
        """The model, loaded on first use. Raises StoreError where its fingerprint is another by now."""
        if self._encoder is None:
            if not self.about.model:
                raise StoreError(f"{self.store.url}: it does not know where its model lies; name the model")
            self._take(Encoder.of(self.about.model, device=self._device))
        assert self._encoder is not None
        return self._encoder

    def count(self) -> Count:
        """Documents and passages."""
        return self._collection.count()

    def settle(self) -> None:
        """After many upserts: make searches fast, where the store has something to build."""
        self._collection.settle()

    def verify(self) -> list[str]:
        """Read everything and compare it with its digests; what is wrong, in words."""
        return self._collection.verify()

    def close(self) -> None:
        """Let go of files and connections."""
        self._collection.close()
        self.store.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take(self, encoder: Encoder) -> None:
        if encoder.fingerprint != self.about.fingerprint:
            raise StoreError(
                f"{self.store.url}: its embeddings were made by another model ({self.about.model}, "
                f"fingerprint {self.about.fingerprint[:12]}) than {encoder.name or 'this one'} "
                f"({encoder.fingerprint[:12]}), and "
                "embeddings of two models cannot be compared: name the model of the index, or re-embed with "
                "`sbert-triplet index MODEL CORPUS --store URL --migrate`"
            )
        self._encoder = encoder

    def _hits(self, embeddings: FloatMatrix, k: int, conditions: Sequence[Condition]) -> list[list[Hit]]:
        if k < 1:
            raise InputError(f"k is {k}; it must be 1 or more")
        rows = prepared(embeddings, self.about.similarity)
        if rows.shape[1] != self.about.dimensions:
            raise InputError(
                f"embeddings of {rows.shape[1]} dimensions cannot be compared with those of the index, which "
                f"have {self.about.dimensions}"
            )
        cut = self.about.passages.tokens is not None
        wanted = k * _PASSAGES_A_DOCUMENT if cut else k
        found = self._collection.search(rows, wanted, conditions)
        hits = [best_passages(some, k) for some in found]
        while cut and (short := _short(found, hits, wanted, k)):
            wanted *= 4
            for place, some in zip(
                short, self._collection.search(rows[short], wanted, conditions), strict=True
            ):
                found[place], hits[place] = some, best_passages(some, k)
        return hits


def about_of(encoder: Encoder, *, precision: str = "fp32", passages: Cut | None = None) -> About:
    """What an index of this model's embeddings says of itself."""
    return About(
        encoder.fingerprint,
        encoder.name,
        encoder.dimensions,
        precision=precision,
        similarity=encoder.similarity,
        passages=passages or Cut(),
    )


def best_passages(found: Sequence[Found], k: int) -> list[Hit]:
    """The k best documents by their best passages; equal scores in the order of ids."""
    best: dict[str, Hit] = {}
    for one in sorted(found, key=lambda one: (-one.score, one.record.id, one.record.passage.number)):
        record = one.record
        if record.id not in best:
            best[record.id] = Hit(record.id, one.score, record.text, record.metadata, record.passage)
    return list(best.values())[:k]


def _short(found: Sequence[Sequence[Found]], hits: Sequence[Sequence[Hit]], wanted: int, k: int) -> list[int]:
    """The queries that passages of few documents answered, though there may be more."""
    return [
        place
        for place, (some, documents) in enumerate(zip(found, hits, strict=True))
        if len(documents) < k and len(some) >= wanted
    ]
