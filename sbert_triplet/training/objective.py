"""Encoder and loss joined: encode the batch once, gather it, hand the embeddings to the loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn

from sbert_triplet.data.kinds import Kind
from sbert_triplet.losses.batch import Embedded, Loss, LossOutput
from sbert_triplet.training.collate import TokenBatch
from sbert_triplet.training.gather import gather_rows

Features = Mapping[str, Any]


class Objective(nn.Module):
    """The encoder ``model`` and a ``loss`` of its embeddings, trained together.

    Two kinds of input are understood. Batches of this package's collator carry text ids, so equal
    texts are encoded once and known positives are never negatives. Batches of
    sentence-transformers' own collator (a list of features, one for each column, and one tensor of
    labels) make an Objective usable as ``loss=`` of its trainer; equal rows of tokens are then the
    only equal texts that can be seen, and known positives beyond a row are not masked. One column is
    a text with its class, two are anchor and positive, or two texts and a score where the label is
    a float, further ones are negatives.

    The attribute that holds the encoder is called ``model`` because that is the one which trainers
    replace by its wrapper for several devices; it is only ever entered as ``self.model(features)``.
    """

    def __init__(self, model: SentenceTransformer, loss: Loss) -> None:
        super().__init__()
        self.model = model
        self.loss = loss
        self.last: LossOutput | None = None

    def forward(self, features: TokenBatch | Sequence[Features], labels: Tensor | None = None) -> Tensor:
        """The scalar loss of one batch; ``last`` keeps it with its statistics."""
        if isinstance(features, TokenBatch):
            batch = self._embed(features)
        else:
            batch = self._embed_columns(features, labels)
        with torch.autocast(batch.columns[0].device.type, enabled=False):
            output = self.loss(batch)
        self.last = LossOutput(output.value.detach(), output.stats)
        return output.value

    def _encode(self, features: Features) -> Tensor:
        inputs = dict(features)
        task = inputs.pop("task", None)
        result = self.model(inputs, task=task) if task is not None else self.model(inputs)
        embeddings: Tensor = result["sentence_embedding"]
        return embeddings.float() if embeddings.dtype in (torch.float16, torch.bfloat16) else embeddings

    def _embed(self, batch: TokenBatch) -> Embedded:
        joined = torch.cat([self._encode(group) for group in batch.groups])
        share = joined[torch.argsort(batch.places)]
        texts = gather_rows(share, batch.shares)
        return Embedded(
            columns=tuple(texts[column] for column in batch.columns),
            ids=tuple(batch.ids),
            negatives=texts[batch.negatives] if batch.negatives is not None else None,
            negative_ids=batch.negative_ids,
            negative_rows=batch.negative_rows,
            labels=batch.labels,
            scores=batch.scores,
            weights=batch.weights,
            blocked=batch.blocked,
        )

    def _embed_columns(self, features: Sequence[Features], labels: Tensor | None) -> Embedded:
        needs = self.loss.needs_for(_kind(features, labels))
        features = [features[0], features[0]] if needs.views else features
        rows = [self._encode(column) for column in features]
        sizes = _sizes(rows[0])
        ids = _token_row_ids(features, sizes)
        columns = [gather_rows(row, sizes) for row in rows]
        gathered = gather_rows(labels, sizes) if labels is not None else None
        k = 2 if needs.views else min(needs.columns, len(columns))
        extra, size = columns[k:], columns[0].shape[0]
        by_row = torch.stack(extra, dim=1).flatten(0, 1) if extra else None
        return Embedded(
            columns=tuple(columns[:k]),
            ids=tuple(ids[:k]),
            negatives=by_row,
            negative_ids=torch.stack(ids[k:], dim=1).flatten() if extra else None,
            negative_rows=torch.arange(size + 1, device=rows[0].device) * len(extra) if extra else None,
            labels=gathered if needs.labels else None,
            scores=gathered.float() if gathered is not None and not needs.labels else None,
        )


def _kind(features: Sequence[Features], labels: Tensor | None) -> str:
    """The kind of data, a value of ``data.kinds.Kind``, by the number of columns and the labels."""
    if len(features) == 1:
        return Kind.LABELLED
    if len(features) > 2:
        return Kind.TRIPLETS
    return Kind.SCORED if labels is not None and labels.is_floating_point() else Kind.PAIRS


def _sizes(rows: Tensor) -> tuple[int, ...]:
    """How many rows each process holds."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return (rows.shape[0],)
    mine = torch.tensor([rows.shape[0]], device=rows.device)
    everyone = [torch.zeros_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(everyone, mine)
    return tuple(int(size) for size in everyone)


def _token_row_ids(features: Sequence[Features], sizes: tuple[int, ...]) -> list[Tensor]:
    """(B,) ids for each column: equal where the rows of tokens are equal, over columns and processes."""
    rows: list[tuple[int, ...]] = []
    for column in features:
        tokens, mask = column["input_ids"].tolist(), column["attention_mask"].tolist()
        rows += [
            tuple(token for token, keep in zip(*pair, strict=True) if keep)
            for pair in zip(tokens, mask, strict=True)
        ]
    if len(sizes) > 1:
        everyone: list[list[tuple[int, ...]]] = [[] for _ in sizes]
        dist.all_gather_object(everyone, rows)
    else:
        everyone = [rows]
    number: dict[tuple[int, ...], int] = {}
    device = features[0]["input_ids"].device
    columns = []
    for place in range(len(features)):
        column_rows = [
            row
            for size, part in zip(sizes, everyone, strict=True)
            for row in part[place * size : (place + 1) * size]
        ]
        found = [number.setdefault(row, len(number)) for row in column_rows]
        columns.append(torch.tensor(found, device=device))
    return columns
