"""The main job in Python, in one call, and the comparison of models, in another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets

from sbert_triplet.data.memory import IN_MEMORY
from sbert_triplet.errors import DataError, InputError
from sbert_triplet.pipeline.evaluating import Evaluation, carry_out
from sbert_triplet.pipeline.job import run
from sbert_triplet.pipeline.measurements import Asked
from sbert_triplet.pipeline.options import Options, Run
from sbert_triplet.pipeline.request import Request, is_recipe, read_request, run_name
from sbert_triplet.recipe.model import Recipe
from sbert_triplet.recipe.writing import inline_yaml, plain

NAME_OF_ROWS = "rows"


def train(
    data: str | Path | datasets.Dataset | list[dict[str, Any]] | Recipe,
    /,
    *,
    out: str | Path | None = None,
    options: Options | None = None,
    **sections: Any,
) -> Run:
    """Tune an encoder on data and compare it with the base model on held-out rows.

    ``data``: a file, a folder, a Hub id, a ``datasets.Dataset``, a list of dictionaries, or a recipe
    (an object, a YAML file, or the name of one that comes with the package). ``sections`` are those
    of a recipe: ``model="..."``, ``data={"columns": {...}}``, ``loss={...}``, ``train={"epochs": 2}``;
    beside a recipe's file they replace its values. ``out`` is the run folder, ``runs/NAME`` by default.

    Returns the run: ``run.report`` holds the figures, ``run.model`` is the folder of the model.
    Raises InputError for what the caller can mend, MachineError for a full disk or memory.
    """
    request = _requested(data, sections)
    options = options or Options()
    if not options.decisions:
        options = replace(options, decisions=request.decisions)
    home = Path(out) if out is not None else Path("runs") / request.name
    return run(request.recipe, home, folder=request.folder, options=options)


def evaluate(
    *models: str | Path | Run,
    suite: str | Path | None = None,
    data: str | Path | None = None,
    mteb: str | Sequence[str] = (),
    local: str | Path | None = None,
    precision: str = "fp32",
    seed: int = 13,
    out: str | Path | None = None,
    options: Options | None = None,
    **sections: Any,
) -> Evaluation:
    """Measure models on the same tasks and compare each with the first, with intervals.

    ``models``: folders, runs, Hub ids. ``suite``: the name of one that comes with the package, or a YAML
    file, whose relative paths start in ``local``. ``data``: a recipe, a run folder or a table, of which the
    rows held out for test are measured; ``sections`` replace values of its recipe, as those of ``train`` do.
    Without either: the held-out rows of the first model that a run made. ``mteb``: names of its tasks.
    ``precision``: of the encoder's arithmetic (fp32, bf16, fp16). ``seed``: of the resampling. ``out``: the
    folder that is written, ``runs/NAME-evaluation`` by default.

    Returns the evaluation: ``.record`` holds the figures, as ``evaluation.json`` in ``.folder`` does.
    Raises InputError for what the caller can mend, MachineError for a full disk or memory.
    """
    asked = Asked(
        models=tuple(str(model.folder if isinstance(model, Run) else model) for model in models),
        suite=None if suite is None else str(suite),
        data=None if data is None else str(data),
        settings=tuple(_overrides(sections)),
        local=None if local is None else Path(local),
        mteb=(mteb,) if isinstance(mteb, str) else tuple(mteb),
        precision=precision,
        seed=seed,
    )
    return carry_out(asked, None if out is None else Path(out), options=options)


def _requested(data: Any, sections: Mapping[str, Any]) -> Request:
    if isinstance(data, Recipe):
        if sections:
            raise InputError(
                f"{', '.join(sections)}: a recipe is given and has sections of its own; "
                "make it with the values that are wanted"
            )
        return Request(data, data.name or NAME_OF_ROWS, "")
    if isinstance(data, str | Path) and is_recipe(str(data)):
        return read_request(str(data), overrides=_overrides(sections))
    source = str(data) if isinstance(data, Path) else data
    if isinstance(source, list) and any(isinstance(row, Mapping) and "source" not in row for row in source):
        _refuse_other_rows(source)
    recipe = Recipe(**{**sections, "data": {**_mapping(sections.get("data")), "train": source}})
    return Request(recipe, recipe.name or (run_name(source) if isinstance(source, str) else NAME_OF_ROWS), "")


def _refuse_other_rows(rows: list[Any]) -> None:
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, Mapping):
            raise DataError(f"{IN_MEMORY}: row {number} is a {type(row).__name__}; every row is a dictionary")


def _overrides(sections: Mapping[str, Any]) -> list[str]:
    """The sections as ``KEY=VALUE``: values one by one, a loss as a whole."""
    found = []
    for section, value in sections.items():
        parts = {section: value}
        if isinstance(value, Mapping) and section != "loss":
            parts = {f"{section}.{key}": each for key, each in value.items()}
        found += [f"{key}={inline_yaml(plain(each))}" for key, each in parts.items()]
    return found


def _mapping(section: Any) -> dict[str, Any]:
    if section is None or isinstance(section, Mapping):
        return dict(section or {})
    raise InputError("data: the rows are the first argument; as a section it has keys, such as columns")
