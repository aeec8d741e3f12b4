"""The tiny encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from sbert_triplet.encoding.loading import weights_fingerprint
from sbert_triplet.encoding.tiny import tiny_encoder


def test_weights_are_a_function_of_the_seed_and_leave_torchs_generator_alone(texts: list[str]) -> None:
    state = torch.random.get_rng_state()
    one, again, other = (tiny_encoder(texts, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert one.tokenizer.get_vocab() == again.tokenizer.get_vocab()
    np.testing.assert_array_equal(one.encode(texts), again.encode(texts))
    assert weights_fingerprint(one) == weights_fingerprint(again) != weights_fingerprint(other)


def test_words_are_whole_and_all_else_is_spelled(texts: list[str]) -> None:
    tokenizer = tiny_encoder(texts).tokenizer
    assert tokenizer.tokenize("The CAT sat") == ["the", "cat", "sat"]
    assert tokenizer.tokenize("Ünïcode tac ☃") == ["unicode", "t", "##a", "##c", "[UNK]"]


def test_it_has_the_size_that_was_asked_for_and_unit_embeddings(texts: list[str]) -> None:
    model = tiny_encoder(texts, dimensions=16, layers=1, max_length=10)
    found = model.encode(texts)
    assert found.shape == (len(texts), 16)
    assert model.max_seq_length == 10
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_it_is_saved_and_loaded_like_any_other(texts: list[str], tmp_path: Path) -> None:
    model = tiny_encoder(texts)
    model.save_pretrained(str(tmp_path / "tiny"))
    loaded = SentenceTransformer(str(tmp_path / "tiny"), device="cpu")
    np.testing.assert_allclose(loaded.encode(texts), model.encode(texts), atol=1e-6)
