"""How fast models encode on this machine: one query at a time, and many texts at once.

Models take turns (A, B, C, A, B, C, ...), so that what else the machine does meets all of them alike, and
the median of the turns is given. Timed is sentence-transformers' own ``encode``, from the string to the
array, as those call it who load a model.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sentence_transformers import SentenceTransformer

from sbert_triplet.encoding.encode import autocast
from sbert_triplet.encoding.tokens import Side, form_of

BATCH_SIZE = 32
QUERIES, TEXTS = 50, 256
"""How many queries are encoded one by one, and how many texts at once in a turn."""
TURNS = 5
WARM_UP = 3
ENOUGH_SECONDS = 30.0
"""From then on no further turn is begun, of queries and of batches each; a first one always is."""
Clock = Callable[[], float]


@dataclass(frozen=True)
class Speed:
    """``query_ms``: median milliseconds of one query alone; ``texts_per_second``: in batches, the median.

    ``queries`` and ``turns``: how many each is the median of; ``texts``: how many a turn encodes.
    """

    query_ms: float
    texts_per_second: float
    queries: int
    turns: int
    texts: int


def measure_speed(
    models: Sequence[SentenceTransformer],
    queries: Sequence[str],
    texts: Sequence[str],
    *,
    sides: tuple[Side, Side] = ("query", "document"),
    precision: str = "fp32",
    clock: Clock = time.perf_counter,
) -> list[Speed]:
    """The speed of each model on the same queries and texts, at least one of each.

    ``sides``: how queries and texts are encoded. Raises ValueError without queries or texts.
    """
    if not queries or not texts:
        raise ValueError(f"speed is measured on texts: {len(queries)} queries and {len(texts)} texts")
    for model in models:
        for query in queries[:WARM_UP]:
            _encode(model, [query], sides[0], precision)
        _encode(model, texts[:BATCH_SIZE], sides[1], precision)
    alone = _in_turns(
        models,
        [[query] for query in queries],
        lambda model, one: _encode(model, one, sides[0], precision),
        clock,
    )
    together = _in_turns(
        models, [texts] * TURNS, lambda model, some: _encode(model, some, sides[1], precision), clock
    )
    return [
        Speed(
            query_ms=1000 * statistics.median(one),
            texts_per_second=len(texts) / max(statistics.median(many), 1e-9),
            queries=len(one),
            turns=len(many),
            texts=len(texts),
        )
        for one, many in zip(alone, together, strict=True)
    ]


def _in_turns(
    models: Sequence[SentenceTransformer],
    rounds: Sequence[Sequence[str]],
    encode: Callable[[SentenceTransformer, Sequence[str]], None],
    clock: Clock,
) -> list[list[float]]:
    """The seconds that each model took in each round."""
    seconds: list[list[float]] = [[] for _ in models]
    began = clock()
    for texts in rounds:
        for model, taken in zip(models, seconds, strict=True):
            start = clock()
            encode(model, texts)
            taken.append(clock() - start)
        if clock() - began > ENOUGH_SECONDS:
            break
    return seconds


def _encode(model: SentenceTransformer, texts: Sequence[str], side: Side, precision: str) -> None:
    form = form_of(model, side)
    with autocast(model.device, precision):
        model.encode(
            list(texts),
            batch_size=BATCH_SIZE,
            show_progress_bar=False,
            prompt=form.prompt,
            task=form.task,
        )
