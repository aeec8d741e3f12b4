"""The base of every part of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from sbert_triplet.errors import RecipeError
from sbert_triplet.recipe.problems import Places, explain
from sbert_triplet.recipe.values import unexpected

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)


class _RaisesRecipeError(ModelMetaclass):
    """Calling the class speaks like reading a file does; pydantic's own entry points stay as they are.

    An ``__init__`` of our own would also run for every nested section, and lose the place of its errors.
    """

    def __call__(cls, *args: Any, **values: Any) -> Any:  # noqa: N805
        try:
            return super().__call__(*args, **values)
        except ValidationError as error:
            section: Any = cls
            raise RecipeError(explain(section, values, error, Places(cls.__name__))) from error


class Section(BaseModel, metaclass=_RaisesRecipeError):
    """Keys and values that forbid unknown keys and do not change once made.

    An empty section stands for its defaults, so that all of its lines can be commented out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def from_short(cls, value: Any) -> Any:
        """The mapping that a shorter way of writing this section stands for."""
        raise unexpected()

    @classmethod
    def prepared(cls, value: dict[str, Any]) -> dict[str, Any]:
        """The mapping as it goes to validation."""
        return value

    @model_validator(mode="before")
    @classmethod
    def _as_mapping(cls, value: Any) -> Any:
        if isinstance(value, cls):
            return value
        if value is None:
            value = {}
        return cls.prepared(dict(value if isinstance(value, Mapping) else cls.from_short(value)))
