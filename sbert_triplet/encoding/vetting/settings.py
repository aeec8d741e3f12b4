"""Whether values of a model's configuration files would make a library run code or read elsewhere.

What is refused is what sentence-transformers 6 and transformers 5 act on with ``trust_remote_code``
off; what they leave alone without it (a leftover ``_name_or_path``, say) passes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PureWindowsPath
from typing import Any

import transformers

from sbert_triplet.data.wording import listed
from sbert_triplet.encoding.vetting.folder import ModelFolder, joined
from sbert_triplet.encoding.vetting.known import ACTIVATIONS, WORD_TOKENIZERS
from sbert_triplet.encoding.vetting.loaders import OPTIONS, unfit_options
from sbert_triplet.encoding.vetting.modules import Part
from sbert_triplet.encoding.vetting.types import model_type

Checks = dict[str, Callable[[Any], str | None]]
"""By key, what is wrong with its value."""
_SAVED_TRANSFORMER = re.compile(r"sentence_[a-z-]+_config\.json")
_ATTENTION = re.compile(r"\w*|paged\|\w+")
_METHOD = re.compile(r"forward|get_\w+_features")
_WEIGHTS = re.compile(r"[\w.-]+\.safetensors(\.index\.json)?")
_OF_A_MODEL = re.compile(r"config(\..*)?\.json")
"""The configuration of a model, also that for one version of transformers."""
_PLAIN_NAME = re.compile(r"[\w.-]+")
_NOT_RUN = "and code that comes with a model is never run; take a model that transformers knows"
_READ_WITHOUT_ASKING = frozenset({"WordEmbeddings", "SparseStaticEmbedding"})
"""Modules whose tokenizer is read without saying that code is not trusted: the person would be asked."""
_AUTO_CLASSES = frozenset(
    {
        "AutoConfig",
        "AutoModel",
        "AutoTokenizer",
        "AutoProcessor",
        "AutoImageProcessor",
        "AutoFeatureExtractor",
        "AutoVideoProcessor",
    }
)
_ELSEWHERE = {
    "adapter_config.json": (
        "an adapter is applied to a model that lies elsewhere, which is not read; merge it into that model "
        "(merge_and_unload of peft) and save the result"
    ),
    "audio_tokenizer_config.json": "it names a model that lies elsewhere, which is not read; remove it",
}


def vet_settings(folder: ModelFolder, part: Part) -> None:
    """Raise ModelError for a value in the part's configuration files that asks for code or other places."""
    for written in folder.names(part.path):
        # File systems of macOS and Windows open Config.json for config.json.
        name = written.casefold()
        if not name.endswith(".json") or "config" not in name:
            continue
        file = joined(part.path, written)
        if name in _ELSEWHERE:
            raise folder.refusal(file, _ELSEWHERE[name])
        settings = folder.value(file)
        _vet_keys(folder, file, settings, _KEYS)
        if _OF_A_MODEL.fullmatch(name):
            _vet_keys(folder, file, settings, _KEYS_OF_A_MODEL)
        if not isinstance(settings, dict):
            continue
        if _SAVED_TRANSFORMER.fullmatch(name):
            _vet_saved_transformer(folder, file, settings)
        elif name == "tokenizer_config.json":
            _vet_tokenizer(folder, part.path, file, settings)
        if part.kind in _READ_WITHOUT_ASKING:
            _vet_read_without_asking(folder, file, settings)


def _vet_keys(folder: ModelFolder, file: str, value: Any, keys: Checks, above: str = "") -> None:
    """Keys that mean the same wherever they stand, in configurations inside of configurations too."""
    if isinstance(value, list):
        for entry in value:
            _vet_keys(folder, file, entry, keys, above)
    if not isinstance(value, dict):
        return
    for key, entry in value.items():
        where = f"{above}.{key}" if above else str(key)
        problem = keys[key](entry) if key in keys and entry is not None else None
        if problem:
            raise folder.refusal(f"{file}, {where}", problem)
        _vet_keys(folder, file, entry, keys, where)


def _auto_map(value: Any) -> str | None:
    named = value if isinstance(value, dict) else {"AutoTokenizer": value}
    for automatic in sorted(_AUTO_CLASSES & set(named)):
        entry = named[automatic]
        for reference in entry if isinstance(entry, list) else [entry]:
            name = str(reference).rpartition(".")[2]
            if reference is not None and not (name.isidentifier() and hasattr(transformers, name)):
                return f"the model needs the class {reference} of its own, {_NOT_RUN}"
    return None


