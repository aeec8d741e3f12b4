"""The modules of sentence-transformers, and the names by which ``modules.json`` may call them."""

from __future__ import annotations

import torch

_DENSE = "sentence_transformer.modules"
_HOMES = {
    "Transformer": "base.modules.transformer",
    "Dense": "base.modules.dense",
    "Normalize": "base.modules.normalize",
    "Router": "base.modules.router",
    "Asym": "base.modules.router",
    "BoW": f"{_DENSE}.bow",
    "CLIPModel": f"{_DENSE}.clip_model",
    "CNN": f"{_DENSE}.cnn",
    "Dropout": f"{_DENSE}.dropout",
    "LayerNorm": f"{_DENSE}.layer_norm",
    "LSTM": f"{_DENSE}.lstm",
    "Pooling": f"{_DENSE}.pooling",
    "StaticEmbedding": f"{_DENSE}.static_embedding",
    "WeightedLayerPooling": f"{_DENSE}.weighted_layer_pooling",
    "WordEmbeddings": f"{_DENSE}.word_embeddings",
    "WordWeights": f"{_DENSE}.word_weights",
    "MLMTransformer": "sparse_encoder.modules.mlm_transformer",
    "SparseAutoEncoder": "sparse_encoder.modules.sparse_auto_encoder",
    "SparseStaticEmbedding": "sparse_encoder.modules.sparse_static_embedding",
    "SpladePooling": "sparse_encoder.modules.splade_pooling",
    "LogitScore": "cross_encoder.modules.logit_score",
    "MultiVectorMask": "multi_vector_encoder.modules.multi_vector_mask",
    "HierarchicalTokenPooling": "multi_vector_encoder.modules.token_pooling",
}
"""Where the class is defined: all modules that a saved model can name but those that hold a function."""
_REEXPORTED = {
    "base.modules": {"Dense", "Normalize", "Router", "Transformer"},
    "cross_encoder.modules": {"Asym", "Dense", "LogitScore", "Router", "Transformer"},
    "multi_vector_encoder.modules": {"HierarchicalTokenPooling", "MultiVectorMask"},
}
_CLASSIC = {name for name, home in _HOMES.items() if home.startswith((_DENSE, "base.modules"))}
_SPARSE = {name for name, home in _HOMES.items() if home.startswith("sparse_encoder")} | {
    "Asym",
    "Dense",
    "Router",
    "Transformer",
}
_WORD_TOKENIZERS = {
    "PhraseTokenizer": "phrase",
    "WhitespaceTokenizer": "whitespace",
    "TransformersTokenizerWrapper": "word",
}
_ACTIVATION_HOMES = ("torch.nn", "torch.nn.modules", "torch.nn.modules.activation", "torch.nn.modules.linear")
TRANSFORMERS = frozenset({"Transformer", "CLIPModel", "MLMTransformer"})
"""Modules that transformers reads."""
ROUTERS = frozenset({"Router", "Asym"})
"""Modules that hold modules, in folders of their own folder."""


def _module_names() -> dict[str, str]:
    names = {f"{home}.{name}": name for name, home in _HOMES.items()}
    for package, exported in _REEXPORTED.items():
        names |= {f"{package}.{name}": name for name in exported}
    for name in _CLASSIC:
        names |= {f"models.{name}": name, f"models.{name}.{name}": name, f"{_DENSE}.{name}": name}
    for name in _SPARSE:
        names |= {f"sparse_encoder.{package}.{name}": name for package in ("modules", "models")}
        if _HOMES[name].startswith("sparse_encoder"):
            names[f"sparse_encoder.models.{name}.{name}"] = name
    names[f"{_DENSE}.normalize.Normalize"] = "Normalize"
    return {f"sentence_transformers.{reference}": name for reference, name in names.items()}


def _word_tokenizer_names() -> dict[str, str]:
    names: dict[str, str] = {}
    for name, file in _WORD_TOKENIZERS.items():
        for package in (f"{_DENSE}.tokenizer", "models.tokenizer"):
            names |= {f"{package}.{name}": name, f"{package}.{file}.{name}": name}
        names[f"models.tokenizer.{name}.{name}"] = name
    names["models.tokenizer.WordTokenizer.TransformersTokenizerWrapper"] = "TransformersTokenizerWrapper"
    del names["models.tokenizer.TransformersTokenizerWrapper.TransformersTokenizerWrapper"]
    return {f"sentence_transformers.{reference}": name for reference, name in names.items()}


MODULES = _module_names()
"""The class for every dotted name by which versions from 2 on have saved it."""
WORD_TOKENIZERS = _word_tokenizer_names()
"""The same for the tokenizers of ``WordEmbeddings``."""
ACTIVATIONS = frozenset(
    f"{home}.{name}"
    for home in _ACTIVATION_HOMES
    for name in (*torch.nn.modules.activation.__all__, "Identity")
)
"""The activations of torch by every dotted name; they take no code of the model's."""
