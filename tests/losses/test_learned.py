"""Relative comparisons, OASIS as a head and as published, margin-based boundaries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sbert_triplet.errors import InputError
from sbert_triplet.losses.batch import Embedded
from sbert_triplet.losses.learned import OasisLoss, RelativeComparisonsLoss
from sbert_triplet.losses.margin_based import MarginBasedLoss
from sbert_triplet.losses.passive_aggressive import fit_oasis


def rows(count: int, seed: int = 0, dimensions: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, dimensions, generator=generator, dtype=torch.float64)


def triplets(**extra: Any) -> Embedded:
    return Embedded((rows(3, 0), rows(3, 1)), negatives=rows(3, 2), negative_rows=torch.arange(4), **extra)


def set_weights(loss: RelativeComparisonsLoss, weights: Tensor) -> None:
    with torch.no_grad():
        loss.distance.theta.copy_(weights if loss.distance.form == "projected" else weights.expm1().log())


@pytest.mark.parametrize("form", ["projected", "softplus"])
@pytest.mark.parametrize("transformed", [False, True])
def test_objective_of_schultz_and_joachims(form: Any, transformed: bool) -> None:
    transform = rows(4, 9, 3) if transformed else None
    loss = RelativeComparisonsLoss(dimensions=4, slack_cost=0.3, weights=form, transform=transform).double()
    w = torch.tensor([0.5, 1.5, 0.2] if transformed else [0.5, 1.5, 0.2, 2.0], dtype=torch.float64)
    set_weights(loss, w)
    a = torch.eye(4, dtype=torch.float64) if transform is None else transform
    metric = a @ torch.diag(w) @ a.T
    batch = triplets(weights=torch.tensor([1.0, 2.0, 0.5]))
    assert batch.negatives is not None

    def squared(x: Tensor, y: Tensor) -> Tensor:
        return torch.einsum("bi,ij,bj->b", x - y, metric, x - y)

    (q, p), n = batch.columns, batch.negatives
    slacks = (1 - squared(q, n) + squared(q, p)).clamp(min=0)
    expected = metric.square().sum() / 2 + 0.3 * (torch.tensor([1.0, 2.0, 0.5]) * slacks).sum()
    torch.testing.assert_close(loss(batch).value, expected)
    folded = loss.distance.matrix()
    torch.testing.assert_close((q @ folded.T - p @ folded.T).square().sum(1), squared(q, p))


def test_all_triplets_of_classes_and_the_mean_of_slacks() -> None:
    x, labels = rows(6), torch.tensor([0, 0, 0, 1, 1, 2])
    loss = RelativeComparisonsLoss(dimensions=4, miner="all").double()
    w = torch.tensor([0.5, 1.5, 0.2, 1.0], dtype=torch.float64)
    set_weights(loss, w)
    d = ((x[:, None] - x[None]).square() * w).sum(-1)
    slacks = [
        float((1 - d[a, n] + d[a, p]).clamp(min=0))
        for a in range(6)
        for p in range(6)
        for n in range(6)
        if a != p and labels[a] == labels[p] and labels[a] != labels[n]
    ]
    output = loss(Embedded((x,), labels=labels))
    assert float(output.value.detach()) == pytest.approx(float(w.square().sum()) / 2 + sum(slacks))
    averaged = RelativeComparisonsLoss(dimensions=4, miner="all", average="all").double()
    set_weights(averaged, w)
    value = float(averaged(Embedded((x,), labels=labels)).value.detach())
    assert value == pytest.approx(float(w.square().sum()) / 2 + sum(slacks) / len(slacks))


def test_weights_stay_non_negative_and_decay_at_collapse() -> None:
    loss = RelativeComparisonsLoss(dimensions=4).double()
    batch = Embedded(
        (torch.ones(2, 4), torch.ones(2, 4)), negatives=torch.ones(2, 4), negative_rows=torch.arange(3)
    )
    output = loss(batch)
    assert float(output.value.detach()) == pytest.approx(4 / 2 + 2)
    (gradient,) = torch.autograd.grad(output.value, loss.distance.theta)
    torch.testing.assert_close(gradient, torch.ones(4, dtype=torch.float64))
    with torch.no_grad():
        loss.distance.theta.copy_(torch.tensor([-1.0, 0.0, 2.0, -3.0]))
    loss.after_step()
    assert loss.distance.theta.tolist() == [0, 0, 2, 0]


def test_zero_weights_have_a_finite_gradient() -> None:
    x = rows(4).requires_grad_()
    loss = RelativeComparisonsLoss(dimensions=4, miner="all").double()
    set_weights(loss, torch.zeros(4, dtype=torch.float64))
    output = loss(Embedded((x,), labels=torch.tensor([0, 0, 1, 1])))
    assert float(output.value.detach()) == pytest.approx(output.stats["n_valid"])
    for gradient in torch.autograd.grad(output.value, [x, loss.distance.theta]):
        assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("symmetric", [False, True])
def test_oasis_head(symmetric: bool) -> None:
    loss = OasisLoss(dimensions=4, rank=2, decay=0.3, symmetric=symmetric).double()
    batch = triplets()
    assert batch.negatives is not None
    (q, p), n = batch.columns, batch.negatives
    plain = (1 - (q * (p - n)).sum(1)).clamp(min=0).mean()
    torch.testing.assert_close(loss(batch).value, plain, msg="V starts at 0: the dot product")
    with torch.no_grad():
        loss.distance.right.copy_(rows(4, 7, 2))
    change = loss.distance.left @ loss.distance.right.T
    factor = torch.eye(4, dtype=torch.float64) + change
    w = factor.T @ factor if symmetric else factor
    torch.testing.assert_close(loss.distance.matrix(), w)
    expected = (1 - torch.einsum("bi,ij,bj->b", q, w, p - n)).clamp(
        min=0
    ).mean() + 0.3 * change.square().sum() / 2
    torch.testing.assert_close(loss(batch).value, expected)
    torch.testing.assert_close(loss.distance.pairwise(q, p), q @ w @ p.T)
    assert loss.embedding_sized


def test_oasis_learns_a_rotation_that_the_dot_product_cannot_see() -> None:
    torch.manual_seed(0)
    documents = torch.nn.functional.normalize(rows(64, 1, 8), dim=1)
    rotation = torch.linalg.qr(rows(8, 2, 8))[0]
    queries = documents @ rotation
    loss = OasisLoss(dimensions=8, rank=8, decay=0.0, miner="all").double()
    optimizer = torch.optim.Adam(loss.parameters(), lr=0.1)
    batch = Embedded((queries, documents))
    first = float(loss(batch).value.detach())
    for _ in range(60):
        optimizer.zero_grad()
        loss(batch).value.backward()
        optimizer.step()
        loss.after_step()
    assert float(loss(batch).value.detach()) < first / 3
    ranked = loss.distance.pairwise(queries, documents).argmax(1)
    assert float((ranked == torch.arange(64)).double().mean()) > 0.9


@pytest.mark.parametrize("clipped", [False, True])
def test_passive_aggressive_steps(clipped: bool) -> None:
    q, p, n = (rows(1, seed, 5).numpy() for seed in (0, 1, 2))
    if 1 - (q * (p - n)).sum() <= 0:
        p, n = n, p
    before = 1 - float((q * (p - n)).sum())
    size = float((q**2).sum() * ((p - n) ** 2).sum())
    bound = before / size / 3 if clipped else 100.0
    fit = fit_oasis(q, p, n, aggressiveness=bound)
    after = 1 - (q @ fit.matrix @ (p - n).T).item()
    assert fit.updates == 1
    assert after == pytest.approx(before - bound * size if clipped else 0.0, abs=1e-12)


def test_passive_aggressive_against_a_loop_and_its_finishes() -> None:
    q, p, n = (rows(30, seed, 5).numpy() for seed in (0, 1, 2))
    p[3] = n[3]
    weight = np.eye(5)
    for number in range(2):
        for row in np.random.default_rng((13, number)).permutation(30):
            direction = np.outer(q[row], p[row] - n[row])
            loss = max(0.0, 1 - q[row] @ weight @ (p[row] - n[row]))
            if row != 3:
                weight = weight + min(0.1, loss / (direction**2).sum()) * direction
    fit = fit_oasis(q, p, n, passes=2)
    np.testing.assert_allclose(fit.matrix, weight, atol=1e-12)
    assert len(fit.losses) == 2
    assert fit.losses[1] < fit.losses[0]
    even = fit_oasis(q, p, n, passes=2, finish="symmetric").matrix
    np.testing.assert_allclose(even, (weight + weight.T) / 2, atol=1e-12)
    positive = fit_oasis(q, p, n, passes=2, finish="positive").matrix
    assert np.linalg.eigvalsh(positive).min() > -1e-12
    assert np.linalg.norm(positive - even) == pytest.approx(
        np.linalg.norm(np.minimum(np.linalg.eigvalsh(even), 0))
    )


def test_passive_aggressive_refusals() -> None:
    good = rows(3).numpy()
    with pytest.raises(InputError, match="one shape"):
        fit_oasis(good, good, good[:2])
    with pytest.raises(InputError, match="not finite"):
        fit_oasis(good, good, np.full_like(good, np.nan))
    with pytest.raises(ValueError, match="aggressiveness is 0"):
        fit_oasis(good, good, good, aggressiveness=0)
    with pytest.raises(InputError, match="start is"):
        fit_oasis(good, good, good, start=np.eye(2))


def margin_loop(
    d: Tensor, labels: Tensor, beta: Tensor, weights: Tensor, alpha: float = 0.2
) -> tuple[float, float]:
    total = count = 0.0
    for i in range(len(d)):
        for j in range(len(d)):
            if i != j:
                sign = 1 if labels[i] == labels[j] else -1
                term = float(alpha + sign * (d[i, j] - beta[i]))
                if term > 0:
                    total += float(weights[i]) * term
                    count += float(weights[i])
    return total, count


@pytest.mark.parametrize("boundary", ["fixed", "global", "per_class"])
def test_margin_based_against_a_loop(boundary: Any) -> None:
    x, labels = torch.nn.functional.normalize(rows(7), dim=1), torch.tensor([0, 0, 1, 1, 2, 2, 2])
    weights = torch.tensor([1.0, 2.0, 1.0, 1.0, 0.0, 1.0, 3.0], dtype=torch.float64)
    classes = 3 if boundary == "per_class" else None
    loss = MarginBasedLoss(boundary=boundary, classes=classes, regularisation=0.1).double()
    if classes:
        with torch.no_grad():
            loss.beta.copy_(torch.tensor([1.0, 1.2, 0.7]))
    beta = loss.beta.detach()[labels] if classes else loss.beta.detach().expand(7)
    total, count = margin_loop(torch.cdist(x, x), labels, beta, weights)
    penalty = 0.1 * float((weights * beta).sum() / weights.sum())
    output = loss(Embedded((x,), labels=labels, weights=weights))
    assert float(output.value.detach()) == pytest.approx(total / count + penalty)
    assert (loss.beta in set(loss.parameters())) == (boundary != "fixed")
    if boundary != "fixed":
        assert torch.isfinite(torch.autograd.grad(output.value, loss.beta)[0]).all()


def test_margin_based_on_pairs_and_with_drawn_negatives() -> None:
    a, p = (torch.nn.functional.normalize(rows(5, seed), dim=1) for seed in (0, 1))
    d = torch.cdist(a, p)
    terms = [float(0.2 + (d[i, j] - 1.2) * (1 if i == j else -1)) for i in range(5) for j in range(5)]
    active = [term for term in terms if term > 0]
    output = MarginBasedLoss()(Embedded((a, p)))
    assert float(output.value) == pytest.approx(sum(active) / len(active))
    drawn = MarginBasedLoss(miner="distance_weighted")(Embedded((a, p)))
    assert drawn.stats["n_valid"] == 10
    with pytest.raises(InputError, match="length 1"):
        MarginBasedLoss(miner="distance_weighted")(Embedded((2 * a, p)))


def test_margin_based_refusals_and_collapse() -> None:
    with pytest.raises(ValueError, match="classes belongs to boundary per_class"):
        MarginBasedLoss(boundary="per_class")
    with pytest.raises(ValueError, match="is a similarity"):
        MarginBasedLoss(distance="dot")
    loss = MarginBasedLoss(boundary="per_class", classes=2)
    with pytest.raises(InputError, match="labels 0 to 2 with 2 classes"):
        loss(Embedded((rows(3),), labels=torch.tensor([0, 1, 2])))
    collapsed = Embedded((torch.ones(4, 3),), labels=torch.tensor([0, 0, 1, 1]))
    assert float(MarginBasedLoss()(collapsed).value) == pytest.approx(1.2 + 0.2)
    close = MarginBasedLoss(beta=0.1)(collapsed)
    assert float(close.value) == pytest.approx((8 * 0.3 + 4 * 0.1) / 12)
