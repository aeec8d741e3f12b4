"""Texts of several requests embedded together: each gets its own, nobody waits for ever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from sbert_triplet.search.server.batching import Batcher, Embedded
from sbert_triplet.search.server.limits import Limits
from sbert_triplet.search.server.metrics import Metrics
from sbert_triplet.search.server.problems import ApiError
from sbert_triplet.search.server.served import ServedModel


class Gate(ServedModel):
    """A model that waits to be let through, and notes the texts of each round."""

    def __init__(self, model: SentenceTransformer, budget: int | None = None) -> None:
        super().__init__(model, "tiny")
        self.budget = budget or self.budget
        self.open, self.entered = threading.Event(), threading.Event()
        self.rounds: list[int] = []
        self.fails = False

    def embed(self, form: Any, rows: Any) -> Any:
        self.entered.set()
        assert self.open.wait(20)
        self.rounds.append(len(rows))
        if self.fails:
            raise ValueError("a layer broke")
        return super().embed(form, rows)


def carried_out(gate: Gate, act: Any, limits: Limits | None = None) -> Any:
    batcher = Batcher(limits or Limits(), Metrics())
    batcher.start()
    try:
        return asyncio.run(act(batcher))
    finally:
        gate.open.set()
        batcher.close()
        assert not batcher.alive


async def entered(gate: Gate) -> None:
    assert await asyncio.to_thread(gate.entered.wait, 20)


def words(number: int) -> str:
    return " ".join(
        ["rain", "moss", "bread", "chess", "night"][place] for place in range(number % 5 + 1)
    ) + str(number)


def test_each_gets_its_own(encoder: SentenceTransformer) -> None:
    gate = Gate(encoder)

    async def act(batcher: Batcher) -> list[Embedded]:
        first = asyncio.create_task(batcher.embed(gate, "text", [words(0)]))
        await entered(gate)
        others = [
            asyncio.create_task(
                batcher.embed(gate, "text", [words(10 * place + each) for each in range(place % 3 + 1)])
            )
            for place in range(1, 40)
        ]
        await asyncio.sleep(0)
        gate.open.set()
        return await asyncio.gather(first, *others)

    found = carried_out(gate, act)
    for place, one in enumerate(found):
        expected = encoder.encode(
            [words(10 * place + each) for each in range(place % 3 + 1)] if place else [words(0)]
        )
        np.testing.assert_allclose(one.embeddings, expected, atol=1e-6)
    # All that came while the first one was embedded is one round.
    assert gate.rounds == [1, sum(place % 3 + 1 for place in range(1, 40))]


def test_a_large_request_does_not_keep_a_small_one_waiting(encoder: SentenceTransformer) -> None:
    gate = Gate(encoder, budget=24)

    async def act(batcher: Batcher) -> list[str]:
        ended: list[str] = []

        async def ask(name: str, texts: list[str]) -> None:
            await batcher.embed(gate, "text", texts)
            ended.append(name)

        first = asyncio.create_task(ask("first", ["rain"]))
        await entered(gate)
        large = asyncio.create_task(ask("large", ["rain"] * 100))
        await asyncio.sleep(0.05)
        small = asyncio.create_task(ask("small", ["moss"]))
        await asyncio.sleep(0.05)
        gate.open.set()
        await asyncio.gather(first, large, small)
        return ended

    assert carried_out(gate, act) == ["first", "small", "large"]
    # Three tokens a text: no round is above the budget.
    assert max(gate.rounds) <= 8
    assert sum(gate.rounds) == 102


def test_too_much_waits(encoder: SentenceTransformer) -> None:
    gate = Gate(encoder)

    async def act(batcher: Batcher) -> ApiError:
        first = asyncio.create_task(batcher.embed(gate, "text", ["rain"] * 3))
        await entered(gate)
        with pytest.raises(ApiError) as full:
            await batcher.embed(gate, "text", ["moss"] * 2)
        second = asyncio.create_task(batcher.embed(gate, "text", ["moss"]))
        await asyncio.sleep(0)
        gate.open.set()
        assert (await first).embeddings.shape == (3, 32)
        assert (await second).embeddings.shape == (1, 32)
        return full.value

    error = carried_out(gate, act, Limits(waiting_texts=4))
    assert (error.status, error.headers["Retry-After"]) == (503, "1")


def test_time_runs_out_and_room_is_given_back(encoder: SentenceTransformer) -> None:
    gate = Gate(encoder)

    async def act(batcher: Batcher) -> int:
        first = asyncio.create_task(batcher.embed(gate, "text", ["rain"]))
        await entered(gate)
        with pytest.raises(ApiError) as late:
            await batcher.embed(gate, "text", ["moss"] * 3)
        with pytest.raises(ApiError):
            await first
        gate.open.set()
        await asyncio.sleep(0.2)
        assert (await batcher.embed(gate, "text", ["moss"] * 4)).embeddings.shape == (4, 32)
        return late.value.status

    assert carried_out(gate, act, Limits(waiting_texts=4, answer_seconds=0.2)) == 503
    # What nobody waits for any more is not embedded.
    assert gate.rounds == [1, 4]


def test_nothing_is_embedded_for_who_left(encoder: SentenceTransformer) -> None:
    gate = Gate(encoder)

    async def act(batcher: Batcher) -> int:
        first = asyncio.create_task(batcher.embed(gate, "text", ["rain"]))
        await entered(gate)

        async def gone() -> bool:
            return True

        with pytest.raises(ApiError) as left:
            await batcher.embed(gate, "text", ["moss"] * 3, gone)
        gate.open.set()
        await first
        await batcher.embed(gate, "text", ["moss"] * 2)
        return left.value.status

    assert carried_out(gate, act) == 499
    assert gate.rounds == [1, 2]


def test_a_failure_is_that_of_its_requests_alone(encoder: SentenceTransformer) -> None:
    gate = Gate(encoder)
    gate.open.set()

    async def act(batcher: Batcher) -> Embedded:
        gate.fails = True
        with pytest.raises(ValueError, match="a layer broke"):
            await batcher.embed(gate, "text", ["rain"])
        gate.fails = False
        return await batcher.embed(gate, "text", ["rain"])

    np.testing.assert_allclose(carried_out(gate, act).embeddings[0], encoder.encode("rain"), atol=1e-6)


def test_what_was_accepted_is_finished(encoder: SentenceTransformer) -> None:
    gate = Gate(encoder)
    batcher = Batcher(Limits(), Metrics())
    batcher.start()

    async def act() -> Coroutine[Any, Any, Embedded]:
        asked = asyncio.create_task(batcher.embed(gate, "text", ["rain"]))
        await entered(gate)
        closing = asyncio.create_task(asyncio.to_thread(batcher.close))
        await asyncio.sleep(0.05)
        with pytest.raises(ApiError):
            await batcher.embed(gate, "text", ["moss"])
        gate.open.set()
        found = await asked
        await closing
        return found

    assert asyncio.run(act()).embeddings.shape == (1, 32)
    assert not batcher.alive
