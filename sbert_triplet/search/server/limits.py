"""What a client may ask of the server, and how long it may take over it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bytes, counts and seconds; the answer to what is beyond is in parentheses."""

    body_bytes: int = 4 << 20
    """Of one request (413)."""
    header_bytes: int = 32 << 10
    """Of request line and headers (431)."""
    texts: int = 2048
    """Of one request (422)."""
    text_characters: int = 200_000
    """Of one text (422)."""
    tokens: int = 262_144
    """Of one request, counted without what the encoder cuts off (413)."""
    results: int = 100
    """Documents that one search may ask for (422)."""
    queries: int = 32
    """Of one search (422)."""
    connections_per_address: int = 256
    """Open at a time (429)."""
    connections: int = 2048
    """Of all addresses together (503)."""
    waiting_texts: int = 16_384
    """Texts accepted and not yet embedded (503)."""
    waiting_characters: int = 64 << 20
    """Characters of these (503)."""
    header_seconds: float = 10.0
    """From the first byte, or from the connection, to the end of the headers (408)."""
    body_seconds: float = 30.0
    """From the end of the headers to the end of the body (408)."""
    answer_seconds: float = 120.0
    """From the whole request to the embeddings (503), and again for the client to take the answer."""
    idle_seconds: int = 30
    """Between two requests of a connection; then it is closed."""
    stop_seconds: int = 30
    """For requests in flight once the server is asked to stop."""
