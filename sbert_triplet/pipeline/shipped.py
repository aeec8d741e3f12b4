"""The recipes that come with the package."""

from __future__ import annotations

import sysconfig
from pathlib import Path

from sbert_triplet.errors import RecipeError

INSTALLED = Path("share") / "sbert_triplet" / "recipes"


def packaged_recipes() -> dict[str, str]:
    """Names of the recipes that come with the package, and the first comment of each."""
    found = {}
    for file in sorted(_recipes().glob("*.yaml")):
        first = file.read_text(encoding="utf-8").splitlines()[0]
        found[file.stem] = first.lstrip("# ")
    return found


def packaged_recipe(name: str) -> Path:
    """The file of a packaged recipe. Raises RecipeError with the names that there are."""
    if name not in packaged_recipes():
        raise RecipeError(
            f"recipe {name}: does not come with the package; there are {', '.join(packaged_recipes())}"
        )
    return _recipes() / f"{name}.yaml"


def _recipes() -> Path:
    """The folder of recipes: of the checkout that this file lies in, else as installed."""
    checkout = Path(__file__).parents[2]
    if (checkout / "pyproject.toml").is_file():
        return checkout / "recipes"
    return Path(sysconfig.get_path("data")) / INSTALLED
