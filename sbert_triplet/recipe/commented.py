"""The recipe that ``init`` writes: short, to be edited, with a comment for every key that people change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sbert_triplet.recipe.fields import Accepts, accepts_field, known_keys
from sbert_triplet.recipe.model import Recipe
from sbert_triplet.recipe.named import Named
from sbert_triplet.recipe.writing import inline_yaml, written

HOW_TO_READ = (
    "A key behind a # has the value shown, or shows an example if it has none; to change it, drop the #.",
    "All keys: sbert-triplet recipe --schema",
)
SELDOM_CHANGED = frozenset(
    {
        "name",
        "curriculum.every",
        "curriculum.full_at",
        "curriculum.growth",
        "curriculum.hardness",
        "curriculum.order",
        "curriculum.pacing",
        "curriculum.reference",
        "curriculum.semi_hard_margin",
        "curriculum.start",
        "data.columns.label",
        "data.columns.negative",
        "data.columns.score",
        "data.columns.weight",
        "data.columns.query_id",
        "data.columns.document_id",
        "data.kind",
        "data.split.how",
        "loss.matryoshka_weights",
        "mine.absolute_margin",
        "mine.approximate_from",
        "mine.choice",
        "mine.index",
        "mine.marks",
        "mine.max_score",
        "mine.memory",
        "mine.min_score",
        "mine.near_equal",
        "mine.range_max",
        "mine.range_min",
        "mine.relative_margin",
        "mine.refresh",
        "mine.rescore",
        "mine.search",
        "mine.transitive_hops",
        "mine.transitive_size",
        "train.chunk_tokens",
        "train.deterministic",
        "train.eval_steps",
        "train.group_tokens",
        "train.keep",
        "train.max_grad_norm",
        "train.save_steps",
        "evaluate.bm25",
        "evaluate.general",
    }
)
"""Left out where they are at their default."""
ALWAYS_SET = frozenset({"model", "data.train"})
COMMENTS_FROM = 44


def commented_recipe(
    recipe: Recipe, *, heading: Sequence[str] = (), notes: Mapping[str, str] | None = None
) -> str:
    """The recipe as YAML: what differs from the defaults is set, the rest is there to be uncommented.

    ``heading``: lines to begin with. ``notes``: what to say about a key (``data.columns.anchor``)
    instead of what it means. Reading the text gives an equal recipe.
    """
    lines = [f"# {_one_line(line)}" for line in (*heading, *HOW_TO_READ)]
    return "\n".join([*lines, *_section(recipe, "", notes or {})]) + "\n"


def _section(section: BaseModel, prefix: str, notes: Mapping[str, str]) -> Iterator[str]:
    depth = prefix.count(".")
    fields = known_keys(type(section), {"name": getattr(section, "name", None)})
    for name, field in fields.items():
        key, value = f"{prefix}{name}", getattr(section, name)
        if (
            accepts_field(field).section
            and isinstance(value, BaseModel)
            and not isinstance(written(value), str)
        ):
            inner = list(_section(value, f"{key}.", notes))
            if inner:
                yield from ([""] if depth == 0 else [])
                yield _line(depth, f"{name}:", notes.get(key, field.description or ""))
                yield from inner
            continue
        is_set = key in ALWAYS_SET or written(value) != written(_default(field))
        if is_set or key not in SELDOM_CHANGED:
            yield from [""] if depth == 0 and name == "model" else []
            note = notes.get(key)
            if name == "name" and isinstance(section, Named) and value is not None:
                note = note or section.about(value)
            yield _value_line(depth, name, value, field, is_set, note)


def _value_line(depth: int, name: str, value: Any, field: FieldInfo, is_set: bool, note: str | None) -> str:
    wanted = accepts_field(field)
    example = field.examples[0] if field.examples else None
    if not is_set:
        value = _shown(value, wanted, example)
    about = note or field.description or wanted.described()
    if value == "auto" and example is not None:
        about += f", such as {inline_yaml(example)}"
    if isinstance(value, tuple) and len(value) == 1:
        value = value[0]
    return _line(depth, f"{'' if is_set else '# '}{name}: {inline_yaml(written(value))}", about)


def _shown(value: Any, wanted: Accepts, example: Any) -> Any:
    """What stands behind the # of a key at its default."""
    if value is None and wanted.auto:
        return "auto"
    return example if value in (None, ()) and example is not None else value


def _line(depth: int, code: str, comment: str) -> str:
    line = "  " * depth + code
    return f"{line:<{COMMENTS_FROM}}  # {_one_line(comment)}" if comment else line


def _one_line(text: str) -> str:
    """Nothing in a comment, such as the name of a column, may end it."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def _default(field: FieldInfo) -> Any:
    return None if field.is_required() else field.get_default(call_default_factory=True)
