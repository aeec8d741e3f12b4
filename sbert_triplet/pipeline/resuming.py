"""Going on with a run that was stopped: from which checkpoint, and that it is the same run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sbert_triplet.encoding.loading import weights_fingerprint
from sbert_triplet.errors import InputError, RecipeError
from sbert_triplet.pipeline.gathered import Gathered
from sbert_triplet.pipeline.start import Encoder
from sbert_triplet.recipe.model import Recipe
from sbert_triplet.recipe.reading import recipe_of_text
from sbert_triplet.training.checkpoints import Checkpoint, newest
from sbert_triplet.training.resuming import OTHER_RUN

FREE = frozenset({"name", "train.keep", "train.save_steps", "train.report_to", "train.max_bad_steps"})
"""Keys that may differ: no weight depends on them."""
ELSEWHERE: dict[str, Any] = {
    "model": True,
    "data": {"train", "dev", "test", "corpus"},
    "losses": {"__all__": {"dataset"}},
}
"""Keys that say where something lies: what lies there is compared."""
FIXED = frozenset({"train.freeze"})
"""Keys whose change no checkpoint survives: the state of each parameter would go to another one."""
SAID = {"data": "the rows of the data", "model": "the model to start from"}
"""What is compared beside the keys, in words."""
CHECKPOINTS = "checkpoints"
SETTINGS = frozenset({".json", ".txt", ".model"})
"""Endings of files of a model that are no weights and no words about it."""


@dataclass(frozen=True)
class Resumed:
    """A checkpoint, and the recipe and decisions that its run had."""

    checkpoint: Checkpoint
    recipe: Recipe
    decisions: Mapping[str, Any]


def asked_of(recipe: Recipe, *, smoke: bool = False) -> dict[str, Any]:
    """What a person asked for, as ``KEY: value``, without what ``FREE`` and ``ELSEWHERE`` name."""
    plain = recipe.model_dump(mode="json", exclude=ELSEWHERE)
    flat = {key: value for key, value in _flat(plain) if key not in FREE}
    return {**flat, "--smoke": smoke}


def identity(asked: Mapping[str, Any], recipe_yaml: str, data: Gathered, encoder: Encoder) -> dict[str, Any]:
    """What a checkpoint says of its run, by which another one is told from it."""
    return {
        "asked": dict(asked),
        "recipe": recipe_yaml,
        "data": data.fingerprint,
        "model": _fingerprint(encoder),
        "torch": torch.__version__,
    }


def _fingerprint(encoder: Encoder) -> str:
    """Of the weights, and of what else decides on an embedding: tokenizer, pooling, prompts, limits."""
    total = hashlib.sha256(weights_fingerprint(encoder.model).encode())
    folder = encoder.resolved.path
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.suffix in SETTINGS:
            total.update(f"{file.relative_to(folder)}".encode() + file.read_bytes())
    return total.hexdigest()


def to_resume(
    folder: Path, recipe: Recipe, *, smoke: bool, force: bool, say: Callable[[str], None]
) -> Resumed | None:
    """The newest checkpoint of the run folder that verifies, and the recipe to go on with.

    None where there is no checkpoint. Those that do not verify are said. Raises InputError, unless
    ``force``, where ``recipe`` asks for something else than the run did; where no checkpoint verifies, or the
    one that does was not written by a run; and for changes that cannot be forced.
    """
    found, passed = newest(folder / CHECKPOINTS)
    for each in passed:
        say(f"warning  {each.folder} is passed over: {each.why}")
    if found is None:
        if passed:
            raise InputError(
                f"{folder}: no checkpoint is whole ({passed[0].folder.name}: {passed[0].why}); begin anew "
                "with --overwrite"
            )
        return None
    asked, before, decisions = _recorded(found)
    if not force:
        refuse_other_recipe(folder, asked, recipe, smoke=smoke)
    changed = changed_keys(found.run, {"asked": asked_of(recipe, smoke=smoke)})
    if fixed := sorted(FIXED & set(changed)):
        raise InputError(f"{folder}: {', '.join(fixed)} {OTHER_RUN}")
    if recipe.train.max_steps is not None:
        refuse_fewer_steps(found, recipe.train.max_steps)
    return Resumed(found, recipe if changed else _with_free_keys(before, recipe), decisions)


def refuse_other_recipe(folder: Path, before: Mapping[str, Any], recipe: Recipe, *, smoke: bool) -> None:
    """Raise InputError, naming the keys, where ``recipe`` asks for something else than the run did.

    ``before``: what that was, as of ``asked_of``.
    """
    changed = list(_changes(before, asked_of(recipe, smoke=smoke)))
    if changed:
        raise InputError(
            f"{folder}: this run was begun otherwise: {'; '.join(changed)}. Put it back, begin anew with "
            "--overwrite, or go on all the same with --force"
        )


def refuse_other_rows(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise InputError where data or base model are not those that the run was begun with."""
    others = [what for key, what in SAID.items() if before.get(key) != now[key]]
    if others:
        raise InputError(
            f"{folder}: {' and '.join(others)} changed since the run was begun. Put them back, begin "
            "anew with --overwrite, or go on all the same with --force"
        )


