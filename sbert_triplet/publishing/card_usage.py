"""The part of a card that shows how the model is used: by which library, with which lines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from sbert_triplet.publishing.plain import plain_code
from sbert_triplet.reporting.text import clean, markdown_escape, markdown_fence

UNNAMED = "path/or/name/of/this/model"
STORES = (
    "faiss:index",
    "postgresql://user@host/db",
    "qdrant:index",
    "lancedb:index",
    "chroma://localhost:8000",
)

_UNNORMALIZED = (
    "txtai: it brings every embedding to length 1, and those of this model have others (cosine similarities "
    "stay the same)",
    "LlamaIndex, LanceDB: they do the same unless told normalize=False",
)
"""What consumers do by default; eval/consumers.py shows how far it leads."""


def usage(
    prompts: Mapping[str, str],
    *,
    name: str | None = None,
    folder: Path | None = None,
    limits: Sequence[str] = (),
) -> str:
    """``prompts`` by role, those that are not empty; ``name``: the Hub id; ``folder``: of the portable form.

    Without a folder, sentence-transformers alone is shown. ``limits``: consumers that cannot.
    """
    called = name or UNNAMED
    prompts = {role: clean(text) for role, text in prompts.items() if text}
    parts = ["## Use", _sentence_transformers(called)]
    if prompts:
        listed = "\n".join(f"{role}: {text!r}" for role, text in prompts.items())
        parts += ["Texts are encoded with these prompts before them:", markdown_fence(listed)]
    if folder is not None:
        parts += [
            *_plain(folder, called, bool(prompts)),
            *_langchain(called, prompts),
            *_stores(called, prompts),
        ]
    limits = [*limits, *(_UNNORMALIZED if folder is not None and not normalized(folder) else ())]
    if limits:
        told = "\n".join(f"- {markdown_escape(limit)}" for limit in limits)
        parts += ["What cannot load this model, or not with equal embeddings:", told]
    return "\n\n".join(parts)


def normalized(folder: Path) -> bool:
    """Whether the embeddings of the portable model in ``folder`` have length 1."""
    modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    return str(modules[-1]["type"]).endswith(".Normalize")


def _sentence_transformers(name: str) -> str:
    lines = [
        "from sentence_transformers import SentenceTransformer",
        "",
        f'model = SentenceTransformer("{name}")',
        "queries = model.encode_query(my_queries)",
        "documents = model.encode_document(my_documents)",
        "scores = model.similarity(queries, documents)",
    ]
    return markdown_fence("\n".join(lines), "python")


def _plain(folder: Path, name: str, prompted: bool) -> list[str]:
    plain = plain_code(folder, name)
    if plain.code is None:
        return [f"Without sentence-transformers it cannot be used: {plain.reason}."]
    before = "; `prompt` is one of those above:" if prompted else ":"
    return [f"The same embeddings with transformers alone{before}", markdown_fence(plain.code, "python")]


def _langchain(name: str, prompts: Mapping[str, str]) -> list[str]:
    arguments = [f'model_name="{name}"']
    for keyword, role in (("encode_kwargs", "document"), ("query_encode_kwargs", "query")):
        if text := prompts.get(role):
            arguments.append(f'{keyword}={{"prompt": {text!r}}}')
    lines = [
        "from langchain_huggingface import HuggingFaceEmbeddings",
        "",
        f"embeddings = HuggingFaceEmbeddings({', '.join(arguments)})",
    ]
    return ["In LangChain:", markdown_fence("\n".join(lines), "python")]


def _stores(name: str, prompts: Mapping[str, str]) -> list[str]:
    lines = [f"sbert-triplet index {name} documents.jsonl --store {STORES[0]}"]
    lines.append(f'sbert-triplet search {STORES[0]} "a query"')
    others = ", ".join(f"`{store}`" for store in STORES[1:])
    parts = [f"In a vector store (or {others}):", markdown_fence("\n".join(lines), "sh")]
    if prompts:
        parts.append(
            "The embedding functions that vector stores and frameworks bring along put no prompt before a "
            "text, or the same one before all; encode with sentence-transformers and hand over the vectors "
            "where queries and documents have prompts of their own."
        )
    return parts
