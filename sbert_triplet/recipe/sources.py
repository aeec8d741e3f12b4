"""Where rows come from, as a recipe says it: a name, with details, rows in memory, or several."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo, model_validator
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue, SkipJsonSchema
from pydantic_core import CoreSchema, core_schema

from sbert_triplet.recipe.section import Section
from sbert_triplet.recipe.values import Count, FilledText, PathText, Positive, said, unexpected


class Source(Section):
    """One source of rows: exactly one of ``source``, ``rows`` and ``memory``."""

    wanted: ClassVar[str] = "a source (a file, a folder, a Hub id or `docstrings:`)"

    source: PathText | None = Field(
        default=None,
        description="A file (csv, tsv, json, jsonl, parquet), a folder, a Hub id, or `docstrings:`",
        examples=["tickets.csv", "sentence-transformers/all-nli", "docstrings:"],
    )
    config: FilledText | None = Field(default=None, description="Configuration of a Hub data set")
    split: FilledText | None = Field(default=None, description="Split of a Hub data set", examples=["train"])
    revision: FilledText | None = Field(default=None, description="Branch, tag or commit of a Hub data set")
    limit: Count | None = Field(default=None, description="Take at most this many of its rows")
    weight: Positive = Field(
        default=1.0, description="How often its rows come in one pass: 2 is twice, 0.5 a half of them"
    )
    memory: FilledText | None = Field(
        default=None, description="Fingerprint of rows that were given in Python and are not in the recipe"
    )
    rows: SkipJsonSchema[Any] = Field(default=None, repr=False)
    """A ``datasets.Dataset`` or a list of mappings: in Python only."""

    @classmethod
    def from_short(cls, value: Any) -> Any:
        if isinstance(value, str | os.PathLike):
            return {"source": value}
        if is_rows(value):
            return {"rows": list(value) if isinstance(value, tuple) else value}
        raise unexpected()

    @classmethod
    def keys_for(cls, value: Any) -> Mapping[str, FieldInfo]:
        """The keys that can be written; ``rows`` cannot."""
        return {name: field for name, field in cls.model_fields.items() if name != "rows"}

    @model_validator(mode="after")
    def _one_origin(self, info: ValidationInfo) -> Source:
        if self.rows is not None and from_text(info):
            raise said("rows are given in Python or lie in a file; a recipe names the file as `source`")
        if sum(value is not None for value in (self.source, self.rows, self.memory)) != 1:
            raise said(f"expected {self.wanted}; as a mapping it needs the key `source`")
        return self

    def fingerprint(self) -> str:
        """SHA-256 of the rows in memory, in their order; the recorded one where they are not at hand."""
        if self.rows is None:
            return self.memory or ""
        import datasets

        from sbert_triplet.data.fingerprint import fingerprint

        held = hasattr(self.rows, "iter")
        return fingerprint(self.rows if held else datasets.Dataset.from_list(list(self.rows)))


def from_text(info: ValidationInfo) -> bool:
    """Whether the values come from a file or the command line, where rows cannot be given."""
    return bool(info.context and info.context.get("from_text"))


def is_rows(value: Any) -> bool:
    """A ``datasets.Dataset``, or a list of mappings none of which names a source."""
    if isinstance(value, list | tuple):
        return all(isinstance(row, Mapping) and "source" not in row and "memory" not in row for row in value)
    return hasattr(value, "column_names") and hasattr(value, "iter") and not isinstance(value, Mapping)


class _OneOrManySources:
    """A source, or a list of them; always a tuple once validated."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_before_validator_function(_as_sources, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        many = handler(schema)
        one = {"anyOf": [{"type": "string", "minLength": 1}, many["items"]]}
        return {"anyOf": [*one["anyOf"], {**many, "items": one, "minItems": 1}]}


def _as_sources(value: Any, info: ValidationInfo) -> Any:
    if value is None or (isinstance(value, list | tuple) and not value):
        raise unexpected()
    if isinstance(value, Mapping) and hasattr(value, "column_names"):
        raise said("a DatasetDict holds several splits: give one of them, as in data['train']")
    if is_rows(value) and not from_text(info):
        return (value,)
    if isinstance(value, list | tuple):
        return tuple(value)
    return (value,)


Sources = Annotated[tuple[Source, ...], _OneOrManySources()]
