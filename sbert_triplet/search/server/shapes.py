"""What requests look like, and how a wrong one is told what is wrong with it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sbert_triplet.search.server.problems import ApiError

Text = Annotated[str, Field(strict=True)]
Integers = list[Annotated[int, Field(strict=True)]]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class EmbeddingsRequest(_Request):
    """``POST /v1/embeddings``, as OpenAI has it; ``input_type`` chooses the prompt."""

    input: Text | list[Text] | Integers | list[Integers]
    model: str | None = None
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Field(strict=True, ge=1)] | None = None
    input_type: Literal["query", "document"] | None = None
    user: str | None = None


class SearchRequest(_Request):
    """``POST /search``. ``where`` as in the library; ``filters`` as on the command line."""

    query: Text | list[Text]
    k: Annotated[int, Field(strict=True, ge=1)] = 10
    where: dict[str, Any] = Field(default_factory=dict)
    filters: list[str] = Field(default_factory=list)
    threshold: float | None = None
    index: str | None = None


class PageSearch(_Request):
    """What the page asks: one query of all indexes, in an order that it is not told where ``blind``."""

    query: Text
    k: Annotated[int, Field(strict=True, ge=1)] = 10
    filters: list[str] = Field(default_factory=list)
    blind: bool = False


class Vote(_Request):
    """Which of the two lists of a ballot is better."""

    ballot: str
    choice: Literal["left", "right", "tie"]


Shape = TypeVar("Shape", bound=_Request)


def read(shape: type[Shape], headers: Any, body: bytes) -> Shape:
    """The body as ``shape``. Raises ApiError: 400 for what is no JSON, 422 for JSON of another shape."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ApiError(400, "send JSON, with `Content-Type: application/json`", code="bad_content_type")
    try:
        return shape.model_validate_json(body)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        # A field that is missing is often one that is misspelled.
        first = min(found, key=lambda one: one["type"] != "extra_forbidden")
        if first["type"] == "json_invalid":
            raise ApiError(400, f"the body is no JSON: {first['msg']}", code="invalid_json") from None
        place = next((str(part) for part in first["loc"]), None)
        raise ApiError(422, _told(shape, place, first), param=place, code="invalid_value") from None


def _told(shape: type[_Request], place: str | None, first: Any) -> str:
    if place is None:
        return f"the body must be an object: {first['msg']}"
    if first["type"] == "extra_forbidden":
        return f"{place}: no such field; there are {', '.join(shape.model_fields)}"
    if place == "input":
        return "input: a text, or a list of texts"
    if place == "query" and first["type"] != "missing":
        return "query: a text" + (", or a list of texts" if shape is SearchRequest else "")
    return f"{place}: {first['msg']}"
