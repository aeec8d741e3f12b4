"""Distances: reference values, gradients, and the numbers that naive formulas get wrong."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import distance as scipy_distance
from sklearn.covariance import ledoit_wolf
from torch import Tensor

from sbert_triplet.distances import (
    DISTANCES,
    Chebyshev,
    Cosine,
    Distance,
    Dot,
    Euclidean,
    FixedMahalanobis,
    LearnedMahalanobis,
    Manhattan,
    Minkowski,
    SquaredEuclidean,
    build_distance,
    jaccard,
    mahalanobis,
    shrunk_covariance,
    token_jaccard,
    token_jaccard_pairs,
    token_set,
)
from sbert_triplet.distances.options import Range
from sbert_triplet.errors import InputError

X = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.8, 0.6], [-0.6, 0.8]], dtype=torch.float64)
U = torch.tensor([[1.0, -2.0]], dtype=torch.float64)
V = torch.tensor([[3.0, 1.0]], dtype=torch.float64)

FIXED: dict[str, Callable[[], Distance]] = {
    "manhattan": Manhattan,
    "p=1.3": lambda: Minkowski(1.3),
    "euclidean": Euclidean,
    "p=3": lambda: Minkowski(3.0),
    "p=17.5": lambda: Minkowski(17.5),
    "chebyshev": Chebyshev,
    "squared": SquaredEuclidean,
    "cosine": Cosine,
    "dot": Dot,
    "jaccard": jaccard,
    "tanimoto": lambda: jaccard(signed="tanimoto"),
}


def random_pair(rows: int = 6, others: int = 5, dimensions: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, dimensions, generator=generator, dtype=torch.float64)
    y = torch.randn(others, dimensions, generator=generator, dtype=torch.float64)
    return x.requires_grad_(), y.requires_grad_()


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (Manhattan, 5.0),
        (Euclidean, 3.605551),
        (lambda: Minkowski(3.0), 3.271066),
        (Chebyshev, 3.0),
        (SquaredEuclidean, 13.0),
        (Cosine, 0.858579),
        (Dot, 1.0),
        (jaccard, 1 - 0.166667),
        (lambda: jaccard(signed="tanimoto"), 1 - 0.071429),
    ],
)
def test_reference_values(build: Callable[[], Distance], expected: float) -> None:
    assert build().rowwise(U, V).item() == pytest.approx(expected, abs=1e-6)
    assert build().pairwise(U, V).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("build", FIXED.values(), ids=FIXED)
def test_gradients_match_finite_differences(build: Callable[[], Distance]) -> None:
    x, y = random_pair()
    assert torch.autograd.gradcheck(build().pairwise, (x, y))
    assert torch.autograd.gradcheck(build().rowwise, (x[:5], y))


@pytest.mark.parametrize("build", FIXED.values(), ids=FIXED)
def test_pairwise_is_rowwise_of_every_pair(build: Callable[[], Distance]) -> None:
    x, y = random_pair()
    distance = build()
    for row in range(len(x)):
        one = distance.rowwise(x[row].expand_as(y), y)
        torch.testing.assert_close(distance.pairwise(x, y)[row], one, rtol=1e-10, atol=1e-12)
    itself = distance.pairwise(x, x)
    torch.testing.assert_close(itself, distance.pairwise(x, x.clone()), rtol=1e-9, atol=1e-9)


@given(
    st.floats(1, 60),
    st.lists(st.floats(-3, 3), min_size=3, max_size=3),
    st.lists(st.floats(-3, 3), min_size=3, max_size=3),
)
@settings(max_examples=60, deadline=None)
def test_minkowski_equals_scipy(p: float, left: list[float], right: list[float]) -> None:
    x, y = torch.tensor([left], dtype=torch.float64), torch.tensor([right], dtype=torch.float64)
    expected = scipy_distance.minkowski(left, right, p)
    assert Minkowski(p).rowwise(x, y).item() == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert Minkowski(p).pairwise(x, y).item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_large_p_neither_underflows_nor_overflows() -> None:
    x = torch.full((2, 384), 1e-3)
    x[1] = -x[1]
    for p in (40.0, 300.0):
        expected = 2e-3 * 384 ** (1 / p)
        assert Minkowski(p).pairwise(x, x)[0, 1].item() == pytest.approx(expected, rel=1e-5)
        assert Minkowski(p).rowwise(x[:1] * 1e20, x[1:] * 1e20).item() == pytest.approx(
            expected * 1e20, rel=1e-5
        )


@pytest.mark.parametrize("p", [0.5, 0.999, -1.0, math.nan])
def test_p_below_one_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match="p is"):
        Minkowski(p)


def test_near_duplicates_keep_their_digits() -> None:
    generator = torch.Generator().manual_seed(3)
    x = torch.nn.functional.normalize(torch.randn(64, 384, generator=generator), dim=1)
    y = torch.nn.functional.normalize(x + 5e-6 * torch.randn(64, 384, generator=generator), dim=1)
    exact = (x.double() - y.double()).norm(dim=1)
    assert exact.max() < 1.3e-4
    gram = (2 - 2 * (x * y).sum(1)).clamp(min=0).sqrt()
    assert ((gram - exact).abs() / exact).max() > 0.5, (
        "the plain formula should fail here, or the test shows nothing"
    )
    torch.testing.assert_close(Euclidean().pairwise(x, y).diagonal().double(), exact, rtol=1e-5, atol=0)
    torch.testing.assert_close(
        SquaredEuclidean().pairwise(x, y).diagonal().double(), exact**2, rtol=1e-4, atol=0
    )
    torch.testing.assert_close(Cosine().pairwise(x, y).diagonal().double(), exact**2 / 2, rtol=1e-3, atol=0)
    torch.testing.assert_close(Cosine().rowwise(x, y).double(), exact**2 / 2, rtol=1e-3, atol=0)


@pytest.mark.parametrize("build", FIXED.values(), ids=FIXED)
def test_equal_texts_are_at_distance_zero_with_gradient_zero(build: Callable[[], Distance]) -> None:
    distance = build()
    if not distance.smaller_is_closer:
        pytest.skip("a similarity")
    x = torch.nn.functional.normalize(torch.randn(30, 384), dim=1)
    x[5] = x[4]
    x.requires_grad_()
    values = distance.pairwise(x, x)
    # The cosine of a rounded unit vector with itself is 1 up to that rounding.
    assert values.diagonal().abs().max() <= 1e-12
    assert values[4, 5].abs() <= 1e-12
    twice = distance.rowwise(x, x.clone())
    assert twice.abs().max() <= 1e-12
    (gradient,) = torch.autograd.grad(values.diagonal().sum() + values[4, 5] + twice.sum(), x)
    assert torch.equal(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("build", FIXED.values(), ids=FIXED)
def test_collapsed_and_zero_embeddings_have_finite_values_and_gradients(
    build: Callable[[], Distance],
) -> None:
    for x in (
        torch.full((8, 16), 0.25),
        torch.zeros(8, 16),
        torch.cat([torch.zeros(4, 16), torch.ones(4, 16)]),
    ):
        x = x.clone().requires_grad_()
        values = build().pairwise(x, x)
        (gradient,) = torch.autograd.grad(values.sum(), x)
        assert torch.isfinite(values).all()
        assert torch.isfinite(gradient).all()
        assert gradient.abs().max() < 1e3


def test_zero_vectors() -> None:
    zero, one = torch.zeros(1, 3), torch.tensor([[0.0, 2.0, 0.0]])
    assert Cosine().pairwise(zero, one).item() == Cosine().rowwise(zero, one).item() == 1.0
    assert jaccard().rowwise(zero, zero).item() == 0.0
    assert jaccard().rowwise(zero, one).item() == 1.0
    assert jaccard(signed="tanimoto").rowwise(zero, zero).item() == 0.0


@pytest.mark.parametrize("build", FIXED.values(), ids=FIXED)
def test_half_precision_is_widened_before_anything_is_computed(build: Callable[[], Distance]) -> None:
    x = torch.randn(5, 64).bfloat16()
    y = torch.randn(4, 64).bfloat16()
    distance = build()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        values, rows = distance.pairwise(x, y), distance.rowwise(x[:4], y)
    assert values.dtype == rows.dtype == torch.float32
    torch.testing.assert_close(values, distance.pairwise(x.float(), y.float()), rtol=0, atol=0)
    torch.testing.assert_close(
        values.double(), distance.pairwise(x.double(), y.double()), rtol=1e-4, atol=1e-5
    )


def test_tied_coordinates_of_chebyshev_share_the_gradient() -> None:
    x = torch.tensor([[2.0, -2.0, 1.0, 2.0]], dtype=torch.float64, requires_grad=True)
    y = torch.zeros(1, 4, dtype=torch.float64)
    for values in (Chebyshev().pairwise(x, y), Chebyshev().rowwise(x, y)):
        (gradient,) = torch.autograd.grad(values.sum(), x)
        torch.testing.assert_close(gradient, torch.tensor([[1.0, -1.0, 0.0, 1.0]], dtype=torch.float64) / 3)


@pytest.mark.parametrize("build", FIXED.values(), ids=FIXED)
@pytest.mark.parametrize("dimensions", [2, 7])
def test_unit_range_bounds_unit_vectors_and_is_reached(
    build: Callable[[], Distance], dimensions: int
) -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(400, dimensions, generator=generator, dtype=torch.float64)
    corners = torch.tensor([[1.0] * dimensions, [1.0] + [0.0] * (dimensions - 1)], dtype=torch.float64)
    x = torch.nn.functional.normalize(torch.cat([x, corners, -corners]), dim=1)
    distance = build()
    values = distance.pairwise(x, x)
    width = float(values.max() - values.min().clamp(max=0))
    assert width == pytest.approx(distance.unit_range(dimensions), rel=1e-9)


def test_euclidean_pulls_with_gradient_one_and_cosine_across_the_vector() -> None:
    x, y = random_pair(5, 5)
    (gradient,) = torch.autograd.grad(Euclidean().rowwise(x, y).sum(), x)
    torch.testing.assert_close(gradient.norm(dim=1), torch.ones(5, dtype=torch.float64))
    (gradient,) = torch.autograd.grad(Cosine().rowwise(x, y).sum(), x)
    assert (gradient * x).sum(1).abs().max() < 1e-12


def test_jaccard_of_signed_vectors_is_ruzicka_of_both_halves() -> None:
    x, y = random_pair(6, 5)
    left = torch.cat([x.clamp(min=0), (-x).clamp(min=0)], dim=1)[:, None]
    right = torch.cat([y.clamp(min=0), (-y).clamp(min=0)], dim=1)[None]
    expected = 1 - torch.minimum(left, right).sum(-1) / torch.maximum(left, right).sum(-1)
    torch.testing.assert_close(jaccard().pairwise(x, y), expected)
    ours = torch.autograd.grad(jaccard().pairwise(x, y).square().sum(), x)[0]
    theirs = torch.autograd.grad(expected.square().sum(), x)[0]
    torch.testing.assert_close(ours, theirs)


def test_jaccard_refuses_negative_numbers_when_told_to() -> None:
    strict = jaccard(signed="refuse")
    assert strict.rowwise(U.abs(), V).item() == pytest.approx(1 - 2 / 5)
    with pytest.raises(InputError, match="negative numbers"):
        strict.rowwise(U, V)


def test_fixed_mahalanobis_reference_and_scipy() -> None:
    metric = FixedMahalanobis(2).double()
    assert metric.fit(X, shrinkage=0.1) == 0.1
    assert metric.rowwise(X[:1], X[1:2]).item() == pytest.approx(2.396731, abs=1e-6)
    inverse = torch.linalg.inv(shrunk_covariance(X, 0.1)[0]).numpy()
    values = metric.pairwise(X, X)
    for i in range(4):
        for j in range(4):
            expected = scipy_distance.mahalanobis(X[i].numpy(), X[j].numpy(), inverse)
            assert values[i, j].item() == pytest.approx(expected, abs=1e-9)


def test_full_shrinkage_is_scaled_euclid_and_the_sample_is_restored_with_the_state() -> None:
    sample = torch.randn(50, 6, dtype=torch.float64)
    metric = FixedMahalanobis(6).double()
    metric.fit(sample, shrinkage=1.0)
    level = sample.var(0, unbiased=False).mean()
    torch.testing.assert_close(
        metric.pairwise(sample, sample), Euclidean().pairwise(sample, sample) / level.sqrt()
    )
    other = FixedMahalanobis(6).double()
    other.load_state_dict(metric.state_dict())
    torch.testing.assert_close(other.matrix(), metric.matrix())
    assert not list(metric.parameters())


@pytest.mark.parametrize("rows", [10, 400])
def test_shrinkage_is_that_of_ledoit_and_wolf(rows: int) -> None:
    sample = torch.randn(rows, 12, dtype=torch.float64) @ torch.randn(12, 12, dtype=torch.float64)
    ours, used = shrunk_covariance(sample)
    theirs, shrinkage = ledoit_wolf(sample.numpy())
    assert used == pytest.approx(shrinkage, rel=1e-9)
    torch.testing.assert_close(ours, torch.from_numpy(theirs))
    torch.linalg.cholesky(ours)


def test_fixed_mahalanobis_says_what_is_missing() -> None:
    metric = FixedMahalanobis(3)
    with pytest.raises(InputError, match="fit"):
        metric.pairwise(torch.zeros(2, 3), torch.zeros(2, 3))
    with pytest.raises(InputError, match="all embeddings of the sample are the same"):
        metric.fit(torch.ones(5, 3))
    with pytest.raises(InputError, match="at least two embeddings of 3"):
        metric.fit(torch.ones(5, 4))
    with pytest.raises(InputError, match="not finite"):
        metric.fit(torch.full((5, 3), math.nan))


def test_learned_mahalanobis_reference() -> None:
    full = LearnedMahalanobis(2).double()
    torch.testing.assert_close(full.pairwise(X, X), Euclidean().pairwise(X, X))
    full.start_from(torch.tensor([[1.0, 0.0], [0.5, 2.0]]))
    assert full.rowwise(X[:1], X[1:2]).item() == pytest.approx(1.456022, abs=1e-6)
    diagonal = LearnedMahalanobis(2, "diagonal").double()
    diagonal.start_from(torch.tensor([2.0, 0.5]))
    assert diagonal.rowwise(X[:1], X[1:2]).item() == pytest.approx(0.8, abs=1e-6)


@pytest.mark.parametrize(("form", "rank"), [("full", None), ("low_rank", 3), ("diagonal", None)])
def test_learned_metrics_keep_their_trace_and_get_gradients(form: str, rank: int | None) -> None:
    metric = mahalanobis(dimensions=5, form=form, rank=rank).double()  # type: ignore[arg-type]
    x, y = random_pair(4, 3, 5)
    assert metric.matrix().square().sum().item() == pytest.approx(5)
    torch.testing.assert_close(
        metric.pairwise(x, y), Euclidean().pairwise(x @ metric.matrix().T, y @ metric.matrix().T)
    )
    optimizer = torch.optim.SGD(metric.parameters(), lr=0.1)
    metric.pairwise(x, y).sum().backward()
    before = metric.matrix().detach().clone()
    optimizer.step()
    metric.after_step()
    assert not torch.allclose(metric.matrix(), before)
    assert metric.matrix().square().sum().item() == pytest.approx(5)
    assert (
        metric.pairwise(x, y).max() <= metric.unit_range(5) * (x.norm(dim=1).max() + y.norm(dim=1).max()) / 2
    )


def test_gradient_of_the_learned_matrix() -> None:
    metric = LearnedMahalanobis(3).double()
    metric.start_from(torch.randn(3, 3))
    x, y = random_pair(1, 1, 3)
    squared = metric.rowwise(x, y).square().sum()
    (gradient,) = torch.autograd.grad(squared, metric.factor)
    gap = (x - y)[0]
    torch.testing.assert_close(gradient, 2 * metric.factor @ torch.outer(gap, gap))


def test_build_distance_by_name() -> None:
    for name, options in {"minkowski": {"p": 3}, "mahalanobis": {"form": "low_rank", "rank": 2}}.items():
        built = build_distance({"name": name, **options}, dimensions=4)
        assert built.name == name
    for name in set(DISTANCES) - {"minkowski", "mahalanobis"}:
        assert build_distance(name).name == name
    assert build_distance(Cosine()) == Cosine()
    with pytest.raises(ValueError, match="did you mean 'cosine'"):
        build_distance("cosin")
    with pytest.raises(ValueError, match="has no option 'q': known: p"):
        build_distance({"name": "minkowski", "q": 3})
    with pytest.raises(ValueError, match="missing 1 required"):
        build_distance("minkowski")
    with pytest.raises(ValueError, match="dimensions"):
        build_distance("mahalanobis")
    with pytest.raises(ValueError, match=r"p is 0\.5: it must be at least 1"):
        build_distance({"name": "minkowski", "p": 0.5})


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="rowwise wants two"):
        Cosine().rowwise(torch.zeros(2, 3), torch.zeros(3, 3))
    with pytest.raises(ValueError, match="pairwise wants"):
        Cosine().pairwise(torch.zeros(2, 3), torch.zeros(2, 4))


def test_ranges_speak() -> None:
    assert str(Range(low=0, low_open=True, high=2)) == "above 0 and at most 2"
    assert Range(low=0, low_open=True).holds(1e-9)
    assert not Range(low=0, low_open=True).holds(0)
    assert not Range(high=1).holds(math.nan)


def test_token_jaccard_reference() -> None:
    assert token_jaccard("a b c", "b c d e") == pytest.approx(0.4)
    assert token_jaccard("", " -- ") == 1.0
    assert token_jaccard("", "a") == 0.0
    assert token_jaccard("Straße ﬁne", "STRASSE fine") == 1.0
    assert token_set("abcd", character_ngrams=3) == {"abc", "bcd"}
    assert token_set("ab", character_ngrams=3) == {"ab"}
    assert token_set("", character_ngrams=3) == frozenset()
    assert token_jaccard("a b", "b c", weights={"a": 1.0, "b": 3.0}) == pytest.approx(3 / 4)


@given(
    st.lists(st.frozensets(st.sampled_from("abcdef")), min_size=1, max_size=6),
    st.lists(st.frozensets(st.sampled_from("abcdef")), min_size=1, max_size=6),
)
@settings(max_examples=80, deadline=None)
def test_token_jaccard_of_all_pairs(left: list[frozenset[str]], right: list[frozenset[str]]) -> None:
    values = token_jaccard_pairs(left, right)
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            expected = len(a & b) / len(a | b) if a | b else 1.0
            assert values[i, j] == pytest.approx(expected)
            assert token_jaccard(a, b) == pytest.approx(expected)
