"""Matryoshka beside the options of a loss: the same loss at several nested dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from sbert_triplet.recipe.values import Count, NotNegative, OneOrMany, said, unexpected

if TYPE_CHECKING:
    from sbert_triplet.losses.batch import Loss


class _NotEmpty:
    """A list of at least one; a bound on the length itself would be reported for wrong items, too."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(_not_empty, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "minItems": 1}


def _not_empty(items: tuple[Any, ...]) -> tuple[Any, ...]:
    if not items:
        raise unexpected()
    return items


def _different(sizes: tuple[int, ...]) -> tuple[int, ...]:
    for place, size in enumerate(sizes):
        if size in sizes[:place]:
            raise said(f"{size} is there twice; give different dimensions")
    return sizes


NestedSizes = Annotated[tuple[Count, ...], _NotEmpty(), AfterValidator(_different), OneOrMany()]
NestedWeights = Annotated[tuple[NotNegative, ...], _NotEmpty(), OneOrMany()]


def nested_fields() -> dict[str, tuple[Any, Any]]:
    """Type and field of the keys that any loss without parameters of the embedding's size has."""
    return {
        "matryoshka": (
            NestedSizes | None,
            Field(
                default=None,
                description="Also at the first so many dimensions, so that embeddings can be cut to them",
                examples=[[256, 128, 64]],
            ),
        ),
        "matryoshka_weights": (
            NestedWeights | None,
            Field(
                default=None,
                description="The weight of each of `matryoshka`; none: 1 each",
                examples=[[1.0, 0.5, 0.25]],
            ),
        ),
    }


def wrong_weights(sizes: tuple[int, ...] | None, weights: tuple[float, ...] | None) -> str | None:
    """What is wrong with weights beside these dimensions; None where nothing is."""
    if weights is None:
        return None
    if sizes is None:
        return "weights go with dimensions: give `matryoshka` as well"
    if len(weights) != len(sizes):
        return f"expected {len(sizes)}, one for each of matryoshka, found {len(weights)}"
    return None if any(weights) else "no weight is above 0, so there is nothing to minimise"


def nested(
    loss: Loss, sizes: tuple[int, ...] | None, weights: tuple[float, ...] | None, dimensions: int
) -> Loss:
    """``loss`` at these dimensions of an encoder of ``dimensions``, 0 where they are not known.

    Raises ValueError, naming the key, for a loss that cannot be cut and for more dimensions than
    there are.
    """
    from sbert_triplet.losses.matryoshka import MatryoshkaLoss

    if sizes is None:
        return loss
    if 0 < dimensions < max(sizes):
        raise ValueError(f"loss.matryoshka: {max(sizes)} is more than the encoder's {dimensions} dimensions")
    try:
        # Its density is known on the unit sphere only, where cut embeddings do not lie.
        normalize = getattr(getattr(loss, "miner", None), "name", None) == "distance_weighted"
        return MatryoshkaLoss(loss, dimensions=sizes, weights=weights, normalize=normalize)
    except ValueError as error:
        raise ValueError(f"loss.matryoshka: {error}") from error
