"""A server in a thread of this process, with a tiny model, and an index of a few documents."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from sentence_transformers import SentenceTransformer

from sbert_triplet.encoding.tiny import tiny_encoder
from sbert_triplet.search.index import Document, Index
from sbert_triplet.search.server.app import Service
from sbert_triplet.search.server.run import configuration
from sbert_triplet.search.server.searching import SearchedIndex
from sbert_triplet.search.server.served import ServedModel

DOCUMENTS = (
    Document("rain", "rain falls on the moss", {"year": 2019, "kind": "weather"}),
    Document("bread", "bread is baked at night", {"year": 2021, "kind": "food"}),
    Document("chess", "chess is played in the park", {"year": 2023, "kind": "game"}),
    Document(
        "../salt", "salt <script>window.hacked = 1</script> & <b>bread</b>", {"year": 2024, "kind": "<i>"}
    ),
)
TEXTS = [document.text for document in DOCUMENTS]


@dataclass
class Running:
    """A server that listens."""

    service: Service
    port: int
    server: uvicorn.Server

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def post(self, path: str, content: Any, **more: Any) -> httpx.Response:
        return httpx.post(self.url + path, json=content, timeout=30, **more)

    def raw(self) -> socket.socket:
        """A connection on which a test says what it wants."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)


Start = Callable[..., Running]


@pytest.fixture(scope="session")
def encoder() -> SentenceTransformer:
    return tiny_encoder(TEXTS)


@pytest.fixture(scope="session")
def served(encoder: SentenceTransformer) -> ServedModel:
    return ServedModel(encoder, "tiny")


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a server of a service; all of them are stopped after the test."""
    started: list[tuple[Running, threading.Thread]] = []

    def begin(service: Service) -> Running:
        listener = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(configuration(service))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        running = Running(service, listener.getsockname()[1], server)
        started.append((running, thread))
        end = time.monotonic() + 30
        while not server.started:
            assert time.monotonic() < end, "the server did not start"
            time.sleep(0.01)
        return running

    yield begin
    for running, thread in started:
        running.server.should_exit = True
        running.server.force_exit = False
        thread.join(30)
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def indexes(
    tmp_path_factory: pytest.TempPathFactory, encoder: SentenceTransformer
) -> Iterator[list[SearchedIndex]]:
    """Of the same documents: one by the tiny encoder, one by another of other weights."""
    folder = tmp_path_factory.mktemp("indexes")
    other = tiny_encoder(TEXTS, seed=14)
    made = []
    for name, model in (("tuned", encoder), ("base", other)):
        index = Index.create(f"faiss:{folder / name}", model)
        index.upsert(DOCUMENTS)
        index.settle()
        made.append(SearchedIndex(name, index, ServedModel(model, f"tiny-{name}")))
    yield made
    for one in made:
        one.index.close()


@pytest.fixture
def searching(start: Start, indexes: list[SearchedIndex], tmp_path: Path) -> Running:
    """A server of two indexes."""
    return start(Service([one.served for one in indexes], indexes, votes=tmp_path / "votes.jsonl"))
