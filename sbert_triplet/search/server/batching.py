"""Dynamic batching: one thread embeds what several requests wait for, together, by token budget."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sbert_triplet.encoding.tokens import Form, Side
from sbert_triplet.search.server.limits import Limits
from sbert_triplet.search.server.metrics import Metrics
from sbert_triplet.search.server.problems import ApiError, overloaded
from sbert_triplet.search.server.served import Row, ServedModel

FloatMatrix = NDArray[np.float32]
Gone = Callable[[], Awaitable[bool]]

LINGER = 0.002
"""Seconds that a text waits for others where several came together a moment ago."""
LOOK_AFTER = 1.0
"""Seconds between two looks at whether the client is still there."""
SHARE = 4
"""A request gets at most one part in so many of a round, so that a large one does not keep others waiting."""


@dataclass
class Embedded:
    """What a request gets: (n, D) embeddings, and how many tokens the encoder read for them."""

    embeddings: FloatMatrix
    tokens: int


@dataclass(eq=False)
class _Job:
    served: ServedModel
    form: Form
    texts: list[str]
    future: asyncio.Future[Embedded]
    loop: asyncio.AbstractEventLoop
    characters: int
    rows: list[Row] = field(default_factory=list)
    tokens: int = 0
    taken: int = 0
    embeddings: FloatMatrix | None = None
    left: bool = False
    """Nobody waits for it any more."""


class Batcher:
    """Embeds from any number of requests at a time. ``start`` it, and ``close`` it once nothing is asked.

    A round takes texts of the requests that wait, in turn, up to the token budget; those that came
    meanwhile are in the next one, so a request waits for one round at most before its turn comes.
    """

    def __init__(self, limits: Limits, metrics: Metrics) -> None:
        self._limits, self._metrics = limits, metrics
        self._wakes = threading.Condition()
        self._arrived: deque[_Job] = deque()
        self._open: deque[_Job] = deque()
        self._texts, self._characters = 0, 0
        self._closing, self._crowd = False, False
        self._pace = 0.0
        self._thread = threading.Thread(target=self._work, name="embedding", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def close(self) -> None:
        """Finish what was accepted, and end the thread."""
        with self._wakes:
            self._closing = True
            self._wakes.notify()
        self._thread.join()

    @property
    def alive(self) -> bool:
        """Whether the thread works."""
        return self._thread.is_alive()

    async def embed(
        self, served: ServedModel, side: Side, texts: list[str], gone: Gone | None = None
    ) -> Embedded:
        """Embeddings of the texts as ``encode`` makes them of that side.

        ``gone``: asked now and then whether the client left, for whom nothing needs to be embedded then.
        Raises ApiError: 413 for more tokens than a request may have, 499 where the client left, 503 where
        too much waits already or the time for an answer is over.
        """
        loop = asyncio.get_running_loop()
        job = _Job(served, served.form(side), texts, loop.create_future(), loop, sum(map(len, texts)))
        self._accept(job)
        deadline = loop.time() + self._limits.answer_seconds
        try:
            while not job.future.done():
                left = deadline - loop.time()
                if left <= 0:
                    raise overloaded("the server did not come to these texts in time", self._seconds())
                await asyncio.wait({job.future}, timeout=min(left, LOOK_AFTER))
                if gone is not None and not job.future.done() and await gone():
                    raise ApiError(499, "the client left")
            return job.future.result()
        finally:
            job.left = True
            job.future.cancel()

    def _accept(self, job: _Job) -> None:
        limits = self._limits
        with self._wakes:
            texts, characters = self._texts + len(job.texts), self._characters + job.characters
            full = texts > limits.waiting_texts or characters > limits.waiting_characters
            if self._closing or (full and self._texts):
                raise overloaded("too many texts wait to be embedded", self._seconds())
            self._texts, self._characters = texts, characters
            self._arrived.append(job)
            self._metrics.waiting.set(texts)
            self._wakes.notify()

    def _seconds(self) -> int:
        """When about what waits now will be done."""
        return min(int(self._texts / self._pace) + 1, 60) if self._pace else 1

    def _work(self) -> None:
        while True:
            with self._wakes:
                while not self._arrived and not self._open:
                    if self._closing:
                        return
                    self._wakes.wait()
                rests = not self._open
            if rests and self._crowd and not self._closing:
                time.sleep(LINGER)
            with self._wakes:
                arrived = list(self._arrived)
                self._arrived.clear()
            self._tokenise(arrived)
            self._crowd = len(self._open) > 1
            if self._open:
                self._round()

    def _tokenise(self, jobs: list[_Job]) -> None:
        """Tokens of what arrived, the texts of one form together; those with too many go at once."""
        alike: dict[tuple[int, Form], list[_Job]] = {}
        for job in jobs:
            alike.setdefault((id(job.served), job.form), []).append(job)
        for some in alike.values():
            for part in _in_parts(some):
                self._carefully(part, lambda part=part: self._tokenise_alike(part))  # type: ignore[misc]

    def _tokenise_alike(self, jobs: list[_Job]) -> None:
        rows, full = jobs[0].served.rows(jobs[0].form, [text for job in jobs for text in job.texts])
        start = 0
        for job in jobs:
            end = start + len(job.texts)
            asked = sum(full[start:end])
            if asked > self._limits.tokens:
                message = (
                    f"the texts have {asked:,} tokens, and {self._limits.tokens:,} are allowed a request"
                )
                self._end(job, ApiError(413, message, param="input", code="too_many_tokens"))
            else:
                job.rows = rows[start:end]
                job.tokens = sum(len(row.tokens) for row in job.rows)
                self._open.append(job)
            start = end

    def _round(self) -> None:
        """One batch of the form whose turn it is; what is finished goes out."""
        first = self._open[0]
        budget = first.served.budget
        chosen: list[tuple[_Job, int]] = []
        rows: list[Row] = []
        alike = [job for job in self._open if job.served is first.served and job.form == first.form]
        share = budget if len(alike) == 1 else max(budget // SHARE, 1)
        for job in alike:
            if job.left:
                self._open.remove(job)
                self._end(job, None)
                continue
            begin, held = job.taken, 0
            while job.taken < len(job.rows) and (job.taken == begin or held < share):
                row = job.rows[job.taken]
                if rows and len(row.tokens) > budget:
                    budget = 0
                    break
                held, budget = held + len(row.tokens), budget - len(row.tokens)
                rows.append(row)
                chosen.append((job, job.taken))
                job.taken += 1
            if budget <= 0:
                break
        if rows:
            jobs = list(dict.fromkeys(job for job, _ in chosen))
            self._carefully(jobs, lambda: self._embed(first.served, first.form, rows, chosen))
            self._next_in_turn(jobs)

    def _embed(
        self, served: ServedModel, form: Form, rows: list[Row], chosen: list[tuple[_Job, int]]
    ) -> None:
        began = time.perf_counter()
        made = served.embed(form, rows)
        pace = len(rows) / max(time.perf_counter() - began, 1e-6)
        self._pace = pace if not self._pace else 0.8 * self._pace + 0.2 * pace
        for (job, place), embedding in zip(chosen, made, strict=True):
            if job.embeddings is None:
                job.embeddings = np.empty((len(job.rows), made.shape[1]), dtype=np.float32)
            job.embeddings[place] = embedding
        self._metrics.texts.inc(len(rows))
        self._metrics.tokens.inc(sum(len(row.tokens) for row in rows))
        self._metrics.passes.observe(len(rows))

    def _next_in_turn(self, jobs: list[_Job]) -> None:
        """Those that had their part go out, or to the end of the queue."""
        for job in jobs:
            if job not in self._open:
                continue
            self._open.remove(job)
            if job.taken < len(job.rows):
                self._open.append(job)
            else:
                assert job.embeddings is not None
                self._end(job, Embedded(job.embeddings, job.tokens))

    def _carefully(self, jobs: list[_Job], act: Callable[[], None]) -> None:
        """``act``; what it raises goes to the requests that it was for, and the thread lives on."""
        try:
            act()
        except Exception as error:  # any failure of a model's code is that of these requests alone
            for job in jobs:
                if job in self._open:
                    self._open.remove(job)
                self._end(job, error)

    def _end(self, job: _Job, result: Embedded | Exception | None) -> None:
        with self._wakes:
            self._texts -= len(job.texts)
            self._characters -= job.characters
            self._metrics.waiting.set(self._texts)
        if result is not None and not job.loop.is_closed():
            job.loop.call_soon_threadsafe(_deliver, job.future, result)


def _in_parts(jobs: list[_Job], characters: int = 1 << 20) -> list[list[_Job]]:
    """Jobs that are tokenised together, about a million characters at a time."""
    parts: list[list[_Job]] = [[]]
    held = 0
    for job in jobs:
        if parts[-1] and held + job.characters > characters:
            parts.append([])
            held = 0
        parts[-1].append(job)
        held += job.characters
    return parts


def _deliver(future: asyncio.Future[Embedded], result: Embedded | Exception) -> None:
    if future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
