"""Configuration files in the words that every version of sentence-transformers and the servers read."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer

from sbert_triplet.encoding.vetting.known import MODULES
from sbert_triplet.errors import ModelError

MODES = {
    "cls": "pooling_mode_cls_token",
    "mean": "pooling_mode_mean_tokens",
    "max": "pooling_mode_max_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}
SINCE_FIVE = frozenset({"Router"})
"""Modules that versions before 5 do not have."""
_FOUND = frozenset(
    {
        "BoW",
        "CLIPModel",
        "CNN",
        "Dense",
        "Dropout",
        "LayerNorm",
        "LSTM",
        "Normalize",
        "Pooling",
        "Router",
        "StaticEmbedding",
        "Transformer",
        "WeightedLayerPooling",
        "WordEmbeddings",
        "WordWeights",
    }
)
"""Modules of which ``sentence_transformers.models`` has the class, in old versions and in current ones."""
_DENSE = ("in_features", "out_features", "bias", "activation_function")
_LOCAL = ("_name_or_path", "name_or_path", "is_local", "local_files_only", "tokenizer_file", "vocab_file")
"""Leftovers that tell where the model lay on the machine that made it."""
_PLAIN = {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}


def rewrite(folder: Path, model: SentenceTransformer, dimensions: Sequence[int] = ()) -> list[str]:
    """Rewrite the configuration files of ``folder``, which is ``model`` as saved; returns the class names.

    ``dimensions``: sizes that the embeddings may be cut to, for servers that offer that. Raises ModelError
    for a module or a setting that cannot be said in these words.
    """
    names = []
    entries = _read(folder / "modules.json")
    if MODULES.get(entries[0]["type"]) == "Router":
        raise ModelError(
            "queries and documents have encoders of their own, which few consumers know; save the model with "
            "SentenceTransformer.save"
        )
    for entry, module in zip(entries, model.children(), strict=True):
        name = type(module).__name__
        entry["type"] = _legacy(entry["type"])
        entry.pop("kwargs", None)
        names.append(name)
        if name in _REWRITERS:
            _REWRITERS[name](folder / entry["path"])
    _write(folder / "modules.json", entries)
    if names[0] == "Transformer":
        _transformer(folder, model, dimensions)
    _clean(folder / "tokenizer_config.json", _tokenizer)
    return names


def _legacy(reference: str) -> str:
    name = MODULES.get(reference)
    if name not in _FOUND:
        raise ModelError(
            f"the module {reference} is known to few consumers, so there is no portable form of this model; "
            "save it with SentenceTransformer.save"
        )
    return f"sentence_transformers.models.{name}"


def _pooling(folder: Path) -> None:
    config = _read(folder / "config.json")
    chosen = config["pooling_mode"]
    modes = {chosen} if isinstance(chosen, str) else set(chosen)
    _write(
        folder / "config.json",
        {
            "word_embedding_dimension": config["embedding_dimension"],
            **{key: mode in modes for mode, key in MODES.items()},
            "include_prompt": config.get("include_prompt", True),
        },
    )


def _dense(folder: Path) -> None:
    config = _read(folder / "config.json")
    inner = {config.pop(key, "sentence_embedding") for key in ("module_input_name", "module_output_name")}
    if inner != {"sentence_embedding"} or set(config) != set(_DENSE):
        raise ModelError(
            f"the Dense module {folder.name} works on something else than the embedding, or with a residual "
            "connection, which few consumers know; save the model with SentenceTransformer.save"
        )
    _write(folder / "config.json", config)


def _router(folder: Path) -> None:
    config = _read(folder / "router_config.json")
    for inner, reference in config["types"].items():
        config["types"][inner] = _legacy(reference)
        name = MODULES[reference]
        if name in _REWRITERS:
            _REWRITERS[name](folder / inner)
    config["parameters"] = {key: config["parameters"][key] for key in ("default_route", "allow_empty_key")}
    _write(folder / "router_config.json", config)


_REWRITERS: dict[str, Callable[[Path], None]] = {"Pooling": _pooling, "Dense": _dense, "Router": _router}


def _transformer(folder: Path, model: SentenceTransformer, dimensions: Sequence[int]) -> None:
    file = folder / "sentence_bert_config.json"
    saved = _read(file)
    if saved.get("transformer_task", "feature-extraction") != "feature-extraction" or (
        saved.get("modality_config", _PLAIN) != _PLAIN
    ):
        raise ModelError(
            "the encoder reads more than text, or gives something else than the last hidden states, so there "
            "is no portable form of this model; save it with SentenceTransformer.save"
        )
    words = {"max_seq_length": model.max_seq_length, "do_lower_case": bool(saved.get("do_lower_case", False))}
    _write(file, {key: value for key, value in words.items() if value is not None})

    def named(config: dict[str, Any]) -> None:
        config.pop("matryoshka_dimensions", None)
        if dimensions:
            config["matryoshka_dimensions"] = sorted(dimensions)

    _clean(folder / "config.json", named)


def _tokenizer(config: dict[str, Any]) -> None:
    # The name that version 5 of transformers gives a tokenizer without a class; version 4 has another one.
    if config.get("tokenizer_class") in ("TokenizersBackend", None):
        config["tokenizer_class"] = "PreTrainedTokenizerFast"


def _clean(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
    if not file.is_file():
        return
    config = _read(file)
    for key in _LOCAL:
        config.pop(key, None)
    change(config)
    _write(file, config)


def _read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def _write(file: Path, value: Any) -> None:
    file.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
