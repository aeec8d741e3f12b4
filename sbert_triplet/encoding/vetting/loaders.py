"""Options for the loaders of transformers that a saved module may hand on, and those that it may not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MODEL_OPTIONS = frozenset(
    {
        "add_pooling_layer",
        "attn_implementation",
        "dtype",
        "ignore_mismatched_sizes",
        "low_cpu_mem_usage",
        "output_attentions",
        "output_hidden_states",
        "torch_dtype",
        "use_cache",
    }
)
"""What a saved module may say to the loader of a model; everything else could point elsewhere or run code."""
STEERING = frozenset(
    {
        "adapter_kwargs",
        "allow_all_kernels",
        "cache_dir",
        "code_revision",
        "config",
        "force_download",
        "image_processor",
        "feature_extractor",
        "local_files_only",
        "mistral_format",
        "name_or_path",
        "pretrained_model_name_or_path",
        "proxies",
        "repo_type",
        "revision",
        "subfolder",
        "token",
        "tokenizer",
        "tokenizer_type",
        "trust_remote_code",
        "use_auth_token",
        "use_safetensors",
        "user_agent",
        "variant",
        "video_processor",
        "weights_only",
    }
)
"""What chooses files, places and code in the loaders of a configuration or a tokenizer.

Everything else is data there: attributes of the configuration, special tokens, sizes of images.
"""
_PLACES = ("_file", "_files", "_path", "_dir", "_folder", "_object")
_OF_A_MODEL = ("model_args", "model_kwargs")
OPTIONS = (*_OF_A_MODEL, "config_args", "config_kwargs", "tokenizer_args", "processor_kwargs")
"""The keys under which a saved ``Transformer`` keeps options for loaders, old names and new."""


def unfit_options(key: str, options: Mapping[str, Any]) -> list[str]:
    """The names among ``options``, saved under ``key`` of ``OPTIONS``, that a folder may not set."""
    if key in _OF_A_MODEL:
        return sorted(set(options) - MODEL_OPTIONS)
    return sorted(name for name in options if _steers(name))


def _steers(name: str) -> bool:
    return name in STEERING or name.startswith("_") or name.endswith(_PLACES)
