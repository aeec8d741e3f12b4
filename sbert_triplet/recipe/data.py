"""What a recipe says about its data: sources, columns, kind, splits and limits."""

from __future__ import annotations

import os
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from sbert_triplet.data.kinds import Kind, Roles
from sbert_triplet.recipe.section import Section
from sbert_triplet.recipe.sources import Sources, is_rows
from sbert_triplet.recipe.values import Auto, Count, FilledText, Names, said, unexpected


class Columns(Section):
    """Which column, or template of columns, plays which role; what is not named is inferred."""

    anchor: FilledText | None = Field(
        default=None,
        description="Query, first text of a pair, or the text that has a label",
        examples=["question", "{subject}\n{body}"],
    )
    positive: Names | None = Field(
        default=None,
        description="Text that belongs to the anchor, or second text of a pair; several, or a list column",
        examples=["answer", ["title", "abstract"]],
    )
    negative: Names | None = Field(
        default=None,
        description="Columns of texts that do not belong to the anchor (list columns too)",
        examples=["negative", ["negative_1", "negative_2"]],
    )
    label: FilledText | None = Field(default=None, description="Class, or the NLI label", examples=["intent"])
    score: FilledText | None = Field(default=None, description="Score of a pair", examples=["similarity"])
    weight: FilledText | None = Field(default=None, description="Weight of a row", examples=["clicks"])
    query_id: FilledText | None = Field(default=None, description="Id of the query")
    document_id: FilledText | None = Field(default=None, description="Id of the document")

    @classmethod
    def from_roles(cls, roles: Roles) -> Columns:
        """The columns that were found; none for a folder of queries and documents."""
        if roles.kind is Kind.RETRIEVAL:
            return cls()
        single = ("anchor", "label", "score", "weight", "query_id", "document_id")
        positives = (*([roles.positive] if roles.positive else []), *roles.more_positives)
        found = {role: getattr(roles, role) for role in single}
        return cls(**found, positive=positives or None, negative=roles.negatives or None)

    def given(self) -> dict[str, str | list[str]]:
        """The roles that were named, as ``data.columns.infer_roles`` takes them."""
        roles: dict[str, str | list[str]] = {}
        for role, value in self:
            if isinstance(value, tuple):
                roles[role] = list(value) if len(value) != 1 else value[0]
            elif value is not None:
                roles[role] = value
        return roles


class SplitRecipe(Section):
    """How rows are held out for dev and test."""

    wanted: ClassVar[str] = "a column, or keys and values (by, how)"

    by: FilledText | None = Field(
        default=None,
        description="Column to split by: in time order (dates), or whole groups (customers)",
        examples=["created_at", "customer"],
    )
    how: Auto[Literal["time", "group"]] = Field(
        default=None, description="What the column means; auto: dates and numbers are time, all else groups"
    )

    @model_validator(mode="after")
    def _how_needs_by(self) -> SplitRecipe:
        if self.how is not None and self.by is None:
            raise said("how needs a column to split by: give `by` as well")
        return self

    @classmethod
    def from_short(cls, value: Any) -> Any:
        if isinstance(value, str) and value:
            return {"by": value}
        raise unexpected()


class DataRecipe(Section):
    """What is trained and evaluated on."""

    wanted: ClassVar[str] = "keys and values, of which `train` names the rows to train on"

    train: Sources = Field(
        description="Rows to train on: a file, a folder, a Hub id, `docstrings:`, or a list of these",
        examples=["tickets.csv"],
    )
    dev: Sources | None = Field(
        default=None, description="Rows to choose checkpoints by; else cut from train", examples=["dev.csv"]
    )
    test: Sources | None = Field(
        default=None,
        description="Rows to compare base and tuned on; else cut from train",
        examples=["test.csv"],
    )
    corpus: Sources | None = Field(
        default=None,
        description="Further documents that search must cope with",
        examples=["articles.parquet"],
    )
    columns: Columns = Field(
        default_factory=Columns, description="Columns by role; else inferred by name and type"
    )
    kind: Auto[Kind] = Field(default=None, description="What one row is; auto: told from the roles")
    split: SplitRecipe = Field(default_factory=SplitRecipe, description="How dev and test are held out")
    limit: Count | None = Field(
        default=None, description="Read at most this many rows to train on", examples=[10_000]
    )
    on_bad_row: Literal["refuse", "skip"] = Field(
        default="refuse", description="Stop at rows that cannot be used, or set them aside and count them"
    )

    def given_roles(self) -> dict[str, str | list[str]]:
        """The roles and the kind that were named, as ``data.columns.infer_roles`` takes them."""
        return ({"kind": self.kind.value} if self.kind else {}) | self.columns.given()

    @classmethod
    def from_short(cls, value: Any) -> Any:
        if isinstance(value, str | os.PathLike | list | tuple) or is_rows(value):
            return {"train": value}
        raise unexpected()
