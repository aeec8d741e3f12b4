"""One model's embeddings of texts by id, each text encoded once however many tasks share it."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer

from sbert_triplet.encoding.encode import FloatMatrix, IntArray, Progress, encode, memory_mapped
from sbert_triplet.encoding.tokens import Side, TokenTable
from sbert_triplet.nearest import Similarity

IN_MEMORY = 1 << 30
"""Bytes of embeddings from which on they are kept in a file, where there is a folder for it."""


@dataclass(frozen=True)
class _Part:
    """The rows of ascending ids, in memory or ``mapped`` from a file."""

    ids: IntArray
    rows: FloatMatrix
    mapped: bool = False

    def look_up(self, ids: IntArray) -> FloatMatrix:
        """(n, D) rows of ids that are all here; of a file what lies together is not copied."""
        places = np.searchsorted(self.ids, ids)
        if self.mapped and len(ids) and np.array_equal(places, np.arange(len(ids)) + places[0]):
            view = self.rows[places[0] : places[0] + len(ids)]
            view.flags.writeable = False
            return view
        return np.asarray(self.rows[places])


class Embedder:
    """Embeddings of ``model``, kept after the first time they are asked for.

    ``similarity`` is the model's own similarity function by name. With a folder ``scratch``, what takes
    ``in_memory`` bytes or more is kept in a file there, which goes when the embedder does. Raises
    ValueError where ``tokens`` was made for other prompts or routes than the model has.
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
    ) -> None:
        if not tokens.fits(model):
            raise ValueError("the token table was made for other prompts or routes: make one for this model")
        self.model, self.tokens = model, tokens
        self.similarity = str(model.similarity_fn_name)
        self._precision, self._budget, self._progress = precision, budget, progress
        self._scratch, self._in_memory = scratch, in_memory
        self._folder: Path | None = None
        self._kept: dict[int, list[_Part]] = {}

    def prepare(self, wanted: Iterable[tuple[Side, IntArray]]) -> None:
        """Encode all of these in as few passes as there are forms."""
        for side, ids in self.tokens.by_form(wanted).values():
            self._add(side, ids)

    def __call__(self, side: Side, ids: IntArray) -> FloatMatrix:
        """(n, D) float32 embeddings in the order of ``ids``."""
        self._add(side, np.unique(ids))
        parts = self._kept[self.tokens.form(side)]
        if len(parts) == 1:
            return parts[0].look_up(ids)
        found = np.empty((len(ids), parts[0].rows.shape[1]), dtype=np.float32)
        for part in parts:
            here = np.isin(ids, part.ids)
            found[here] = part.look_up(ids[here])
        return found

    def compared_by(self, similarity: Similarity) -> View:
        """The same embeddings, compared by something else than the model's own similarity."""
        return View(self, similarity)

    def cut(self, dimensions: int) -> View:
        """The first ``dimensions`` numbers of the same embeddings, as a model with ``truncate_dim`` gives."""
        return View(self, self.similarity, dimensions)

    def _add(self, side: Side, ids: IntArray) -> None:
        form = self.tokens.form(side)
        parts = self._kept.setdefault(form, [])
        new = ids
        for part in parts:
            new = np.setdiff1d(new, part.ids, assume_unique=True)
        if parts and not len(new):
            return
        rows = self._room(len(new), f"{form}-{len(parts)}.npy")
        mapped = rows is not None
        rows = encode(
            self.model,
            self.tokens,
            side,
            new,
            precision=self._precision,
            budget=self._budget,
            progress=self._progress,
            out=rows,
        )
        self._kept[form] = _with_part(parts, _Part(new, rows, mapped))

    def _room(self, rows: int, name: str) -> FloatMatrix | None:
        """A file for many rows, where there is a folder for it and the disk has room."""
        width = self.model.get_embedding_dimension() or 0
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
    """The parts and one more; those in memory are one."""
    held = [part for part in parts if not part.mapped]
    if new.mapped or not held:
        return [*parts, new]
    ids = np.concatenate([held[0].ids, new.ids])
    order = np.argsort(ids, kind="stable")
    merged = _Part(ids[order], np.concatenate([held[0].rows, new.rows])[order])
    return [*(part for part in parts if part.mapped), merged]


@dataclass(frozen=True)
class View:
    """Embeddings of an embedder, whole or their first ``dimensions``, and what they are compared by."""

    embedder: Embedder
    similarity: Similarity
    dimensions: int | None = None

    def __call__(self, side: Side, ids: IntArray) -> FloatMatrix:
        """(n, D) or (n, dimensions) float32 embeddings in the order of ``ids``."""
        return self.embedder(side, ids)[:, : self.dimensions]
