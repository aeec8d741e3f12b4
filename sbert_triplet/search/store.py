"""What a store of passages can do, and what it is given: the interface behind every URL.

A store holds *generations* of one index: collections of passages, each made by one model. One of them is
current, the one that searches read. A migration makes another beside it and switches in one step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sbert_triplet.errors import StoreError as StoreError
from sbert_triplet.search.filters import Condition

FloatMatrix: TypeAlias = NDArray[np.float32]
Value: TypeAlias = str | int | float | bool
Metadata: TypeAlias = Mapping[str, Value]

PRECISIONS = ("fp32", "fp16", "int8", "binary")
"""What an embedding is kept in; int8 and binary are searched first and put in order by a finer form."""


@dataclass(frozen=True)
class Cut:
    """How documents are cut into passages: at most ``tokens`` each, of which ``overlap`` stand in two.

    ``tokens`` None: not at all, and what the encoder does not read of a long document is not searched.
    """

    tokens: int | None = None
    overlap: int = 0


@dataclass(frozen=True)
class About:
    """What an index says of itself.

    ``fingerprint``: of the model that made the embeddings. ``model``: the name or folder that it was loaded
    from. ``similarity``: the model's own, by its name in sentence-transformers; larger is closer in every
    score. ``precision``: one of ``PRECISIONS``.
    """

    fingerprint: str
    model: str
    dimensions: int
    precision: str = "fp32"
    similarity: str = "cosine"
    passages: Cut = field(default_factory=Cut)

    def as_json(self) -> dict[str, Any]:
        """As plain values, for a store to keep."""
        return asdict(self)

    @classmethod
    def of_json(cls, given: Mapping[str, Any]) -> About:
        """What ``as_json`` gave. Raises StoreError for anything else."""
        try:
            known = {one.name: given[one.name] for one in fields(cls)}
            return cls(**{**known, "passages": Cut(**known["passages"])})
        except (KeyError, TypeError) as error:
            raise StoreError(
                "the store says nothing of its index that this version understands: it was made by another "
                "version or program; name another place in --store"
            ) from error


@dataclass(frozen=True)
class Passage:
    """Part ``number`` of a document: its characters ``start`` to ``end``, all of them where it is not cut."""

    number: int
    start: int
    end: int


@dataclass(frozen=True)
class Record:
    """A passage as a store keeps it.

    ``id``: the document's, verbatim, any text without lone surrogates. ``text``: the passage's.
    ``metadata`` and ``digest`` (over text and metadata) are the whole document's, alike in all its passages.
    """

    id: str
    passage: Passage
    text: str
    metadata: Metadata
    digest: str


@dataclass(frozen=True)
class Found:
    """A passage and how similar it is; larger is closer."""

    record: Record
    score: float


@dataclass(frozen=True)
class Count:
    """How much there is."""

    documents: int
    passages: int


class Collection(Protocol):
    """The passages of one generation.

    Calls may come from several threads. Each raises StoreError where the store fails.
    """

    about: About

    @property
    def exact(self) -> bool:
        """Whether ``search`` compares with every passage now, rather than going through a graph."""

    def upsert(self, records: Sequence[Record], embeddings: FloatMatrix) -> None:
        """Put all passages of some documents in the place of those that there were: all of them, or none.

        ``embeddings``: (n, D), finite; under cosine of length 1. When it returns, they outlast a kill of this
        process and of the machine. Every passage of a document is in the same call.
        """

    def delete(self, ids: Sequence[str]) -> int:
        """Remove documents, all or none; how many of them there were."""

    def search(self, queries: FloatMatrix, k: int, conditions: Sequence[Condition] = ()) -> list[list[Found]]:
        """The (at most) k nearest passages of each of Q queries (Q, D), best first, that meet all conditions.

        Scores are cosine, dot product, or the negated distance, by ``about.similarity``.
        """

    def digests(self, ids: Sequence[str]) -> dict[str, str]:
        """``Record.digest`` of those of the documents that are there."""

    def embeddings(self, ids: Sequence[str]) -> dict[tuple[str, int], NDArray[np.float32]]:
        """(D,) embeddings by document and number of passage, as far as the precision keeps them."""

    def count(self) -> Count:
        """Documents and passages."""

    def settle(self) -> None:
        """After many upserts: build or extend what makes searches fast. It may be stopped at any time."""

    def verify(self) -> list[str]:
        """Read everything and compare it with its digests; what is wrong, in words."""

    def close(self) -> None:
        """Let go of files and connections."""


class Store(Protocol):
    """The generations of the index at one URL."""

    url: str
    """As it may be shown: without a password."""
    precisions: tuple[str, ...]
    """Which of ``PRECISIONS`` it can keep."""

    def generations(self) -> list[str]:
        """The names of all that are there, in the order in which they were made."""

    def current(self) -> str | None:
        """The one that searches read; None where there is none yet."""

    def create(self, about: About) -> str:
        """Make an empty generation and give its name; the first one is current at once.

        Raises StoreError for a precision or similarity that the store does not have.
        """

    def open(self, generation: str) -> Collection:
        """Open it. Raises StoreError where it is not there or damaged."""

    def switch(self, generation: str) -> None:
        """Make it current, in one step: a search sees the one or the other."""

    def drop(self, generation: str) -> None:
        """Remove one that is not current."""

    def close(self) -> None:
        """Let go of files and connections."""
