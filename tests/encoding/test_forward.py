"""The one way into an encoder."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from torch import nn

from sbert_triplet.encoding.attention import NAME
from sbert_triplet.encoding.forward import BORDERS, evaluating, moved, sentence_embeddings
from sbert_triplet.encoding.tokens import TokenTable

Table = Callable[..., TokenTable]


class Wrapped(nn.Module):
    """As wrappers for several devices are: the encoder is their ``module``."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.calls: list[set[str]] = []

    def forward(self, features: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        self.calls.append(set(features))
        assert self.module[0].model.config._attn_implementation == NAME
        result: dict[str, torch.Tensor] = self.module(features)
        return result


def test_a_wrapper_is_entered_and_the_encoder_in_it_attends_within_borders(
    encoder: SentenceTransformer, table: Table
) -> None:
    tokens, ids = table(encoder), np.arange(6)
    tokens.add("text", ids)
    features = tokens.packed(0, ids)
    before, wrapper = dict(features), Wrapped(encoder.eval())
    found = sentence_embeddings(wrapper, features)
    assert torch.equal(found, sentence_embeddings(encoder, features))
    assert len(wrapper.calls) == 1
    assert BORDERS not in wrapper.calls[0]
    assert features.keys() == before.keys()
    assert all(features[name] is before[name] for name in before)


@pytest.mark.parametrize("own", [True, False])
def test_draws_of_dropout_are_ours_or_the_librarys(
    encoder: SentenceTransformer, table: Table, own: bool
) -> None:
    tokens, ids = table(encoder), np.arange(6)
    tokens.add("text", ids)
    features = tokens.features(0, ids)
    torch.manual_seed(0)
    found = sentence_embeddings(encoder.train(), features, own_dropout=own)
    torch.manual_seed(0)
    library = encoder(dict(features))["sentence_embedding"]
    assert torch.equal(found, library) is not own


def test_everything_but_tensors_stays_where_it_is(encoder: SentenceTransformer, table: Table) -> None:
    tokens, ids = table(encoder), np.arange(3)
    tokens.add("text", ids)
    features = tokens.packed(0, ids)
    there = moved(features, torch.device("meta"))
    assert there[BORDERS] is features[BORDERS]
    assert {name for name, value in there.items() if name != BORDERS and value.is_meta} == set(there) - {
        BORDERS
    }


def test_every_module_gets_its_own_mode_back(encoder: SentenceTransformer) -> None:
    encoder.train()
    frozen = encoder[0].model.encoder.layer[0].eval()
    before = [module.training for module in encoder.modules()]
    with evaluating(encoder):
        assert not any(module.training for module in encoder.modules())
    assert [module.training for module in encoder.modules()] == before
    assert not frozen.training
    assert encoder.training
