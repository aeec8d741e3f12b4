"""uvicorn's protocol with what it lacks: time for headers, bodies and answers, and a bound on connections."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from sbert_triplet.search.server.limits import Limits
from sbert_triplet.search.server.metrics import Metrics
from sbert_triplet.search.server.problems import ApiError, overloaded


class Connections:
    """How many there are, of each address and in all."""

    def __init__(self, limits: Limits, metrics: Metrics) -> None:
        self.limits, self.metrics = limits, metrics
        self._of: Counter[str] = Counter()

    def refusal(self, address: str) -> ApiError | None:
        """Count one more; the answer that it gets instead of a hearing, where it is one too many."""
        self._of[address] += 1
        self.metrics.connections.inc()
        if self._of.total() > self.limits.connections:
            return overloaded("too many connections", 5)
        if self._of[address] > self.limits.connections_per_address:
            return ApiError(
                429,
                f"more than {self.limits.connections_per_address} connections from one address; "
                "use one again, or close some",
                code="too_many_connections",
                headers={"Retry-After": "1"},
            )
        return None

    def closed(self, address: str) -> None:
        """One less."""
        self._of[address] -= 1
        self.metrics.connections.dec()
        if not self._of[address]:
            del self._of[address]


class GuardedProtocol(HttpToolsProtocol):
    """One connection. A subclass by ``guarded_protocol`` knows the others."""

    everyone: Connections

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._limits = self.everyone.limits
        self._address = ""
        self._refusal: ApiError | None = None
        self._phase = "headers"
        """What of a request is awaited: its headers, its body, or nothing before the answer."""
        self._header_bytes = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._address = self.client[0] if self.client else "local"
        self._refusal = self.everyone.refusal(self._address)
        self._arm(self._limits.header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._read_on()
        self.everyone.closed(self._address)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refusal is not None:
            self.everyone.metrics.refused.labels("connections").inc()
            self._answer(self._refusal)
            return
        before = self._phase
        super().data_received(data)
        if self.transport.is_closing():
            self._disarm()
            return
        if self._phase == "headers":
            self._header_bytes += len(data)
            if self._header_bytes > self._limits.header_bytes:
                self._cut_off(ApiError(431, f"headers of more than {self._limits.header_bytes:,} bytes"))
                return
        if self._phase == "answer":
            self._disarm()
        elif self._phase != before or self._deadline is None:
            limits = self._limits
            self._arm(limits.header_seconds if self._phase == "headers" else limits.body_seconds)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(self._limits.answer_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        self._read_on()
        super().resume_writing()

    def on_message_begin(self) -> None:
        self._phase, self._header_bytes = "headers", 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._phase = "body"
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._phase = "answer"
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self._answer(ApiError(400, "this is no HTTP/1.1 request", code="bad_request"))

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._deadline = self.loop.call_later(seconds, self._too_slow)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _read_on(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _too_slow(self) -> None:
        self._deadline = None
        if self._phase == "headers":
            what, seconds = "headers", self._limits.header_seconds
        else:
            what, seconds = "body", self._limits.body_seconds
        self._cut_off(ApiError(408, f"the {what} did not come within {seconds:g} s", code="too_slow"))

    def _cut_off(self, error: ApiError) -> None:
        self._disarm()
        self.everyone.metrics.refused.labels("slow" if error.status == 408 else "size").inc()
        answering = self.cycle is not None and not self.cycle.response_complete
        if answering and (self.cycle.response_started or self._phase == "headers"):
            # Another answer is on its way to this client: nothing may stand in it.
            self.transport.close()
            return
        self._answer(error)

    def _answer(self, error: ApiError) -> None:
        if self.transport.is_closing():
            return
        body = error.body()
        lines = [
            b"content-type: application/json",
            b"connection: close",
            b"content-length: %d" % len(body),
            *(f"{name}: {value}".encode() for name, value in error.headers.items()),
        ]
        self.transport.write(STATUS_LINE[error.status] + b"\r\n".join(lines) + b"\r\n\r\n" + body)
        self.transport.close()


def guarded_protocol(limits: Limits, metrics: Metrics) -> type[GuardedProtocol]:
    """A class for ``uvicorn.Config(http=...)``; its connections are counted together."""
    return type("Guarded", (GuardedProtocol,), {"everyone": Connections(limits, metrics)})
