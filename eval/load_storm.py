"""Many requests of many clients at a time, every answer checked."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from typing import Any

import numpy as np
import psutil
from load_client import Client, Server, matrix, served
from load_texts import Known

TEXTS, TOKENS = 64, 2048
"""The server's limits of a request, small enough that requests of the load are beyond them."""
SEED = 17


class Storm:
    """What the clients share: requests that are left, and what came of the others."""

    def __init__(self, known: Known, requests: int) -> None:
        self.known, self.left = known, requests
        self.draw = random.Random(SEED)
        self.answers: Counter[str] = Counter()
        self.seconds: list[float] = []
        self.embeddings, self.wrong, self.unexpected = 0, 0, 0

    async def client(self, port: int) -> None:
        """One client: a request after the other, each as soon as the one before is answered."""
        client = Client(port)
        while self.left > 0:
            self.left -= 1
            places, content, wanted = self._request()
            began = time.perf_counter()
            status, answer = await client.post("/v1/embeddings", content)
            self.answers[str(status)] += 1
            self.unexpected += status not in (wanted, 429)
            if status == 200:
                self.seconds.append(time.perf_counter() - began)
                self.embeddings += len(places)
                self.wrong += self.known.wrong(places, matrix(answer))
        await client.close()

    async def intruder(self, port: int, every: float) -> None:
        """Now and then one connection more than the server takes of an address."""
        while self.left > 0:
            await asyncio.sleep(every)
            client = Client(port)
            status, _ = await client.post("/v1/embeddings", {"input": "one more"})
            self.answers[str(status)] += 1
            await client.close()

    def _request(self) -> tuple[list[int], dict[str, Any], int]:
        """Places of texts, the request, and the status that it should get."""
        kind = self.draw.random()
        if kind < 0.02:
            return [], {"input": ["x"] * (TEXTS + 1)}, 422
        if kind < 0.04:
            return [], {"input": "one word after the other " * TOKENS}, 413
        count = 1 if kind < 0.9 else self.draw.choice((2, 3, 5, 8, 32))
        places = [self.draw.randrange(len(self.known.texts)) for _ in range(count)]
        chosen = [self.known.texts[place] for place in places]
        form = "base64" if self.draw.random() < 0.5 else "float"
        return places, {"input": chosen if count > 1 else chosen[0], "encoding_format": form}, 200


async def _memory(server: Server, most: list[int], ended: asyncio.Event) -> None:
    process = psutil.Process(server.process.pid)
    while not ended.is_set():
        most[0] = max(most[0], process.memory_info().rss)
        await asyncio.sleep(0.25)


async def _carried_out(state: Storm, server: Server, clients: int, seconds: float) -> int:
    ended, most = asyncio.Event(), [0]
    sampling = asyncio.create_task(_memory(server, most, ended))
    async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(state.client(server.port))
        group.create_task(state.intruder(server.port, 1.0))
    ended.set()
    await sampling
    return most[0]


def storm(model: str, requests: int, clients: int, seconds: float) -> dict[str, Any]:
    """The answers, the embeddings checked, the memory in MB, and seconds to an answer."""
    known = Known(model)
    state = Storm(known, requests)
    options = ("--max-texts", str(TEXTS), "--max-tokens", str(TOKENS), "--max-connections", str(clients))
    with served(model, *options) as server:
        asyncio.run(_warmed(server, known))
        before = psutil.Process(server.process.pid).memory_info().rss
        began = time.perf_counter()
        most = asyncio.run(_carried_out(state, server, clients, seconds))
        took = time.perf_counter() - began
    return {
        "requests": requests,
        "clients": clients,
        "answers": dict(state.answers),
        "unexpected": state.unexpected,
        "embeddings": state.embeddings,
        "wrong": state.wrong,
        "seconds": took,
        "median": float(np.median(state.seconds)),
        "slow": float(np.quantile(state.seconds, 0.99)),
        "memory_before": before >> 20,
        "memory_most": most >> 20,
    }


async def _warmed(server: Server, known: Known) -> None:
    client = Client(server.port)
    for start in range(0, 512, 64):
        await client.post("/v1/embeddings", {"input": known.texts[start : start + 64]})
    await client.close()
