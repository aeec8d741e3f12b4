"""What every request passes before a route sees it: host, key, and a body of a bounded size."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from sbert_triplet.search.server.keys import Keys, host_of, is_loopback
from sbert_triplet.search.server.limits import Limits
from sbert_triplet.search.server.metrics import Metrics
from sbert_triplet.search.server.problems import ApiError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

DRAINED = 16
"""How many times the largest body is read and thrown away, so that its sender reads the answer."""
HEADERS = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer", "cache-control": "no-store"}


class _GoneError(Exception):
    """The client left before its request was whole."""


class Guard:
    """ASGI middleware.

    ``open_paths``: those that want no key. ``loopback_only``: the request must name this machine as its
    host, so that no page of elsewhere that was given our address by its own DNS can read answers.
    """

    def __init__(
        self,
        app: App,
        *,
        limits: Limits,
        keys: Keys,
        metrics: Metrics,
        routes: frozenset[str],
        open_paths: frozenset[str],
        loopback_only: bool,
    ) -> None:
        self._app, self._limits, self._keys, self._metrics = app, limits, keys, metrics
        self._routes, self._open, self._loopback_only = routes, open_paths, loopback_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        answer = _Answer(send)
        try:
            headers = dict(scope["headers"])
            self._check(scope["path"], headers)
            body = await self._body(headers, receive)
            await self._app(scope, _Replayed(body, receive), answer)
        except ApiError as error:
            await answer.error(error)
        except _GoneError:
            answer.status = 499
        finally:
            path = scope["path"]
            route = path if path in self._routes else "other"
            self._metrics.requests.labels(route, str(answer.status)).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - began)

    def _check(self, path: str, headers: dict[bytes, bytes]) -> None:
        if self._loopback_only:
            named = headers.get(b"host", b"").decode("latin-1")
            if not is_loopback(host_of(named)):
                raise ApiError(
                    400, "the Host header names another machine than this one", param="host", code="bad_host"
                )
        if self._keys and path not in self._open and not self._keys.admit(headers.get(b"authorization")):
            raise ApiError(
                401,
                "a key is needed: send `Authorization: Bearer KEY`"
                if b"authorization" not in headers
                else "this key is not known",
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )

    async def _body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        largest, announced = self._limits.body_bytes, int(headers.get(b"content-length", b"0") or 0)
        too_large = ApiError(
            413,
            f"the body is larger than {largest:,} bytes; send fewer texts at a time",
            code="body_too_large",
            headers={"Connection": "close"},
        )
        if announced > largest and (announced > DRAINED * largest or b"expect" in headers):
            raise too_large
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _GoneError
            part = message.get("body", b"")
            size, more = size + len(part), message.get("more_body", False)
            if size <= largest:
                parts.append(part)
            else:
                parts.clear()
                if size > DRAINED * largest:
                    break
        if size > largest:
            raise too_large
        return b"".join(parts)


class _Replayed:
    """The body as one message, then whatever the client does."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        return await self._receive()


class _Answer:
    """``send`` with headers that every answer has."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 500
        self._begun = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self._begun = message["status"], True
            there = {name.lower() for name, _ in message["headers"]}
            more = [
                (name.encode(), value.encode())
                for name, value in HEADERS.items()
                if name.encode() not in there
            ]
            message = {**message, "headers": [*message["headers"], *more]}
        await self._send(message)

    async def error(self, error: ApiError) -> None:
        """An answer in OpenAI's shape, unless another has begun."""
        if self._begun:
            return
        body = error.body()
        headers = {"content-type": "application/json", "content-length": str(len(body)), **error.headers}
        pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await self({"type": "http.response.start", "status": error.status, "headers": pairs})
        await self({"type": "http.response.body", "body": body})
