"""The recipe as it is written into the run folder: nothing in it depends on where it lies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sbert_triplet.data.discovery import find_files
from sbert_triplet.pipeline.start import located_model
from sbert_triplet.pipeline.tasks import BASE
from sbert_triplet.recipe.loss import LossRecipe
from sbert_triplet.recipe.mine import MineRecipe
from sbert_triplet.recipe.model import Recipe
from sbert_triplet.recipe.reading import ENDINGS
from sbert_triplet.recipe.sources import Source
from sbert_triplet.recipe.writing import resolved_yaml

SOURCES = ("train", "dev", "test", "corpus")
ENCODERS = ("guide", "teacher")
GLOB = "*?["


def recorded_yaml(recipe: Recipe, decisions: Mapping[str, Any], folder: Path | None) -> str:
    """The resolved recipe with whole paths, so that it runs again from wherever it is started.

    ``folder`` is where relative paths start after the current one.
    """
    sources_located = {
        name: None if sources is None else tuple(located(source, folder) for source in sources)
        for name in SOURCES
        for sources in [getattr(recipe.data, name)]
    }
    model = Path(located_model(recipe.model, folder)).expanduser()
    changes = {
        "data": recipe.data.model_copy(update=sources_located),
        "model": str(model.absolute()) if model.exists() else recipe.model,
        "loss": _loss(recipe.loss, folder),
        "losses": tuple(
            part.model_copy(
                update={
                    "loss": _loss(part.loss, folder),
                    "dataset": located(part.dataset, folder) if part.dataset else None,
                }
            )
            for part in recipe.losses
        ),
        "curriculum": recipe.curriculum.model_copy(
            update={"reference": _encoder(recipe.curriculum.reference, folder)}
        ),
        "mine": _mine(recipe.mine, folder),
        "evaluate": recipe.evaluate.model_copy(
            update={"suite": None if recipe.evaluate.suite is None else _suite(recipe.evaluate.suite, folder)}
        ),
    }
    return resolved_yaml(recipe.model_copy(update=changes), decisions)


def _loss(loss: LossRecipe, folder: Path | None) -> LossRecipe:
    """The loss with the whole paths of the encoders that it names."""
    named = {key: loss.options[key] for key in ENCODERS if isinstance(loss.options.get(key), str)}
    return loss.model_copy(update={key: _encoder(name, folder) for key, name in named.items()})


def _mine(mine: MineRecipe, folder: Path | None) -> MineRecipe:
    """The section with the whole paths of the cross-encoder and of the marks."""
    changes = {
        "rescore": None if mine.rescore is None else _encoder(mine.rescore, folder),
        "marks": None if mine.marks is None else whole_path(mine.marks, folder),
    }
    return mine.model_copy(update=changes)


def _suite(name: str, folder: Path | None) -> str:
    """The whole path of a suite's file; the name of one that comes with the package."""
    return whole_path(name, folder) if Path(name).suffix.lower() in ENDINGS else name


def _encoder(name: str, folder: Path | None) -> str:
    """The whole path of an encoder's folder; the name of anything else."""
    path = Path(located_model(name, folder)).expanduser()
    if name == BASE:
        return name
    return str(path.absolute()) if path.is_dir() else name


def located(source: Source, folder: Path | None) -> Source:
    """The source with its whole path, where it is one."""
    if source.source is None:
        return source
    return source.model_copy(update={"source": whole_path(source.source, folder)})


def whole_path(name: str, folder: Path | None) -> str:
    """The absolute path of a file, folder or pattern by that name; the name of anything else."""
    path = Path(name).expanduser()
    candidates = [path] if folder is None or path.is_absolute() else [path, folder / path]
    for candidate in candidates:
        try:
            known = candidate.exists() or (any(mark in name for mark in GLOB) and find_files(str(candidate)))
        except (OSError, ValueError):
            known = False
        if known:
            return str(candidate.absolute())
    return name
