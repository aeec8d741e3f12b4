"""What is logged of a batch, against every triplet counted by hand."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from sbert_triplet.evaluation.health import alignment, uniformity
from sbert_triplet.losses.batch import Embedded
from sbert_triplet.losses.ranking import MultipleNegativesRankingLoss
from sbert_triplet.losses.triplet import TripletLoss
from sbert_triplet.training import batch_figures as module
from sbert_triplet.training.batch_figures import batch_figures

MARGIN = 0.4


def drawn(count: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 6, generator=generator, dtype=torch.float64)


def cosine_distance(one: Tensor, two: Tensor) -> float:
    return 1 - float(torch.nn.functional.cosine_similarity(one, two, dim=0))


def shares(gaps: list[float]) -> dict[str, float]:
    hard = sum(gap >= 0 for gap in gaps) / len(gaps)
    easy = sum(gap <= -MARGIN for gap in gaps) / len(gaps)
    return {"hard": hard, "semi_hard": 1 - hard - easy, "easy": easy}


def test_of_classes() -> None:
    rows, labels = drawn(12), torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 3, 4])
    loss = TripletLoss(distance="cosine", margin=MARGIN, miner="all")
    found = batch_figures(Embedded(columns=(rows,), labels=labels), loss)
    gaps = [
        cosine_distance(rows[a], rows[p]) - cosine_distance(rows[a], rows[n])
        for a, p, n in itertools.permutations(range(12), 3)
        if labels[a] == labels[p] != labels[n]
    ]
    for name, share in shares(gaps).items():
        assert found[name] == pytest.approx(share), name
    table = rows.numpy()
    assert found["uniformity"] == pytest.approx(uniformity(table))
    pairs = [(a, p) for a, p in itertools.permutations(range(12), 2) if labels[a] == labels[p]]
    assert found["alignment"] == pytest.approx(alignment(table, torch.tensor(pairs).numpy()))


def test_of_pairs_with_the_other_rows_as_negatives() -> None:
    left, right, extra = drawn(5), drawn(5, 2), drawn(4, 3)
    batch = Embedded(columns=(left, right), negatives=extra, negative_rows=torch.tensor([0, 1, 2, 3, 4, 4]))
    loss = TripletLoss(distance="cosine", margin=MARGIN, miner="hard")
    candidates = torch.cat([right, extra])
    gaps = [
        cosine_distance(left[a], right[a]) - cosine_distance(left[a], candidates[n])
        for a in range(5)
        for n in range(9)
        if n != a
    ]
    found = batch_figures(batch, loss)
    for name, share in shares(gaps).items():
        assert found[name] == pytest.approx(share), name


def test_a_loss_without_a_margin_has_hard_triplets_alone() -> None:
    found = batch_figures(Embedded(columns=(drawn(5), drawn(5, 2))), MultipleNegativesRankingLoss())
    assert set(found) == {"hard", "alignment", "uniformity"}
    assert 0 < found["hard"] < 1


def test_known_positives_are_no_negatives() -> None:
    left = drawn(2)
    ids = (torch.tensor([0, 1]), torch.tensor([2, 3]))
    batch = Embedded(columns=(left, drawn(2, 2)), ids=ids, blocked=torch.tensor([[0, 3], [1, 2]]))
    assert "hard" not in batch_figures(batch, MultipleNegativesRankingLoss())


def test_scores_say_nothing_of_triplets() -> None:
    batch = Embedded(columns=(drawn(4), drawn(4, 2)), scores=torch.rand(4))
    assert batch_figures(batch, MultipleNegativesRankingLoss()) == {}
    assert batch_figures(Embedded(columns=(drawn(4),)), MultipleNegativesRankingLoss()) == {}


def test_of_many_anchors_some_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANCHORS", 4)
    left, right = drawn(10), drawn(10, 2)
    found = batch_figures(
        Embedded(columns=(left, right)), TripletLoss(distance="cosine", margin=MARGIN, miner="hard")
    )
    gaps = [
        cosine_distance(left[a], right[a]) - cosine_distance(left[a], right[n])
        for a in (0, 3, 6, 9)
        for n in range(10)
        if n != a
    ]
    for name, share in shares(gaps).items():
        assert found[name] == pytest.approx(share), name
    assert math.isfinite(found["uniformity"])
