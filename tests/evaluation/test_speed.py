"""Speed: turns, medians and limits by a clock that the test sets; and that a real encoder is timed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from sentence_transformers import SentenceTransformer

from sbert_triplet.encoding.tiny import tiny_encoder
from sbert_triplet.evaluation import speed
from sbert_triplet.evaluation.speed import Speed, measure_speed

Calls = list[tuple[str, int]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """What was encoded by which model: the name stands for the model, and encoding takes no time."""
    seen: Calls = []

    def encode(model: Any, texts: Sequence[str], side: str, precision: str) -> None:
        seen.append((f"{model} {side} {precision}", len(texts)))

    monkeypatch.setattr(speed, "_encode", encode)
    return seen


class Clock:
    """Moves on by the next of ``steps`` whenever it is looked at."""

    def __init__(self, *steps: float) -> None:
        self.steps, self.now, self.looks = list(steps), 0.0, 0

    def __call__(self) -> float:
        self.now += self.steps[self.looks % len(self.steps)]
        self.looks += 1
        return self.now


def measured(clock: Clock, queries: int = 4, texts: int = 8) -> list[Speed]:
    names: Any = ["A", "B", "C"]
    return measure_speed(names, ["q"] * queries, ["t"] * texts, precision="bf16", clock=clock)


def test_models_take_turns(calls: Calls) -> None:
    measured(Clock(0.0))
    warm = [("A query bf16", 1)] * 3 + [("A document bf16", 8)]
    assert calls[:4] == warm
    alone = [f"{model} query bf16" for _ in range(4) for model in "ABC"]
    together = [f"{model} document bf16" for _ in range(5) for model in "ABC"]
    assert [name for name, _ in calls[12:]] == [*alone, *together]
    assert {size for name, size in calls[12:] if "document" in name} == {8}


def test_medians_by_hand(calls: Calls) -> None:
    """The clock is looked at first when turns begin, then before and after each, then after all models."""
    turn = [0.0, 0.010, 0.0, 0.020, 0.0, 0.040, 0.0]
    found = measured(Clock(0.0, *turn, *turn, *turn, *turn, 0.0, *turn, *turn, *turn, *turn, *turn))
    assert [each.query_ms for each in found] == pytest.approx([10, 20, 40])
    assert [each.texts_per_second for each in found] == pytest.approx([800, 400, 200])
    assert (found[0].queries, found[0].turns, found[0].texts) == (4, 5, 8)


def test_slow_models_have_one_turn_at_least(calls: Calls) -> None:
    found = measured(Clock(100.0))
    assert [(each.queries, each.turns) for each in found] == [(1, 1)] * 3


def test_a_real_encoder() -> None:
    models: list[SentenceTransformer] = [tiny_encoder(["some words"], seed=seed) for seed in (1, 2)]
    found = measure_speed(models, ["some"] * 3, ["some words"] * 8, sides=("left", "right"))
    assert all(each.query_ms > 0 and each.texts_per_second > 0 for each in found)


def test_nothing_to_encode_is_refused() -> None:
    with pytest.raises(ValueError, match="0 queries and 1 texts"):
        measure_speed([], [], ["t"])
