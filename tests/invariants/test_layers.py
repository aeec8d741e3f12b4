"""Imports point down: the layers of the package, walked through every import statement."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

import sbert_triplet

PACKAGE = Path(sbert_triplet.__file__).parent
LAYERS = {
    "errors": 0,
    "distances": 1,
    "selection": 1,
    "nearest": 1,
    "losses": 1,
    "data": 2,
    "encoding": 2,
    "processes": 2,
    "evaluation": 3,
    "mining": 3,
    "training": 4,
    "reporting": 5,
    "search": 5,
    "publishing": 6,
    "recipe": 7,
    "pipeline": 7,
    "terminal": 8,
    "cli": 8,
    "__main__": 8,
    "__init__": 8,
}
WITHIN_A_LAYER = {
    ("encoding", "processes"),
    ("losses", "distances"),
    ("losses", "selection"),
    ("selection", "distances"),
    ("nearest", "distances"),
    ("encoding", "data"),
    ("pipeline", "recipe"),
    ("cli", "terminal"),
    ("__main__", "cli"),
}
"""Pairs of one layer of which the first may import the second; never the other way round."""
ALLOWED_BESIDE_TORCH_BELOW_DATA = {"torch", "numpy"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def part_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


@functools.cache
def imported(file: Path) -> tuple[str, ...]:
    """Absolute names of everything that a file imports, at any depth of it."""
    return tuple(_imported(file))


def _imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield node.module or ""


@pytest.mark.parametrize("file", modules(), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_point_down(file: Path) -> None:
    here = part_of(file)
    assert here in LAYERS, f"{here} has no layer"
    for name in imported(file):
        if not name.startswith("sbert_triplet."):
            continue
        there = name.split(".")[1]
        assert there == here or LAYERS[there] < LAYERS[here] or (here, there) in WITHIN_A_LAYER, (
            f"{here} (layer {LAYERS[here]}) imports {name} (layer {LAYERS[there]})"
        )


@pytest.mark.parametrize("file", modules(), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_only_the_recipe_layer_and_above_knows_recipes(file: Path) -> None:
    if LAYERS[part_of(file)] < LAYERS["recipe"]:
        assert not [name for name in imported(file) if name.startswith("sbert_triplet.recipe")]


def test_mathematics_knows_nothing_but_torch_and_numpy() -> None:
    import sys

    for file in modules():
        if LAYERS[part_of(file)] > 1:
            continue
        outside = {name.split(".")[0] for name in imported(file)} - {"sbert_triplet", ""}
        assert outside <= ALLOWED_BESIDE_TORCH_BELOW_DATA | set(sys.stdlib_module_names), file


def test_importing_the_package_imports_nothing_heavy() -> None:
    import subprocess
    import sys

    code = (
        "import sys, sbert_triplet; print(sorted({'torch', 'transformers', 'datasets'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    for name in sbert_triplet.__all__:
        assert getattr(sbert_triplet, name) is not None
    assert set(sbert_triplet.__all__) == set(sbert_triplet._HOMES)
