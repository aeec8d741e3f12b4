"""Several losses in one run: of the same rows, and each of its own data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor, nn

from sbert_triplet.distances import Distance
from sbert_triplet.distances.options import POSITIVE
from sbert_triplet.losses.batch import Embedded, Loss, LossOutput, Momentum, Needs


class SeveralLosses(Loss):
    """``losses`` by ``names``, no two alike. Raises ValueError where these do not go together."""

    def __init__(self, losses: Sequence[Loss], names: Sequence[str]) -> None:
        super().__init__()
        if not losses or not len(losses) == len(names) == len(set(names)):
            raise ValueError("several losses want a name of its own for each")
        self.losses = nn.ModuleList(losses)
        self.names = tuple(names)
        self.needs = replace(losses[0].needs, momentum=self._momentum())

    def each(self) -> list[Loss]:
        """The losses, in their order."""
        return [loss for loss in self.losses if isinstance(loss, Loss)]

    def _momentum(self) -> Momentum | None:
        wanted = [momentum for loss in self.each() if (momentum := loss.needs.momentum) is not None]
        if len(wanted) > 1:
            raise ValueError("one run has one momentum encoder: give one loss that wants it")
        return wanted[0] if wanted else None

    @property
    def embedding_sized(self) -> bool:
        return any(loss.embedding_sized for loss in self.each())

    @property
    def compares_by(self) -> Distance | str | None:
        """That of the first loss which has any."""
        return next((by for loss in self.each() if (by := loss.compares_by) is not None), None)

    def after_step(self) -> None:
        for loss in self.each():
            loss.after_step()


class WeightedSum(SeveralLosses):
    """The weighted sum of several losses of one batch.

    All of them have to take the same columns: ``needs_for`` raises ValueError for losses that want one
    column and two, dropout views and none, or a momentum encoder and none.
    """

    def __init__(self, losses: Sequence[Loss], weights: Sequence[float], names: Sequence[str]) -> None:
        super().__init__(losses, names)
        for weight in weights:
            POSITIVE.check("the weight of a loss", weight)
        if len(weights) != len(losses):
            raise ValueError(f"{len(weights)} weights for {len(losses)} losses")
        self.weights = tuple(weights)

    def needs_for(self, kind: str) -> Needs:
        return _joined([loss.needs_for(kind) for loss in self.each()], self.names)

    def forward(self, batch: Embedded) -> LossOutput:
        values: list[Tensor] = []
        stats: dict[str, float] = {}
        for name, weight, loss in zip(self.names, self.weights, self.each(), strict=True):
            output = loss(batch)
            values.append(weight * output.value)
            stats |= {f"{name}/{key}": number for key, number in output.stats.items()}
            stats[f"{name}/loss"] = float(output.value.detach())
        stats["n_valid"] = max(stats.get(f"{name}/n_valid", 0.0) for name in self.names)
        return LossOutput(sum(values[1:], values[0]), stats)


class LossPerDataset(SeveralLosses):
    """The loss of the data set that a batch is of: ``losses[batch.dataset]``."""

    def needs_for(self, kind: str) -> Needs:
        raise TypeError("what is needed depends on the data set: ask its own loss")

    def forward(self, batch: Embedded) -> LossOutput:
        output = self.each()[batch.dataset](batch)
        name = self.names[batch.dataset]
        stats = {f"{name}/{key}": number for key, number in output.stats.items() if key != "n_valid"}
        stats[f"{name}/loss"] = float(output.value.detach())
        return LossOutput(output.value, {"n_valid": output.stats.get("n_valid", 0.0), **stats})


def _joined(needs: Sequence[Needs], names: Sequence[str]) -> Needs:
    first = needs[0]
    for name, other in zip(names, needs, strict=True):
        for what, one, two in (
            ("columns", first.columns, other.columns),
            ("dropout views", first.views, other.views),
            ("a momentum encoder", first.momentum, other.momentum),
        ):
            if one != two:
                raise ValueError(
                    f"{names[0]} and {name} cannot share their batches: they differ in {what}; "
                    "give each a dataset of its own"
                )
    guides = {each.guide for each in needs} - {None}
    if len(guides) > 1:
        raise ValueError(
            f"losses of one batch have one guide, these name {', '.join(sorted(map(str, guides)))}"
        )
    return Needs(
        columns=first.columns,
        negatives=any(each.negatives for each in needs),
        labels=any(each.labels for each in needs),
        scores=any(each.scores for each in needs),
        views=first.views,
        guide=next(iter(guides), None),
        momentum=first.momentum,
    )
