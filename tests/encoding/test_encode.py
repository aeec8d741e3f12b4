"""Embeddings by id are those of sentence-transformers by text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Router

from sbert_triplet.encoding.encode import autocast, encode, group_tokens
from sbert_triplet.encoding.tiny import tiny_encoder
from sbert_triplet.encoding.tokens import Side, TokenTable

CLOSE = {"atol": 1e-6, "rtol": 0}
SIDES: tuple[Side, ...] = ("query", "document", "text")


def by_library(model: SentenceTransformer, side: Side, texts: list[str]) -> np.ndarray:
    call: Any = {
        "query": model.encode_query,
        "document": model.encode_document,
        "text": model.encode,
    }[side]
    found: np.ndarray = call(texts)
    return found


def assert_equal_to_library(
    model: SentenceTransformer, texts: list[str], budgets: tuple[int, ...] = (1, 100, 5000)
) -> None:
    ids = np.arange(len(texts))
    for side in SIDES:
        expected = by_library(model, side, texts)
        for budget in budgets:
            table = TokenTable(model, lambda ids: [texts[number] for number in ids])
            found = encode(model, table, side, ids, budget=budget)
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, expected, **CLOSE)


@pytest.mark.parametrize("pooling", ["mean", "cls", "max", "lasttoken", "weightedmean", ("cls", "mean")])
def test_equal_for_every_pooling(encoder: SentenceTransformer, texts: list[str], pooling: Any) -> None:
    assert_equal_to_library(SentenceTransformer(modules=[encoder[0], Pooling(32, pooling)]), texts)


@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize(
    "prompts",
    [
        {"query": "question: "},
        {"query": "question: ", "document": "text of the page: "},
        {"query": "", "passage": "passage: "},
        {"document": "document: ", "corpus": "never used: "},
    ],
)
def test_equal_with_prompts(
    encoder: SentenceTransformer, texts: list[str], prompts: dict[str, str], include: bool
) -> None:
    encoder.prompts = prompts
    encoder.set_pooling_include_prompt(include)
    assert_equal_to_library(encoder, texts, budgets=(300,))


@pytest.mark.parametrize("include", [True, False])
def test_equal_with_a_default_prompt(encoder: SentenceTransformer, texts: list[str], include: bool) -> None:
    encoder.prompts = {"query": "question: ", "topic": "topic of it: "}
    encoder.default_prompt_name = "topic"
    encoder.set_pooling_include_prompt(include)
    assert_equal_to_library(encoder, texts, budgets=(300,))


def test_prompts_change_what_is_compared(encoder: SentenceTransformer, texts: list[str]) -> None:
    plain = encoder.encode(texts)
    encoder.prompts = {"query": "question: ", "document": ""}
    with_prompt = encoder.encode_query(texts)
    encoder.set_pooling_include_prompt(False)
    without_pooling = encoder.encode_query(texts)
    assert np.abs(with_prompt - plain).max() > 1e-3
    assert np.abs(without_pooling - with_prompt).max() > 1e-3
    np.testing.assert_array_equal(encoder.encode_document(texts), plain)


def test_equal_when_dimensions_are_cut(encoder: SentenceTransformer, texts: list[str]) -> None:
    encoder.truncate_dim = 8
    assert_equal_to_library(encoder, texts)


def test_equal_with_a_dense_head(encoder: SentenceTransformer, texts: list[str]) -> None:
    torch.manual_seed(0)
    modules = [encoder[0], Pooling(32, "mean"), Dense(32, 12), Normalize()]
    assert_equal_to_library(SentenceTransformer(modules=modules), texts)


def test_equal_with_a_route_for_each_side(texts: list[str]) -> None:
    query, document = (tiny_encoder(texts, seed=seed) for seed in (1, 2))
    router = Router.for_query_document(
        query_modules=[query[0], query[1]], document_modules=[document[0], document[1]], default_route="query"
    )
    model = SentenceTransformer(modules=[router, Normalize()])
    assert np.abs(model.encode_query(texts) - model.encode_document(texts)).max() > 1e-2
    assert_equal_to_library(model, texts)


def test_equal_for_the_embedded_model(minilm: SentenceTransformer, texts: list[str]) -> None:
    found = encode(
        minilm, TokenTable(minilm, lambda ids: [texts[number] for number in ids]), "text", np.arange(10)
    )
    np.testing.assert_allclose(found, minilm.encode(texts), **CLOSE)


def test_equal_after_saving_and_loading_with_a_shorter_limit(
    encoder: SentenceTransformer, texts: list[str], tmp_path: Path
) -> None:
    encoder.max_seq_length = 7
    encoder.save_pretrained(str(tmp_path / "saved"))
    assert_equal_to_library(SentenceTransformer(str(tmp_path / "saved"), device="cpu"), texts)


def test_rows_are_in_the_order_of_the_ids(
    encoder: SentenceTransformer, texts: list[str], table: Callable[..., TokenTable]
) -> None:
    ids = np.array([9, 0, 4, 4, 2, 9])
    found = encode(encoder, table(encoder), "text", ids)
    np.testing.assert_allclose(found, encoder.encode([texts[number] for number in ids]), **CLOSE)


def test_a_text_of_many_places_is_encoded_once(
    encoder: SentenceTransformer,
    table: Callable[..., TokenTable],
    token_rows: Callable[..., list[list[int]]],
) -> None:
    tokens, passed = table(encoder), []
    assert not tokens.why_not_packed
    encoder[0].register_forward_pre_hook(lambda _, inputs: passed.append(len(token_rows(inputs[0]))))
    encode(encoder, tokens, "text", np.array([5, 1, 5, 5, 1, 0]))
    assert passed == [3]


def test_progress_ends_with_the_number_of_distinct_texts(
    encoder: SentenceTransformer, table: Callable[..., TokenTable]
) -> None:
    calls: list[tuple[int, int]] = []
    encode(
        encoder,
        table(encoder),
        "text",
        np.array([0, 1, 1, 4]),
        budget=1,
        progress=lambda *call: calls.append(call),
    )
    assert calls == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("cut", [None, 8])
def test_no_ids_give_an_empty_matrix_of_the_right_width(
    encoder: SentenceTransformer, table: Callable[..., TokenTable], cut: int | None
) -> None:
    encoder.truncate_dim = cut
    assert encode(encoder, table(encoder), "text", np.zeros(0, dtype=np.int64)).shape == (0, cut or 32)


@pytest.mark.parametrize("training", [True, False])
def test_dropout_is_off_meanwhile_and_no_gradient_is_kept(
    encoder: SentenceTransformer, table: Callable[..., TokenTable], training: bool
) -> None:
    encoder.train(training)
    ids = np.arange(4)
    first, second = (encode(encoder, table(encoder), "text", ids) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert encoder.training is training
    assert all(parameter.grad is None for parameter in encoder.parameters())


def test_the_mode_is_put_back_after_an_error(
    encoder: SentenceTransformer, table: Callable[..., TokenTable]
) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    encoder.train()
    with pytest.raises(KeyboardInterrupt):
        encode(encoder, table(encoder), "text", np.arange(3), progress=stop)
    assert encoder.training


def test_bf16_is_close_but_not_the_same(
    encoder: SentenceTransformer, table: Callable[..., TokenTable]
) -> None:
    ids = np.arange(6)
    exact = encode(encoder, table(encoder), "text", ids)
    rough = encode(encoder, table(encoder), "text", ids, precision="bf16")
    assert rough.dtype == np.float32
    assert 0 < np.abs(rough - exact).max() < 0.05


def test_autocast_of_fp32_changes_nothing_and_an_unknown_precision_is_refused() -> None:
    with autocast(torch.device("cpu"), "fp32"):
        assert not torch.is_autocast_enabled("cpu")
    with autocast(torch.device("cpu"), "bf16"):
        assert torch.get_autocast_dtype("cpu") is torch.bfloat16
    with pytest.raises(KeyError):
        autocast(torch.device("cpu"), "int8")


def test_accelerators_take_more_tokens_at_once_than_the_processor() -> None:
    cpu, cuda, other = (group_tokens(torch.device(name)) for name in ("cpu", "cuda", "xpu"))
    assert cpu < other < cuda


class Small:
    """A machine on which no more than ``most`` texts at a time can be encoded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, most: int, error: Exception) -> None:
        self.sizes: list[int] = []
        plain = TokenTable.group_inputs

        def limited(table: TokenTable, form: int, ids: np.ndarray) -> Any:
            self.sizes.append(len(ids))
            if len(ids) > most:
                raise error
            return plain(table, form, ids)

        monkeypatch.setattr(TokenTable, "group_inputs", limited)


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory"),
    MemoryError(),
    RuntimeError("can't allocate memory"),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("most", [1, 2, 3])
def test_a_group_that_is_too_much_for_the_memory_is_encoded_in_halves(
    most: int,
    error: Exception,
    encoder: SentenceTransformer,
    texts: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = np.arange(len(texts))
    expected = by_library(encoder, "text", texts)
    table = TokenTable(encoder, lambda ids: [texts[number] for number in ids])
    small = Small(monkeypatch, most, error)
    found = encode(encoder, table, "text", ids, budget=5000)
    np.testing.assert_allclose(found, expected, **CLOSE)
    assert max(small.sizes) > most
    assert sum(size for size in small.sizes if size <= most) == len(texts)


def test_a_single_text_that_is_too_much_is_an_error_and_so_is_anything_else(
    encoder: SentenceTransformer, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = np.arange(len(texts))
    table = TokenTable(encoder, lambda ids: [texts[number] for number in ids])
    with monkeypatch.context() as patched:
        Small(patched, 0, OUT_OF_MEMORY[0])
        with pytest.raises(torch.OutOfMemoryError):
            encode(encoder, table, "text", ids)
    small = Small(monkeypatch, 1, RuntimeError("something else"))
    with pytest.raises(RuntimeError, match="something else"):
        encode(encoder, table, "text", ids)
    assert len(small.sizes) == 1
