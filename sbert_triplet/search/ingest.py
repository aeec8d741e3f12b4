"""Documents into a collection: in batches, each of which is acknowledged as a whole."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sbert_triplet.errors import DataError
from sbert_triplet.search.encoder import Encoder
from sbert_triplet.search.passages import Cutter
from sbert_triplet.search.store import Collection, Metadata, Record

BATCH = 512
"""Documents that are read, embedded and written at a time; with passages, one batch may write several."""
RESERVED = "sbert_triplet:"
"""What no key of metadata begins with: stores keep their own values under such names."""


@dataclass(frozen=True)
class Document:
    """What is indexed. ``id``: any text, kept verbatim; another document of the same id replaces it."""

    id: str
    text: str
    metadata: Metadata = field(default_factory=dict)


@dataclass(frozen=True)
class Upserted:
    """What an upsert did: documents embedded, their passages, and documents that were there already."""

    documents: int = 0
    passages: int = 0
    unchanged: int = 0

    def __add__(self, other: Upserted) -> Upserted:
        return Upserted(
            self.documents + other.documents,
            self.passages + other.passages,
            self.unchanged + other.unchanged,
        )


Acknowledged = Callable[[Sequence[str]], None]
"""Called with the ids of documents that outlast a kill from then on."""


def ingest(
    documents: Iterable[Document],
    collection: Collection,
    encoder: Encoder,
    *,
    acknowledged: Acknowledged | None = None,
    batch: int = BATCH,
) -> Upserted:
    """Embed and write what is not there yet; of a repeated id the last one counts.

    What an earlier call wrote before it was stopped is not embedded again. Memory holds one batch.
    Raises DataError for a document that cannot be kept, by its place among all, from 1.
    """
    cutter, done, first = Cutter(encoder.model, collection.about.passages), Upserted(), 1
    for some in _batches(documents, batch):
        for place, document in enumerate(some, start=first):
            refuse_unkeepable(document, place)
        first += len(some)
        last = {document.id: document for document in some}
        done += _written(list(last.values()), collection, encoder, cutter)
        if acknowledged is not None:
            acknowledged(list(last))
    return done


def digest_of(text: str, metadata: Metadata) -> str:
    """32 hexadecimal digits over text and metadata of a document."""
    content = json.dumps([text, sorted(metadata.items())], ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def refuse_unkeepable(document: Document, place: int) -> None:
    """Raise DataError for what no store could give back as it was."""
    where = f"document {place:,}"
    for name, text in (("id", document.id), ("text", document.text)):
        if not isinstance(text, str):
            raise DataError(f"{where}: its {name} is {text!r}; it must be a text")
        refuse_surrogates(text, f"{where}: its {name}")
    if not document.id:
        raise DataError(f"{where}: its id is empty")
    for key, value in document.metadata.items():
        if not isinstance(key, str) or not key or key.startswith(RESERVED):
            raise DataError(
                f"{where}: {key!r} cannot be a key of metadata; a key is a text, not empty, and does "
                f"not begin with {RESERVED}"
            )
        refuse_surrogates(key, f"{where}: a key of its metadata")
        if isinstance(value, str):
            refuse_surrogates(value, f"{where}: its metadata {key!r}")
        elif isinstance(value, float) and not math.isfinite(value):
            raise DataError(f"{where}: its metadata {key!r} is {value}; leave it out")
        elif isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
            raise DataError(f"{where}: its metadata {key!r} is beyond 64 bits; give it as a text")
        elif not isinstance(value, str | int | float | bool):
            raise DataError(
                f"{where}: its metadata {key!r} is {value!r}; a value is a text, a number, true or false"
            )


def refuse_surrogates(text: str, what: str) -> None:
    """Raise DataError for a text that UTF-8 cannot hold."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{what} holds a lone surrogate (half of a UTF-16 character); repair it") from error


def plain_metadata(values: Mapping[str, object]) -> Metadata:
    """Those values of a row that metadata can hold: nulls are left out, dates become texts (ISO 8601)."""
    found: dict[str, str | int | float | bool] = {}
    for key, value in values.items():
        if isinstance(value, str | bool | int):
            found[key] = value
        elif isinstance(value, float):
            if math.isfinite(value):
                found[key] = value
        elif (spelled := getattr(value, "isoformat", None)) is not None:
            found[key] = spelled()
    return found


def _written(documents: list[Document], collection: Collection, encoder: Encoder, cutter: Cutter) -> Upserted:
    there = collection.digests([document.id for document in documents])
    digests = {document.id: digest_of(document.text, document.metadata) for document in documents}
    wanted = [document for document in documents if there.get(document.id) != digests[document.id]]
    unchanged = len(documents) - len(wanted)
    if not wanted:
        return Upserted(unchanged=unchanged)
    records = [
        Record(
            document.id,
            passage,
            document.text[passage.start : passage.end],
            dict(document.metadata),
            digests[document.id],
        )
        for document, passages in zip(wanted, cutter([one.text for one in wanted]), strict=True)
        for passage in passages
    ]
    embeddings = encoder.passages([record.text for record in records])
    collection.upsert(records, embeddings)
    return Upserted(len(wanted), len(records), unchanged)


def _batches(documents: Iterable[Document], size: int) -> Iterator[list[Document]]:
    some: list[Document] = []
    for document in documents:
        some.append(document)
        if len(some) == size:
            yield some
            some = []
    if some:
        yield some
