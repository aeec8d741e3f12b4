"""Encoders and texts for the tests of encoding, with the Hub switched off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from sentence_transformers import SentenceTransformer

from sbert_triplet.encoding.loading import load_model
from sbert_triplet.encoding.tiny import tiny_encoder
from sbert_triplet.encoding.tokens import TokenTable

TEXTS = (
    "the cat sat on the mat",
    "a dog",
    "",
    "mat",
    "how do I reset my password when the mail never arrives and the phone is lost?",
    "Ünïcode and ASCII, side by side: 3.14 € — ok",
    "   white space around   ",
    "long " * 300,
    "the cat sat on the mat",
    "prices, dates and other numbers: 2024-01-31, 12,000",
)
Table = Callable[..., TokenTable]


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No look at the Hub, and an empty cache."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture
def texts() -> list[str]:
    """Ten texts: an empty one, one of one word, one beyond any limit, one twice."""
    return list(TEXTS)


@pytest.fixture
def encoder() -> SentenceTransformer:
    """A tiny encoder of 32 dimensions and 64 positions."""
    return tiny_encoder(TEXTS)


@pytest.fixture(scope="session")
def minilm() -> SentenceTransformer:
    """The embedded MiniLM."""
    patch = pytest.MonkeyPatch()
    with patch.context() as offline:
        offline.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        return load_model("sentence-transformers/all-MiniLM-L6-v2", device="cpu")


@pytest.fixture
def table(texts: list[str]) -> Table:
    """Makes the token table of an encoder over ``texts``, whose ids are their positions."""

    def make(model: SentenceTransformer, over: Sequence[str] = texts) -> TokenTable:
        return TokenTable(model, lambda ids: [over[number] for number in ids])

    return make
