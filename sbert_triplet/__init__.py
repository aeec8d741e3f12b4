"""Fine-tune sentence-embedding models on your own text, with evidence that they got better.

The public names are imported when they are first used; importing the package itself does nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sbert_triplet.data.kinds import Kind
    from sbert_triplet.encoding.encode import encode
    from sbert_triplet.encoding.loading import load_model
    from sbert_triplet.errors import (
        DataError,
        DivergedError,
        GainNotShownError,
        InputError,
        MachineError,
        ModelError,
        RecipeError,
        SbertTripletError,
        StoppedError,
    )
    from sbert_triplet.losses.batch import Embedded, Loss, LossOutput, Needs
    from sbert_triplet.losses.names import build_loss
    from sbert_triplet.pipeline.api import evaluate, train
    from sbert_triplet.pipeline.evaluating import Evaluation
    from sbert_triplet.pipeline.options import Options, Run
    from sbert_triplet.recipe.model import Recipe
    from sbert_triplet.recipe.reading import read_recipe
    from sbert_triplet.training.callbacks import AfterStep
    from sbert_triplet.training.objective import Objective
    from sbert_triplet.training.trainer import Trainer

_HOMES = {
    "AfterStep": "training.callbacks",
    "DataError": "errors",
    "DivergedError": "errors",
    "Embedded": "losses.batch",
    "Evaluation": "pipeline.evaluating",
    "GainNotShownError": "errors",
    "InputError": "errors",
    "Kind": "data.kinds",
    "Loss": "losses.batch",
    "LossOutput": "losses.batch",
    "MachineError": "errors",
    "ModelError": "errors",
    "Needs": "losses.batch",
    "Objective": "training.objective",
    "Options": "pipeline.job",
    "Recipe": "recipe.model",
    "RecipeError": "errors",
    "Run": "pipeline.job",
    "SbertTripletError": "errors",
    "StoppedError": "errors",
    "Trainer": "training.trainer",
    "build_loss": "losses.names",
    "encode": "encoding.encode",
    "evaluate": "pipeline.api",
    "load_model": "encoding.loading",
    "read_recipe": "recipe.reading",
    "train": "pipeline.api",
}

__all__ = [
    "AfterStep",
    "DataError",
    "DivergedError",
    "Embedded",
    "Evaluation",
    "GainNotShownError",
    "InputError",
    "Kind",
    "Loss",
    "LossOutput",
    "MachineError",
    "ModelError",
    "Needs",
    "Objective",
    "Options",
    "Recipe",
    "RecipeError",
    "Run",
    "SbertTripletError",
    "StoppedError",
    "Trainer",
    "build_loss",
    "encode",
    "evaluate",
    "load_model",
    "read_recipe",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
