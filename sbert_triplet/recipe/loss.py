"""The loss and its distance: a name, and the options that the constructor of that name declares."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, Field, create_model, model_validator

from sbert_triplet.recipe.named import (
    Constructor,
    Named,
    is_supplied,
    needs_dimensions,
    parameters_of,
    variant_of,
    wrong_at,
)
from sbert_triplet.recipe.nested import NestedSizes, NestedWeights, nested, nested_fields, wrong_weights
from sbert_triplet.recipe.values import Auto, FilledText, said

if TYPE_CHECKING:
    from sbert_triplet.losses.batch import Loss

CANNOT_BE_CUT = (
    "holds parameters of the embedding's size, which cannot be cut; matryoshka goes with losses that "
    "have none"
)


class DistanceRecipe(Named):
    """A distance by name."""

    wanted: ClassVar[str] = "a distance by name, or keys and values (name and its options)"

    name: FilledText = Field(description="Which distance")

    @classmethod
    def names(cls) -> tuple[str, ...]:
        from sbert_triplet.distances.names import DISTANCES

        return tuple(DISTANCES)

    @classmethod
    def constructor(cls, name: str) -> Constructor:
        from sbert_triplet.distances.names import DISTANCES

        return DISTANCES[name]


class LossRecipe(Named):
    """A loss by name; without one it is chosen from the kind of data.

    Behind ``st.`` come those of sentence-transformers. ``matryoshka`` is no option of a loss: it
    wraps any that holds no parameters of the embedding's size.
    """

    wanted: ClassVar[str] = "a loss by name, or keys and values (name and its options)"

    name: Auto[FilledText] = Field(default=None, description="Which loss; auto: chosen from the kind of data")
    matryoshka: NestedSizes | None = nested_fields()["matryoshka"][1]
    matryoshka_weights: NestedWeights | None = nested_fields()["matryoshka_weights"][1]

    @classmethod
    def names(cls) -> tuple[str, ...]:
        from sbert_triplet.losses.names import LOSSES
        from sbert_triplet.training.library_names import LIBRARY_LOSSES

        return (*LOSSES, *LIBRARY_LOSSES)

    @classmethod
    def loadable(cls) -> tuple[str, ...]:
        from sbert_triplet.losses.names import LOSSES
        from sbert_triplet.training.library_options import available

        return tuple(name for name in cls.names() if name in LOSSES or available(name))

    @classmethod
    def having_options(cls) -> tuple[str, ...]:
        from sbert_triplet.losses.names import LOSSES

        return tuple(LOSSES)

    @classmethod
    def constructor(cls, name: str) -> Constructor:
        from sbert_triplet.training.library_losses import find_loss

        return find_loss(name).constructor

    @classmethod
    def about(cls, name: str) -> str:
        from sbert_triplet.losses.names import LOSSES
        from sbert_triplet.training.library_names import LIBRARY_LOSSES

        return LOSSES[name].description if name in LOSSES else LIBRARY_LOSSES[name].description

    @classmethod
    def unknown(cls, name: str) -> str:
        from sbert_triplet.training.library_names import HERE_INSTEAD, PREFIX

        plain = name.removeprefix(PREFIX)
        if plain in HERE_INSTEAD:
            return (
                f"{plain} of sentence-transformers encodes texts itself and cannot be used here; "
                f"use {HERE_INSTEAD[plain]}"
            )
        return super().unknown(name)

    @classmethod
    def variant(cls, name: str) -> type[BaseModel]:
        return _variant(name, cls.constructor(name), cls.can_be_cut(name))

    @classmethod
    def can_be_cut(cls, name: str) -> bool:
        """Whether ``name`` holds no parameters of the embedding's size, whatever its options are."""
        from sbert_triplet.training.library_names import LIBRARY_LOSSES

        if name in LIBRARY_LOSSES:
            return not LIBRARY_LOSSES[name].embedding_sized
        return not needs_dimensions(cls.constructor(name))

    @classmethod
    def prepared(cls, value: dict[str, Any]) -> dict[str, Any]:
        name = value.get("name")
        if isinstance(name, str) and name in cls.names() and not cls.can_be_cut(name):
            for key in nested_fields().keys() & value.keys():
                raise wrong_at(key, value[key], f"{name} {CANNOT_BE_CUT}")
        return super().prepared(value)

    @model_validator(mode="after")
    def _weights_fit(self) -> LossRecipe:
        problem = wrong_weights(self.matryoshka, self.matryoshka_weights)
        if problem is not None:
            raise wrong_at("matryoshka_weights", self.matryoshka_weights, problem)
        return self

    def build(self, *, dimensions: int, seed: int, classes: int | None = None) -> Loss:
        """The loss for an encoder of that many dimensions, and data of that many classes.

        Raises ValueError for options that do not go together, for more ``matryoshka`` dimensions
        than the encoder has, and where no loss was chosen yet.
        """
        from sbert_triplet.training.library_losses import build_any_loss, find_loss

        if self.name is None:
            raise ValueError("a loss is built once its name is chosen")
        parameters = parameters_of(find_loss(self.name).constructor)
        supplied = {
            key: value
            for key, value in {"seed": seed, "classes": classes}.items()
            if key in parameters and is_supplied(parameters[key])
        }
        loss = build_any_loss(self.name, dimensions=dimensions, **self.options, **supplied)
        return nested(loss, self.matryoshka, self.matryoshka_weights, dimensions)

    @classmethod
    def tried(cls, options: Mapping[str, Any]) -> None:
        """Build the loss once, unless it holds a matrix of the encoder's size."""
        distance, sizes = options.get("distance"), options.get("matryoshka")
        if distance is not None and needs_dimensions(distance.constructor(distance.name)):
            if sizes is not None:
                raise wrong_at("matryoshka", sizes, f"distance {distance.name} {CANNOT_BE_CUT}")
            return
        if needs_dimensions(cls.constructor(options["name"])):
            return
        plain = {key: value for key, value in options.items() if key not in nested_fields()}
        try:
            cls.model_construct(**plain).build(dimensions=1, seed=0, classes=2)
        except ValueError as error:
            raise said(f"{options['name']}: {error}") from None


@cache
def _variant(name: str, constructor: Constructor, cut: bool) -> type[BaseModel]:
    plain = variant_of("Loss", name, constructor, ("distance", DistanceRecipe))
    more: dict[str, Any] = {**nested_fields()} if cut else {}
    return create_model(f"Loss_{name}", __base__=plain, **more) if cut else plain
