"""Which modules a model folder is made of, and whether all of them are sentence-transformers' own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sbert_triplet.data.wording import listed
from sbert_triplet.encoding.vetting.folder import ModelFolder, joined
from sbert_triplet.encoding.vetting.known import MODULES, ROUTERS

_DEEPEST = 8
"""Routers within routers; the library's own have one level."""


@dataclass(frozen=True)
class Part:
    """A module: its folder relative to the model's, and its class; None where no module is read there."""

    path: str
    kind: str | None


def parts_of(folder: ModelFolder) -> list[Part]:
    """The modules of a model, those inside of routers too; a plain transformer without ``modules.json``.

    Raises ModelError where a module is not sentence-transformers' own, or its path leaves the folder.
    """
    file = "modules.json"
    if not folder.has(file):
        return [Part("", "Transformer")]
    entries = folder.value(file)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise folder.refusal(file, "a list of modules is expected, each with a name, a path and a type")
    parts: list[Part] = []
    for number, entry in enumerate(entries):
        where = f"{file}, module {number}"
        parts += _part(folder, _path(folder, entry, where), _text(folder, entry, "type", where), where)
    _unique(folder, file, "name", [_text(folder, entry, "name", file) for entry in entries])
    _unique(folder, file, "path", [path for entry in entries if (path := _path(folder, entry, file))])
    return parts


def _part(folder: ModelFolder, path: str, reference: str, where: str, depth: int = 0) -> list[Part]:
    kind = MODULES.get(reference)
    if kind is None:
        raise folder.refusal(
            where,
            f"the type {reference!r} is not a module of sentence-transformers, and code that comes with a "
            "model is never run; take a model that needs none",
        )
    own = Part(path, kind)
    return [own, *_routes(folder, path, depth)] if kind in ROUTERS else [own]


def _routes(folder: ModelFolder, path: str, depth: int) -> list[Part]:
    names = [joined(path, name) for name in ("router_config.json", "config.json")]
    file = next((name for name in names if folder.has(name) and folder.mapping(name)), names[0])
    types = folder.mapping(file).get("types") if folder.has(file) else None
    if not isinstance(types, dict):
        raise folder.refusal(file, "types: the type of each module of the router is expected, by its folder")
    if depth >= _DEEPEST:
        raise folder.refusal(file, f"routers lie more than {_DEEPEST} deep in each other")
    parts: list[Part] = []
    for inner, reference in types.items():
        where = f"{file}, types.{inner}"
        inside = joined(path, folder.vet_path(inner, where))
        parts += _part(folder, inside, _named(folder, reference, where), where, depth + 1)
    return parts


def _path(folder: ModelFolder, entry: dict[str, Any], where: str) -> str:
    return folder.vet_path(entry.get("path"), where)


def _text(folder: ModelFolder, entry: dict[str, Any], key: str, where: str) -> str:
    return _named(folder, entry.get(key), f"{where}, {key}")


def _named(folder: ModelFolder, value: object, where: str) -> str:
    if not isinstance(value, str):
        raise folder.refusal(where, f"a text is expected, and there is {value!r}")
    return value


def _unique(folder: ModelFolder, file: str, key: str, values: list[str]) -> None:
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise folder.refusal(file, f"{listed(twice)}: a {key} of two modules; give each its own")
