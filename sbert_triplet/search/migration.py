"""From one model to another: a second generation beside the first, what moves, and the switch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sentence_transformers import SentenceTransformer

from sbert_triplet.errors import InputError
from sbert_triplet.search.encoder import Encoder
from sbert_triplet.search.index import Hit, Index, about_of
from sbert_triplet.search.store import About, Cut, Store, StoreError
from sbert_triplet.search.stores import open_store


@dataclass(frozen=True)
class Moves:
    """What the nearest documents of a query are before and after: ids, best first."""

    query: str
    before: tuple[str, ...]
    after: tuple[str, ...]

    @property
    def stayed(self) -> int:
        """How many of those before are among those after."""
        return len(set(self.before) & set(self.after))

    @property
    def came(self) -> tuple[str, ...]:
        """Those that were not there before."""
        return tuple(id for id in self.after if id not in self.before)

    def moved(self, id: str) -> int | None:
        """By how many places a document went up (below 0: down); None where it was not there before."""
        return self.before.index(id) - self.after.index(id) if id in self.before else None


def begin(
    url: str,
    model: str | SentenceTransformer,
    *,
    precision: str | None = None,
    passages: Cut | None = None,
    device: str | None = None,
) -> Index:
    """The generation to fill for ``model``, beside the current one, which goes on being searched.

    One that an earlier call began for the same model is gone on with; another one that is not current is
    dropped. ``precision`` and ``passages``: by default those of the current one. Raises StoreError where
    there is no index yet.
    """
    store = open_store(url)
    current = store.current()
    if current is None:
        store.close()
        raise StoreError(f"{store.url}: there is no index to migrate; leave --migrate out to make one")
    now = _about(store, current)
    encoder = Encoder.of(model, device=device)
    wanted = about_of(encoder, precision=precision or now.precision, passages=passages or now.passages)
    if _alike(now, wanted):
        store.close()
        raise InputError(
            f"{store.url}: the index is of this very model already ({encoder.fingerprint[:12]}), with the "
            "same precision and passages; there is nothing to migrate"
        )
    name = _prepared(store, current, wanted)
    return Index(store, store.open(name), encoder, device)


def other(store: Store) -> str | None:
    """The generation that is not current: the one before the last switch, or the next one."""
    current = store.current()
    return next((name for name in reversed(store.generations()) if name != current), None)


def switch(url: str) -> tuple[About, About]:
    """Make the other generation current, in one step; a second call switches back. What was, and what is.

    Raises StoreError where there is no other one.
    """
    store = open_store(url)
    try:
        current, wanted = store.current(), other(store)
        if current is None or wanted is None:
            raise StoreError(f"{store.url}: there is one generation only, and nothing to switch to")
        before, after = _about(store, current), _about(store, wanted)
        store.switch(wanted)
        return before, after
    finally:
        store.close()


def moves(before: Index, after: Index, queries: Sequence[str], k: int = 10) -> list[Moves]:
    """How the k nearest documents of each query move from one index to the other."""
    pairs = zip(queries, before.search(queries, k), after.search(queries, k), strict=True)
    return [Moves(query, _ids(old), _ids(new)) for query, old, new in pairs]


def _prepared(store: Store, current: str, wanted: About) -> str:
    for name in store.generations():
        if name == current:
            continue
        if _alike(_about(store, name), wanted):
            return name
        store.drop(name)
    return store.create(wanted)


def _about(store: Store, generation: str) -> About:
    collection = store.open(generation)
    try:
        return collection.about
    finally:
        collection.close()


def _alike(one: About, two: About) -> bool:
    """Whether both have the same embeddings of the same passages, whatever the model is called."""
    parts = [(each.fingerprint, each.precision, each.passages) for each in (one, two)]
    return parts[0] == parts[1]


def _ids(hits: Sequence[Hit]) -> tuple[str, ...]:
    return tuple(hit.id for hit in hits)
