"""What transformers is given for the time of a call, and what it finds afterwards."""

from __future__ import annotations

from threading import Event, Thread
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn
from transformers import BertConfig
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from sbert_triplet.encoding.attention import (
    NAME,
    NotPackableError,
    attention_configurations,
    packed_attention,
    within_borders,
)
from sbert_triplet.encoding.borders import Borders, Rule, Scope
from sbert_triplet.encoding.kernels import attend


def module(**given: Any) -> nn.Module:
    made = nn.Module()
    vars(made).update(given)
    return made


def parts(batch: int = 1, tokens: int = 5, keys: int = 5) -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(batch, 2, count, 4) for count in (tokens, keys, keys)]


def configured() -> nn.Module:
    encoder, part = nn.Module(), nn.Module()
    encoder.config = BertConfig(attn_implementation="eager")
    part.config = BertConfig(attn_implementation="sdpa")
    encoder.part, encoder.again = part, nn.Module()
    encoder.again.config = part.config
    return encoder


def test_it_is_found_by_name() -> None:
    assert ALL_ATTENTION_FUNCTIONS[NAME] is packed_attention


@pytest.mark.parametrize("error", [False, True])
def test_configurations_are_as_before(error: bool) -> None:
    encoder = configured()
    configurations = attention_configurations(encoder)
    assert configurations == [encoder.config, encoder.part.config]
    try:
        with within_borders(encoder, Borders((3, 2))):
            assert [each._attn_implementation for each in configurations] == [NAME, NAME]
            if error:
                raise KeyError
    except KeyError:
        assert error
    assert [each._attn_implementation for each in configurations] == ["eager", "sdpa"]
    with pytest.raises(NotPackableError, match="outside of a pack"):
        packed_attention(module(), *parts(), None)


def test_within_other_borders_for_a_while() -> None:
    encoder, outer, inner = configured(), Borders((3, 2)), Borders((1, 4))
    with within_borders(encoder, outer):
        with within_borders(encoder, inner):
            packed_attention(module(), *parts(), None)
        assert encoder.config._attn_implementation == NAME
        packed_attention(module(), *parts(), None)
        packed_attention(module(), *parts(), None)
    assert (outer.asked, inner.asked) == (2, 1)


@pytest.mark.parametrize("owner", [None, False, True])
@pytest.mark.parametrize("told", [None, False, True])
@pytest.mark.parametrize("window", [None, 2])
def test_the_rule_is_what_the_layer_says(owner: bool | None, told: bool | None, window: int | None) -> None:
    layer = module() if owner is None else module(is_causal=owner)
    query, key, value = parts()
    with within_borders(nn.Module(), Borders((3, 2))):
        found, weights = packed_attention(
            layer, query, key, value, None, scaling=0.3, is_causal=told, sliding_window=window
        )
    causal = told if told is not None else owner if owner is not None else True
    rule = Rule(Scope(causal, None if window is None else 1), scale=0.3)
    flat = [part[0].transpose(0, 1) for part in (query, key, value)]
    assert weights is None
    assert found.shape == (1, 5, 2, 4)
    assert torch.equal(found[0], attend(*flat, Borders((3, 2)), rule))


@pytest.mark.parametrize("name", ["position_bias", "softcap", "s_aux", "cache", "head_mask"])
def test_other_scores_are_refused(name: str) -> None:
    with within_borders(nn.Module(), Borders((3, 2))):
        with pytest.raises(NotPackableError, match=f"takes {name}"):
            packed_attention(module(), *parts(), None, **{name: 1.0})
        packed_attention(module(), *parts(), None, **{name: None})


def test_other_tokens_and_masks_are_refused() -> None:
    with within_borders(nn.Module(), Borders((3, 2))):
        with pytest.raises(NotPackableError, match="mask of its own"):
            packed_attention(module(), *parts(), torch.ones(1, 1, 5, 5))
        with pytest.raises(NotPackableError, match="mask of its own"):
            packed_attention(module(), *parts(batch=2), None)
        for tokens, keys in ((5, 4), (4, 4), (4, 5)):
            with pytest.raises(NotPackableError, match="not between the tokens"):
                packed_attention(module(), *parts(tokens=tokens, keys=keys), None)


def test_an_encoder_of_sentence_transformers_has_one_configuration(encoder: SentenceTransformer) -> None:
    assert attention_configurations(encoder) == [encoder[0].model.config]


def test_threads_wait_for_each_other() -> None:
    encoder, order = configured(), []
    inside, free = Event(), Event()

    def first() -> None:
        with within_borders(encoder, Borders((3, 2))):
            inside.set()
            free.wait(10)
            order.append("first")

    def second() -> None:
        inside.wait(10)
        with within_borders(encoder, Borders((1,))):
            order.append("second")

    threads = [Thread(target=first), Thread(target=second)]
    for thread in threads:
        thread.start()
    threads[1].join(0.2)
    assert order == []
    free.set()
    for thread in threads:
        thread.join(10)
    assert order == ["first", "second"]
    assert encoder.config._attn_implementation == "eager"


def test_gradient_checkpointing_is_refused_in_training() -> None:
    encoder = configured()
    encoder.part.gradient_checkpointing = True
    with (
        pytest.raises(NotPackableError, match="gradient checkpointing"),
        within_borders(encoder, Borders((3, 2))),
    ):
        pass
    with within_borders(encoder.eval(), Borders((3, 2))):
        pass
