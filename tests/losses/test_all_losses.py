"""What holds for every loss: gradients, order of rows, weights, half precision, and degenerate batches."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from sbert_triplet.errors import DivergedError
from sbert_triplet.losses.batch import Embedded, Loss, Queue
from sbert_triplet.losses.matryoshka import MatryoshkaLoss
from sbert_triplet.losses.names import LOSSES, build_loss

D = 5
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*without a single negative", "ignore:.*both views", "ignore:.*can never be met"
)


def rows(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, D, generator=generator, dtype=torch.float64)
    return torch.nn.functional.normalize(x, dim=1)


def labelled(count: int = 8) -> Embedded:
    return Embedded((rows(count, 0),), ids=(torch.arange(count),), labels=torch.arange(count) // 3)


def paired(count: int = 4) -> Embedded:
    return Embedded((rows(count, 0), rows(count, 1)), ids=(torch.arange(count), torch.arange(count) + 100))


def triplets(count: int = 4) -> Embedded:
    sizes = torch.tensor([place % 3 for place in range(count)])
    pointers = torch.cat([torch.zeros(1, dtype=torch.long), sizes.cumsum(0)])
    total = int(pointers[-1])
    return replace(
        paired(count),
        negatives=rows(total, 2),
        negative_ids=torch.arange(total) + 200,
        negative_rows=pointers,
        negative_scores=torch.linspace(0, 0.9, total) if total else torch.zeros(0),
    )


def scored(count: int = 6) -> Embedded:
    return replace(paired(count), scores=(torch.arange(count) % 4).double() / 3)


def binary(count: int = 6) -> Embedded:
    return replace(paired(count), scores=(torch.arange(count) % 2).double())


def guided(count: int = 4) -> Embedded:
    batch = triplets(count)
    assert batch.negatives is not None
    guide = Embedded((rows(count, 6), rows(count, 7)), negatives=rows(batch.negatives.shape[0], 8))
    return replace(batch, guide=guide)


def queued(count: int = 4) -> Embedded:
    return replace(paired(count), keys=rows(count, 3), queue=Queue(rows(6, 4), torch.arange(6) + 300))


def nli(count: int = 5) -> Embedded:
    return replace(paired(count), labels=torch.arange(count) % 3)


@dataclass(frozen=True)
class Case:
    name: str
    options: dict[str, Any]
    batch: Callable[..., Embedded]

    def loss(self) -> Loss:
        torch.manual_seed(0)
        dimensions = [D, 3] if self.options.get("nested") else None
        options = {key: value for key, value in self.options.items() if key != "nested"}
        loss = build_loss(self.name, dimensions=D, **options)
        loss = MatryoshkaLoss(loss, dimensions=dimensions) if dimensions else loss
        with torch.no_grad():
            for name, parameter in loss.named_parameters():
                if name.endswith("right"):
                    parameter.copy_(torch.randn_like(parameter))
        return loss.double().eval()


CASES = {
    "triplet": Case("triplet", {"margin": 0.4, "distance": "euclidean"}, triplets),
    "triplet soft": Case("triplet", {"soft": True, "distance": {"name": "minkowski", "p": 3}}, triplets),
    **{
        f"triplet {miner}": Case(
            "triplet", {"margin": 0.4, "distance": "euclidean", "miner": miner}, labelled
        )
        for miner in ("all", "hard", "semi_hard", "easy_positive", "distance_weighted")
    },
    "triplet all soft": Case("triplet", {"soft": True, "miner": "all"}, labelled),
    "triplet all squared": Case(
        "triplet", {"margin": 0.4, "squared": True, "miner": "all", "distance": "jaccard"}, labelled
    ),
    "triplet mahalanobis": Case(
        "triplet", {"margin": 0.4, "distance": "mahalanobis", "miner": "all"}, labelled
    ),
    "triplet pairs": Case("triplet", {"margin": 0.4, "miner": "hard"}, triplets),
    "margin_based": Case("margin_based", {"boundary": "global", "regularisation": 0.1}, labelled),
    "margin_based drawn": Case("margin_based", {"miner": "distance_weighted"}, labelled),
    "hoffer_ailon": Case("hoffer_ailon", {}, triplets),
    "hoffer_ailon all": Case("hoffer_ailon", {"miner": "all"}, labelled),
    "multiple_negatives_ranking": Case("multiple_negatives_ranking", {"learn_scale": True}, triplets),
    "multiple_negatives_ranking nested": Case("multiple_negatives_ranking", {"nested": True}, triplets),
    "symmetric_ranking": Case("symmetric_ranking", {}, triplets),
    "nt_xent": Case("nt_xent", {}, paired),
    "simcse": Case("simcse", {}, paired),
    "moco": Case("moco", {}, queued),
    "supervised_contrastive": Case("supervised_contrastive", {}, labelled),
    "guided_ranking": Case("guided_ranking", {"temperature": 0.2}, guided),
    "contrastive": Case("contrastive", {"margin": 0.8}, scored),
    "contrastive labelled": Case("contrastive", {"margin": 0.8, "distance": "euclidean"}, labelled),
    "online_contrastive": Case("online_contrastive", {"margin": 0.8}, binary),
    "softmax_classification": Case("softmax_classification", {"classes": 3}, nli),
    "cosine_regression": Case("cosine_regression", {}, scored),
    "cosent": Case("cosent", {}, scored),
    "ladder": Case("ladder", {}, triplets),
    "ladder all": Case("ladder", {"hard": False, "relevance": "teacher"}, guided),
    "ladder labels": Case("ladder", {"relevance": "labels", "thresholds": [0.0, -1.0]}, labelled),
    "relative_comparisons": Case("relative_comparisons", {}, triplets),
    "relative_comparisons all": Case(
        "relative_comparisons", {"miner": "all", "weights": "softplus"}, labelled
    ),
    "oasis": Case("oasis", {"rank": 2}, triplets),
    "oasis all": Case("oasis", {"rank": 2, "symmetric": True, "miner": "all"}, labelled),
}
EACH = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def with_embeddings(batch: Embedded, change: Callable[[Tensor], Tensor]) -> Embedded:
    """The batch with every embedding changed, guides and queues left alone."""
    return replace(
        batch,
        columns=tuple(change(column) for column in batch.columns),
        negatives=None if batch.negatives is None else change(batch.negatives),
        keys=None if batch.keys is None else change(batch.keys),
    )


def leaves(batch: Embedded) -> list[Tensor]:
    return [*batch.columns, *([] if batch.negatives is None else [batch.negatives])]


def permuted(batch: Embedded, order: Tensor) -> Embedded:
    moved: dict[str, Any] = {
        "columns": tuple(column[order] for column in batch.columns),
        "ids": None if batch.ids is None else tuple(column[order] for column in batch.ids),
    }
    for name in ("labels", "scores", "weights", "keys"):
        value = getattr(batch, name)
        moved[name] = None if value is None else value[order]
    if batch.negative_rows is not None:
        pointers = batch.negative_rows.tolist()
        parts = [list(range(pointers[row], pointers[row + 1])) for row in order.tolist()]
        flat = torch.tensor([place for part in parts for place in part], dtype=torch.long)
        for name in ("negatives", "negative_ids", "negative_scores"):
            value = getattr(batch, name)
            moved[name] = None if value is None else value[flat]
        moved["negative_rows"] = torch.tensor([0, *(len(part) for part in parts)]).cumsum(0)
    if batch.guide is not None:
        guide = replace(batch.guide, negative_rows=batch.negative_rows)
        moved["guide"] = permuted(guide, order)
    return replace(batch, **moved)


def test_every_loss_has_a_case() -> None:
    assert {case.name for case in CASES.values()} == set(LOSSES)


@EACH
def test_gradients_match_finite_differences(case: Case) -> None:
    loss, batch = case.loss(), case.batch()
    parameters = list(loss.parameters())

    def value(*inputs: Tensor) -> Tensor:
        columns = tuple(inputs[: len(batch.columns)])
        rest = inputs[len(batch.columns) :]
        negatives = rest[0] if batch.negatives is not None else None
        return loss(replace(batch, columns=columns, negatives=negatives)).value

    inputs = [leaf.clone().requires_grad_() for leaf in leaves(batch)]
    assert torch.autograd.gradcheck(value, inputs, eps=1e-6, atol=1e-5, rtol=1e-4)
    for parameter in parameters:
        (gradient,) = torch.autograd.grad(value(*inputs), parameter, allow_unused=True)
        place = int(torch.randint(parameter.numel(), (1,)))
        with torch.no_grad():
            flat, shown = parameter.view(-1), []
            for step in (1e-6, -2e-6, 1e-6):
                flat[place] += step
                shown.append(float(value(*inputs)))
        slope = (shown[0] - shown[1]) / 2e-6
        assert float(gradient.view(-1)[place]) == pytest.approx(slope, abs=1e-5, rel=1e-4)


@EACH
def test_the_order_of_rows_does_not_matter(case: Case) -> None:
    if "distance_weighted" in case.options.values():
        pytest.skip("draws go by row")
    loss, batch = case.loss(), case.batch()
    weights = torch.linspace(0.5, 2.0, batch.rows, dtype=torch.float64)
    for variant in (batch, replace(batch, weights=weights)):
        expected = loss(variant).value
        for seed in range(3):
            order = torch.randperm(batch.rows, generator=torch.Generator().manual_seed(seed))
            torch.testing.assert_close(loss(permuted(variant, order)).value, expected)


@EACH
def test_equal_weights_change_nothing_and_ids_that_differ_mask_nothing(case: Case) -> None:
    loss, batch = case.loss(), case.batch()
    expected = loss(batch).value
    if case.name not in ("online_contrastive", "relative_comparisons"):
        if case.name != "cosent":
            doubled = loss(replace(batch, weights=torch.full((batch.rows,), 2.0))).value
            torch.testing.assert_close(doubled, expected)
        ones = loss(replace(batch, weights=torch.ones(batch.rows))).value
        torch.testing.assert_close(ones, expected)
    torch.testing.assert_close(loss(replace(batch, ids=None, negative_ids=None)).value, expected)


@EACH
def test_half_precision_under_autocast_is_widened(case: Case) -> None:
    # bf16 rounding leaves vectors within the tolerance of unit length.
    loss, batch = case.loss().float(), case.batch()
    half = with_embeddings(batch, lambda x: x.bfloat16())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = loss(half)
    assert output.value.dtype == torch.float32
    torch.testing.assert_close(
        output.value, loss(with_embeddings(batch, lambda x: x.bfloat16().float())).value
    )


DEGENERATE: dict[str, Callable[[Case], Embedded]] = {
    "one row": lambda case: case.batch(1),
    "two rows": lambda case: case.batch(2),
    "one class": lambda case: replace(case.batch(), labels=torch.zeros(case.batch().rows, dtype=torch.long)),
    "no two of a class": lambda case: (
        replace(case.batch(), labels=torch.arange(case.batch().rows) % 3)
        if case.name == "softmax_classification"
        else replace(case.batch(), labels=torch.arange(case.batch().rows))
    ),
    "equal scores": lambda case: replace(case.batch(), scores=torch.ones(case.batch().rows)),
    "collapsed": lambda case: with_embeddings(case.batch(), lambda x: torch.full_like(x, D**-0.5)),
    "zero vectors": lambda case: with_embeddings(case.batch(), torch.zeros_like),
    "huge vectors": lambda case: with_embeddings(case.batch(), lambda x: x * 1e4),
    "no weight": lambda case: replace(case.batch(), weights=torch.zeros(case.batch().rows)),
    "all texts equal": lambda case: replace(
        case.batch(),
        ids=tuple(torch.zeros(case.batch().rows, dtype=torch.long) for _ in case.batch().columns),
    ),
}


@EACH
@pytest.mark.parametrize("kind", DEGENERATE)
def test_batches_with_little_in_them_give_finite_connected_values(case: Case, kind: str) -> None:
    loss, batch = case.loss().float(), with_embeddings(DEGENERATE[kind](case), lambda x: x.float())
    if "distance_weighted" in case.options.values() and kind in ("zero vectors", "huge vectors"):
        pytest.skip("refused: not of length 1")
    batch = with_embeddings(batch, lambda x: x.clone().requires_grad_())
    output = loss(batch)
    assert math.isfinite(float(output.value.detach()))
    assert "n_valid" in output.stats
    assert all(math.isfinite(number) for number in output.stats.values())
    if kind == "no weight":
        assert output.stats["n_valid"] == 0
    if output.stats["n_valid"] == 0:
        assert float(output.value.detach()) == 0
    for gradient in torch.autograd.grad(output.value, leaves(batch), allow_unused=True):
        assert gradient is None or torch.isfinite(gradient).all()
    (first,) = torch.autograd.grad(loss(batch).value, batch.columns[:1])
    assert first.shape == batch.columns[0].shape


@EACH
def test_nan_is_an_error_and_never_a_loss(case: Case) -> None:
    batch = case.batch()
    columns = [column.clone() for column in batch.columns]
    columns[-1][0, 0] = math.nan
    with pytest.raises(DivergedError, match=f"column {len(columns) - 1}, row 0"):
        case.loss()(replace(batch, columns=tuple(columns)))


def test_nothing_warns_on_ordinary_batches() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for case in CASES.values():
            case.loss()(case.batch())
