"""Figures of the server in Prometheus' text format."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """Counted by one server; several in one process do not meet. No text, key or address is a label."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        name = "sbert_triplet_"
        self.requests = Counter(
            f"{name}requests", "Answers by route and status.", ["route", "status"], registry=registry
        )
        self.seconds = Histogram(
            f"{name}request_seconds",
            "From the headers to the end of the answer.",
            ["route"],
            buckets=SECONDS,
            registry=registry,
        )
        self.texts = Counter(f"{name}texts", "Texts embedded.", registry=registry)
        self.tokens = Counter(f"{name}tokens", "Tokens that the encoder read.", registry=registry)
        self.passes = Histogram(
            f"{name}batch_texts", "Texts of a forward pass.", buckets=SIZES, registry=registry
        )
        self.waiting = Gauge(
            f"{name}waiting_texts", "Texts accepted and not yet embedded.", registry=registry
        )
        self.connections = Gauge(f"{name}connections", "Open connections.", registry=registry)
        self.refused = Counter(
            f"{name}connections_refused", "Connections refused or cut off.", ["reason"], registry=registry
        )

    def text(self) -> bytes:
        """All of it."""
        return generate_latest(self._registry)
