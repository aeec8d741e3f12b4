"""Contrastive losses between two views of a text: NT-Xent, SimCSE and MoCo."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Annotated

import torch

from sbert_triplet.distances.options import AT_LEAST_ONE, BELOW_ONE, POSITIVE
from sbert_triplet.errors import InputError
from sbert_triplet.losses.batch import Embedded, Loss, LossOutput, Momentum, Needs
from sbert_triplet.losses.candidates import column_ids, forbidden_negatives, hard_negatives, pair_columns
from sbert_triplet.losses.masks import blocked_pairs, equal_texts
from sbert_triplet.losses.ranking import MultipleNegativesRankingLoss, weighted_rows
from sbert_triplet.losses.softmax import Group, Scale, Similarity, cross_entropy_rows, default_scale


class TemperatureLoss(Loss):
    """A loss whose similarities are divided by a temperature, fixed or learned."""

    def __init__(self, temperature: float, learn_temperature: bool, similarity: Similarity) -> None:
        super().__init__()
        POSITIVE.check("temperature", temperature)
        default_scale(similarity)
        self.similarity = similarity
        self.scale = Scale(1 / temperature, learn_temperature)

    @property
    def compares_by(self) -> str:
        return self.similarity

    def after_step(self) -> None:
        self.scale.clamp()


class NTXentLoss(TemperatureLoss):
    """Each of 2N views picks its partner among the other 2N - 1.

    SimCLR (Chen et al., 2020, arXiv 2002.05709). Two columns: two texts of a pair, or with
    ``views`` one text encoded twice under dropout. Hard negatives of the batch are candidates of both
    views. Views of equal texts, known positives and blocked pairs are no negatives.
    """

    def __init__(
        self,
        *,
        temperature: Annotated[float, POSITIVE] = 0.1,
        learn_temperature: bool = False,
        similarity: Similarity = "cosine",
        views: bool = False,
    ) -> None:
        super().__init__(temperature, learn_temperature, similarity)
        self.needs = Needs(columns=1, views=True) if views else Needs(columns=2)

    def forward(self, batch: Embedded) -> LossOutput:
        if self.needs.views:
            batch = replace(batch, labels=None)
        left, right = pair_columns(batch)
        rows = batch.rows
        across = forbidden_negatives(batch)[:, :rows]
        # What is no negative across the columns is none within them; blocked pairs are looked up there too.
        among = across | across.T
        first_ids, second_ids = column_ids(batch)
        within_first = among | blocked_pairs(first_ids, first_ids, batch.blocked)
        within_second = among | blocked_pairs(second_ids, second_ids, batch.blocked)
        forbidden = torch.cat(
            [torch.cat([within_first, across], dim=1), torch.cat([across.T, within_second], dim=1)]
        )
        both = torch.cat([left, right])
        place = torch.arange(2 * rows, device=both.device)
        own = (place + rows) % (2 * rows)
        allowed = ~forbidden
        allowed[place, own] = True
        groups = [Group(both, both, allowed)]
        if (extra := hard_negatives(batch)) is not None:
            wanted = ~forbidden_negatives(batch)[:, rows:]
            groups.append(Group(both, extra[0], torch.cat([wanted, wanted])))
        losses, first = cross_entropy_rows(groups, own, self.scale(), self.similarity)
        masked = int(forbidden.sum()) - 4 * rows
        valid = torch.stack([group.allowed.sum(1) for group in groups]).sum(0) > 1
        return weighted_rows(batch, losses, valid, first, {"masked": masked, "scale": self.scale.number()})


class SimCSELoss(MultipleNegativesRankingLoss):
    """Each text picks its own second dropout pass among those of the batch.

    Gao, Yao and Chen (2021, arXiv 2104.08821). Two columns: the two passes. Hard
    negatives are candidates too (its supervised form). Equal texts and blocked pairs are no negatives.
    """

    needs = Needs(columns=1, views=True)

    def __init__(
        self,
        *,
        temperature: Annotated[float, POSITIVE] = 0.05,
        learn_temperature: bool = False,
        similarity: Similarity = "cosine",
    ) -> None:
        POSITIVE.check("temperature", temperature)
        super().__init__(scale=1 / temperature, similarity=similarity, learn_scale=learn_temperature)
        self._compared = False

    def needs_for(self, kind: str) -> Needs:
        del kind
        return self.needs

    def forward(self, batch: Embedded) -> LossOutput:
        left, right = pair_columns(batch)
        if self.training and not self._compared:
            self._compared = True
            if torch.equal(left, right):
                warnings.warn(
                    "simcse: both views of every text coincide, so there is nothing to align; "
                    "the encoder needs dropout above 0, in training mode",
                    stacklevel=3,
                )
        # Classes play no part without supervision: two texts of a class are two texts.
        return super().forward(replace(batch, labels=None))


class MoCoLoss(TemperatureLoss):
    """Each query picks its own momentum key among the keys of a queue (He et al., 2020, arXiv 1911.05722).

    The batch brings ``keys`` (B, D), the positives under the momentum encoder, and ``queue``, its
    filled slots only. Keys of equal texts and of blocked pairs are not counted, since a queue
    longer than an epoch holds the batch's own texts. With ``in_batch`` the keys of other rows are
    candidates as well; hard negatives always are. Where nothing else is a candidate the loss is 0 with
    ``n_valid`` 0. ``momentum`` is the share of the old weights that the momentum encoder keeps at a
    step, 0 for a copy of the encoder; ``queue_size`` the number of keys, by default 65,536 or, where
    an epoch has fewer, as many as that.
    """

    def __init__(
        self,
        *,
        temperature: Annotated[float, POSITIVE] = 0.07,
        learn_temperature: bool = False,
        similarity: Similarity = "cosine",
        in_batch: bool = False,
        momentum: Annotated[float, BELOW_ONE] = 0.999,
        queue_size: Annotated[int, AT_LEAST_ONE] | None = None,
    ) -> None:
        super().__init__(temperature, learn_temperature, similarity)
        BELOW_ONE.check("momentum", momentum)
        if queue_size is not None:
            AT_LEAST_ONE.check("queue_size", queue_size)
        self.in_batch = in_batch
        self.needs = Needs(columns=2, momentum=Momentum(momentum, queue_size))

    def forward(self, batch: Embedded) -> LossOutput:
        query, keys, queue = batch.columns[0], batch.keys, batch.queue
        if keys is None or queue is None:
            raise InputError("moco wants the keys of a momentum encoder and a queue of earlier keys")
        if keys.shape != query.shape:
            raise InputError(f"moco: keys {tuple(keys.shape)} for queries {tuple(query.shape)}")
        pair = replace(batch, columns=(query, keys.detach()))
        ids = column_ids(pair)
        repeated = blocked_pairs(ids[0], queue.ids, batch.blocked)
        for column in ids:
            repeated = repeated | equal_texts(column, queue.ids)
        forbidden = forbidden_negatives(pair)
        own = torch.arange(batch.rows, device=query.device)
        in_row = ~forbidden[:, : batch.rows] & self.in_batch
        in_row[own, own] = True
        groups = [Group(query, keys.detach(), in_row), Group(query, queue.keys.detach(), ~repeated)]
        if (extra := hard_negatives(batch)) is not None:
            groups.append(Group(query, extra[0].detach(), ~forbidden[:, batch.rows :]))
        losses, first = cross_entropy_rows(groups, own, self.scale(), self.similarity)
        valid = torch.stack([group.allowed.sum(1) for group in groups]).sum(0) > 1
        stats = {
            "masked": float(repeated.sum()),
            "scale": self.scale.number(),
            "queue": float(queue.keys.shape[0]),
        }
        return weighted_rows(batch, losses, valid, first, stats)
