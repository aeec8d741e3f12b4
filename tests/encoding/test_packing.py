"""Token rows as rectangles and as packs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import BertConfig, BertModel, RobertaConfig, RobertaModel
from transformers.models.roberta.modeling_roberta import RobertaEmbeddings

from sbert_triplet.encoding.borders import Borders
from sbert_triplet.encoding.forward import BORDERS
from sbert_triplet.encoding.packing import Rows, first_position, packed, padded

Read = Callable[..., list[list[int]]]
ROWS = Rows(
    np.array([5, 6, 7, 8, 5, 0], dtype=np.int32), np.array([3, 1, 2]), np.array([0, 0, 1, 1, 0, 1], np.int8)
)
TEXTS = st.lists(st.lists(st.integers(3, 50), min_size=1, max_size=9), min_size=1, max_size=12)


def rows_of(texts: list[list[int]]) -> Rows:
    tokens = [token for text in texts for token in text]
    return Rows(np.array(tokens, dtype=np.int32), np.array([len(text) for text in texts]))


def test_a_rectangle_by_hand() -> None:
    features = padded(ROWS, pad_id=9)
    assert features["input_ids"].tolist() == [[5, 6, 7], [8, 9, 9], [5, 0, 9]]
    assert features["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0], [1, 1, 0]]
    assert features["token_type_ids"].tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
    assert {value.dtype for value in features.values()} == {torch.int64}


@pytest.mark.parametrize("first", [0, 2])
def test_a_pack_by_hand(first: int) -> None:
    features = packed(ROWS, first)
    assert features["input_ids"].tolist() == [[5, 6, 7, 8, 5, 0]]
    assert (features["position_ids"] - first).tolist() == [[0, 1, 2, 0, 0, 1]]
    assert features["seq_idx"].tolist() == [[0, 0, 0, 1, 2, 2]]
    assert features["token_type_ids"].tolist() == [[0, 0, 1, 1, 0, 1]]
    assert features["cu_seq_lens_q"].tolist() == [0, 3, 4, 6]
    assert features[BORDERS] == Borders((3, 1, 2))
    assert {value.dtype for name, value in features.items() if name != BORDERS} == {torch.int64}


def test_no_types_where_the_tokenizer_has_none() -> None:
    rows = rows_of([[1, 2], [3]])
    assert "token_type_ids" not in padded(rows, 0)
    assert "token_type_ids" not in packed(rows, 0)


def test_texts_without_tokens_have_a_column_of_padding() -> None:
    features = padded(Rows(np.zeros(0, np.int32), np.array([0, 0])), pad_id=3)
    assert features["input_ids"].tolist() == [[3], [3]]
    assert not features["attention_mask"].any()


@given(TEXTS, st.integers(0, 3))
def test_both_hold_the_tokens_of_every_text(token_rows: Read, texts: list[list[int]], first: int) -> None:
    rectangle, pack = padded(rows_of(texts), 1), packed(rows_of(texts), first)
    assert token_rows(rectangle) == token_rows(pack) == texts
    places = token_rows({**pack, "input_ids": pack["position_ids"]})
    assert places == [list(range(first, first + len(text))) for text in texts]


def tiny(configuration: Any, **more: Any) -> Any:
    return configuration(
        vocab_size=20,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=12,
        **more,
    )


@pytest.mark.parametrize("pad", [0, 1, 5])
def test_positions_begin_where_the_encoder_counts_from(pad: int) -> None:
    assert first_position(BertModel(tiny(BertConfig, pad_token_id=pad))) == 0
    model = RobertaModel(tiny(RobertaConfig, pad_token_id=pad))
    tokens = torch.tensor([[7, 8, 9]])
    counted = model.embeddings.create_position_ids_from_input_ids(tokens, pad)
    assert first_position(model) == int(counted[0, 0])
    assert first_position(torch.nn.Sequential(torch.nn.Embedding(9, 4), model)) == int(counted[0, 0])


@pytest.mark.parametrize("pad", [1, 5])
@given(texts=st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=9), min_size=1, max_size=6))
def test_a_padding_token_that_a_text_spells_is_counted_as_the_encoder_does(
    token_rows: Read, pad: int, texts: list[list[int]]
) -> None:
    pack = packed(rows_of(texts), pad + 1)
    positions = token_rows({**pack, "input_ids": pack["position_ids"]})
    for text, found in zip(texts, positions, strict=True):
        row = torch.tensor([text])
        assert found == RobertaEmbeddings.create_position_ids_from_input_ids(row, pad)[0].tolist()


def test_a_module_without_positions_counts_from_zero() -> None:
    assert first_position(torch.nn.Linear(2, 2)) == 0
