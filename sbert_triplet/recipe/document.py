"""YAML as plain data, with the line of every part.

A smaller language than YAML, so that a recipe from anywhere is safe and means what it looks
like: no tags, no second document, no key twice, bounded size, depth and repetition. Of bare
words only true, false and null are not text (``no`` and ``on`` are), and ``2e-5`` is a number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from sbert_triplet.errors import RecipeError
from sbert_triplet.recipe.problems import Path, dotted, shorten

MOST_BYTES = 1_000_000
MOST_PARTS = 20_000
MOST_DEPTH = 30
TOO_MANY = f"more than {MOST_PARTS:,} parts, repeated ones counted; is this a file of data?"
CONSTANTS = {"true": True, "false": False, "null": None, "~": None, "": None}
REFUSED = "refused"
WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]*(_[0-9]+)*)")
REAL = re.compile(r"[-+]?((\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)")
NOT_FINITE = {".inf": float("inf"), "+.inf": float("inf"), "-.inf": float("-inf"), ".nan": float("nan")}
LONGEST_NUMBER = 400
HINTS = {
    "mapping values are not allowed here": "put a text with a colon in quotes",
    "cannot start any token": "indent with spaces; a text that starts with a sign goes in quotes",
    "unknown escape character": "a backslash is written twice in double quotes, once in single quotes",
}


@dataclass(frozen=True)
class Document:
    """``data``: mappings, lists, texts, numbers, truth values and None. ``lines``: from 1, by path."""

    data: Any
    lines: Mapping[Path, int]


def parse_yaml(text: str, origin: str, *, what: str = "recipe") -> Document:
    """Read one YAML document, a ``what``. Raises RecipeError with line and column of what is wrong."""
    try:
        node = _Loader(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        raise RecipeError(_syntax(error, origin)) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problem = f"a character that YAML does not allow (U+{ord(text[error.position]):04X})"
        raise RecipeError(f"{origin} line {line}: {problem}; is this a {what}?") from error
    except RecursionError as error:
        raise RecipeError(f"{origin}: nested more than {MOST_DEPTH} deep") from error
    if node is None:
        return Document(None, {})
    walk = _Walk(origin)
    return Document(walk.plain(node, ()), walk.lines)


class _Loader(yaml.BaseLoader):
    """Composes nodes; refuses tags, and too many parts before they cost time."""

    composed = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        self.composed += 1
        problem = ""
        if getattr(event, "tag", None) is not None:
            problem = f"the tag {shorten(event.tag)} is not allowed"
        elif self.composed > MOST_PARTS:
            problem = TOO_MANY
        if problem:
            raise yaml.MarkedYAMLError(REFUSED, None, problem, event.start_mark)
        return super().compose_node(parent, index)


@dataclass
class _Walk:
    """One pass over the nodes. Aliases are followed, so parts are counted as often as they are used."""

    origin: str
    lines: dict[Path, int] = field(default_factory=dict)
    parts: int = 0

    def plain(self, node: yaml.Node, path: Path) -> Any:
        self.parts += 1
        if self.parts > MOST_PARTS:
            raise self._refused(node, TOO_MANY)
        if len(path) > MOST_DEPTH:
            raise self._refused(node, f"nested more than {MOST_DEPTH} deep")
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.plain(item, (*path, position)) for position, item in enumerate(node.value)]
        quoted = isinstance(node, yaml.ScalarNode) and node.style is not None
        return node.value if quoted else bare_word(node.value)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self._refused(key, "a key must be a plain word; a text with braces goes in quotes")
            here = (*path, key.value)
            if key.value in mapping:
                first = f"line {self.lines[here]}"
                raise self._refused(key, f"{dotted(here)}: given twice, first on {first}; keep one of them")
            self.lines[here] = key.start_mark.line + 1
            mapping[key.value] = self.plain(value, here)
        return mapping

    def _refused(self, node: yaml.Node, problem: str) -> RecipeError:
        return RecipeError(f"{self.origin} line {node.start_mark.line + 1}: {problem}")


def bare_word(word: str) -> Any:
    """What a scalar without quotes stands for."""
    if word.lower() in CONSTANTS:
        return CONSTANTS[word.lower()]
    if word.lower() in NOT_FINITE:
        return NOT_FINITE[word.lower()]
    if len(word) <= LONGEST_NUMBER:
        if WHOLE.fullmatch(word):
            return int(word)
        if REAL.fullmatch(word):
            return float(word)
    return word


def _syntax(error: yaml.MarkedYAMLError, origin: str) -> str:
    problem = error.problem or error.context or "cannot be read"
    hint = next((f"; {hint}" for words, hint in HINTS.items() if words in problem), "")
    mark = error.problem_mark or error.context_mark
    kind = "" if error.context == REFUSED else "not valid YAML: "
    place = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    return f"{origin}{place}: {kind}{problem}{hint}"
