"""Names for all that the embedding of a text depends on, so that no model ever sees another's.

Never the name of a model or of a folder: weights, configuration, tokenizer and libraries decide.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules.module import Module
from transformers import PreTrainedModel

from sbert_triplet.encoding.encode import group_tokens
from sbert_triplet.encoding.loading import weights_fingerprint
from sbert_triplet.encoding.tokenise import AROUND
from sbert_triplet.encoding.tokens import Side, TokenTable, form_of

_FORMAT = 1
_KNOWN = {"sentence_transformers", "transformers", "torch"}
_NAMES = {"_name_or_path", "transformers_version"}


def embedding_fingerprint(
    model: SentenceTransformer,
    tokens: TokenTable,
    side: Side,
    *,
    encoder: str | None,
    precision: str = "fp32",
    budget: int | None = None,
) -> str | None:
    """SHA-256 over all that ``encode`` with these arguments depends on beside the texts, to the last bit.

    ``encoder``: the ``encoder_fingerprint`` of ``model``. None where it cannot be known: for modules and
    tokenizers that hold code of their own.
    """
    words = tokens.fingerprint(tokens.form(side))
    if encoder is None or words is None:
        return None
    parts = {
        "format": _FORMAT,
        "libraries": [torch.__version__, *AROUND],
        "encoder": encoder,
        "tokens": words,
        "task": form_of(model, side).task,
        "precision": precision,
        # The other texts of a group change the last bits of an embedding.
        "groups": [budget or group_tokens(model.device), bool(tokens.why_not_packed)],
        "device": [model.device.type, torch.get_num_threads()],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def encoder_fingerprint(model: SentenceTransformer) -> str | None:
    """SHA-256 over weights and configuration; None where a module is of none of the libraries."""
    if any(type(module).__module__.split(".")[0] not in _KNOWN for module in model.modules()):
        return None
    if any(getattr(module, "backend", "torch") != "torch" for module in model.modules()):
        return None
    kinds = {name: f"{tensor.dtype} {tuple(tensor.shape)}" for name, tensor in model.state_dict().items()}
    parts = {
        "weights": weights_fingerprint(model),
        "kinds": kinds,
        "modules": [[name, *_described(module)] for name, module in model.named_modules()],
        "dimensions": model.truncate_dim,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=repr).encode()).hexdigest()


def _described(module: torch.nn.Module) -> list[Any]:
    kind = f"{type(module).__module__}.{type(module).__qualname__}"
    if isinstance(module, Module):
        return [kind, module.get_config_dict()]
    if isinstance(module, PreTrainedModel):
        return [kind, _without_names(module.config.to_dict())]
    # Layers of torch say in words what is no weight of theirs: an epsilon, a stride.
    return [kind] if list(module.children()) else [kind, module.extra_repr()]


def _without_names(given: Any) -> Any:
    """A configuration without where it was read from."""
    if isinstance(given, dict):
        return {str(key): _without_names(value) for key, value in given.items() if key not in _NAMES}
    return given
