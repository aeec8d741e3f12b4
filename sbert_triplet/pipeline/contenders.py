"""The models that are evaluated side by side: what each word names, and what it is called in the table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer

from sbert_triplet.encoding.loading import ResolvedModel, load_model, resolve_model
from sbert_triplet.errors import InputError, RecipeError
from sbert_triplet.evaluation.audit import known_prompts
from sbert_triplet.evaluation.side_by_side import BM25
from sbert_triplet.pipeline.folder import FINISHED
from sbert_triplet.pipeline.folder import RECIPE as RUN_RECIPE
from sbert_triplet.pipeline.predictions import RESERVED
from sbert_triplet.pipeline.start import prompts_of
from sbert_triplet.recipe.model import Recipe
from sbert_triplet.recipe.reading import LoadedRecipe, load_recipe

OF_THE_MACHINE = ("precision", "group_tokens", "chunk_tokens", "save_steps")
"""Values of ``train`` that are chosen by measurement where the recipe leaves them open."""
INSIDE_A_RUN = ("model", "candidate")


@dataclass(frozen=True)
class Contender:
    """A model before it is loaded. ``run``: the finished run whose model it is."""

    label: str
    given: str
    resolved: ResolvedModel
    run: Path | None = None

    @property
    def recorded(self) -> LoadedRecipe | None:
        """The recipe of its run; None where there is none that can be read."""
        if self.run is None or not (self.run / RUN_RECIPE).is_file():
            return None
        try:
            return load_recipe(self.run / RUN_RECIPE)
        except RecipeError:
            return None


def contenders(words: Sequence[str]) -> list[Contender]:
    """What each word names, in their order: a folder, a run folder, a Hub id.

    Raises ModelError for what is no model, InputError for one that is named twice.
    """
    if not words:
        raise InputError("no model is named: give one or more (a folder, a run folder, a Hub id)")
    found = [resolve_model(word) for word in words]
    _refuse_repeats(words, found)
    short = [_short(word, each) for word, each in zip(words, found, strict=True)]
    often = Counter(short)
    plain = [name if often[name] == 1 else word for word, name in zip(words, short, strict=True)]
    return [
        Contender(label, word, each, run_of(each.path))
        for word, each, label in zip(words, found, _labels(plain), strict=True)
    ]


def run_of(folder: Path) -> Path | None:
    """The finished run whose model lies in ``folder``, or which the folder is."""
    for candidate in (folder, folder.absolute().parent):
        inside = candidate == folder or folder.name in INSIDE_A_RUN
        if inside and (candidate / FINISHED).is_file():
            return candidate
    return None


def loaded(
    contender: Contender, recipe: Recipe | None, device: torch.device
) -> tuple[SentenceTransformer, list[str]]:
    """The model as it was saved, and notes on what its figures depend on.

    Where ``recipe`` starts from this very model, with the length and the prompts that it sets.
    """
    own = recipe is not None and recipe.model in (contender.given, contender.resolved.name)
    prompts = prompts_of(recipe) if own and recipe is not None else {}
    length = recipe.max_length if own and recipe is not None else None
    model = load_model(contender.resolved, max_length=length, prompts=prompts, device=device)
    notes = []
    if prompts or length is not None:
        notes.append(f"{contender.label}: with the prompts and the length of the recipe that starts from it")
    wanted = known_prompts(contender.resolved.name)
    if wanted is not None and not any(model.prompts.values()):
        notes.append(
            f"{contender.label}: was trained with prompts and is saved without any, so its figures may be "
            f"too low; its authors put {wanted}. Save them with the model, or name it as the model of a "
            "recipe with prompts.query and prompts.document and measure on --data RECIPE"
        )
    if not (contender.resolved.path / "modules.json").is_file():
        notes.append(
            f"{contender.label}: says nothing of how words become one embedding; the mean over them is taken"
        )
    if model.max_seq_length is None:
        notes.append(f"{contender.label}: names no longest length, so no text is cut")
    return model, notes


def seed_groups(found: Sequence[Contender]) -> list[list[tuple[int, Contender]]]:
    """Two or more contenders whose recorded recipes differ in ``train.seed`` alone, with their seeds.

    What runs ship is not mixed with their candidates.
    """
    groups: dict[str, list[tuple[int, Contender]]] = {}
    for contender in found:
        if (recorded := contender.recorded) is None:
            continue
        recipe = recorded.recipe
        key = f"{contender.resolved.path.name} {_but_for_the_seed(recipe)}"
        groups.setdefault(key, []).append((recipe.train.seed, contender))
    return [each for each in groups.values() if len({seed for seed, _ in each}) == len(each) > 1]


def _but_for_the_seed(recipe: Recipe) -> str:
    """The recipe without its seed, and without what the speed of the machine may have decided."""
    changes: dict[str, Any] = {"seed": 0, **dict.fromkeys(OF_THE_MACHINE)}
    if recipe.train.max_seconds is not None:
        changes["max_steps"] = None
    train = recipe.train.model_copy(update=changes)
    # The changed values are of no type that a recipe would have them in, and nothing reads them.
    return recipe.model_copy(update={"name": None, "train": train}).model_dump_json(warnings=False)


def _refuse_repeats(words: Sequence[str], found: Sequence[ResolvedModel]) -> None:
    seen: dict[Path, str] = {}
    for word, each in zip(words, found, strict=True):
        place = each.path.resolve()
        if place in seen:
            same = (
                f"{word} is given twice" if seen[place] == word else f"{seen[place]} and {word} are one model"
            )
            raise InputError(f"{same}: a model is compared with others; leave one of the two out")
        seen[place] = word


def _labels(names: Sequence[str]) -> list[str]:
    """The names, changed where they would be taken for another row of the table or column of predictions."""
    found: list[str] = []
    for place, name in enumerate(names):
        others = [BM25, *names[:place], *names[place + 1 :]]
        # Columns of one model begin with its label: `minilm_top`, `minilm R@100`.
        clash = name in RESERVED or any(
            name == other or name.startswith((f"{other}_top", f"{other} ")) for other in others
        )
        label = f"{name} (model)" if clash else name
        while label in (*found, *names) and label != name:
            label += " (model)"
        found.append(label)
    return found


def _short(word: str, found: ResolvedModel) -> str:
    """The last part of a name; the name of its run for a model inside one."""
    if found.origin != "folder":
        return word.rstrip("/").split("/")[-1]
    folder = found.path.absolute()
    if (run := run_of(folder)) is None:
        return folder.name or word
    return f"{run.name}/candidate" if folder.name == "candidate" else run.name
