"""A tiny random encoder, for trying a recipe out in seconds without any download."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from tokenizers import BertWordPieceTokenizer
from transformers import BertConfig, BertModel, BertTokenizer

READ = 1000
"""Characters of a text that the vocabulary is made of: its training is quadratic in a word's length."""


def tiny_encoder(
    texts: Iterable[str], *, dimensions: int = 32, layers: int = 2, max_length: int = 64, seed: int = 13
) -> SentenceTransformer:
    """A BERT of random weights whose vocabulary is made of ``texts``.

    What it learns means nothing; it shows that a recipe runs from end to end.
    """
    tokenizer = BertWordPieceTokenizer(lowercase=True)
    tokenizer.train_from_iterator(
        (text[:READ] for text in texts), vocab_size=2000, min_frequency=1, show_progress=False
    )
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_model(folder)
        fast = BertTokenizer(str(Path(folder) / "vocab.txt"), model_max_length=max_length)
        config = BertConfig(
            vocab_size=len(fast),
            hidden_size=dimensions,
            num_hidden_layers=layers,
            num_attention_heads=4,
            intermediate_size=2 * dimensions,
            max_position_embeddings=max_length,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            BertModel(config, add_pooling_layer=False).save_pretrained(folder)
        fast.save_pretrained(folder)
        transformer = Transformer(folder)
    modules = [transformer, Pooling(dimensions, pooling_mode="mean"), Normalize()]
    return SentenceTransformer(modules=modules, device="cpu")
