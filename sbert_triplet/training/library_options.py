"""Options of a loss of sentence-transformers, read from its signature as far as a recipe can write them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from torch import Tensor

from sbert_triplet.distances.options import AT_LEAST_ONE, NOT_NEGATIVE, POSITIVE, Range
from sbert_triplet.training.library_names import PREFIX

Function = Callable[..., Tensor]
RANGES: dict[str, Range] = {
    "scale": POSITIVE,
    "margin": POSITIVE,
    "triplet_margin": POSITIVE,
    "temperature": POSITIVE,
    "student_temperature": POSITIVE,
    "teacher_temperature": POSITIVE,
    "projection_dim": AT_LEAST_ONE,
    "hardness_strength": NOT_NEGATIVE,
    "mean_weight": NOT_NEGATIVE,
    "second_moment_weight": NOT_NEGATIVE,
}
LEFT_OUT = ("self", "model", "gather_across_devices")
"""The batch is gathered from all processes before any loss sees it."""


def available(name: str) -> bool:
    """Whether the installed sentence-transformers has the class of ``name``."""
    from sentence_transformers.sentence_transformer import losses

    return hasattr(losses, name.removeprefix(PREFIX))


def library_class(name: str) -> Callable[..., Any]:
    """The class behind ``st.CLASS``; raises ValueError where the installed library has none."""
    from sentence_transformers.sentence_transformer import losses

    found: Callable[..., Any] | None = getattr(losses, name.removeprefix(PREFIX), None)
    if found is None:
        raise ValueError(f"the installed sentence-transformers has no {name.removeprefix(PREFIX)}")
    return found


def functions_of(cls: Callable[..., Any]) -> dict[str, tuple[dict[str, Function], str]]:
    """For every option that is a function of embeddings: the functions by name, and the default's name."""
    found = {}
    for parameter in _parameters(cls):
        for table in _tables():
            for name, function in table.items():
                if parameter.default is function:
                    found[parameter.name] = (table, name)
    return found


def signature_of(cls: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
    """Annotation and default of every option that is a plain value, or a function that has a name."""
    functions = functions_of(cls)
    hints = get_type_hints(vars(cls)["__init__"], include_extras=True)
    found: dict[str, tuple[Any, Any]] = {}
    for parameter in _parameters(cls):
        option = parameter.name
        if option in functions:
            table, default = functions[option]
            found[option] = Literal[tuple(table)], default
        elif option not in LEFT_OUT and option in hints and not callable(parameter.default):
            found[option] = _with_range(hints[option], RANGES.get(option)), parameter.default
    return found


def _parameters(cls: Callable[..., Any]) -> list[inspect.Parameter]:
    return list(inspect.signature(vars(cls)["__init__"]).parameters.values())


def _with_range(hint: Any, limits: Range | None) -> Any:
    if limits is None:
        return hint
    if get_origin(hint) in (Union, UnionType):
        parts = tuple(_with_range(part, limits) for part in get_args(hint))
        return Union[parts]  # noqa: UP007
    return Annotated[hint, limits] if hint in (int, float) else hint


@cache
def _tables() -> tuple[dict[str, Callable[..., Tensor]], ...]:
    from sentence_transformers import util
    from sentence_transformers.sentence_transformer import losses

    batch = losses.BatchHardTripletLossDistanceFunction
    triplet, pair = losses.TripletDistanceMetric, losses.SiameseDistanceMetric
    tables: tuple[dict[str, Any], ...] = (
        {"cosine": util.cos_sim, "dot": util.dot_score},
        {"cosine": util.pairwise_cos_sim, "dot": util.pairwise_dot_score},
        {"cosine": triplet.COSINE, "euclidean": triplet.EUCLIDEAN, "manhattan": triplet.MANHATTAN},
        {"cosine": pair.COSINE_DISTANCE, "euclidean": pair.EUCLIDEAN, "manhattan": pair.MANHATTAN},
        {"cosine": batch.cosine_distance, "euclidean": batch.euclidean_distance},
    )
    return tables
