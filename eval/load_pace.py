"""Texts a second: by the server and by plain `encode`, in turn; of one client and of many."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import numpy as np
from load_client import Client, served
from load_texts import Known

BATCH = 32


async def _asked(port: int, requests: list[list[str]], clients: int) -> float:
    """Requests a second, from so many clients at a time."""
    left = iter(requests)

    async def client() -> None:
        one = Client(port)
        for some in left:
            status, _ = await one.post("/v1/embeddings", {"input": some, "encoding_format": "base64"})
            if status != 200:
                raise SystemExit(f"the server answered {status}")
        await one.close()

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
    return len(requests) / (time.perf_counter() - began)


def paces(model: str, clients: int, rounds: int, short: bool, seconds: float) -> dict[str, Any]:
    """Medians over the rounds of texts a second; each round does all four, one after the other.

    ``plain`` is the faster of this package's `encode` and sentence-transformers' own, 32 texts at a time.
    """
    known = Known(model)
    batches = [known.texts[start : start + BATCH] for start in range(0, len(known.texts), BATCH)]
    batches = batches[:4] if short else batches
    singles = [[text] for text in known.texts[: 64 if short else 512]]
    few = singles[: max(len(singles) // 4, 16)]
    found: dict[str, list[float]] = {name: [] for name in ("ours", "library", "served", "alone", "together")}
    deadline = time.monotonic() + seconds
    with served(model) as server:
        asyncio.run(_asked(server.port, batches[:4], 4))
        for _ in range(rounds):
            if time.monotonic() > deadline:
                raise SystemExit("the time for this part is over")
            found["ours"].append(_plain(known.encoded, batches))
            found["served"].append(BATCH * asyncio.run(_asked(server.port, batches, 4)))
            found["library"].append(_plain(lambda some: known.model.encode(some, batch_size=BATCH), batches))
            found["alone"].append(asyncio.run(_asked(server.port, few, 1)))
            found["together"].append(asyncio.run(_asked(server.port, singles, clients)))
    median = {name: float(np.median(values)) for name, values in found.items()}
    return {
        **median,
        "plain": max(median["ours"], median["library"]),
        "clients": clients,
        "rounds": found,
    }


def _plain(encode: Any, batches: list[list[str]]) -> float:
    began = time.perf_counter()
    for some in batches:
        encode(some)
    return sum(map(len, batches)) / (time.perf_counter() - began)
