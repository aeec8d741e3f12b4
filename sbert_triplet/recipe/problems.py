"""Turns what pydantic found wrong into sentences for people: where, which key, what was expected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from sbert_triplet.recipe.fields import every_key, find_field, known_keys

Path = tuple[str | int, ...]
SHOWN = 60
LONGEST_NUMBER = 200
# What the same thing is called elsewhere, mostly in transformers' TrainingArguments.
CALLED_ELSEWHERE = {
    "lr": "learning_rate",
    "num_train_epochs": "epochs",
    "num_epochs": "epochs",
    "per_device_train_batch_size": "batch_size",
    "train_batch_size": "batch_size",
    "warmup_ratio": "warmup",
    "warmup_steps": "warmup",
    "scheduler": "schedule",
    "lr_scheduler_type": "schedule",
    "max_seq_length": "max_length",
    "early_stopping": "patience",
    "early_stopping_patience": "patience",
    "clip": "max_grad_norm",
    "save_total_limit": "keep",
    "validation": "dev",
    "val": "dev",
    "eval": "dev",
    "bf16": "precision",
    "fp16": "precision",
    "query": "anchor",
    "question": "anchor",
    "text": "anchor",
    "answer": "positive",
    "document": "positive",
    "negatives": "negative",
    "class": "label",
    "temperature": "scale",
}


@dataclass(frozen=True)
class Places:
    """Where each part of a recipe was written.

    ``origin`` names the recipe; ``lines`` has the line of a path, ``overrides`` the ``--set``
    argument that wrote a path. What has no place of its own is at the place of what holds it.
    """

    origin: str
    lines: Mapping[Path, int] = field(default_factory=dict)
    overrides: Mapping[Path, str] = field(default_factory=dict)

    def line(self, path: Path) -> int:
        """The line of the path or of what holds it; 0 where nothing is known."""
        return next((self.lines[path[:n]] for n in range(len(path), -1, -1) if path[:n] in self.lines), 0)

    def sentence(self, path: Path, problem: str) -> str:
        for length in range(len(path), -1, -1):
            held = path[:length]
            if held in self.overrides:
                key = "" if length == len(path) else f"{dotted(path)}: "
                return f"{self.overrides[held]}: {key}{problem}"
            if held in self.lines:
                return f"{self.origin} line {self.lines[held]}: {dotted(path)}: {problem}"
        return f"{self.origin}: {dotted(path)}: {problem}" if path else f"{self.origin}: {problem}"


def dotted(path: Path) -> str:
    """``data.train[0].weight``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return shorten(text)


def shorten(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def found(value: Any) -> str:
    """A value as a person would recognise it."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return shorten(repr(value))
    if isinstance(value, int) and value.bit_length() > LONGEST_NUMBER:
        return "a number that is too large"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, Mapping):
        return "keys and values"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    return f"an object of type {type(value).__name__}"


def explain(section: type[BaseModel], data: Any, error: ValidationError, places: Places) -> str:
    """One sentence a line for every problem, in the order of the file."""
    problems = []
    for details in error.errors(include_url=False):
        location = _without_choice(section, details["loc"], data)
        problems.append((_written(location, data), _problem(section, data, location, details)))
    problems.sort(key=lambda problem: places.line(problem[0]))
    return "\n".join(dict.fromkeys(places.sentence(*problem) for problem in problems))


def _without_choice(section: type[BaseModel], location: Path, data: Any) -> Path:
    """The location without the names of a union's choices, which pydantic puts behind that of the value."""
    for length, part in enumerate(location):
        held = find_field(section, location[:length], data)
        if held is None:
            return location
        if isinstance(part, str) and held.section is None and not (held.item and held.item.section):
            return location[:length]
    return location


def _written(location: Path, data: Any) -> Path:
    """The location without positions in lists that were written as their only item."""
    path: list[str | int] = []
    for part in location:
        if isinstance(part, int) and not isinstance(data, list | tuple):
            continue
        path.append(part)
        data = inside(data, part)
    return tuple(path)


def inside(data: Any, part: str | int) -> Any:
    """One step into plain data; None where there is nothing. Positions of an only item lead to itself."""
    if isinstance(part, str):
        return data.get(part) if isinstance(data, Mapping) else None
    if isinstance(data, list | tuple):
        return data[part] if part < len(data) else None
    return data


def _problem(section: type[BaseModel], data: Any, location: Path, details: ErrorDetails) -> str:
    value = data
    for part in location:
        value = inside(value, part)
    if value is None:
        value = details["input"]
    if details["type"] == "extra_forbidden":
        return f"unknown key; {_suggestion(section, data, location)}"
    if details["type"] == "said":
        return details["msg"]
    wanted = find_field(section, location, data)
    expected = wanted.described() if wanted is not None else "another value"
    if details["type"] == "missing":
        return f"missing; expected {expected}"
    hint = ""
    if wanted is not None and isinstance(value, str) and wanted.choices:
        close = nearest(value, wanted.choices)
        hint = f"; did you mean {close}?" if close else ""
    elif wanted is not None and wanted.core is str and isinstance(value, bool | int | float):
        hint = "; put it in quotes"
    elif wanted is not None and wanted.core is str and isinstance(value, Mapping):
        hint = '; put a template in quotes, as in "{title}"'
    return f"expected {expected}, found {found(value)}{hint}"


def nearest(
    word: str, known: Mapping[str, Any] | tuple[str, ...] | list[str], cutoff: float = 0.6
) -> str | None:
    plain = word.lower().replace("-", "_").replace(" ", "_")
    by_plain = {name.lower(): name for name in known}
    close = get_close_matches(plain, list(by_plain), n=1, cutoff=cutoff)
    return by_plain[close[0]] if close else None


def _suggestion(section: type[BaseModel], data: Any, location: Path) -> str:
    """The key that was probably meant: here, under another name, or in another section."""
    *above, key = location
    word = str(key)
    here = list(_siblings(section, data, tuple(above)))
    elsewhere = {path[-1]: ".".join(path) for path in reversed(every_key(section)) if len(path) > 1}
    other_name = CALLED_ELSEWHERE.get(word.lower().replace("-", "_"), word)
    for guess in _guesses(word, other_name, here, elsewhere):
        if guess is not None:
            return f"did you mean {guess}?"
    return f"known here: {', '.join(here)}"


def _guesses(word: str, other_name: str, here: list[str], elsewhere: dict[str, str]) -> Iterator[str | None]:
    yield nearest(word, here, cutoff=0.75)
    yield other_name if other_name in here else None
    yield elsewhere.get(other_name)
    yield nearest(word, here)
    far = nearest(word, elsewhere, cutoff=0.75)
    yield elsewhere[far] if far else None


def _siblings(section: type[BaseModel], data: Any, above: Path) -> Mapping[str, Any]:
    holder = find_field(section, above, data)
    for part in above:
        data = inside(data, part)
    nested = holder.section if holder else None
    return known_keys(nested, data) if nested is not None else {}
