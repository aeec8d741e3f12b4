"""The loss and its distance: a name, and the options that the constructor of that name declares.

The constructors are the only place where options, types, ranges and defaults are written;
what a recipe accepts, its messages and its JSON schema are read from their signatures.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails

from sbert_triplet.recipe.problems import nearest
from sbert_triplet.recipe.section import Section
from sbert_triplet.recipe.values import Auto, FilledText, said, unexpected

if TYPE_CHECKING:
    from sbert_triplet.losses.batch import Loss

Constructor = Callable[..., object]
VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Named(Section):
    """One of several constructors by name, with its options beside the name."""

    model_config = ConfigDict(extra="allow")

    @classmethod
    def constructors(cls) -> Mapping[str, Constructor]:
        raise TypeError(f"{cls.__name__} does not define constructors()")

    @classmethod
    def about(cls, name: str) -> str:
        """What ``name`` is, in a line."""
        return (inspect.getdoc(cls.constructors()[name]) or "").split("\n\n")[0].replace("``", "`")

    @property
    def options(self) -> dict[str, Any]:
        """Every option of the named constructor, defaults included, as its keyword arguments."""
        return {
            key: value.as_argument() if isinstance(value, DistanceRecipe) else value
            for key, value in (self.model_extra or {}).items()
        }

    @classmethod
    def from_short(cls, value: Any) -> Any:
        if isinstance(value, str) and value:
            return {"name": value}
        raise unexpected()

    @classmethod
    def keys_for(cls, value: Any) -> Mapping[str, FieldInfo]:
        """The keys beside the name that ``value``, a mapping or a name, gives."""
        name = value.get("name") if isinstance(value, Mapping) else value
        if isinstance(name, str) and name in cls.constructors():
            return cls.variant(name).model_fields
        return cls.model_fields

    @classmethod
    def prepared(cls, value: dict[str, Any]) -> dict[str, Any]:
        name = value.get("name")
        if name is None or name == "auto":
            cls._refuse_options_without_name(value)
            return value
        if not isinstance(name, str):
            return value
        if name not in cls.constructors():
            raise _wrong("name", name, _unknown_name(name, tuple(cls.constructors())))
        chosen = cls.variant(name).model_validate(value)
        options = {key: getattr(chosen, key) for key in type(chosen).model_fields}
        cls.tried(options)
        return options

    @classmethod
    def tried(cls, options: Mapping[str, Any]) -> None:
        """Refuse options that are well formed one by one and do not go together."""

    @classmethod
    def variant(cls, name: str) -> type[BaseModel]:
        """The class of ``name``: that name, and the options of its constructor as fields."""
        return _variant(cls.__name__.removesuffix("Recipe"), name, cls.constructors()[name])

    @classmethod
    def _refuse_options_without_name(cls, value: Mapping[str, Any]) -> None:
        for key in value:
            if key != "name":
                having = [name for name in cls.constructors() if key in cls.variant(name).model_fields]
                hint = f" ({key} is an option of {', '.join(having)})" if having else ""
                raise _wrong(key, value[key], f"options go with a name: give `name` as well{hint}")

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        variants = [
            {**handler(cls.variant(name).__pydantic_core_schema__), "description": cls.about(name)}
            for name in cls.constructors()
        ]
        if cls.model_fields["name"].is_required():
            return {"anyOf": [{"enum": list(cls.constructors())}, *variants]}
        undecided = {"properties": {"name": {"enum": ["auto", None]}}, "additionalProperties": False}
        return {
            "anyOf": [{"enum": ["auto", *cls.constructors()]}, {"type": "object", **undecided}, *variants]
        }


class DistanceRecipe(Named):
    """A distance by name."""

    wanted: ClassVar[str] = "a distance by name, or keys and values (name and its options)"

    name: FilledText = Field(description="Which distance")

    @classmethod
    def constructors(cls) -> Mapping[str, Constructor]:
        from sbert_triplet.distances.names import DISTANCES

        return DISTANCES

    def as_argument(self) -> str | dict[str, Any]:
        """What ``build_distance`` takes."""
        return {"name": self.name, **self.options} if self.options else self.name


class LossRecipe(Named):
    """A loss by name; without one it is chosen from the kind of data."""

    wanted: ClassVar[str] = "a loss by name, or keys and values (name and its options)"

    name: Auto[FilledText] = Field(default=None, description="Which loss; auto: chosen from the kind of data")

    @classmethod
    def constructors(cls) -> Mapping[str, Constructor]:
        from sbert_triplet.losses.names import LOSSES

        return {name: entry.constructor for name, entry in LOSSES.items()}

    @classmethod
    def about(cls, name: str) -> str:
        from sbert_triplet.losses.names import LOSSES

        return LOSSES[name].description

    def build(self, *, dimensions: int, seed: int, classes: int | None = None) -> Loss:
        """The loss for an encoder of that many dimensions, and data of that many classes.

        Raises ValueError for options that do not go together, and where no loss was chosen yet.
        """
        from sbert_triplet.losses.names import LOSSES, build_loss

        if self.name is None:
            raise ValueError("a loss is built once its name is chosen")
        parameters = _parameters(LOSSES[self.name].constructor)
        supplied = {
            key: value
            for key, value in {"seed": seed, "classes": classes}.items()
            if key in parameters and _is_supplied(parameters[key])
        }
        return build_loss(self.name, dimensions=dimensions, **self.options, **supplied)

    @classmethod
    def tried(cls, options: Mapping[str, Any]) -> None:
        """Build the loss once, unless it holds a matrix of the encoder's size."""
        distance = options.get("distance")
        constructors = [cls.constructors()[options["name"]]]
        if distance is not None:
            constructors.append(distance.constructors()[distance.name])
        sizes = [_parameters(each).get("dimensions") for each in constructors]
        if any(size is not None and size.default is size.empty for size in sizes):
            return
        try:
            cls.model_construct(**options).build(dimensions=1, seed=0, classes=2)
        except ValueError as error:
            raise said(f"{options['name']}: {error}") from None


