"""What the vetting of model folders knows is what the installed libraries have."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers.base.modules import Module
from sentence_transformers.sentence_transformer.modules import Normalize
from sentence_transformers.util import fullname, import_from_string
from transformers import CONFIG_MAPPING, AutoConfig, AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerBase

from sbert_triplet.encoding.vetting.known import ACTIVATIONS, MODULES, WORD_TOKENIZERS
from sbert_triplet.encoding.vetting.loaders import unfit_options
from sbert_triplet.encoding.vetting.types import TEXT_MODELS, model_type


def test_every_name_of_a_module_leads_to_that_module() -> None:
    for reference, name in MODULES.items():
        found = import_from_string(reference)
        assert issubclass(found, Module), reference
        assert found.__name__ == {"Asym": "Router"}.get(name, name), reference
    for reference, name in WORD_TOKENIZERS.items():
        assert import_from_string(reference).__name__ == name, reference


def test_every_module_that_can_be_saved_is_known() -> None:
    for package in (
        "base",
        "sentence_transformer",
        "sparse_encoder",
        "cross_encoder",
        "multi_vector_encoder",
    ):
        importlib.import_module(f"sentence_transformers.{package}.modules")
    shipped = {
        f"{each.__module__}.{each.__name__}"
        for each in _below(Module)
        if each.__module__.startswith("sentence_transformers.") and not inspect.isabstract(each)
    }
    function = "sentence_transformers.multi_vector_encoder.modules.token_pooling.LambdaTokenPooling"
    assert shipped - set(MODULES) == {function}
    assert fullname(Normalize()) in MODULES


def test_every_activation_is_one_of_torch() -> None:
    for reference in ACTIVATIONS:
        home, _, name = reference.rpartition(".")
        found = getattr(importlib.import_module(home), name, None)
        assert found is None or issubclass(found, torch.nn.Module)
    assert fullname(torch.nn.Identity()) in ACTIVATIONS
    assert fullname(torch.nn.GELU()) in ACTIVATIONS


def test_encoders_of_text_are_taken() -> None:
    sound = (
        "albert bert camembert clip clip_text_model deberta-v2 distilbert electra embedding_gemma2 "
        "gemma3_text gte llama longformer longt5 mistral modernbert mpnet nomic_bert qwen2 qwen3 roberta "
        "t5 umt5 xlm-roberta"
    )
    assert set(sound.split()) <= TEXT_MODELS
    assert [name for name in sound.split() if model_type(name)] == []


def test_models_that_hand_on_to_other_libraries_are_not_taken() -> None:
    for name in ("timm_wrapper", "timm_backbone", "gemma3n_vision", "gemma3n", "detr", "rag", "", "own"):
        assert str(model_type(name)).startswith(f"{name!r} is no text encoder that transformers has, ")


def test_no_model_that_is_taken_reads_pickles_or_loads_another_model() -> None:
    """As its code says, with an eye on what versions to come bring."""
    places = {inspect.getfile(CONFIG_MAPPING[name]) for name in TEXT_MODELS}
    assert len(places) > 100
    models = [
        file
        for place in places
        for file in Path(place).parent.glob("modeling_*.py")
        if file.stem.removeprefix("modeling_") == Path(place).stem.removeprefix("configuration_")
    ]
    reading = re.compile(r"\btimm\b|load_backbone|torch\.load\(|pickle")
    found = [file.name for file in models if reading.search(file.read_text(encoding="utf-8"))]
    assert len(models) > 100
    assert found == []


HARMLESS = {
    "return_unused_kwargs",
    "return_tensors",
    "max_length",
    "use_fast",
    "from_pipeline",
    "architectures",
}


@pytest.mark.parametrize(
    "loader",
    [
        PreTrainedConfig.from_pretrained,
        PreTrainedConfig.get_config_dict,
        AutoConfig.from_pretrained,
        AutoTokenizer.from_pretrained,
        PreTrainedTokenizerBase.from_pretrained,
    ],
    ids=lambda loader: loader.__qualname__,
)
def test_every_option_of_a_loader_is_refused_or_harmless(loader: Any) -> None:
    source = inspect.getsource(inspect.unwrap(loader.__func__))
    options = {
        *re.findall(r"""\bkwargs\.(?:pop|get)\(\s*["'](\w+)["']""", source),
        *(set(inspect.signature(loader).parameters) - {"args", "inputs", "init_inputs", "kwargs"}),
    }
    assert len(options) > 3
    assert options - set(unfit_options("config_kwargs", dict.fromkeys(options))) <= HARMLESS


def test_a_saved_module_says_little_to_the_loader_of_a_model() -> None:
    options = {"dtype": "float32", "use_safetensors": False, "whatever_comes_next": True}
    assert unfit_options("model_kwargs", options) == ["use_safetensors", "whatever_comes_next"]
    assert unfit_options("tokenizer_args", options | {"merges_file": ""}) == [
        "merges_file",
        "use_safetensors",
    ]


def _below(kind: type) -> Iterator[type]:
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)
