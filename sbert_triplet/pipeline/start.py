"""The encoder of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer

from sbert_triplet.encoding.loading import ResolvedModel, load_model, resolve_model
from sbert_triplet.encoding.tiny import tiny_encoder
from sbert_triplet.encoding.tokens import TokenTable
from sbert_triplet.pipeline.gather import Gathered
from sbert_triplet.recipe.model import Recipe
from sbert_triplet.training.arguments import choose_device

TINY = "a tiny random encoder (--smoke)"


@dataclass(frozen=True)
class Encoder:
    """The model that is tuned, and where it came from."""

    model: SentenceTransformer
    resolved: ResolvedModel

    @classmethod
    def tiny(cls, recipe: Recipe, data: Gathered) -> Encoder:
        """A tiny random encoder over the run's own texts."""
        texts = data.texts.texts(list(range(min(len(data.texts), 500))))
        model = tiny_encoder(texts, seed=recipe.train.seed)
        return cls(model, ResolvedModel(TINY, "folder", Path(TINY)))

    @property
    def random(self) -> bool:
        return self.resolved.name == TINY

    def tokens(self, data: Gathered) -> TokenTable:
        """An empty token table over the run's texts."""
        return TokenTable(self.model, lambda ids: data.texts.texts(list(ids)))


def load_encoder(recipe: Recipe, device: str | None) -> Encoder:
    """Resolve and load the recipe's model. Raises ModelError."""
    resolved = resolve_model(str(recipe.model))
    prompts = {"query": recipe.prompts.query, "document": recipe.prompts.document}
    model = load_model(
        resolved,
        max_length=recipe.max_length,
        prompts={role: prompt for role, prompt in prompts.items() if prompt is not None},
        device=choose_device(device),
    )
    if torch.cuda.is_available() and model.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(model.device)
    return Encoder(model, resolved)
