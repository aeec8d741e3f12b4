"""``/v1/embeddings`` and ``/v1/models``, in OpenAI's shape."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response

from sbert_triplet.encoding.tokens import Side
from sbert_triplet.search.server.problems import ApiError
from sbert_triplet.search.server.served import FloatMatrix, ServedModel
from sbert_triplet.search.server.shapes import EmbeddingsRequest, read

if TYPE_CHECKING:
    from sbert_triplet.search.server.app import Service

ROWS_AT_ONCE = 64
"""Embeddings that are written out before others have their turn on the event loop."""


def routes(service: Service) -> APIRouter:
    """The routes."""
    router = APIRouter()

    @router.post("/v1/embeddings")
    async def embeddings(request: Request) -> Response:
        asked = read(EmbeddingsRequest, request.headers, await request.body())
        texts = checked_texts(asked.input, service.limits.texts, service.limits.text_characters)
        served = chosen(service.models, asked.model)
        size = _size(served, asked.dimensions)
        side: Side = asked.input_type or "text"
        found = await service.batcher.embed(served, side, texts, request.is_disconnected)
        matrix = found.embeddings if size is None else served.cut(found.embeddings, size)
        body = await written(matrix, asked.encoding_format == "base64", served.name, found.tokens)
        return Response(body, media_type="application/json")

    @router.get("/v1/models")
    async def models() -> dict[str, object]:
        data = [
            {"id": one.name, "object": "model", "created": 0, "owned_by": "sbert-triplet"}
            for one in service.models
        ]
        return {"object": "list", "data": data}

    return router


def checked_texts(given: object, most: int, longest: int, name: str = "input") -> list[str]:
    """The texts, at least one. Raises ApiError 422 for tokens, too many texts or too long ones."""
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts:
        raise ApiError(422, f"{name}: the list is empty", param=name, code="empty")
    if not isinstance(texts[0], str):
        raise ApiError(
            422,
            f"{name}: token ids are not taken, since they are another model's; send the texts themselves "
            "(LangChain: check_embedding_ctx_length=False)",
            param=name,
            code="tokens_not_supported",
        )
    if len(texts) > most:
        raise ApiError(
            422, f"{name}: {len(texts):,} texts, and {most:,} are allowed", param=name, code="too_many_texts"
        )
    for place, text in enumerate(texts):
        if len(text) > longest:
            raise ApiError(
                422,
                f"{name}: text {place} has {len(text):,} characters, and {longest:,} are allowed",
                param=name,
                code="text_too_long",
            )
    return texts


def chosen(models: Sequence[ServedModel], name: str | None) -> ServedModel:
    """The model of that name, the first one without a name. Raises ApiError 404."""
    if name is None:
        return models[0]
    for model in models:
        if name == model.name:
            return model
    names = ", ".join(model.name for model in models)
    raise ApiError(
        404,
        f"model: there is no {name[:100]!r} here; there is {names}",
        param="model",
        code="model_not_found",
    )


async def written(matrix: FloatMatrix, as_base64: bool, name: str, tokens: int) -> bytes:
    """The answer as JSON, others having their turn while a large one is written."""
    parts: list[str] = []
    for start in range(0, len(matrix), ROWS_AT_ONCE):
        if start:
            await asyncio.sleep(0)
        for place, row in enumerate(matrix[start : start + ROWS_AT_ONCE], start=start):
            if as_base64:
                bits = base64.b64encode(row.astype("<f4").tobytes()).decode()
                embedding = f'"{bits}"'
            else:
                embedding = str(row.tolist())
            parts.append(f'{{"object":"embedding","index":{place},"embedding":{embedding}}}')
    usage = f'{{"prompt_tokens":{tokens},"total_tokens":{tokens}}}'
    model = json.dumps(name)
    return f'{{"object":"list","data":[{",".join(parts)}],"model":{model},"usage":{usage}}}'.encode()


def _size(served: ServedModel, asked: int | None) -> int | None:
    if asked is None or asked == served.width:
        return None
    if asked in served.dimensions:
        return asked
    if served.dimensions:
        sizes = ", ".join(map(str, [*served.dimensions, served.width]))
        why = f"{served.name} was trained to be cut to {sizes}"
    else:
        why = f"{served.name} was not trained to be cut (Matryoshka); leave it out, or ask for {served.width}"
    raise ApiError(422, f"dimensions: {asked}; {why}", param="dimensions", code="dimensions_not_supported")