def _attention(value: Any) -> str | None:
    if isinstance(value, dict):
        return next((problem for each in value.values() if (problem := _attention(each))), None)
    if value is None or (isinstance(value, str) and _ATTENTION.fullmatch(value)):
        return None
    return f"{value!r} is code from the Hub, which is never run; remove the key, or write sdpa"


def _activation(value: Any) -> str | None:
    if isinstance(value, str) and "." in value and value not in ACTIVATIONS:
        return f"{value!r} is not an activation of torch.nn, and nothing else is imported; name one of those"
    return None


def _weights(value: Any) -> str | None:
    if not (isinstance(value, str) and _WEIGHTS.fullmatch(value)):
        return f"{value!r} is not the name of a safetensors file in the folder; remove the key"
    return None


def _versions(value: Any) -> str | None:
    names = value if isinstance(value, list) else [value]
    if all(isinstance(name, str) and _PLAIN_NAME.fullmatch(name) for name in names):
        return None
    return f"{listed(str(name) for name in names)}: names of files in the folder are expected; remove the key"


def _empty(value: Any) -> str | None:
    return "it names what lies elsewhere, which is not read; remove the key" if value else None


def _of_images(value: Any) -> str | None:
    return "it steers the loading of a model of images, which can run code; remove the key" if value else None


_KEYS: Checks = {
    "auto_map": _auto_map,
    "attn_implementation": _attention,
    "_attn_implementation": _attention,
    "_attn_implementation_internal": _attention,
    "experts_implementation": _attention,
    "_experts_implementation": _attention,
    "activation_fn": _activation,
    "activation_function": _activation,
    "sbert_ce_default_activation_function": _activation,
    "transformers_weights": _weights,
    "configuration_files": _versions,
    "fast_tokenizer_files": _versions,
    "audio_tokenizer": _empty,
    "init_inputs": _empty,
}
_KEYS_OF_A_MODEL: Checks = {
    "model_type": model_type,
    **dict.fromkeys(
        (
            "backbone",
            "backbone_config",
            "backbone_kwargs",
            "checkpoint_path",
            "model_args",
            "pretrained_cfg",
            "use_pretrained_backbone",
            "use_timm_backbone",
        ),
        _of_images,
    ),
}


def _vet_saved_transformer(folder: ModelFolder, file: str, settings: dict[str, Any]) -> None:
    for key in ("tokenizer_name_or_path", "processor_name", "cache_dir"):
        if settings.get(key):
            raise folder.refusal(f"{file}, {key}", str(_empty(settings[key])))
    if settings.get("backend", "torch") != "torch":
        raise folder.refusal(f"{file}, backend", f"{settings['backend']!r} is not torch; remove the key")
    for key in OPTIONS:
        options = settings.get(key) or {}
        if not isinstance(options, dict):
            raise folder.refusal(f"{file}, {key}", f"an object is expected, and there is {options!r}")
        if unfit := unfit_options(key, options):
            raise folder.refusal(
                f"{file}, {key}",
                f"{listed(unfit)}: options that could have code run or other places read are not taken from "
                "a model; remove them",
            )
    modalities = settings.get("modality_config")
    for modality, entry in modalities.items() if isinstance(modalities, dict) else ():
        method = entry.get("method") if isinstance(entry, dict) else None
        if not (isinstance(method, str) and _METHOD.fullmatch(method)):
            raise folder.refusal(
                f"{file}, modality_config.{modality}.method",
                f"{method!r} does not encode; write forward, or get_text_features and the like",
            )


def _vet_tokenizer(folder: ModelFolder, path: str, file: str, settings: dict[str, Any]) -> None:
    """Names of files in it are leftovers that point to nothing, unless they were put there."""
    for key, value in settings.items():
        if not key.endswith("_file") or not isinstance(value, str):
            continue
        plain = PureWindowsPath(value)
        if (plain.anchor or ".." in plain.parts) and (folder.root / path / value).exists():
            raise folder.refusal(f"{file}, {key}", f"{value!r} lies outside the folder; remove the key")


def _vet_read_without_asking(folder: ModelFolder, file: str, settings: dict[str, Any]) -> None:
    if settings.get("auto_map"):
        raise folder.refusal(f"{file}, auto_map", f"the tokenizer needs code of its own, {_NOT_RUN}")
    if settings.get("path"):
        raise folder.refusal(f"{file}, path", str(_empty(settings["path"])))
    name = settings.get("tokenizer_class")
    if file.endswith("wordembedding_config.json") and name not in WORD_TOKENIZERS:
        raise folder.refusal(
            f"{file}, tokenizer_class",
            f"{name!r} is not a tokenizer of sentence-transformers, {_NOT_RUN}",
        )
