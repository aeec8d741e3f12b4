"""What Qdrant keeps beside a vector, and conditions on it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from qdrant_client import models

from sbert_triplet.search.filters import Condition, OneOf
from sbert_triplet.search.store import Passage, Record

_PLAIN = re.compile(r"[A-Za-z0-9_]+")


def payload_of(record: Record) -> dict[str, Any]:
    """What is kept beside a vector. ``facts``: metadata whose keys no path of Qdrant can spell."""
    return {
        "id": record.id,
        "number": record.passage.number,
        "first": record.passage.start,
        "last": record.passage.end,
        "text": record.text,
        "digest": record.digest,
        "kept": json.dumps(dict(record.metadata)),
        "metadata": {key: value for key, value in record.metadata.items() if _PLAIN.fullmatch(key)},
        "facts": {
            key.encode().hex(): value for key, value in record.metadata.items() if not _PLAIN.fullmatch(key)
        },
    }


def record_of(payload: dict[str, Any]) -> Record:
    passage = Passage(payload["number"], payload["first"], payload["last"])
    return Record(payload["id"], passage, payload["text"], json.loads(payload["kept"]), payload["digest"])


def of_documents(ids: list[str]) -> models.Filter:
    return models.Filter(must=[models.FieldCondition(key="id", match=models.MatchAny(any=ids))])


def filter_of(conditions: Sequence[Condition]) -> models.Filter:
    return models.Filter(must=[_clause(condition) for condition in conditions])


def _clause(condition: Condition) -> Any:
    plain = _PLAIN.fullmatch(condition.key)
    key = f"metadata.{condition.key}" if plain else f"facts.{condition.key.encode().hex()}"
    if not isinstance(condition, OneOf):
        return models.FieldCondition(key=key, range=models.Range(**condition.bounds()))
    either: list[Any] = []
    for value in condition.values:
        if isinstance(value, bool | str):
            either.append(models.FieldCondition(key=key, match=models.MatchValue(value=value)))
        else:
            either.append(models.FieldCondition(key=key, range=models.Range(gte=value, lte=value)))
    return models.Filter(should=either) if either else models.HasIdCondition(has_id=[])
