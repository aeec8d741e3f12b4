"""Every reference value of a loss, as an independent program in plain numpy gives it, to six digits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sbert_triplet.distances import Dot
from sbert_triplet.losses.batch import Embedded, Queue
from sbert_triplet.losses.names import build_loss
from sbert_triplet.losses.passive_aggressive import fit_oasis

X = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.8, 0.6], [-0.6, 0.8]], dtype=torch.float64)
Y = torch.tensor([0, 0, 1, 1])
Z = torch.tensor([0, 0, 0, 1])
A, P = X[[0, 2]], X[[1, 3]]
ONE = torch.tensor([0, 1])


def value(name: str, batch: Embedded, **options: Any) -> float:
    return float(build_loss(name, dimensions=2, **options).double()(batch).value.detach())


def near(expected: float) -> Any:
    return pytest.approx(expected, abs=1e-6)


def triplet(a: int, p: int, n: int) -> Embedded:
    return Embedded((X[[a]], X[[p]]), negatives=X[[n]], negative_rows=ONE)


T1, T2 = triplet(0, 1, 2), triplet(0, 1, 3)


@pytest.mark.parametrize(
    ("batch", "options", "expected"),
    [
        (T1, {"distance": "euclidean", "margin": 0.5}, 0.761972),
        (T2, {"distance": "euclidean", "margin": 0.5}, 0.0),
        (T1, {"distance": "squared_euclidean", "margin": 0.2}, 0.6),
        (T1, {"distance": "cosine", "margin": 0.1}, 0.3),
        (T1, {"distance": "euclidean", "soft": True}, 0.832687),
        (T2, {"distance": "euclidean", "soft": True}, 0.342768),
    ],
)
def test_triplets_in_columns(batch: Embedded, options: dict[str, Any], expected: float) -> None:
    assert value("triplet", batch, **options) == near(expected)


@pytest.mark.parametrize(
    ("labels", "options", "expected"),
    [
        (Y, {"miner": "all"}, 0.831526),
        (Y, {"miner": "all", "average": "all"}, 0.727586),
        (Y, {"miner": "all", "soft": True}, 0.833898),
        (Y, {"miner": "hard"}, 1.054785),
        (Y, {"miner": "hard", "soft": True}, 1.023653),
        (Z, {"miner": "hard"}, 0.064809),
        (Z, {"miner": "easy_positive"}, 0.0),
        (Y, {"miner": "semi_hard"}, 0.159893),
        (Y, {"miner": "semi_hard", "fallback": "easiest"}, 0.400386),
        (Y, {"miner": "semi_hard", "fallback": "hardest"}, 0.487789),
    ],
)
def test_triplets_from_labels(labels: Tensor, options: dict[str, Any], expected: float) -> None:
    batch = Embedded((X,), labels=labels)
    assert value("triplet", batch, distance="euclidean", margin=0.5, **options) == near(expected)


def test_counts_of_triplets() -> None:
    def stats(**options: Any) -> dict[str, float]:
        loss = build_loss("triplet", distance="euclidean", margin=0.5, **options)
        return dict(loss(Embedded((X,), labels=Y)).stats)

    assert stats(miner="all")["n_valid"] == 8
    assert stats(miner="all")["active_share"] == 7 / 8
    terms = {
        name: stats(miner="semi_hard", fallback=name)["n_valid"] for name in ("skip", "easiest", "hardest")
    }
    assert terms == {"skip": 2, "easiest": 4, "hardest": 4}


def test_margin_based_and_hoffer_ailon() -> None:
    assert value("margin_based", Embedded((X,), labels=Y)) == near(0.624729)
    ratio = value("hoffer_ailon", T1)
    assert ratio == near(0.319362)
    assert ratio**0.5 == near(0.565121)
    assert 2 * ratio == near(0.638723)


def test_relative_comparisons_and_oasis() -> None:
    both = Embedded((X[[0, 0]], X[[1, 1]]), negatives=X[[2, 3]], negative_rows=torch.tensor([0, 1, 2]))
    output = build_loss("relative_comparisons", dimensions=2).double()(both)
    assert float(output.value.detach()) == near(2.4)
    assert output.stats["slacks"] == near(1.4)
    assert build_loss("relative_comparisons", dimensions=2)(T2).stats["slacks"] == 0
    assert value("oasis", T1) == near(1.2)
    one = [X[[place]].numpy() for place in (0, 1, 2)]
    fit = fit_oasis(*one, aggressiveness=0.1)
    assert fit.losses == (near(1.2),)
    step = fit.matrix - np.eye(2)
    assert np.allclose(step, 0.1 * np.outer(one[0], one[1] - one[2]))
    gap = (one[1] - one[2])[0]
    assert 1 - one[0][0] @ fit.matrix @ gap == near(1.192)


def test_ladder() -> None:
    batch = Embedded(
        (X[[0]], X[[1]]),
        negatives=X[[2, 3]],
        negative_rows=torch.tensor([0, 2]),
        negative_scores=torch.tensor([0.2, 0.7]),
    )
    assert value("ladder", batch) == near(0.7525)
    assert value("ladder", batch, hard=False) == near(0.805)


@pytest.mark.parametrize(
    ("scale", "plain", "with_negatives", "symmetric"),
    [
        (1.0, 0.773730, 1.525959, 0.718552),
        (5.0, 2.405336, 3.654956, 1.703059),
        (20.0, 9.600000, 13.620144, 6.600188),
    ],
)
def test_ranking(scale: float, plain: float, with_negatives: float, symmetric: float) -> None:
    batch = Embedded((A, P))
    more = Embedded((A, P), negatives=X[[3, 0]], negative_rows=torch.tensor([0, 1, 2]))
    assert value("multiple_negatives_ranking", batch, scale=scale) == near(plain)
    assert value("multiple_negatives_ranking", more, scale=scale) == near(with_negatives)
    assert value("symmetric_ranking", batch, temperature=1 / scale, learn_temperature=False) == near(
        symmetric
    )


def test_views() -> None:
    assert value("nt_xent", Embedded((A, P)), temperature=0.5) == near(1.471946)
    assert value("nt_xent", Embedded((A, P)), temperature=0.05) == near(9.015635)
    queue = Queue(X[[2, 3]], torch.tensor([10, 11]))
    batch = Embedded((X[[0]], X[[1]]), keys=X[[1]], queue=queue)
    assert value("moco", batch) == near(2.912987)


def test_pairs() -> None:
    two = Embedded((X[[0, 0]], X[[1, 2]]), scores=torch.tensor([1.0, 0.0]))
    assert value("contrastive", two, distance="euclidean", margin=1.0) == near(0.233772)
    three = Embedded((X[[0, 0, 0]], X[[1, 2, 3]]), scores=torch.tensor([1.0, 0.0, 0.0]))
    assert value("online_contrastive", three, distance="euclidean", margin=1.0) == near(0.935089)
    regression = Embedded((X[[0, 0]], X[[1, 2]]), scores=torch.tensor([0.9, 0.5]))
    assert value("cosine_regression", regression) == near(0.09)


def test_classification() -> None:
    loss = build_loss("softmax_classification", dimensions=2, classes=3, bias=False).double()
    with torch.no_grad():
        for name, weight in loss.named_parameters():
            assert name == "classifier.weight"
            weight.copy_(torch.arange(3.0)[:, None].expand(3, 6) / 2)
    batch = Embedded((X[[0]], X[[2]]), labels=torch.tensor([2]))
    assert float(loss(batch).value.detach()) == near(0.217253)


@pytest.mark.parametrize(
    ("labels", "temperature", "expected"), [(Y, 0.5, 1.471946), (Y, 0.1, 4.599525), (Z, 0.5, 0.817343)]
)
def test_supervised_contrastive(labels: Tensor, temperature: float, expected: float) -> None:
    batch = Embedded((X,), labels=labels)
    assert value("supervised_contrastive", batch, temperature=temperature) == near(expected)


@pytest.mark.parametrize(("scale", "expected"), [(1.0, 1.018556), (20.0, 4.018150)])
def test_cosent(scale: float, expected: float) -> None:
    batch = Embedded((X[[0, 0, 0]], X[[1, 2, 3]]), scores=torch.tensor([1.0, 0.5, 0.0]))
    assert value("cosent", batch, scale=scale) == near(expected)


def guide_with(ap: list[list[float]], aa: float, pp: float) -> tuple[Tensor, Tensor]:
    """Unit vectors in six dimensions whose inner products are the wanted ones."""
    gram = torch.eye(4, dtype=torch.float64)
    gram[:2, 2:] = torch.tensor(ap, dtype=torch.float64)
    gram[2:, :2] = gram[:2, 2:].T
    gram[0, 1] = gram[1, 0] = aa
    gram[2, 3] = gram[3, 2] = pp
    values, vectors = torch.linalg.eigh(gram)
    if values.min() < 0:
        pytest.fail("no vectors have these inner products")
    rows = vectors * values.sqrt()
    return rows[:2], rows[2:]


def test_guided() -> None:
    # The table's products [[.7, .3], [.9, .6]], .3, .2 in order and sign of every comparison.
    anchors, positives = guide_with([[0.5, 0.3], [0.6, 0.4]], 0.3, 0.2)
    batch = Embedded((A, P), guide=Embedded((anchors, positives)))
    assert value("guided_ranking", batch, temperature=0.2) == near(2.727660)
    opposite = torch.eye(4, dtype=torch.float64)
    open_guide = Embedded((opposite[:2], opposite[:2]))
    assert value("guided_ranking", Embedded((A, P), guide=open_guide), temperature=0.2) == near(3.283085)


def test_dot_is_a_similarity() -> None:
    assert not Dot().smaller_is_closer
    assert value("triplet", T1, distance="dot", margin=0.1) == near(0.3)
