"""The few lines of Python with which plain transformers computes the embeddings of a portable folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sbert_triplet.encoding.vetting.known import MODULES
from sbert_triplet.publishing.legacy import MODES

_POOLED = {
    "mean": "(states * mask).sum(1) / mask.sum(1).clamp(min=1e-9)",
    "cls": "states[torch.arange(len(states)), first]",
    "max": "states.masked_fill(mask == 0, -1e9).max(1).values",
    "mean_sqrt_len_tokens": "(states * mask).sum(1) / mask.sum(1).clamp(min=1e-9).sqrt()",
    "lasttoken": "states[torch.arange(len(states)), last]",
}
_NEEDS = {
    "cls": 'first = inputs["attention_mask"].argmax(1)',
    "lasttoken": 'last = (inputs["attention_mask"] * torch.arange(states.shape[1])).argmax(1)',
}


@dataclass(frozen=True)
class Plain:
    """``code`` that defines ``embed(texts, prompt)``; None with the ``reason`` why there can be none."""

    code: str | None
    reason: str = ""


def plain_code(folder: Path, name: str) -> Plain:
    """The lines for the model in ``folder``, which is portable; ``name``: the folder or Hub id in them."""
    entries = _read(folder / "modules.json")
    kinds = [MODULES.get(entry["type"], "") for entry in entries]
    if kinds[:2] != ["Transformer", "Pooling"]:
        return Plain(None, f"its modules are {', '.join(kinds)}, and transformers has the encoder alone")
    pooling = _read(folder / entries[1]["path"] / "config.json")
    modes = [mode for mode, key in MODES.items() if pooling.get(key)]
    if len(modes) != 1 or modes[0] not in _POOLED or not pooling.get("include_prompt", True):
        return Plain(None, "its pooling is more than a line: several modes, weights, or prompts left out")
    steps: list[str] = []
    for entry, kind in zip(entries[2:], kinds[2:], strict=True):
        if kind == "Normalize":
            steps.append("embeddings = torch.nn.functional.normalize(embeddings, dim=1)")
        elif kind == "Dense":
            steps += _dense(entry["path"], _read(folder / entry["path"] / "config.json"))
        else:
            return Plain(
                None, f"it ends in a module of sentence-transformers that is more than a line: {kind}"
            )
    return Plain(_code(name, modes[0], _read(folder / "sentence_bert_config.json"), steps))


def _code(name: str, mode: str, settings: dict[str, Any], steps: list[str]) -> str:
    dense = any("load_file" in step for step in steps)
    text = "(prompt + text).lower()" if settings.get("do_lower_case") else "prompt + text"
    length = settings.get("max_seq_length")
    limit = f", truncation=True, max_length={length}" if length else ""
    lines = [
        "import torch",
        *(["from safetensors.torch import load_file"] if dense else []),
        "from transformers import AutoModel, AutoTokenizer",
        *(["from transformers.utils import cached_file"] if dense else []),
        "",
        f"name = {name!r}",
        "tokenizer = AutoTokenizer.from_pretrained(name)",
        "encoder = AutoModel.from_pretrained(name).eval()",
        "",
        "",
        "@torch.no_grad()",
        'def embed(texts, prompt=""):',
        f"    texts = [{text} for text in texts]",
        f'    inputs = tokenizer(texts, padding=True{limit}, return_tensors="pt")',
        "    states = encoder(**inputs).last_hidden_state",
        *(['    mask = inputs["attention_mask"].unsqueeze(-1)'] if "mask" in _POOLED[mode] else []),
        *([f"    {_NEEDS[mode]}"] if mode in _NEEDS else []),
        f"    embeddings = {_POOLED[mode]}",
        *(f"    {step}" for step in steps),
        "    return embeddings",
    ]
    return "\n".join(lines)


def _dense(path: str, config: dict[str, Any]) -> list[str]:
    bias = ', dense["linear.bias"]' if config.get("bias", True) else ""
    activation = str(config["activation_function"]).rpartition(".")[2]
    applied = f'torch.nn.functional.linear(embeddings, dense["linear.weight"]{bias})'
    return [
        f'dense = load_file(cached_file(name, "{path}/model.safetensors"))',
        f"embeddings = {applied}"
        if activation == "Identity"
        else f"embeddings = torch.nn.{activation}()({applied})",
    ]


def _read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))
