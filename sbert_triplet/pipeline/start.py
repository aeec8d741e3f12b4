"""The encoder of a run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer

from sbert_triplet.encoding.loading import ResolvedModel, load_model, resolve_model
from sbert_triplet.encoding.tiny import tiny_encoder
from sbert_triplet.encoding.tokens import TokenTable
from sbert_triplet.errors import InputError
from sbert_triplet.pipeline.gathered import Gathered
from sbert_triplet.recipe.model import Recipe
from sbert_triplet.training.arguments import choose_device
from sbert_triplet.training.machine import granted_cores

TINY = "a tiny random encoder (--smoke)"
VOCABULARY_TEXTS, VOCABULARY_CHARACTERS = 500, 500


@dataclass(frozen=True)
class Encoder:
    """The model that is tuned, and where it came from."""

    model: SentenceTransformer
    resolved: ResolvedModel

    @classmethod
    def tiny(cls, recipe: Recipe, data: Gathered) -> Encoder:
        """A tiny random encoder over the run's own texts; the same one at every call."""
        texts = data.texts.texts(list(range(min(len(data.texts), VOCABULARY_TEXTS))))
        model = tiny_encoder([text[:VOCABULARY_CHARACTERS] for text in texts], seed=recipe.train.seed)
        model.prompts.update(prompts_of(recipe))
        return cls(model, ResolvedModel(TINY, "folder", Path(TINY)))

    @property
    def random(self) -> bool:
        return self.resolved.name == TINY

    @property
    def sentence(self) -> str:
        """What is tuned and where it came from, for people."""
        return TINY if self.random else self.resolved.sentence()

    def tokens(self, data: Gathered) -> TokenTable:
        """An empty token table over the run's texts."""
        return TokenTable(self.model, lambda ids: data.texts.texts(list(ids)))


def load_encoder(
    recipe: Recipe, device: str | None, folder: Path | None = None, decided: Mapping[str, Any] | None = None
) -> Encoder:
    """Resolve and load the recipe's model.

    ``folder`` is where a relative path starts after the current folder; ``decided`` what a resolved
    recipe recorded, of which the commit of a model from the Hub is used again. Raises ModelError,
    and InputError for a device that is not there.
    """
    chosen = device_named(device)
    name, _, commit = str((decided or {}).get("model_commit", "")).rpartition("@")
    resolved = resolve_model(
        located_model(recipe.model, folder), revision=commit if name == recipe.model else None
    )
    model = load_model(resolved, max_length=recipe.max_length, prompts=prompts_of(recipe), device=chosen)
    if model.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(model.device)
    return Encoder(model, resolved)


def located_model(name: str, folder: Path | None) -> str:
    """The name, or the folder of that name that lies beside the recipe and not in the current folder."""
    if folder is None or Path(name).expanduser().exists() or not (folder / name).is_dir():
        return name
    return str(folder / name)


def prompts_of(recipe: Recipe) -> dict[str, str]:
    """The prompts that the recipe sets; the encoder's own stay where it sets none."""
    prompts = {"query": recipe.prompts.query, "document": recipe.prompts.document}
    return {role: prompt for role, prompt in prompts.items() if prompt is not None}


def device_named(wanted: str | None) -> torch.device:
    """The device of that name, or the best at hand. Raises InputError for one that is not there.

    A GPU is not chosen by its number: the trainer takes the first one that it sees, or one for each process.
    """
    try:
        device = choose_device(wanted)
        if wanted and device.type == "cuda" and torch.device(wanted).index:
            raise InputError(
                f"--device {wanted}: a GPU is chosen by CUDA_VISIBLE_DEVICES={torch.device(wanted).index} in "
                "the environment, with --device cuda"
            )
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].split(" device type at start")[0]
        raise InputError(
            f"--device {wanted}: cannot be used here ({reason}); leave it out for the best at hand"
        ) from error
    return device


@contextmanager
def chosen_threads(decided: Mapping[str, Any]) -> Iterator[None]:
    """Compute with as many threads as the resolved recipe recorded: their number changes last digits.

    Where none is recorded, with no more than the cores that a container grants, unless the person set
    ``OMP_NUM_THREADS``.
    """
    before, threads = torch.get_num_threads(), decided.get("threads")
    if not isinstance(threads, int) or isinstance(threads, bool) or threads < 1:
        granted = None if "OMP_NUM_THREADS" in os.environ else granted_cores()
        threads = min(before, granted or before)
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
