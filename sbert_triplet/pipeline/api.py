"""The main job in Python, in one call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets

from sbert_triplet.pipeline.job import Options, Run, run
from sbert_triplet.pipeline.request import Request, read_request
from sbert_triplet.recipe.model import Recipe

IN_MEMORY = "rows"


def train(
    data: str | Path | datasets.Dataset | list[dict[str, Any]] | Recipe,
    *,
    out: str | Path | None = None,
    options: Options | None = None,
    **sections: Any,
) -> Run:
    """Tune an encoder on data and compare it with the base model on held-out rows.

    ``data``: a recipe (an object or a YAML file), a file, a folder, a Hub id, a
    ``datasets.Dataset`` or a list of dictionaries. ``sections`` are those of a recipe
    (``model=...``, ``loss={...}``, ``train={"epochs": 2}``), for data without one. ``out`` is the
    run folder, ``runs/NAME`` by default.

    Returns the run: ``run.report`` holds the figures, ``run.model`` is the folder of the model.
    Raises InputError for what the caller can mend.
    """
    request = _requested(data, sections)
    options = options or Options()
    home = Path(out) if out is not None else Path("runs") / request.name
    return run(request.recipe, home, folder=request.folder, options=options)


def _requested(data: Any, sections: dict[str, Any]) -> Request:
    if isinstance(data, Recipe):
        return Request(data, data.name or IN_MEMORY, "")
    if isinstance(data, str | Path) and not sections:
        return read_request(str(data), {})
    given = dict(sections)
    given["data"] = {**_mapping(given.get("data")), "train": str(data) if isinstance(data, Path) else data}
    recipe = Recipe(**given)
    name = recipe.name or (read_request(str(data), {}).name if isinstance(data, str | Path) else IN_MEMORY)
    return Request(recipe, name, "")


def _mapping(section: Any) -> dict[str, Any]:
    return dict(section) if section is not None else {}
