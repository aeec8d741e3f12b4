"""Real servers on loopback, and stores of each kind."""

from __future__ import annotations

import importlib.util
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from sbert_triplet.encoding.tiny import tiny_encoder
from sbert_triplet.search.store import About, Passage, Record

REQUIRED = "SBERT_TRIPLET_REQUIRE_SERVERS"
"""Set where no server may be missing: what would be skipped fails."""
INSTALL = 'pip install -e ".[test]"'
WORDS = ("rain", "bread", "trains", "chess", "moss", "paint", "salt", "maps", "bees", "glass", "river")


def missing(what: str) -> NoReturn:
    """Skip with the reason, or fail where ``REQUIRED`` is set."""
    reason = f"{what}; install it: {INSTALL}"
    if os.environ.get(REQUIRED):
        pytest.fail(reason)
    pytest.skip(reason)


def _module(file: Path) -> Any:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


servers = _module(Path(__file__).resolve().parents[2] / "eval" / "search_servers.py")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server with pgvector."""
    try:
        with servers.postgres() as url:
            yield url
    except servers.MissingError as error:
        missing(str(error))


@pytest.fixture(scope="session")
def chroma() -> Iterator[str]:
    """HOST:PORT of a Chroma server."""
    try:
        with servers.chroma() as address:
            yield address
    except servers.MissingError as error:
        missing(str(error))


@pytest.fixture
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """The URL of a store of a kind in which there is nothing yet."""
    return new_url_in(request, tmp_path)


def new_url_in(request: pytest.FixtureRequest, folder: Path) -> Callable[[str], str]:
    """As the fixture ``new_url``, with files in ``folder``."""

    def url(kind: str) -> str:
        name = f"t{uuid.uuid4().hex[:12]}"
        if kind == "postgresql":
            return str(servers.with_table(request.getfixturevalue("postgres"), name))
        if kind == "chroma":
            return f"chroma://{request.getfixturevalue('chroma')}/{name}"
        package = {"qdrant": "qdrant_client"}.get(kind, kind)
        try:
            __import__(package)
        except ImportError:
            missing(f"no {kind} ({package} is missing)")
        return f"{kind}:{folder / name}"

    return url


@pytest.fixture(scope="session")
def encoder() -> SentenceTransformer:
    """A tiny random encoder of 32 dimensions, cosine."""
    return tiny_encoder(WORDS)


@pytest.fixture(scope="session")
def other_encoder() -> SentenceTransformer:
    """Another one, of other random weights."""
    return tiny_encoder(WORDS, seed=14)


def about(dimensions: int = 8, **given: object) -> About:
    return About("f" * 64, "some-model", dimensions, **given)  # type: ignore[arg-type]


def unit(rows: int, dimensions: int = 8, seed: int = 1) -> np.ndarray:
    """(rows, dimensions) float32 of length 1."""
    drawn = np.random.default_rng(seed).standard_normal((rows, dimensions)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def record(id: str, text: str = "a text", number: int = 0, /, **metadata: object) -> Record:
    from sbert_triplet.search.ingest import digest_of

    passage = Passage(number, 0, len(text))
    return Record(id, passage, text, metadata, digest_of(text, metadata))  # type: ignore[arg-type]
