"""The loss of single rows before training, as a measure of how difficult they are."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from torch import Tensor

from sbert_triplet.losses.batch import Embedded, Loss, LossOutput
from sbert_triplet.training.collate import BatchMaker
from sbert_triplet.training.objective import Objective
from sbert_triplet.training.samplers import Batches

FloatArray = NDArray[np.float64]
IDLE = 10
"""After so many epochs that took no row for the first time, the rows left out are given up."""


def loss_scores(
    model: SentenceTransformer,
    loss: Loss,
    collator: BatchMaker,
    batches: Batches,
    progress: Callable[[int, int], None] | None = None,
) -> FloatArray:
    """(N,) what the loss of a row's batch is where that row alone has a weight, without dropout.

    The batches are those of the first epochs, for each row the first that takes it; NaN where none does.
    Each is encoded once. A loss that knows no row weights is asked for a batch of the row alone. ``loss``
    and ``model`` stay as they are. Raises ValueError for a loss that gives the same for every row.
    """
    if loss.compares_by is None:
        raise ValueError("the loss compares no texts, and before training its classifier knows nothing")
    rows = RowByRow(copy.deepcopy(loss))
    objective = Objective(model, rows)
    was_training = model.training
    objective.eval()
    scores = np.full(len(collator), np.nan)
    epoch = latest = 0
    try:
        while np.isnan(scores).any() and epoch - latest <= IDLE:
            for numbers in batches.epoch_batches(epoch):
                new = np.isnan(scores[numbers])
                if not new.any():
                    continue
                with torch.no_grad(), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    objective(collator(numbers.tolist()).to(model.device))
                scores[numbers[new]] = rows.values[new]
                latest = epoch
                if progress is not None:
                    progress(int((~np.isnan(scores)).sum()), len(scores))
            epoch += 1
    finally:
        model.train(was_training)
    found = scores[~np.isnan(scores)]
    if len(found) < 2 or found.min() == found.max():
        raise ValueError("the loss says nothing of a single row: it is the same for all of them")
    return scores


class RowByRow(Loss):
    """``loss`` of each row of a batch in turn; ``values`` (B,) are those of the last batch."""

    def __init__(self, loss: Loss) -> None:
        super().__init__()
        self.loss = loss
        self.needs = loss.needs
        self.values: FloatArray = np.zeros(0)

    def forward(self, batch: Embedded) -> LossOutput:
        whole = self.loss(batch)
        unit = torch.eye(batch.rows, dtype=torch.float32, device=batch.columns[0].device)
        values = [float(self.loss(replace(batch, weights=weights)).value) for weights in unit]
        if batch.rows > 1 and set(values) == {float(whole.value)}:
            values = [float(self.loss(only_row(batch, row)).value) for row in range(batch.rows)]
        self.values = np.array(values)
        return whole


def only_row(batch: Embedded, row: int) -> Embedded:
    """One row of a batch, with its own negatives."""
    one = slice(row, row + 1)
    pointers = batch.negative_rows
    own = slice(0, 0) if pointers is None else slice(int(pointers[row]), int(pointers[row + 1]))

    def cut(tensor: Tensor | None, places: slice) -> Tensor | None:
        return None if tensor is None else tensor[places]

    return replace(
        batch,
        columns=tuple(column[one] for column in batch.columns),
        ids=None if batch.ids is None else tuple(ids[one] for ids in batch.ids),
        negatives=cut(batch.negatives, own),
        negative_ids=cut(batch.negative_ids, own),
        negative_scores=cut(batch.negative_scores, own),
        negative_rows=None if pointers is None else pointers[row : row + 2] - pointers[row],
        labels=cut(batch.labels, one),
        scores=cut(batch.scores, one),
        weights=None,
        keys=cut(batch.keys, one),
        guide=None if batch.guide is None else only_row(batch.guide, row),
    )
