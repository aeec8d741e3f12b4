"""Several losses in one run, each with a weight and with rows of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from sbert_triplet.data.kinds import Kind
from sbert_triplet.recipe.data import Columns
from sbert_triplet.recipe.loss import LossRecipe
from sbert_triplet.recipe.section import Section
from sbert_triplet.recipe.sources import Source
from sbert_triplet.recipe.values import Auto, Positive


class LossPart(Section):
    """One of several losses."""

    wanted: ClassVar[str] = "keys and values: loss, weight and dataset"

    loss: LossRecipe = Field(default_factory=LossRecipe, description="Which loss, as under `loss`")
    weight: Positive = Field(default=1.0, description="What its value is multiplied by")
    dataset: Source | None = Field(
        default=None,
        description="Rows that it trains on, all of them; none: those of data.train",
        examples=["pairs.csv"],
    )
    columns: Columns = Field(
        default_factory=Columns, description="Columns of its dataset by role; else inferred"
    )
    kind: Auto[Kind] = Field(
        default=None, description="What one row of its dataset is; auto: told from the roles"
    )

    @classmethod
    def from_short(cls, value: Any) -> Any:
        return {"loss": value}

    @classmethod
    def prepared(cls, value: dict[str, Any]) -> dict[str, Any]:
        """A loss can be written without the key ``loss``: its options then stand beside its name."""
        if "name" not in value or "loss" in value:
            return value
        own = cls.model_fields.keys() & value.keys()
        loss = {key: part for key, part in value.items() if key not in own}
        return {"loss": loss, **{key: value[key] for key in own}}

    @classmethod
    def keys_for(cls, value: Any) -> Mapping[str, Any]:
        """The keys beside each other that ``value`` may have."""
        flat = isinstance(value, Mapping) and isinstance(value.get("name"), str) and "loss" not in value
        return {**cls.model_fields, **LossRecipe.keys_for(value)} if flat else cls.model_fields
