"""Encoder and loss joined: encode the batch once, gather it, hand the embeddings to the loss."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn

from sbert_triplet.data.kinds import Kind
from sbert_triplet.encoding.forward import sentence_embeddings
from sbert_triplet.encoding.gradient_cache import encode_in_parts, encode_whole
from sbert_triplet.encoding.memory import failing_together
from sbert_triplet.errors import InputError
from sbert_triplet.losses.batch import LONGEST_QUEUE, Embedded, Loss, LossOutput
from sbert_triplet.processes import several_processes
from sbert_triplet.training.collate import Share, TokenBatch
from sbert_triplet.training.gather import gather_rows
from sbert_triplet.training.momentum import MomentumEncoder

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

    A loss over a momentum encoder gets one here, with its queue of ``queue_size`` keys (else as many
    as the loss says); ``after_step`` is to be called after each optimizer step (``callbacks.AfterStep``).
    Where several batches make a step, the keys of the last one are queued.

    ``cached``: the graph of one group of texts is kept at a time (``encoding.gradient_cache``), so that
    memory does not grow with the batch; of this package's batches only.

    The attribute that holds the encoder is called ``model`` because that is the one which trainers
    replace by its wrapper for several devices; it is only ever entered as ``self.model(features)``.
    """

    def __init__(
        self, model: SentenceTransformer, loss: Loss, *, queue_size: int | None = None, cached: bool = False
    ) -> None:
        super().__init__()
        self.model = model
        self.loss = loss
        self.cached = cached
        self.momentum: MomentumEncoder | None = None
        if (wanted := loss.needs.momentum) is not None:
            size = queue_size or wanted.size or LONGEST_QUEUE
            self.momentum = MomentumEncoder(model, wanted.decay, size)
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

    def after_step(self) -> None:
        """What follows an optimizer step: the loss's parameters in their range, momentum and queue."""
        self.loss.after_step()
        if self.momentum is not None:
            self.momentum.after_step(getattr(self.model, "module", self.model))

    def left_out(self) -> None:
        """The step of the last batch is left out: nothing of it is remembered, and its loss is no number."""
        self.last = LossOutput(torch.tensor(float("nan")), {})
        if self.momentum is not None:
            self.momentum.forget()

    def own_state(self) -> dict[str, Tensor]:
        """Everything of the state but the encoder: the loss's, and that of a momentum encoder."""
        return {name: value for name, value in self.state_dict().items() if not name.startswith("model.")}

    def _rows(self, share: Share, model: nn.Module) -> Tensor:
        with failing_together(share.places.device):
            encoded = encode_in_parts if self.cached else encode_whole
            joined = encoded(model, share.groups, _encoded)
        return gather_rows(joined[torch.argsort(share.places)], share.sizes)

    def _embed(self, batch: TokenBatch) -> Embedded:
        texts = self._rows(batch.texts, self.model)
        keys = self._keys(batch)
        candidates = texts if keys is None else keys
        columns = tuple(texts[column] for column in batch.columns)
        embedded = Embedded(
            columns=columns,
            ids=tuple(batch.ids),
            negatives=candidates[batch.negatives] if batch.negatives is not None else None,
            negative_ids=batch.negative_ids,
            negative_rows=batch.negative_rows,
            labels=batch.labels,
            scores=batch.scores,
            weights=batch.weights,
            blocked=batch.blocked,
            guide=_guide(batch),
            dataset=batch.dataset,
        )
        if keys is None:
            return embedded
        return self._queued(embedded, keys[batch.key_column], batch.ids[1])

    @torch.no_grad()
    def _keys(self, batch: TokenBatch) -> Tensor | None:
        """(U, D): the texts of ``batch.keys`` under the momentum encoder."""
        if batch.keys is None:
            return None
        return self._rows(batch.keys, self._momentum().encoder)

    def _momentum(self) -> MomentumEncoder:
        if self.momentum is None:
            raise InputError("the loss wants no momentum encoder, and the batch has texts for one")
        return self.momentum

    def _queued(self, batch: Embedded, keys: Tensor, ids: Tensor) -> Embedded:
        momentum = self._momentum()
        queue = momentum.queue()
        if self.training:
            momentum.made(keys, ids)
        return replace(batch, keys=keys, queue=queue)

    def _embed_columns(self, features: Sequence[Features], labels: Tensor | None) -> Embedded:
        needs = self.loss.needs_for(_kind(features, labels))
        if needs.guide is not None:
            raise InputError(
                "a guide is looked up by text id, which this collator does not carry: "
                "train with sbert_triplet's own Trainer and Collator"
            )
        features = [features[0], features[0]] if needs.views else features
        k = 2 if needs.views else min(needs.columns, len(features))
        trained = 1 if needs.momentum is not None else len(features)
        # Draws of dropout as under the library's own losses: a run with them can be compared bit by bit.
        rows = [_encoded(self.model, column, own_dropout=False) for column in features[:trained]]
        with torch.no_grad():
            rows += [_encoded(self._momentum().encoder, column) for column in features[trained:]]
        sizes = _sizes(rows[0])
        ids = [gather_rows(_token_row_ids(column), sizes) for column in features]
        columns = [gather_rows(row, sizes) for row in rows]
        gathered = gather_rows(labels, sizes) if labels is not None else None
        extra, size = columns[k:], columns[0].shape[0]
        batch = Embedded(
            columns=tuple(columns[: min(k, trained)]),
            ids=tuple(ids[:k]),
            negatives=torch.stack(extra, dim=1).flatten(0, 1) if extra else None,
            negative_ids=torch.stack(ids[k:], dim=1).flatten() if extra else None,
            negative_rows=torch.arange(size + 1, device=rows[0].device) * len(extra) if extra else None,
            labels=gathered if needs.labels else None,
            scores=gathered.float() if gathered is not None and not needs.labels else None,
        )
        return batch if needs.momentum is None else self._queued(batch, columns[1], ids[1])


def _encoded(model: nn.Module, features: Features, *, own_dropout: bool = True) -> Tensor:
    """(n, D), in fp32 or better."""
    embeddings = sentence_embeddings(model, features, own_dropout=own_dropout)
    return embeddings.float() if embeddings.dtype in (torch.float16, torch.bfloat16) else embeddings


def _guide(batch: TokenBatch) -> Embedded | None:
    if batch.guide is None:
        return None
    count, rows = batch.ids.shape
    parts = batch.guide[: count * rows].view(count, rows, -1)
    return Embedded(
        columns=tuple(parts),
        ids=tuple(batch.ids),
        negatives=batch.guide[count * rows :] if batch.negatives is not None else None,
        negative_ids=batch.negative_ids,
        negative_rows=batch.negative_rows,
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
    if not several_processes():
        return (rows.shape[0],)
    mine = torch.tensor([rows.shape[0]], device=rows.device)
    everyone = [torch.zeros_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(everyone, mine)
    return tuple(int(size) for size in everyone)


def _token_row_ids(column: Features) -> Tensor:
    """(B,) ids that are equal where the rows of tokens are: 63 bits of a hash, the same everywhere."""
    tokens, mask = column["input_ids"].cpu(), column["attention_mask"].cpu().bool()
    hashes = [
        int.from_bytes(
            hashlib.blake2b(row[keep].numpy().astype("<i8").tobytes(), digest_size=8).digest(), "little"
        )
        >> 1
        for row, keep in zip(tokens, mask, strict=True)
    ]
    return torch.tensor(hashes, dtype=torch.long, device=column["input_ids"].device)
