from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling

from sbert_triplet.encoding.agreement import largest_difference
from sbert_triplet.encoding.tiny import tiny_encoder
from sbert_triplet.training.fold import with_bilinear

TEXTS = ["hello world", "how do I return a parcel", ""]


@pytest.fixture(scope="module")
def tiny() -> SentenceTransformer:
    return tiny_encoder(TEXTS)


def moved(model: SentenceTransformer, by: float) -> SentenceTransformer:
    made = copy.deepcopy(model)
    with torch.no_grad():
        next(made.parameters()).add_(by * torch.randn(next(made.parameters()).shape))
    return made


def test_the_same_model(tiny: SentenceTransformer) -> None:
    assert largest_difference(tiny, copy.deepcopy(tiny), TEXTS) == 0.0
    assert largest_difference(tiny, tiny, []) == 0.0


def test_it_is_the_largest_of_all_numbers(tiny: SentenceTransformer) -> None:
    other = moved(tiny, 0.1)
    expected = max(
        abs(float(a) - float(b))
        for text in TEXTS
        for a, b in zip(tiny.encode(text), other.encode(text), strict=True)
    )
    assert largest_difference(tiny, other, TEXTS) == pytest.approx(expected, abs=1e-6)
    assert expected > 1e-3


def test_a_prompt_of_one_side_counts(tiny: SentenceTransformer) -> None:
    modules = [tiny[0], Pooling(32, "mean")]
    plain = SentenceTransformer(modules=modules, device="cpu")
    prompted = SentenceTransformer(modules=modules, device="cpu", prompts={"query": "hello "})
    assert np.array_equal(plain.encode(TEXTS), prompted.encode(TEXTS))
    assert largest_difference(plain, prompted, TEXTS) > 1e-3


def test_routes_count(tiny: SentenceTransformer) -> None:
    one = with_bilinear(tiny, torch.randn(32, 32, generator=torch.Generator().manual_seed(1)))
    two = with_bilinear(tiny, torch.randn(32, 32, generator=torch.Generator().manual_seed(2)))
    assert largest_difference(one, two, TEXTS) > 1e-3
    assert largest_difference(one, copy.deepcopy(one), TEXTS) == 0.0


def test_numbers_that_are_none_and_unequal_sizes(tiny: SentenceTransformer) -> None:
    assert math.isnan(largest_difference(tiny, moved(tiny, math.nan), TEXTS))
    cut = SentenceTransformer(modules=list(tiny.children()), device="cpu", truncate_dim=4)
    with pytest.raises(ValueError, match="embeddings of 32 and of 4 numbers"):
        largest_difference(tiny, cut, TEXTS)
