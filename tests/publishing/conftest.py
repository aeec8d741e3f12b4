"""Small models of every shape that a published folder may have."""

from __future__ import annotations

import copy
import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling
from torch import nn

from sbert_triplet.encoding.tiny import tiny_encoder
from sbert_triplet.training.fold import with_bilinear, with_metric

TEXTS = ["hello world", "how do I return a parcel", "query: a word", "naïve café", "", "word " * 200]
WIDTH = 32


def dense(size_in: int, size_out: int, *, bias: bool = True, activation: nn.Module | None = None) -> Dense:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return Dense(size_in, size_out, bias=bias, activation_function=activation or nn.Tanh())


@pytest.fixture(scope="session")
def tiny() -> SentenceTransformer:
    return tiny_encoder(TEXTS)


SHAPES: dict[str, Callable[[SentenceTransformer], SentenceTransformer]] = {
    "mean and Normalize": lambda tiny: tiny,
    "mean": lambda tiny: _of(tiny, Pooling(WIDTH, "mean")),
    "cls": lambda tiny: _of(tiny, Pooling(WIDTH, "cls"), Normalize()),
    "max": lambda tiny: _of(tiny, Pooling(WIDTH, "max")),
    "last token": lambda tiny: _of(tiny, Pooling(WIDTH, "lasttoken"), Normalize()),
    "Dense": lambda tiny: _of(tiny, Pooling(WIDTH, "mean"), dense(WIDTH, 12), Normalize()),
    "Dense without bias": lambda tiny: with_metric(tiny, torch.eye(8, WIDTH) * 3),
    "prompts": lambda tiny: _of(
        tiny, Pooling(WIDTH, "mean"), prompts={"query": "query: ", "document": "passage: "}
    ),
    "a default prompt": lambda tiny: _of(
        tiny, Pooling(WIDTH, "cls"), prompts={"query": "query: "}, default_prompt_name="query"
    ),
    "Euclidean": lambda tiny: _of(tiny, Pooling(WIDTH, "mean"), similarity_fn_name="euclidean"),
    "fewer dimensions": lambda tiny: _of(tiny, Pooling(WIDTH, "mean"), Normalize(), truncate_dim=10),
    "a shorter length": lambda tiny: _shorter(tiny),
}
"""Models by what is special about them."""


def _of(tiny: SentenceTransformer, *modules: nn.Module, **settings: object) -> SentenceTransformer:
    return SentenceTransformer(modules=[tiny[0], *modules], device="cpu", **settings)  # type: ignore[arg-type]


def _shorter(tiny: SentenceTransformer) -> SentenceTransformer:
    made = copy.deepcopy(tiny)
    made.max_seq_length = 9
    return made


@pytest.fixture
def routed(tiny: SentenceTransformer) -> SentenceTransformer:
    """Queries and documents part ways after the encoder."""
    return with_bilinear(tiny, torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(3)))


@pytest.fixture(params=list(SHAPES))
def model(request: pytest.FixtureRequest, tiny: SentenceTransformer) -> SentenceTransformer:
    """Every shape in turn."""
    return SHAPES[request.param](tiny)


@pytest.fixture
def every_model(tiny: SentenceTransformer) -> dict[str, SentenceTransformer]:
    """All shapes by name."""
    return {name: make(tiny) for name, make in SHAPES.items()}


@pytest.fixture
def texts() -> list[str]:
    """Texts, of which the last but one is empty and the last beyond every limit."""
    return list(TEXTS)


TOKEN = "hf_secretsecretsecretsecretsecretsecret"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A ``StandIn`` of hub_stand_in.py; the client neither waits nor looks elsewhere."""
    monkeypatch.setattr("huggingface_hub._commit_api.is_xet_available", lambda: False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)
    started = hub_stand_in().StandIn(TOKEN)
    yield started
    started.stop()


def hub_stand_in() -> Any:
    """The module beside this one, which is none of an installed package."""
    spec = importlib.util.spec_from_file_location("hub_stand_in", Path(__file__).with_name("hub_stand_in.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Its data classes look themselves up there.
    sys.modules["hub_stand_in"] = module
    spec.loader.exec_module(module)
    return module