def _parameters(constructor: Constructor) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(constructor).parameters


def _is_supplied(parameter: inspect.Parameter) -> bool:
    """Whether the encoder, ``train.seed`` or the data decide it, and not the recipe.

    A count of classes that a constructor can do without is an option like others.
    """
    needed = parameter.default is parameter.empty
    return parameter.name in ("dimensions", "seed") or (parameter.name == "classes" and needed)


@cache
def _variant(family: str, name: str, constructor: Constructor) -> type[BaseModel]:
    # Reads torch's distances, which a recipe that names no loss does not need.
    from sbert_triplet.recipe.options import option_type

    hints = get_type_hints(
        constructor.__init__ if inspect.isclass(constructor) else constructor, include_extras=True
    )
    fields: dict[str, Any] = {"name": (Literal[name], ...)}
    for parameter in _parameters(constructor).values():
        if _is_supplied(parameter) or parameter.kind in VARIADIC:
            continue
        default = ... if parameter.default is parameter.empty else parameter.default
        kind = DistanceRecipe if parameter.name == "distance" else option_type(hints[parameter.name])
        if kind is not None:
            fields[parameter.name] = (kind, Field(default=default, validate_default=True))
    return create_model(f"{family}_{name}", __base__=Section, **fields)


def _unknown_name(name: str, known: tuple[str, ...]) -> str:
    close = nearest(name, known)
    guess = f"did you mean {close}? " if close else ""
    return f"there is no {name!r}; {guess}known: {', '.join(known)}"


def _wrong(key: str, value: Any, message: str) -> ValidationError:
    """An error at a key, for validators of the mapping that holds it."""
    details = InitErrorDetails(type=said(message), loc=(key,), input=value)
    return ValidationError.from_exception_data("recipe", [details])
