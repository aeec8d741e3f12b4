"""A tiny random encoder, for trying a recipe out in seconds without any download."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from transformers import BertConfig, BertModel, BertTokenizer

READ = 1000
"""Characters of a text that the vocabulary is made of."""
WORDS = 2000
"""Words of the vocabulary, beside the characters."""
TINY_DIMENSIONS = 32
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def tiny_encoder(
    texts: Iterable[str],
    *,
    dimensions: int = TINY_DIMENSIONS,
    layers: int = 2,
    max_length: int = 64,
    seed: int = 13,
) -> SentenceTransformer:
    """A BERT of random weights whose vocabulary is made of ``texts``.

    What it learns means nothing; it shows that a recipe runs from end to end.
    """
    with tempfile.TemporaryDirectory() as folder:
        vocabulary = Path(folder) / "vocab.txt"
        vocabulary.write_text("\n".join(_vocabulary(texts)), encoding="utf-8", newline="\n")
        fast = BertTokenizer(str(vocabulary), model_max_length=max_length)
        config = BertConfig(
            vocab_size=len(fast),
            hidden_size=dimensions,
            num_hidden_layers=layers,
            num_attention_heads=4,
            architectures=["BertModel"],
            dtype="float32",
            intermediate_size=2 * dimensions,
            max_position_embeddings=max_length,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            weights = BertModel(config).state_dict()
        config.save_pretrained(folder)
        # Its own save_pretrained writes nothing on any but the first of several processes.
        save_file(weights, Path(folder) / "model.safetensors", metadata={"format": "pt"})
        fast.save_pretrained(folder)
        transformer = Transformer(folder)
    modules = [transformer, Pooling(dimensions, pooling_mode="mean"), Normalize()]
    return SentenceTransformer(modules=modules, device="cpu")


def _vocabulary(texts: Iterable[str]) -> list[str]:
    """All characters and the most frequent words, in an order that depends on the texts alone.

    A trained vocabulary would not do: the order of its equally frequent pieces changes between runs.
    """
    normalizer, splitter = BertNormalizer(lowercase=True), BertPreTokenizer()
    counts = Counter(
        word for text in texts for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text[:READ]))
    )
    words = sorted((word for word in counts if len(word) > 1), key=lambda word: (-counts[word], word))
    characters = sorted({character for word in counts for character in word})
    return [*SPECIAL, *characters, *(f"##{character}" for character in characters), *words[:WORDS]]
