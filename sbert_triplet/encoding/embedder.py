"""One model's embeddings of texts by id, each text encoded once however many tasks share it."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from sbert_triplet.encoding.embedding_cache import FEWEST, FEWEST_BESIDE, EmbeddingCache
from sbert_triplet.encoding.encode import FloatMatrix, IntArray, Ledger, Progress, encode, memory_mapped
from sbert_triplet.encoding.fingerprint import embedding_fingerprint, encoder_fingerprint
from sbert_triplet.encoding.tokens import Side, TokenTable
from sbert_triplet.nearest import Similarity
from sbert_triplet.processes import agreed

IN_MEMORY = 1 << 30
"""Bytes of embeddings from which on they are kept in a file, where there is a folder for it."""


@dataclass(frozen=True)
class _Part:
    """The rows of ascending ids; ``apart`` are those that are never joined with others, in a file mostly."""

    ids: IntArray
    rows: FloatMatrix
    apart: bool = False

    def holds(self, ids: IntArray) -> NDArray[np.bool_]:
        """(n,) which of the ids are here."""
        if not len(self.ids):
            return np.zeros(len(ids), dtype=bool)
        places = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        found: NDArray[np.bool_] = self.ids[places] == ids
        return found

    def look_up(self, ids: IntArray) -> FloatMatrix:
        """(n, D) rows of ids that are all here; what lies together is a view that cannot be written to."""
        places = np.searchsorted(self.ids, ids)
        if len(ids) and np.array_equal(places, np.arange(len(ids)) + places[0]):
            view = self.rows[places[0] : places[0] + len(ids)]
            view.flags.writeable = False
            return view
        return np.asarray(self.rows[places])


class Embedder:
    """Embeddings of ``model``, kept after the first time they are asked for.

    ``similarity`` is the model's own similarity function by name. With a ``cache``, many texts at once are
    read from it or encoded into it. With a folder ``scratch``, what takes ``in_memory`` bytes or more is
    kept in a file there, which goes when the embedder does. ``at_once``: (side, ids) of texts, ascending,
    that are encoded together when the first one of their form is asked for, so that all of them lie in one
    place. ``shared``: all processes of the run ask for the same at the same time, and share the work.

    Raises ValueError where ``tokens`` was made for other prompts or routes than the model has.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        tokens: TokenTable,
        *,
        precision: str = "fp32",
        budget: int | None = None,
        progress: Progress | None = None,
        scratch: Path | None = None,
        in_memory: int = IN_MEMORY,
        cache: EmbeddingCache | None = None,
        at_once: Iterable[tuple[Side, IntArray]] = (),
        shared: bool = False,
    ) -> None:
        if not tokens.fits(model):
            raise ValueError("the token table was made for other prompts or routes: make one for this model")
        self.model, self.tokens = model, tokens
        self.similarity = str(model.similarity_fn_name)
        self.encoding_seconds = 0.0
        """What encoding took, tokenising apart; of embeddings from the cache, what it took earlier."""
        self.spared_seconds = 0.0
        """The part of these that was spent in earlier runs."""
        self._precision, self._budget, self._progress = precision, budget, progress
        self._scratch, self._in_memory = scratch, in_memory
        self._cache, self._shared = cache, shared
        self._at_once = list(at_once)
        many = any(len(ids) >= FEWEST for _, ids in self._at_once)
        self._fewest = FEWEST_BESIDE if many else FEWEST
        self._folder: Path | None = None
        self._kept: dict[int, list[_Part]] = {}
        self._fingerprints: dict[int, str | None] = {}

    def prepare(self, wanted: Iterable[tuple[Side, IntArray]]) -> None:
        """Encode all of these in as few passes as there are forms."""
        for side, ids in self.tokens.by_form(wanted).values():
            self._add(side, ids)

    def __call__(self, side: Side, ids: IntArray) -> FloatMatrix:
        """(n, D) float32 embeddings in the order of ``ids``; a view where they lie together."""
        self._add(side, np.unique(ids))
        parts = self._kept[self.tokens.form(side)]
        held = [part.holds(ids) for part in parts]
        for part, here in zip(parts, held, strict=True):
            if here.all():
                return part.look_up(ids)
        found = np.empty((len(ids), parts[0].rows.shape[1]), dtype=np.float32)
        for part, here in zip(parts, held, strict=True):
            found[here] = part.look_up(ids[here])
        return found

    def compared_by(self, similarity: Similarity) -> View:
        """The same embeddings, compared by something else than the model's own similarity."""
        return View(self, similarity)

    def cut(self, dimensions: int) -> View:
        """The first ``dimensions`` numbers of the same embeddings, as a model with ``truncate_dim`` gives."""
        return View(self, self.similarity, dimensions)

    def fingerprint(self, side: Side) -> str | None:
        """A name for all that embeddings of this side depend on beside the texts; None where it is not known.

        That of the weights at the first call, which are those that the embeddings are made with.
        """
        form = self.tokens.form(side)
        if form not in self._fingerprints:
            found = embedding_fingerprint(
                self.model,
                self.tokens,
                side,
                encoder=self._encoder,
                precision=self._precision,
                budget=self._budget,
            )
            self._fingerprints[form] = agreed(found) if self._shared else found
        return self._fingerprints[form]

    @cached_property
    def _encoder(self) -> str | None:
        """Weights are read once, however many forms there are."""
        return encoder_fingerprint(self.model)

    def _add(self, side: Side, ids: IntArray) -> None:
        form = self.tokens.form(side)
        parts = self._kept.setdefault(form, [])
        expected = [one for one in self._at_once if self.tokens.form(one[0]) == form]
        self._at_once = [one for one in self._at_once if self.tokens.form(one[0]) != form]
        for one in expected:
            parts.append(self._made(*one, len(parts), apart=True))
        new = ids
        for part in parts:
            new = new[~part.holds(new)]
        if parts and not len(new):
            return
        self._kept[form] = _with_part(parts, self._made(side, new, len(parts)))

    def _made(self, side: Side, ids: IntArray, number: int, *, apart: bool = False) -> _Part:
        width = self.model.get_embedding_dimension() or 0
        from_cache = self._from_cache(side, ids, width)
        if from_cache is not None:
            return _Part(ids, from_cache, True)
        self.tokens.add(side, ids)
        room = self._room(len(ids), width, f"{self.tokens.form(side)}-{number}.npy")
        start = time.perf_counter()
        rows = self._encode(side, ids, room)
        self.encoding_seconds += time.perf_counter() - start
        return _Part(ids, rows, apart or room is not None)

    def _encode(
        self, side: Side, ids: IntArray, out: FloatMatrix | None, ledger: Ledger | None = None
    ) -> FloatMatrix:
        return encode(
            self.model,
            self.tokens,
            side,
            ids,
            precision=self._precision,
            budget=self._budget,
            progress=self._progress,
            out=out,
            ledger=ledger,
            shared=self._shared,
        )

    def _from_cache(self, side: Side, ids: IntArray, width: int) -> FloatMatrix | None:
        """Many texts' embeddings by way of the cache; None where there is none, or it can hold none."""
        if self._cache is None or len(ids) < self._fewest or not width:
            return None
        fingerprint = self.fingerprint(side)
        if fingerprint is None:
            return None
        named = f"{fingerprint} {self.tokens.content(ids)}"
        key = hashlib.sha256(named.encode()).hexdigest()[:40]
        start = time.perf_counter()
        found = self._cache.embeddings(
            key, (len(ids), width), lambda out, ledger: self._encode(side, ids, out, ledger)
        )
        if found is None:
            return None
        self.encoding_seconds += found.seconds
        self.spared_seconds += max(found.seconds - (time.perf_counter() - start), 0.0)
        return found.rows

    def _room(self, rows: int, width: int, name: str) -> FloatMatrix | None:
        """A file for many rows, where there is a folder for it and the disk has room."""
        if self._scratch is None or not width or 4 * rows * width < self._in_memory:
            return None
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="embeddings-", dir=self._scratch))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        try:
            return memory_mapped(self._folder / name, rows, width)
        except OSError:
            return None


def _with_part(parts: list[_Part], new: _Part) -> list[_Part]:
    """The parts and one more; those that do not stand apart are one."""
    held = [part for part in parts if not part.apart]
    if new.apart or not held:
        return [*parts, new]
    ids = np.concatenate([held[0].ids, new.ids])
    order = np.argsort(ids, kind="stable")
    merged = _Part(ids[order], np.concatenate([held[0].rows, new.rows])[order])
    return [*(part for part in parts if part.apart), merged]


@dataclass(frozen=True)
class View:
    """Embeddings of an embedder, whole or their first ``dimensions``, and what they are compared by."""

    embedder: Embedder
    similarity: Similarity
    dimensions: int | None = None

    def __call__(self, side: Side, ids: IntArray) -> FloatMatrix:
        """(n, D) or (n, dimensions) float32 embeddings in the order of ``ids``."""
        return self.embedder(side, ids)[:, : self.dimensions]
