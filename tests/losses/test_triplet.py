"""Triplet losses: ragged columns, miners over pairs and classes, margins, and refusals."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

from sbert_triplet.distances import Cosine, Distance, Dot, Euclidean, LearnedMahalanobis, SquaredEuclidean
from sbert_triplet.errors import DivergedError, InputError
from sbert_triplet.losses.batch import Embedded, Needs
from sbert_triplet.losses.triplet import HofferAilonLoss, TripletLoss


def random_rows(rows: int, dimensions: int = 6, seed: int = 0, unit: bool = False) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, dimensions, generator=generator, dtype=torch.float64)
    return torch.nn.functional.normalize(x, dim=1) if unit else x


def ragged(seed: int = 0, **extra: Any) -> Embedded:
    return Embedded(
        (random_rows(4, seed=seed).requires_grad_(), random_rows(4, seed=seed + 1)),
        negatives=random_rows(6, seed=seed + 2),
        negative_rows=torch.tensor([0, 1, 1, 4, 6]),
        **extra,
    )


def loop(batch: Embedded, distance: Distance, margin: float) -> list[tuple[int, float]]:
    (anchor, positive), negatives, rows = batch.columns, batch.negatives, batch.negative_rows
    assert negatives is not None
    assert rows is not None
    return [
        (
            b,
            margin
            + float(distance.rowwise(anchor[[b]], positive[[b]]))
            - float(distance.rowwise(anchor[[b]], negatives[[k]])),
        )
        for b in range(4)
        for k in range(int(rows[b]), int(rows[b + 1]))
    ]


@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")
@pytest.mark.parametrize("distance", [Euclidean(), SquaredEuclidean(), Cosine()])
@pytest.mark.parametrize("average", ["all", "active"])
@pytest.mark.parametrize("squared", [False, True])
def test_every_negative_makes_a_triplet(distance: Distance, average: Any, squared: bool) -> None:
    weights = torch.tensor([1.0, 5.0, 0.5, 2.0])
    for batch, weight in ((ragged(), torch.ones(4)), (ragged(weights=weights), weights)):
        output = TripletLoss(distance=distance, margin=0.3, average=average, squared=squared)(batch)
        terms = [(float(weight[b]), max(h, 0.0)) for b, h in loop(batch, distance, 0.3)]
        total = sum(w * (h**2 if squared else h) for w, h in terms)
        count = sum(w for w, h in terms if average == "all" or h > 0)
        assert float(output.value) == pytest.approx(total / count)
        assert output.stats["n_valid"] == 6
        assert output.stats["anchors"] == 3
        assert output.stats["active_share"] == pytest.approx(sum(h > 0 for _, h in terms) / 6)


def test_a_similarity_is_turned_round() -> None:
    batch = ragged()
    (anchor, positive), negatives = batch.columns, batch.negatives
    assert negatives is not None
    rows = torch.tensor([0, 2, 2, 2, 3, 3])
    gap = (anchor[rows] * (negatives - positive[rows])).sum(1)
    expected = (0.5 + gap).clamp(min=0).mean()
    torch.testing.assert_close(TripletLoss(distance=Dot(), margin=0.5)(batch).value, expected)


def test_squared_euclid_is_twice_cosine_at_half_the_margin_on_the_sphere() -> None:
    x = random_rows(12, unit=True)
    labels = torch.arange(12) // 3
    for miner in ("all", "hard", "semi_hard"):
        inputs = [x.clone().requires_grad_() for _ in range(2)]
        units = [torch.nn.functional.normalize(leaf, dim=1) for leaf in inputs]
        options: dict[str, Any] = {"miner": miner}
        squared = TripletLoss(distance="squared_euclidean", margin=0.2, **options)(
            Embedded((units[0],), labels=labels)
        )
        cosine = TripletLoss(distance="cosine", margin=0.1, **options)(Embedded((units[1],), labels=labels))
        torch.testing.assert_close(squared.value, 2 * cosine.value)
        left = torch.autograd.grad(squared.value, inputs[0])[0]
        torch.testing.assert_close(left, 2 * torch.autograd.grad(cosine.value, inputs[1])[0])


def test_gradients_sum_to_zero_and_have_length_one() -> None:
    a, p, n = (random_rows(1, seed=seed).requires_grad_() for seed in range(3))
    batch = Embedded((a, p), negatives=n, negative_rows=torch.tensor([0, 1]))
    for distance, lengths in (
        (Euclidean(), (1.0, 1.0)),
        (SquaredEuclidean(), (2 * (a - p).norm(), 2 * (a - n).norm())),
    ):
        output = TripletLoss(distance=distance, margin=50.0)(batch)
        gradients = torch.autograd.grad(output.value, (a, p, n))
        assert sum(gradients).abs().max() < 1e-12  # type: ignore[union-attr]
        assert float(gradients[1].norm()) == pytest.approx(float(torch.as_tensor(lengths[0]).detach()))
        assert float(gradients[2].norm()) == pytest.approx(float(torch.as_tensor(lengths[1]).detach()))
    far = Embedded((a, p), negatives=a + 100, negative_rows=torch.tensor([0, 1]))
    inactive = TripletLoss(distance=Euclidean(), margin=0.1)(far)
    assert float(inactive.value.detach()) == 0
    assert not torch.cat(torch.autograd.grad(inactive.value, (a, p))).any()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"margin": 0.3}, 0.3),
        ({"soft": True}, math.log(2)),
        ({"margin": 0.3, "squared": True}, 0.09),
    ],
)
@pytest.mark.parametrize("miner", ["none", "all", "hard", "easy_positive"])
@pytest.mark.parametrize(
    "distance", ["euclidean", "squared_euclidean", "cosine", "manhattan", "chebyshev", "jaccard"]
)
def test_collapse_costs_the_margin_and_has_no_gradient(
    distance: str, miner: Any, options: dict[str, Any], expected: float
) -> None:
    x = torch.full((6, 4), 0.5, dtype=torch.float64).requires_grad_()
    batch = Embedded((x,), labels=torch.arange(6) // 2)
    if miner == "none":
        batch = Embedded((x, x), negatives=x, negative_rows=torch.arange(7))
    output = TripletLoss(distance=distance, miner=miner, **options)(batch)
    assert float(output.value.detach()) == pytest.approx(expected)
    assert output.stats["active_share"] == 1
    assert not torch.autograd.grad(output.value, x)[0].any()


@pytest.mark.parametrize(("fallback", "expected"), [("skip", 0.0), ("easiest", 0.3), ("hardest", 0.3)])
def test_collapse_of_semi_hard(fallback: Any, expected: float) -> None:
    batch = Embedded((torch.ones(6, 4, dtype=torch.float64),), labels=torch.arange(6) // 2)
    output = TripletLoss(distance="euclidean", margin=0.3, miner="semi_hard", fallback=fallback)(batch)
    assert float(output.value) == pytest.approx(expected)


def test_miners_take_the_other_rows_of_pairs() -> None:
    batch = ragged(
        ids=(torch.tensor([0, 1, 2, 3]), torch.tensor([10, 11, 12, 13])), blocked=torch.tensor([[0, 11]])
    )
    anchor, positive = (column.detach() for column in batch.columns)
    assert batch.negatives is not None
    candidates = torch.cat([positive, batch.negatives])
    distances = torch.cdist(anchor, candidates)
    terms = []
    for a in range(4):
        others = [n for n in range(10) if n != a and (a, n) != (0, 1)]
        nearest = min(float(distances[a, n]) for n in others)
        terms.append(max(0.0, 0.4 + float(distances[a, a]) - nearest))
    output = TripletLoss(distance="euclidean", margin=0.4, miner="hard")(batch)
    assert float(output.value.detach()) == pytest.approx(sum(terms) / 4)
    assert output.stats["masked"] == 1
    whole = TripletLoss(distance="euclidean", margin=0.4, miner="all")(batch)
    assert whole.stats["n_valid"] == 4 * 9 - 1


def test_row_weights_of_classes_weigh_anchors() -> None:
    x, labels = random_rows(8), torch.arange(8) // 2
    weights = torch.tensor([0.0, 3, 0, 0, 0, 0, 0, 0])
    for miner in ("hard", "all", "semi_hard"):
        loss = TripletLoss(distance="euclidean", margin=2.0, miner=miner, average="all", fallback="easiest")
        only = loss(Embedded((x,), labels=labels, weights=weights)).value
        d = torch.cdist(x, x)[1]
        hinge = (2.0 + d[0] - d[2:]).clamp(min=0)
        expected = {"hard": hinge.max(), "all": hinge.mean()}
        if miner in expected:
            torch.testing.assert_close(only, expected[miner])
        doubled = loss(Embedded((x,), labels=labels, weights=torch.full((8,), 2.0))).value
        torch.testing.assert_close(doubled, loss(Embedded((x,), labels=labels)).value)


def test_a_margin_out_of_reach_is_warned_about_once_with_the_range() -> None:
    units = Embedded((random_rows(4, unit=True),), labels=torch.tensor([0, 0, 1, 1]))
    for distance, margin, reach in (
        ("cosine", 2.5, "0 to 2"),
        ("euclidean", 2.1, "0 to 2"),
        ("squared_euclidean", 5, "0 to 4"),
    ):
        loss = TripletLoss(distance=distance, margin=margin, miner="hard")
        with pytest.warns(UserWarning, match=f"can never be met.*{reach}"):
            loss(units)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            loss(units)
    long = Embedded((10 * units.columns[0],), labels=units.labels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TripletLoss(distance="euclidean", margin=5.0, miner="hard")(long)
        TripletLoss(distance="euclidean", margin=2.0, miner="hard")(units)
        TripletLoss(distance="euclidean", margin=7.0, soft=True, miner="hard")(units)
        TripletLoss(distance="manhattan", margin=4.5, miner="hard")(units)
    with pytest.warns(UserWarning, match="can never be met"):
        TripletLoss(distance="cosine", margin=2.5, miner="hard")(long)


def test_the_margin_has_no_default() -> None:
    with pytest.raises(ValueError, match="margin is missing"):
        TripletLoss()
    with pytest.raises(ValueError, match="semi-hard negatives lie within a margin"):
        TripletLoss(soft=True, miner="semi_hard")
    for margin in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="margin is"):
            TripletLoss(margin=margin)
    TripletLoss(soft=True)


def test_bad_options_name_the_nearest_spelling() -> None:
    with pytest.raises(ValueError, match="did you mean 'semi_hard'"):
        TripletLoss(margin=0.1, miner="semihard")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="average is 'mean'"):
        TripletLoss(margin=0.1, average="mean")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="did you mean 'cosine'"):
        TripletLoss(margin=0.1, distance="cosinus")
    with pytest.raises(ValueError, match="hoffer_ailon wants a distance"):
        HofferAilonLoss(distance="dot")


def test_bad_batches_are_input_errors() -> None:
    x = random_rows(4)
    given = TripletLoss(margin=0.1)
    with pytest.raises(InputError, match="set miner"):
        given(Embedded((x,), labels=torch.zeros(4)))
    with pytest.raises(InputError, match="no negatives"):
        given(Embedded((x, x)))
    with pytest.raises(InputError, match="wants class labels"):
        TripletLoss(margin=0.1, miner="all")(Embedded((x,)))
    with pytest.raises(InputError, match="two columns"):
        TripletLoss(margin=0.1, miner="all")(Embedded((x, x, x)))
    with pytest.raises(InputError, match="4 rows with labels"):
        TripletLoss(margin=0.1, miner="all")(Embedded((x,), labels=torch.zeros(3)))
    with pytest.raises(InputError, match="negative_rows point at 3"):
        given(Embedded((x, x), negatives=x, negative_rows=torch.tensor([0, 1, 2, 3, 3])))
    with pytest.raises(InputError, match="row weights"):
        TripletLoss(margin=0.1, miner="all")(
            Embedded((x,), labels=torch.arange(4) // 2, weights=-torch.ones(4))
        )


def test_embeddings_that_are_not_finite_name_the_row() -> None:
    x = random_rows(4)
    x[2, 1] = math.nan
    with pytest.raises(DivergedError, match="column 0, row 2"):
        TripletLoss(margin=0.1, miner="all")(Embedded((x,), labels=torch.zeros(4)))


def test_distance_weighted_needs_unit_vectors_and_euclid() -> None:
    labels = torch.arange(8) // 2
    with pytest.raises(InputError, match="euclidean"):
        TripletLoss(margin=0.1, miner="distance_weighted")(
            Embedded((random_rows(8, unit=True),), labels=labels)
        )
    with pytest.raises(InputError, match="length 1"):
        TripletLoss(distance="euclidean", margin=0.1, miner="distance_weighted")(
            Embedded((random_rows(8),), labels=labels)
        )


def test_draws_continue_where_a_saved_loss_stopped_and_ranks_draw_alike() -> None:
    def fresh() -> TripletLoss:
        return TripletLoss(distance="euclidean", margin=0.5, miner="distance_weighted", seed=4)

    batch = Embedded((random_rows(40, unit=True),), labels=torch.arange(40) // 4)
    first, twin = fresh(), fresh()
    values = [float(first(batch).value) for _ in range(4)]
    assert len(set(values)) == 4
    assert [float(twin(batch).value) for _ in range(2)] == values[:2]
    resumed = fresh()
    resumed.load_state_dict(twin.state_dict())
    assert [float(resumed(batch).value) for _ in range(2)] == values[2:]
    resumed.eval()
    assert float(resumed(batch).value) == float(resumed(batch).value)


def test_needs_follow_the_miner_and_the_data() -> None:
    assert TripletLoss(margin=0.1).needs == Needs(columns=2, negatives=True)
    mined = TripletLoss(margin=0.1, miner="all")
    assert mined.needs == mined.needs_for("labelled") == Needs(columns=1, labels=True)
    assert mined.needs_for("pairs") == Needs(columns=2)


def test_a_learned_distance_is_trained_with_the_loss() -> None:
    loss = TripletLoss(
        distance={"name": "mahalanobis", "form": "full"}, dimensions=6, margin=0.5, miner="all", average="all"
    ).double()
    assert isinstance(loss.distance, LearnedMahalanobis)
    assert loss.embedding_sized
    assert not TripletLoss(margin=0.1).embedding_sized
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.1)
    batch = Embedded((random_rows(8),), labels=torch.arange(8) // 2)
    before = float(loss(batch).value.detach())
    for _ in range(10):
        optimizer.zero_grad()
        loss(batch).value.backward()
        optimizer.step()
        loss.after_step()
    assert float(loss(batch).value.detach()) < before
    assert float(loss.distance.matrix().detach().square().sum()) == pytest.approx(6)
