"""Which encoders are given packs: those whose packed and padded embeddings are equal."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Router
from torch import nn

from sbert_triplet.encoding import probe
from sbert_triplet.encoding.attention import NotPackableError
from sbert_triplet.encoding.encode import encode
from sbert_triplet.encoding.forward import sentence_embeddings
from sbert_triplet.encoding.probe import why_not_packed
from sbert_triplet.encoding.tiny import tiny_encoder
from sbert_triplet.encoding.tokenise import Tokeniser
from sbert_triplet.encoding.tokens import TokenTable

Table = Callable[..., TokenTable]


class Leak(nn.Module):
    """Every token takes a little from the one before it, also across the border of two texts."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, features: dict[str, Any]) -> dict[str, Any]:
        tokens = features["token_embeddings"]
        features["token_embeddings"] = tokens + self.share * tokens.roll(1, dims=1)
        return features


def leaking(encoder: SentenceTransformer, share: float) -> SentenceTransformer:
    return SentenceTransformer(modules=[encoder[0], Leak(share), Pooling(32, "cls")], device="cpu")


def test_an_ordinary_encoder_is_given_packs(
    encoder: SentenceTransformer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert why_not_packed(encoder) == ""
    assert not caplog.records


def test_an_encoder_is_tried_once_and_a_fallback_said_once(
    encoder: SentenceTransformer, table: Table, caplog: pytest.LogCaptureFixture
) -> None:
    model, calls = leaking(encoder, 1.0), []
    model[0].register_forward_pre_hook(lambda *_: calls.append(1))
    with caplog.at_level(logging.WARNING):
        reasons = {why_not_packed(model), why_not_packed(model), table(model).why_not_packed}
    assert len(calls) == 2
    (reason,) = reasons
    assert reason.startswith("its embeddings would change")
    assert [record.getMessage() for record in caplog.records] == [
        f"texts are encoded in padded groups of like length, not packed: {reason}"
    ]


@pytest.mark.parametrize(("share", "packs"), [(0.0, True), (1e-6, True), (1e-2, False)])
def test_what_crosses_the_border_of_texts_is_noticed(
    encoder: SentenceTransformer, share: float, packs: bool
) -> None:
    assert (why_not_packed(leaking(encoder, share)) == "") is packs


def test_a_fallback_gives_the_same_embeddings(
    encoder: SentenceTransformer, texts: list[str], table: Table
) -> None:
    # One by one: in a padded row the first token takes from padding.
    model = leaking(encoder, 1.0)
    found = encode(model, table(model), "text", np.arange(len(texts)), budget=1)
    np.testing.assert_allclose(found, model.encode(texts, batch_size=1), atol=1e-6)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (NotPackableError("its attention takes softcap"), "its attention takes softcap"),
        (RuntimeError("shape"), "the encoder does not take packs (RuntimeError)"),
    ],
)
def test_an_encoder_that_fails_on_a_pack_says_why(
    encoder: SentenceTransformer, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    def failing(model: nn.Module, features: dict[str, Any]) -> torch.Tensor:
        if "cu_seq_lens_q" in features:
            raise error
        return sentence_embeddings(model, features)

    monkeypatch.setattr(probe, "sentence_embeddings", failing)
    assert why_not_packed(encoder) == reason


def test_an_encoder_that_never_asks_for_attention_is_not_packed(encoder: SentenceTransformer) -> None:
    class Bag(nn.Module):
        """Token embeddings alone: packs would do, and there is nothing to gain."""

        def __init__(self) -> None:
            super().__init__()
            self.config = encoder[0].model.config
            self.embeddings = encoder[0].model.embeddings.word_embeddings

        def forward(self, input_ids: torch.Tensor, **_: Any) -> dict[str, torch.Tensor]:
            return {"last_hidden_state": self.embeddings(input_ids)}

    encoder[0].model = Bag()
    assert "does not look up its attention" in why_not_packed(encoder)


def test_rounding_under_autocast_is_no_reason(minilm: SentenceTransformer, table: Table) -> None:
    # Under autocast its packed and padded embeddings are some 4e-3 apart.
    model = copy.deepcopy(minilm)
    tokens = table(model)
    encode(model, tokens, "text", np.arange(2), precision="bf16")
    assert tokens.why_not_packed == ""


def test_gradient_checkpointing_computes_again_where_borders_are_gone(encoder: SentenceTransformer) -> None:
    encoder[0].model.activation_checkpointing_enable()
    assert why_not_packed(encoder) == "gradient checkpointing is on"


def test_each_route_is_tried(texts: list[str]) -> None:
    query, document = (tiny_encoder(texts, seed=seed) for seed in (1, 2))
    routes = {
        "query": [query[0], query[1]],
        "document": [document[0], Leak(1.0), Pooling(32, "cls")],
    }
    for tasks, packs in (((None, "query"), True), (("query", "document"), False)):
        model = SentenceTransformer(modules=[Router(copy.deepcopy(routes), default_route="query")])
        assert (why_not_packed(model, tasks) == "") is packs


@pytest.mark.parametrize("training", [False, True])
def test_nothing_is_left_behind(encoder: SentenceTransformer, training: bool) -> None:
    encoder.train(training)
    configuration = encoder[0].model.config
    before, implementation = configuration.to_dict(), configuration._attn_implementation
    torch.manual_seed(5)
    state = torch.get_rng_state()
    modules = [dict(vars(module)) for module in encoder.modules()]
    assert why_not_packed(encoder) == ""
    assert torch.equal(torch.get_rng_state(), state)
    assert (configuration.to_dict(), configuration._attn_implementation) == (before, implementation)
    assert encoder.training is training
    assert [dict(vars(module)) for module in encoder.modules()] == modules


def test_rows_reach_beyond_a_sliding_window_and_keep_their_frame(encoder: SentenceTransformer) -> None:
    tokenizer = encoder.tokenizer
    for window, longest in ((None, 26), (20, 38), (500, 26), (100, encoder.max_seq_length)):
        encoder[0].model.config.sliding_window = window
        rows = probe._rows(encoder)
        assert rows.lengths.tolist() == [3, longest, 11]
        ends = np.cumsum(rows.lengths)
        assert (rows.tokens[ends - 1] == tokenizer.sep_token_id).all()
        assert (rows.tokens[ends - rows.lengths] == tokenizer.cls_token_id).all()
        inner = np.isin(rows.tokens, [tokenizer.cls_token_id, tokenizer.sep_token_id])
        assert inner.sum() == 6
        assert not np.isin(rows.tokens, [tokenizer.pad_token_id, tokenizer.mask_token_id]).any()


def test_rows_of_a_model_that_packs_its_inputs_itself(
    encoder: SentenceTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As sentence-transformers does where flash attention was chosen: no mask, but borders."""
    wanted = probe._rows(encoder)
    preprocess = encoder.preprocess

    def flattened(texts: list[str], **options: Any) -> dict[str, Any]:
        features = preprocess(texts, **options)
        mask = features.pop("attention_mask").bool()
        ends = torch.cat([torch.zeros(1, dtype=torch.int64), mask.sum(1).cumsum(0)])
        flat = {
            name: value[mask][None] for name, value in features.items() if isinstance(value, torch.Tensor)
        }
        return {**flat, "cu_seq_lens_q": ends}

    monkeypatch.setattr(encoder, "preprocess", flattened)
    monkeypatch.setattr(Tokeniser, "_fast", lambda self: None)
    found = probe._rows(encoder)
    np.testing.assert_array_equal(found.tokens, wanted.tokens)
    np.testing.assert_array_equal(found.lengths, wanted.lengths)


def test_a_trainers_wrapper_in_half_precision_changes_nothing(minilm: SentenceTransformer) -> None:
    model = copy.deepcopy(minilm)
    plain = model.forward

    def wrapped(*given: Any, **named: Any) -> Any:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return plain(*given, **named)

    vars(model)["forward"] = wrapped
    assert why_not_packed(model) == ""
    assert vars(model)["forward"] is wrapped
