"""Embeddings of many texts without gradients: for evaluation, mining and search."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import truncate_embeddings

from sbert_triplet.encoding.forward import evaluating, moved, sentence_embeddings
from sbert_triplet.encoding.memory import free_unused, is_out_of_memory
from sbert_triplet.encoding.sharing import Team
from sbert_triplet.encoding.tokens import Side, TokenTable

FloatMatrix = NDArray[np.float32]
IntArray = NDArray[np.int64]
Progress = Callable[[int, int], None]
"""Called with the number of texts done and the number of all."""

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
GROUP_TOKENS = {"cpu": 2048, "cuda": 65536, "mps": 8192}
_COPIED_AT_ONCE = 65536


def group_tokens(device: torch.device) -> int:
    """The token budget of one forward pass that suits the device."""
    return GROUP_TOKENS.get(device.type, 8192)


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Autocast for the precision; nothing for fp32."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=PRECISIONS[precision])


class Ledger(Protocol):
    """What remembers which groups of texts are done, so that an encoding goes on where it was stopped."""

    def left(self, groups: int) -> IntArray:
        """Which of so many groups are still to be made; the rows of the others are in ``out``."""

    def wrote(self, groups: IntArray) -> None:
        """The rows of these groups are in ``out`` now."""


def encode(
    model: SentenceTransformer,
    tokens: TokenTable,
    side: Side,
    ids: IntArray,
    *,
    precision: str = "fp32",
    budget: int | None = None,
    progress: Progress | None = None,
    out: FloatMatrix | None = None,
    ledger: Ledger | None = None,
    shared: bool = False,
) -> FloatMatrix:
    """Embed the texts of ``ids`` as ``encode_query``, ``encode_document`` or ``encode`` would.

    Returns (n, D) float32 in the order of ``ids``: ``out`` where it is given, a memory map for one, written
    to as the embeddings are made. A text that appears several times is encoded once; long texts come
    first, so that too little memory shows at once; a group that is too much for it is encoded in halves, as
    long as they hold more than one text. ``ledger``: of ``out``. ``shared``: all processes of the
    run ask for the same at the same time; each encodes a share of the groups and gets all rows.

    Raises ValueError for an ``out`` of another shape; what one process raises makes all others raise.
    """
    unique, first, back = np.unique(ids, return_index=True, return_inverse=True)
    tokens.add(side, unique)
    form, device = tokens.form(side), model.device
    groups = tokens.groups(form, unique, budget or group_tokens(device))
    sizes = np.array([len(group) for group in groups], dtype=np.int64)
    team = Team.of_the_run() if shared else Team()
    left = team.left(np.arange(len(groups)) if ledger is None else ledger.left(len(groups)), len(groups))
    done = len(unique) - int(sizes[left].sum())
    rows = _Rows(len(ids), out)

    def embedded(some: IntArray) -> FloatMatrix:
        features = tokens.group_inputs(form, some)
        embeddings = sentence_embeddings(model, moved(features, device))
        made: FloatMatrix = truncate_embeddings(embeddings, model.truncate_dim).float().cpu().numpy()
        return made

    def embed(number: int) -> FloatMatrix:
        return in_halves_that_fit(embedded, unique[groups[number]], device)

    with evaluating(model), torch.inference_mode(), autocast(device, precision):
        for numbers in team.rounds(left, sizes):
            for number, embeddings in team.each(numbers, embed):
                rows.write(first[groups[number]], embeddings)
            done += int(sizes[numbers].sum())
            if ledger is not None:
                ledger.wrote(numbers)
            if progress is not None:
                progress(done, len(unique))
    if rows.matrix is None:
        return np.zeros((0, model.get_embedding_dimension() or 0), dtype=np.float32)
    rows.repeat(first, back)
    return rows.matrix


def in_halves_that_fit(
    embedded: Callable[[IntArray], FloatMatrix], some: IntArray, device: torch.device
) -> FloatMatrix:
    """``embedded(some)``, in halves, and halves of these, where memory runs out; that of a text is raised."""
    try:
        return embedded(some)
    except Exception as error:
        if not is_out_of_memory(error) or len(some) == 1:
            raise
    # Outside of the except clause: the error holds the frames that hold the memory.
    free_unused(device)
    halves = np.array_split(some, 2)
    return np.concatenate([in_halves_that_fit(embedded, half, device) for half in halves])


def memory_mapped(file: Path, rows: int, dimensions: int) -> FloatMatrix:
    """(rows, dimensions) float32 in a new ``.npy`` file whose room on the disk is taken at once.

    Raises OSError where there is too little: a write to a map could not be refused, it would end the process.
    """
    matrix: FloatMatrix = np.lib.format.open_memmap(
        file, mode="w+", dtype=np.float32, shape=(rows, dimensions)
    )
    if hasattr(os, "posix_fallocate"):
        try:
            with file.open("r+b") as opened:
                os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)
        except OSError:
            file.unlink()
            raise
    return matrix


class _Rows:
    """Where embeddings go: ``matrix``, or one that is made when their width is known."""

    def __init__(self, count: int, matrix: FloatMatrix | None) -> None:
        if matrix is not None and (matrix.ndim != 2 or len(matrix) != count):
            raise ValueError(f"out has the shape {matrix.shape}, and {count} rows are to be written")
        self.count, self.matrix = count, matrix

    def write(self, places: IntArray, embeddings: FloatMatrix) -> None:
        width = embeddings.shape[1]
        if self.matrix is None:
            self.matrix = np.empty((self.count, width), dtype=np.float32)
        if self.matrix.shape[1] != width:
            raise ValueError(f"out has rows of {self.matrix.shape[1]} numbers, and embeddings have {width}")
        self.matrix[places] = embeddings

    def repeat(self, first: IntArray, back: IntArray) -> None:
        """Copy the rows at ``first`` (U,) to where their texts stand again; ``back``: (n,) which is where."""
        assert self.matrix is not None
        again = np.setdiff1d(np.arange(len(back)), first, assume_unique=True)
        for start in range(0, len(again), _COPIED_AT_ONCE):
            some = again[start : start + _COPIED_AT_ONCE]
            self.matrix[some] = self.matrix[first[back[some]]]
