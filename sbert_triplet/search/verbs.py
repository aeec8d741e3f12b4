"""What the verbs ``index`` and ``search`` do, with lines and progress for people."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from sbert_triplet.data.wording import times
from sbert_triplet.errors import InputError
from sbert_triplet.search.documents import Corpus, read_corpus, read_queries
from sbert_triplet.search.filters import parse_where
from sbert_triplet.search.index import Hit, Index
from sbert_triplet.search.migration import Moves, begin, moves, switch
from sbert_triplet.search.store import Cut, StoreError
from sbert_triplet.search.stores import open_store

Say = Callable[[str], None]
Progress = Callable[[str, int, int], None]
_SHOWN_QUERIES = 10
_SHOWN_CHARACTERS = 160


@dataclass(frozen=True)
class Wanted:
    """What ``index`` is asked for; columns as of ``read_corpus``, None for what an index has already."""

    url: str
    model: str
    corpus: str
    id: str | None = None
    text: str | None = None
    metadata: tuple[str, ...] | None = None
    precision: str | None = None
    passages: Cut | None = None
    device: str | None = None


def fill(wanted: Wanted, *, say: Say, progress: Progress) -> None:
    """Make the index, or bring it up to date: documents that are new or changed are embedded."""
    corpus = _corpus(wanted, say)
    store = open_store(wanted.url)
    there = store.current() is not None
    store.close()
    if there:
        index = Index.open(wanted.url, wanted.model, device=wanted.device)
        _refuse_other_form(index, wanted)
    else:
        index = Index.create(
            wanted.url,
            wanted.model,
            precision=wanted.precision or "fp32",
            passages=wanted.passages,
            device=wanted.device,
        )
    with index:
        _load(index, corpus, say, progress)


def migrate(
    wanted: Wanted, queries: str | None, *, at_once: bool = False, say: Say, progress: Progress
) -> None:
    """Embed for a new model beside the old one, show what moves, and switch where that is wanted."""
    corpus = _corpus(wanted, say)
    with begin(
        wanted.url,
        wanted.model,
        precision=wanted.precision,
        passages=wanted.passages,
        device=wanted.device,
    ) as after:
        _load(after, corpus, say, progress)
        if queries is not None:
            with Index.open(wanted.url, device=wanted.device) as before:
                for line in told(moves(before, after, read_queries(queries))):
                    say(line)
    if at_once:
        turn(wanted.url, say=say)
    else:
        say("Searches still read the old one. To switch: sbert-triplet index --store URL --switch")


def turn(url: str, *, say: Say) -> None:
    """Switch to the other generation."""
    before, after = switch(url)
    say(
        f"Searches read the embeddings of {after.model or after.fingerprint[:12]}, in place of those of "
        f"{before.model or before.fingerprint[:12]}. To switch back: the same command"
    )


def verified(url: str, *, say: Say) -> None:
    """Read everything. Raises StoreError where something is damaged."""
    with Index.open(url) as index:
        found = index.verify()
        count = index.count()
        if found:
            for line in found[:_SHOWN_QUERIES]:
                say(line)
            raise StoreError(f"{index.store.url}: {times(len(found), 'fault', 'faults')}")
        say(f"{_counted(count.documents, count.passages)}: everything is as it was written")


def look_up(
    url: str,
    queries: Sequence[str],
    *,
    model: str | None = None,
    k: int = 10,
    where: Sequence[str] = (),
    as_json: bool = False,
    device: str | None = None,
    say: Say,
) -> None:
    """Search, and print what is found: for people, or as one JSON object a query."""
    conditions = parse_where(where)
    with Index.open(url, model, device=device) as index:
        for query, hits in zip(queries, index.search(queries, k, conditions), strict=True):
            if as_json:
                found = {"query": query, "hits": [asdict(hit) for hit in hits]}
                say(json.dumps(found))
                continue
            if len(queries) > 1:
                say(f"{query}")
            for place, hit in enumerate(hits, start=1):
                say(f"{place:>3}  {hit.score:.4f}  {hit.id}  {_short(hit)}")
            if not hits:
                say("nothing found" if conditions else "the index is empty")


def told(moved: Sequence[Moves]) -> list[str]:
    """What moves, in words: the mean, and the first few queries with what came and went."""
    if not moved:
        return ["No queries, and so nothing to compare"]
    kept = sum(one.stayed for one in moved) / max(sum(len(one.before) for one in moved), 1)
    same = sum(one.before == one.after for one in moved)
    lines = [
        f"Of the nearest documents of {times(len(moved), 'query', 'queries')}, {100 * kept:.0f} % stay; "
        f"{same:,} queries keep them in the same order"
    ]
    for one in moved[:_SHOWN_QUERIES]:
        lines.append(f"  {one.query}")
        steps = [(id, one.moved(id)) for id in one.after]
        lines.append("    " + ", ".join(f"{id} ({_step(step)})" for id, step in steps))
    return lines


def _step(step: int | None) -> str:
    if step is None:
        return "new"
    return "=" if step == 0 else f"{step:+d}"


def _corpus(wanted: Wanted, say: Say) -> Corpus:
    corpus = read_corpus(wanted.corpus, id=wanted.id, text=wanted.text, metadata=wanted.metadata)
    say(corpus.sentence)
    return corpus


def _load(index: Index, corpus: Corpus, say: Say, progress: Progress) -> None:
    done = 0

    def acknowledged(ids: Sequence[str]) -> None:
        nonlocal done
        done += len(ids)
        progress("indexing", done, len(corpus))

    upserted = index.upsert(corpus, acknowledged=acknowledged)
    index.settle()
    count = index.count()
    say(
        f"Indexed: {times(upserted.documents, 'document', 'documents')} embedded, {upserted.unchanged:,} "
        f"unchanged; {index.store.url} holds {_counted(count.documents, count.passages)} of "
        f"{index.about.dimensions} dimensions in {index.about.precision}, "
        f"{'compared one by one' if index.exact else 'searched through a graph'}"
    )


def _refuse_other_form(index: Index, wanted: Wanted) -> None:
    about = index.about
    for option, asked, there in (
        ("--precision", wanted.precision, about.precision),
        ("--passage-tokens", wanted.passages, about.passages),
    ):
        if asked is not None and asked != there:
            index.close()
            raise InputError(
                f"{index.store.url}: the index was made with another {option}; leave it out, or make "
                "the change with --migrate"
            )


def _counted(documents: int, passages: int) -> str:
    named = times(documents, "document", "documents")
    return named if passages == documents else f"{named} in {passages:,} passages"


def _short(hit: Hit) -> str:
    text = " ".join(hit.text.split())
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
