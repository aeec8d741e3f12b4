"""``/search``, and the same for the page: an index's documents for queries."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response
from pydantic_core import to_json

from sbert_triplet.errors import InputError, StoreError
from sbert_triplet.search.filters import conditions_of, parse_where
from sbert_triplet.search.index import Hit, Index
from sbert_triplet.search.server.embeddings import checked_texts
from sbert_triplet.search.server.problems import ApiError, overloaded
from sbert_triplet.search.server.served import ServedModel
from sbert_triplet.search.server.shapes import PageSearch, SearchRequest, Vote, read

if TYPE_CHECKING:
    from sbert_triplet.search.server.app import Service

WAITING = 64
"""Searches of a store that may wait for each other; beyond, 503."""


@dataclass(frozen=True)
class SearchedIndex:
    """An index and what its lists are called."""

    name: str
    index: Index
    served: ServedModel


class Searcher:
    """Searches of stores, in threads, so many at a time."""

    def __init__(self, service: Service, at_once: int = 4) -> None:
        self._service, self._turn, self._waiting = service, asyncio.Semaphore(at_once), 0

    async def __call__(
        self, one: SearchedIndex, queries: list[str], k: int, where: dict[str, Any]
    ) -> list[list[Hit]]:
        """The hits of each query. Raises ApiError."""
        if self._waiting >= WAITING:
            raise overloaded("too many searches wait", 1)
        found = await self._service.batcher.embed(one.served, "query", queries)
        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(one.index.search_embeddings, found.embeddings, k, where)
        except StoreError as error:
            raise ApiError(503, f"the store failed: {error}", code="store_failed") from error
        finally:
            self._waiting -= 1


def routes(service: Service) -> APIRouter:
    """The routes."""
    router = APIRouter()
    searcher = Searcher(service)

    @router.post("/search")
    async def search(request: Request) -> Response:
        asked = read(SearchRequest, request.headers, await request.body())
        one = _named(service.indexes, asked.index)
        queries = checked_texts(asked.query, service.limits.queries, service.limits.text_characters, "query")
        where = _where(asked.where, asked.filters)
        lists = await searcher(one, queries, _few(asked.k, service.limits.results), where)
        least = asked.threshold
        results = [
            {
                "query": query,
                "hits": [_shown(hit) for hit in hits if least is None or hit.score >= least],
            }
            for query, hits in zip(queries, lists, strict=True)
        ]
        return _json({**_described(one), "results": results})

    @router.post("/page/search")
    async def page_search(request: Request) -> Response:
        asked = read(PageSearch, request.headers, await request.body())
        order = list(service.indexes)
        if not order:
            raise _no_index()
        if not asked.query.strip():
            raise ApiError(422, "query: nothing is asked", param="query", code="empty")
        texts = checked_texts(asked.query, 1, service.limits.text_characters, "query")
        k, where = _few(asked.k, service.limits.results), _where({}, asked.filters)
        blind = asked.blind and len(order) == 2
        if blind:
            random.SystemRandom().shuffle(order)
        lists = await asyncio.gather(*(searcher(one, texts, k, where) for one in order))
        shown = [
            {**({} if blind else _described(one)), "hits": [_shown(hit, scored=not blind) for hit in hits[0]]}
            for one, hits in zip(order, lists, strict=True)
        ]
        ballot = service.ballots.issue(texts[0], k, asked.filters, order) if blind else None
        return _json({"lists": shown, "ballot": ballot})

    @router.get("/page/about")
    async def about() -> Response:
        described = await asyncio.to_thread(lambda: [_counted(one) for one in service.indexes])
        return _json({"indexes": described, "votes": service.ballots.count()})

    @router.post("/page/vote")
    async def vote(request: Request) -> Response:
        asked = read(Vote, request.headers, await request.body())
        return _json({"votes": service.ballots.cast(asked.ballot, asked.choice)})

    @router.get("/page/votes")
    async def votes() -> Response:
        return _json(service.ballots.counted(service.indexes))

    return router


def _named(indexes: Sequence[SearchedIndex], name: str | None) -> SearchedIndex:
    if not indexes:
        raise _no_index()
    for one in indexes:
        if name in (None, one.name):
            return one
    names = ", ".join(one.name for one in indexes)
    raise ApiError(
        404, f"index: there is no such index here; there is {names}", param="index", code="not_found"
    )


def _no_index() -> ApiError:
    return ApiError(
        404,
        "this server has a model and no index: make one with `sbert-triplet index`, and serve its URL",
        code="no_index",
    )


def _where(where: dict[str, Any], filters: list[str]) -> dict[str, Any]:
    try:
        conditions_of(where)
        parsed = parse_where(filters)
    except InputError as error:
        raise ApiError(
            422, str(error).replace("--where", "filters:"), param="where", code="bad_filter"
        ) from error
    if both := set(where) & set(parsed):
        raise ApiError(
            422, f"where and filters both have {sorted(both)[0]}", param="where", code="bad_filter"
        )
    return where | parsed


def _few(k: int, most: int) -> int:
    if k > most:
        raise ApiError(
            422, f"k: {k:,}, and {most:,} documents are allowed", param="k", code="too_many_results"
        )
    return k


def _described(one: SearchedIndex) -> dict[str, Any]:
    about = one.index.about
    return {
        "index": one.name,
        "model": one.served.name,
        "similarity": about.similarity,
        "precision": about.precision,
        "exact": one.index.exact,
    }


def _counted(one: SearchedIndex) -> dict[str, Any]:
    return {**_described(one), "documents": one.index.count().documents}


def _shown(hit: Hit, *, scored: bool = True) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": hit.id, "text": hit.text, "metadata": dict(hit.metadata)}
    if scored:
        shown["score"] = hit.score
    shown["passage"] = {"number": hit.passage.number, "start": hit.passage.start, "end": hit.passage.end}
    return shown


def _json(content: Any) -> Response:
    return Response(to_json(content), media_type="application/json")
