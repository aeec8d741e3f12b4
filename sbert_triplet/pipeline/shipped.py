"""The recipes and suites that come with the package."""

from __future__ import annotations

import sysconfig
from difflib import get_close_matches
from pathlib import Path

from sbert_triplet.errors import RecipeError

INSTALLED = Path("share") / "sbert_triplet"


def packaged_recipes() -> dict[str, str]:
    """Names of the recipes that come with the package, and the first comment of each."""
    return _described(_recipes())


def packaged_recipe(name: str) -> Path:
    """The file of a packaged recipe. Raises RecipeError with the names that there are."""
    return _named("recipe", name, _recipes())


def packaged_suites() -> dict[str, str]:
    """Names of the suites that come with the package, and the first comment of each."""
    return _described(_suites())


def packaged_suite(name: str) -> Path:
    """The file of a packaged suite. Raises RecipeError with the names that there are."""
    return _named("suite", name, _suites())


def _described(folder: Path) -> dict[str, str]:
    found = {}
    for file in sorted(folder.glob("*.yaml")):
        first = file.read_text(encoding="utf-8").splitlines()[0]
        found[file.stem] = first.lstrip("# ")
    return found


def _named(what: str, name: str, folder: Path) -> Path:
    names = list(_described(folder))
    if name not in names:
        close = get_close_matches(name.lower(), names, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise RecipeError(
            f"{what} {name}: does not come with the package; there are {', '.join(names)}{hint}"
        )
    return folder / f"{name}.yaml"


def _recipes() -> Path:
    return _folder("recipes", "recipes")


def _suites() -> Path:
    return _folder("eval/suites", "suites")


def _folder(in_checkout: str, installed: str) -> Path:
    """The folder in the checkout that this file lies in, else as installed."""
    checkout = Path(__file__).parents[2]
    if (checkout / "pyproject.toml").is_file():
        return checkout / in_checkout
    return Path(sysconfig.get_path("data")) / INSTALLED / installed
