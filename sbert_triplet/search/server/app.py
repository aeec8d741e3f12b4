"""The application: routes, and around them the guard."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from sbert_triplet.search.server import embeddings, searching
from sbert_triplet.search.server.ballots import Ballots
from sbert_triplet.search.server.batching import Batcher
from sbert_triplet.search.server.guard import Guard
from sbert_triplet.search.server.keys import Keys
from sbert_triplet.search.server.limits import Limits
from sbert_triplet.search.server.metrics import CONTENT_TYPE, Metrics
from sbert_triplet.search.server.problems import ApiError
from sbert_triplet.search.server.searching import SearchedIndex
from sbert_triplet.search.server.served import ServedModel

OPEN_PATHS = frozenset({"/", "/healthz"})


@dataclass
class Service:
    """What the routes work with. ``indexes``: the first one answers ``/search``; with two, the page compares.

    The models of the indexes are among ``models``.
    """

    models: Sequence[ServedModel]
    indexes: Sequence[SearchedIndex] = ()
    limits: Limits = field(default_factory=Limits)
    keys: Keys = field(default_factory=lambda: Keys([]))
    metrics: Metrics = field(default_factory=Metrics)
    votes: Path = Path("votes.jsonl")
    loopback_only: bool = True

    def __post_init__(self) -> None:
        self.batcher = Batcher(self.limits, self.metrics)
        self.ballots = Ballots(self.votes)


def make_app(service: Service) -> Guard:
    """The ASGI application; its life starts and ends the thread that embeds."""

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        service.batcher.start()
        yield
        service.batcher.close()

    # The library's pages of documentation load scripts from elsewhere.
    app = FastAPI(title="sbert-triplet", lifespan=life, docs_url=None, redoc_url=None, openapi_url=None)
    routers = [embeddings.routes(service), searching.routes(service)]
    for router in routers:
        app.include_router(router)
    _add_upkeep(app, service)
    _add_page(app)
    _add_errors(app)
    paths = {route.path for router in routers for route in router.routes if isinstance(route, APIRoute)}
    return Guard(
        app,
        limits=service.limits,
        keys=service.keys,
        metrics=service.metrics,
        routes=OPEN_PATHS | {"/metrics"} | paths,
        open_paths=OPEN_PATHS,
        loopback_only=service.loopback_only,
    )


def page() -> tuple[bytes, str]:
    """The page with style and script in it, and the policy that lets it load and ask nothing else."""
    folder = files(__package__) / "assets"
    style, script, body = (
        (folder / name).read_text(encoding="utf-8") for name in ("style.css", "script.js", "page.html")
    )
    policy = (
        f"default-src 'none'; connect-src 'self'; img-src data:; style-src {_hashed(style)}; "
        f"script-src {_hashed(script)}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return body.replace("$style", style, 1).replace("$script", script, 1).encode(), policy


def _add_upkeep(app: FastAPI, service: Service) -> None:
    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        if not service.batcher.alive:
            raise ApiError(503, "the thread that embeds has ended; start the server again", code="broken")
        return {"status": "ok"}

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type=CONTENT_TYPE)


def _add_page(app: FastAPI) -> None:
    body, policy = page()

    @app.get("/")
    async def root() -> Response:
        return Response(body, media_type="text/html", headers={"Content-Security-Policy": policy})


def _add_errors(app: FastAPI) -> None:
    def answer(error: ApiError) -> Response:
        return Response(error.body(), error.status, error.headers, "application/json")

    @app.exception_handler(ApiError)
    async def known(_: Request, error: ApiError) -> Response:
        return answer(error)

    @app.exception_handler(HTTPException)
    async def routed(request: Request, error: HTTPException) -> Response:
        what = {404: "there is nothing here", 405: f"{request.method} is not for this path"}
        found = ApiError(
            error.status_code, what.get(error.status_code, str(error.detail)), headers=error.headers or {}
        )
        return answer(found)

    @app.exception_handler(Exception)
    async def unknown(_: Request, error: Exception) -> Response:
        return answer(ApiError(500, f"internal error ({type(error).__name__})", code="internal"))


def _hashed(content: str) -> str:
    digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
    return f"'sha256-{digest}'"
