"""The token table: one row of tokens for each text and form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Router, StaticEmbedding
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from sbert_triplet.encoding.tiny import tiny_encoder
from sbert_triplet.encoding.tokens import Form, Side, TokenTable, form_of
from sbert_triplet.errors import ModelError

Table = Callable[..., TokenTable]
QUICK = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_without_prompts_all_sides_share_one_form(encoder: SentenceTransformer, table: Table) -> None:
    tokens = table(encoder)
    assert tokens.forms == 1
    assert {tokens.form(side) for side in get_args(Side)} == {0}


def test_a_prompt_makes_a_form_of_its_own(encoder: SentenceTransformer, table: Table) -> None:
    encoder.prompts = {"query": "question: ", "document": ""}
    tokens = table(encoder)
    assert tokens.forms == 2
    assert tokens.form("document") == tokens.form("text") != tokens.form("query")


@pytest.mark.parametrize(
    ("prompts", "default", "expected"),
    [
        ({}, None, (None, None, None)),
        ({"query": "q: "}, None, ("q: ", None, None)),
        ({"query": "", "document": ""}, None, (None, None, None)),
        ({"query": "q: ", "passage": "p: "}, None, ("q: ", "p: ", None)),
        ({"document": "d: ", "passage": "p: ", "corpus": "c: "}, None, (None, "d: ", None)),
        ({"corpus": "c: "}, None, (None, "c: ", None)),
        ({"topic": "t: "}, "topic", ("t: ", "t: ", "t: ")),
        ({"query": "", "topic": "t: "}, "topic", (None, "t: ", "t: ")),
    ],
)
def test_the_prompt_of_each_side(
    encoder: SentenceTransformer,
    prompts: dict[str, str],
    default: str | None,
    expected: tuple[str | None, ...],
) -> None:
    encoder.prompts, encoder.default_prompt_name = prompts, default
    found = tuple(form_of(encoder, side) for side in ("query", "document", "text"))
    assert found == tuple(Form(prompt, None) for prompt in expected)


def test_routes_are_forms_even_without_prompts(texts: list[str]) -> None:
    one, other = tiny_encoder(texts), tiny_encoder(texts, seed=2)
    router = Router.for_query_document([one[0], one[1]], [other[0], other[1]])
    model = SentenceTransformer(modules=[router])
    tokens = TokenTable(model, lambda ids: [texts[number] for number in ids])
    assert form_of(model, "query") == Form(None, "query")
    assert form_of(model, "document") == Form(None, "document")
    assert tokens.form("query") != tokens.form("document")
    assert form_of(model, "left") == form_of(model, "right") == form_of(model, "text") == Form(None, None)
    ids = np.array([0, 1])
    tokens.add("document", ids)
    assert tokens.features(tokens.form("document"), ids)["task"] == "document"


@QUICK
@given(st.lists(st.lists(st.integers(0, 9), max_size=6), min_size=1, max_size=6))
def test_added_in_several_calls_as_in_one(
    encoder: SentenceTransformer, table: Table, calls: list[list[int]]
) -> None:
    piecewise, at_once = table(encoder), table(encoder)
    for ids in calls:
        piecewise.add("text", np.array(ids, dtype=np.int64))
    every = np.unique(np.concatenate([np.array(ids, dtype=np.int64) for ids in calls]))
    at_once.add("text", every)
    np.testing.assert_array_equal(piecewise.lengths(0, every), at_once.lengths(0, every))
    for number in every:
        one = piecewise.features(0, np.array([number]))
        other = at_once.features(0, np.array([number]))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_each_text_is_tokenised_once(encoder: SentenceTransformer, texts: list[str]) -> None:
    asked: list[int] = []

    def read(ids: Sequence[int]) -> list[str]:
        asked.extend(ids)
        return [texts[number] for number in ids]

    tokens = TokenTable(encoder, read)
    for ids in ([3, 1, 3], [1, 4], [4, 3, 1], []):
        tokens.add("text", np.array(ids, dtype=np.int64))
    assert sorted(asked) == [1, 3, 4]


def test_sides_of_one_form_are_tokenised_once(encoder: SentenceTransformer, texts: list[str]) -> None:
    asked: list[int] = []

    def read(ids: Sequence[int]) -> list[str]:
        asked.extend(ids)
        return [texts[number] for number in ids]

    tokens = TokenTable(encoder, read)
    tokens.add("query", np.array([0, 1]))
    tokens.add("document", np.array([1, 2]))
    assert asked == [0, 1, 2]


def test_features_are_those_of_the_tokenizer(
    encoder: SentenceTransformer, texts: list[str], table: Table
) -> None:
    tokens, ids = table(encoder), np.array([4, 2, 1, 7])
    tokens.add("text", ids)
    found = tokens.features(0, ids)
    expected = encoder.preprocess([texts[number] for number in ids])
    for name in ("input_ids", "attention_mask", "token_type_ids"):
        assert torch.equal(found[name], expected[name])


def test_features_know_the_length_of_the_prompt(encoder: SentenceTransformer, table: Table) -> None:
    encoder.prompts = {"query": "the cat: "}
    tokens = table(encoder)
    tokens.add("query", np.array([1]))
    tokens.add("text", np.array([1]))
    expected = encoder.preprocess(["a dog"], prompt="the cat: ")["prompt_length"]
    assert tokens.features(tokens.form("query"), np.array([1]))["prompt_length"] == expected
    assert "prompt_length" not in tokens.features(tokens.form("text"), np.array([1]))


def test_lengths_are_counted_after_the_limit(encoder: SentenceTransformer, table: Table) -> None:
    tokens = table(encoder)
    ids = np.array([2, 3, 7])
    tokens.add("text", ids)
    assert tokens.lengths(0, ids).tolist() == [2, 3, 64]
    assert tokens.max_length == 64


def test_what_a_limit_cuts_off_is_counted(
    encoder: SentenceTransformer, texts: list[str], table: Table
) -> None:
    encoder.prompts = {"query": "the cat: "}
    encoder.max_seq_length = 8
    tokens, ids = table(encoder), np.array([1, 7, 4, 7])
    for side, prompt in (("query", "the cat: "), ("text", "")):
        tokens.add(side, ids)
        form = tokens.form(side)
        uncut = [len(encoder.tokenizer(prompt + texts[number])["input_ids"]) for number in ids]
        assert tokens.full_lengths(form, ids).tolist() == uncut
        found = tokens.truncation(form, ids)
        assert found == (4, 3, sum(uncut), sum(full - min(full, 8) for full in uncut))
        assert found.texts_share == 0.75
        assert found.tokens_share == pytest.approx(found.lost / found.tokens)
    assert tokens.truncation(0, ids[:0]).tokens_share == 0


def test_inputs_are_made_in_turn(encoder: SentenceTransformer, texts: list[str], table: Table) -> None:
    tokens, ids = table(encoder), np.arange(len(texts))
    tokens.add("text", ids)
    every = tokens.inputs(0, ids, 70)
    assert len(every) > 1
    turn = tokens.inputs_in_turn(0, ids, 70)
    for places, features in every:
        chosen, one = next(turn)
        assert chosen.tolist() == places.tolist()
        assert torch.equal(one["input_ids"], features["input_ids"])
    assert next(turn, None) is None


def test_ids_far_apart_need_no_texts_between(encoder: SentenceTransformer) -> None:
    tokens = TokenTable(encoder, lambda ids: [f"cat {number}" for number in ids])
    ids = np.array([1_000_000, 7])
    tokens.add("text", ids)
    alone = encoder.preprocess(["cat 1000000", "cat 7"])
    assert torch.equal(tokens.features(0, ids)["input_ids"], alone["input_ids"])


def test_more_texts_than_are_tokenised_at_a_time(encoder: SentenceTransformer) -> None:
    tokens = TokenTable(encoder, lambda ids: ["dog " * (number % 7) for number in ids])
    ids = np.arange(2500)
    tokens.add("text", ids)
    assert tokens.lengths(0, ids).tolist() == [2 + number % 7 for number in ids]


def test_a_model_without_a_tokenizer_of_texts_is_refused() -> None:
    words = Tokenizer(WordLevel({"[UNK]": 0, "cat": 1}, unk_token="[UNK]"))
    model = SentenceTransformer(modules=[StaticEmbedding(words, embedding_dim=8)])
    with pytest.raises(ModelError, match="transformer encoder"):
        TokenTable(model, lambda ids: [""] * len(ids))