def refuse_other_run(
    resumed: Checkpoint, now: Mapping[str, Any], *, force: bool, say: Callable[[str], None]
) -> None:
    """Raise InputError, unless ``force``, where data or base model are not those of the checkpoint."""
    if not force:
        refuse_other_rows(resumed.folder, resumed.run, now)
    if resumed.run.get("torch") != now["torch"]:
        say(
            f"note     the checkpoint was written with torch {resumed.run.get('torch')}, and this is "
            f"{now['torch']}: the last digits may differ from a run that was never stopped"
        )


def _recorded(checkpoint: Checkpoint) -> tuple[Mapping[str, Any], Recipe, Mapping[str, Any]]:
    """What was asked for, the resolved recipe and the decisions of the run that wrote the checkpoint."""
    asked, text = checkpoint.run.get("asked"), checkpoint.run.get("recipe")
    other = f"remove {checkpoint.folder} to go on from an earlier one, or begin anew with --overwrite"
    if not isinstance(asked, Mapping) or not isinstance(text, str):
        raise InputError(f"{checkpoint.folder}: its manifest does not hold the recipe of the run; {other}")
    try:
        return asked, *recipe_of_text(text, origin="recipe")
    except RecipeError as error:
        raise InputError(
            f"{checkpoint.folder}: the recipe in its manifest cannot be read ({error}); {other}"
        ) from error


def changed_keys(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The keys of the recipe, and of ``SAID``, in which two identities differ; ``now`` may hold a part."""
    asked, other = before.get("asked", {}), now.get("asked", {})
    keys = [key for key in sorted({*asked, *other}) if asked.get(key) != other.get(key)]
    return keys + [key for key in SAID if key in now and before.get(key) != now[key]]


def refuse_fewer_steps(resumed: Checkpoint, steps: int) -> None:
    """Raise InputError where a run is to end before the step of its checkpoint."""
    if steps < resumed.step:
        raise InputError(
            f"{resumed.folder}: train.max_steps, or what else sets the steps, asks for {steps:,}, and "
            f"{resumed.step:,} are made already: ask for as many or more, or begin anew with --overwrite"
        )


def _with_free_keys(before: Recipe, recipe: Recipe) -> Recipe:
    """The resolved recipe, with the data and the keys that may differ as they are asked for."""
    free = {key.partition(".")[2] for key in FREE if key.startswith("train.")}
    train = before.train.model_copy(update={key: getattr(recipe.train, key) for key in free})
    return before.model_copy(
        update={"name": recipe.name, "model": recipe.model, "data": recipe.data, "train": train}
    )


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for key in sorted({*before, *now}):
        if before.get(key) != now.get(key):
            yield f"{key} was {_shown(before.get(key))} and is {_shown(now.get(key))}"


def _shown(value: Any) -> str:
    return "auto" if value is None else str(value)


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, each in value.items():
        if isinstance(each, Mapping) and each:
            yield from _flat(each, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", each
