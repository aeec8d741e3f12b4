"""Errors as OpenAI's API words them: ``{"error": {"message", "type", "param", "code"}}``."""

from __future__ import annotations

import json
from collections.abc import Mapping

TYPES = {401: "authentication_error", 408: "timeout_error", 429: "rate_limit_error"}


class ApiError(Exception):
    """An answer other than 200. ``param``: the field of the request that is wrong; ``code``: a fixed word."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.headers = dict(headers or {})

    def body(self) -> bytes:
        """JSON in OpenAI's shape."""
        kind = TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return json.dumps({"error": error}).encode()


def overloaded(what: str, seconds: int) -> ApiError:
    """503 for now: ``what`` is full, and ``seconds`` is when it is worth another try."""
    headers = {"Retry-After": str(max(seconds, 1))}
    return ApiError(503, f"{what}; try again in {max(seconds, 1)} s", code="overloaded", headers=headers)
