"""The ladder loss against loops over rungs and pairs."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from sbert_triplet.errors import InputError
from sbert_triplet.losses.batch import Embedded, Needs
from sbert_triplet.losses.ladder import LadderLoss

RUNGS = ((0.9, 0.3, 1.0), (0.5, 0.2, 0.5), (0.1, 0.1, 0.25))
OPTIONS: dict[str, Any] = {
    "thresholds": [rung[0] for rung in RUNGS],
    "margins": [rung[1] for rung in RUNGS],
    "rung_weights": [rung[2] for rung in RUNGS],
}


def rows(count: int, seed: int, dimensions: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, dimensions, generator=generator, dtype=torch.float64)


def cosines(left: Tensor, right: Tensor) -> Tensor:
    return normalize(left, dim=1) @ normalize(right, dim=1).T


def loop(
    near: Tensor,
    relevance: Tensor,
    hard: bool,
    rungs: Any = RUNGS,
    unused: frozenset[tuple[int, int]] = frozenset(),
) -> list[float]:
    """The sum over rungs of each query that has one."""
    out = []
    for q in range(len(near)):
        total, some = 0.0, False
        for threshold, margin, weight in rungs:
            used = [j for j in range(near.shape[1]) if (q, j) not in unused]
            above = [float(near[q, j]) for j in used if relevance[q, j] >= threshold]
            below = [float(near[q, j]) for j in used if relevance[q, j] < threshold]
            if above and below:
                some = True
                pairs = [(min(above), max(below))] if hard else [(i, j) for i in above for j in below]
                total += weight * sum(max(0.0, margin - i + j) for i, j in pairs)
        if some:
            out.append(total)
    return out


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


@pytest.mark.parametrize("hard", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_scores(seed: int, hard: bool) -> None:
    a, p, n = rows(3, seed), rows(3, seed + 10), rows(5, seed + 20)
    grades = torch.tensor([0.6, 0.1, 0.95, 0.3, 0.7])
    scores = torch.tensor([1.0, 0.8, 0.05])
    pointers = torch.tensor([0, 2, 2, 5])
    batch = Embedded((a, p), negatives=n, negative_rows=pointers, negative_scores=grades, scores=scores)
    relevance = torch.full((3, 8), -math.inf)
    for q in range(3):
        relevance[q, q] = scores[q]
        for k in range(int(pointers[q]), int(pointers[q + 1])):
            relevance[q, 3 + k] = grades[k]
    there = mean(loop(cosines(a, torch.cat([p, n])), relevance, hard))
    back = mean(loop(cosines(p, a), relevance[:, :3], hard))
    one = LadderLoss(**OPTIONS, hard=hard, both_directions=False)(batch)
    assert float(one.value) == pytest.approx(there)
    assert float(LadderLoss(**OPTIONS, hard=hard)(batch).value) == pytest.approx(there + back)


@pytest.mark.parametrize("hard", [True, False])
def test_teacher(hard: bool) -> None:
    a, p, n = rows(4, 0), rows(4, 1), rows(3, 2)
    guide = Embedded((rows(4, 3), rows(4, 4)), negatives=rows(3, 5))
    ids = (torch.tensor([0, 1, 2, 3]), torch.tensor([10, 11, 12, 13]))
    batch = Embedded(
        (a, p),
        ids=ids,
        negatives=n,
        negative_rows=torch.tensor([0, 1, 2, 3, 3]),
        guide=guide,
        blocked=torch.tensor([[0, 12]]),
    )
    assert guide.negatives is not None
    there = cosines(guide.columns[0], torch.cat([guide.columns[1], guide.negatives]))
    back = cosines(guide.columns[1], guide.columns[0])
    there[range(4), range(4)] = back[range(4), range(4)] = math.inf
    expected = mean(loop(cosines(a, torch.cat([p, n])), there, hard, unused=frozenset({(0, 2)})))
    expected += mean(loop(cosines(p, a), back, hard, unused=frozenset({(2, 0)})))
    output = LadderLoss(**OPTIONS, relevance="teacher", hard=hard)(batch)
    assert float(output.value) == pytest.approx(expected)


@pytest.mark.parametrize("hard", [True, False])
def test_ordinal_labels(hard: bool) -> None:
    x, labels = rows(7, 0), torch.tensor([0, 0, 1, 1, 2, 3, 3])
    rungs = ((0.0, 0.2, 1.0), (-1.0, 0.1, 0.5))
    relevance = -(labels[:, None] - labels[None]).abs().double()
    itself = frozenset((i, i) for i in range(7))
    loss = LadderLoss(
        thresholds=[0, -1], margins=[0.2, 0.1], rung_weights=[1.0, 0.5], relevance="labels", hard=hard
    )
    output = loss(Embedded((x,), labels=labels))
    assert float(output.value) == pytest.approx(mean(loop(cosines(x, x), relevance, hard, rungs, itself)))


def test_collapse_and_weights() -> None:
    ones = torch.ones(4, 3, dtype=torch.float64)
    batch = Embedded((ones,), labels=torch.tensor([0, 0, 1, 2]))
    loss = LadderLoss(thresholds=[0, -1], margins=[0.2, 0.01], rung_weights=[1, 0.25], relevance="labels")
    # Label 0: both rungs; label 1: nothing is beyond its neighbours; label 2: the lower rung only.
    assert float(loss(batch).value) == pytest.approx((2 * (0.2 + 0.0025) + 0.0 + 0.0025) / 3)
    weighed = Embedded((ones,), labels=torch.tensor([0, 0, 1, 2]), weights=torch.tensor([1.0, 0.0, 7.0, 3.0]))
    assert float(loss(weighed).value) == pytest.approx((0.2025 + 3 * 0.0025) / 4)


def test_similarities_below_zero_are_not_floored() -> None:
    """Masks of minus infinity, not zero: all candidates may be less similar than 0."""
    a = torch.tensor([[1.0, 0.0]])
    batch = Embedded(
        (a, torch.tensor([[-1.0, 0.0]])),
        negatives=torch.tensor([[-1.0, 0.1]]),
        negative_rows=torch.tensor([0, 1]),
        negative_scores=torch.tensor([0.0]),
    )
    loss = LadderLoss(thresholds=[1.0], margins=[0.2], rung_weights=[1.0])
    assert float(loss(batch).value) == pytest.approx(0.2 + 1 - 1 / math.sqrt(1.01), abs=1e-6)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="must descend"):
        LadderLoss(thresholds=[0.1, 0.5], margins=[0.1, 0.1], rung_weights=[1, 1])
    with pytest.raises(ValueError, match="one number a rung, got 2, 1 and 2"):
        LadderLoss(margins=[0.1])
    with pytest.raises(ValueError, match="margins must be above 0"):
        LadderLoss(margins=[0.1, 0.0])
    x = rows(2, 0)
    with pytest.raises(InputError, match="wants two columns"):
        LadderLoss()(Embedded((x,), labels=torch.zeros(2)))
    with pytest.raises(InputError, match="guide"):
        LadderLoss(relevance="teacher")(Embedded((x, x)))
    assert LadderLoss(relevance="teacher").needs == Needs(columns=2, guide="base")
    assert LadderLoss(relevance="labels").needs == Needs(columns=1, labels=True)
    assert LadderLoss().needs_for("retrieval") == Needs(columns=2, scores=True)


def test_documents_of_one_query_stand_in_the_order_of_their_grades() -> None:
    """Rows 0 and 1 are one query with documents of grades 2 and 1; row 2 is another query."""
    x = torch.eye(3, 4, dtype=torch.float64)
    query, other = x[0], x[2]
    near, far = torch.tensor([0.6, 0.8, 0.0, 0.0]), torch.tensor([0.9, 0.0, 0.0, 0.19**0.5])
    documents = torch.stack([near.double(), far.double(), other])
    batch = Embedded(
        (torch.stack([query, query, other]), documents),
        ids=(torch.tensor([7, 7, 8]), torch.tensor([20, 21, 22])),
        scores=torch.tensor([2.0, 1.0, 2.0]),
    )
    loss = LadderLoss(thresholds=[2, 1], margins=[0.2, 0.1], rung_weights=[1, 1], both_directions=False)
    # Rung 2 wants .6 above .9 by .2, for both rows of the query; rung 1 wants .6 and .9 above 0 by .1.
    assert loss(batch).value.item() == pytest.approx((0.5 + 0.5 + 0.0) / 3)


def test_hard_negatives_without_a_score_are_below_all_rungs() -> None:
    anchor, positive = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.6, 0.8]])
    batch = Embedded(
        (anchor, positive),
        negatives=torch.tensor([[0.8, 0.6]]),
        negative_rows=torch.tensor([0, 1]),
    )
    loss = LadderLoss(thresholds=[1.0], margins=[0.2], rung_weights=[1.0], both_directions=False)
    assert loss(batch).value.item() == pytest.approx(0.4)


def test_texts_of_a_class_are_not_pushed_apart_without_ordinal_labels() -> None:
    columns = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(1))
    batch = Embedded((columns[0], columns[1]), labels=torch.zeros(4, dtype=torch.long))
    assert LadderLoss()(batch).stats["n_valid"] == 0
