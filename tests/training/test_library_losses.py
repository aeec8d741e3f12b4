"""Losses of sentence-transformers on our batches: their own value and gradient, and what they refuse."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from sentence_transformers import util
from sentence_transformers.sentence_transformer import losses as st
from torch import Tensor, nn

from sbert_triplet.errors import InputError
from sbert_triplet.losses.batch import Embedded
from sbert_triplet.losses.matryoshka import MatryoshkaLoss
from sbert_triplet.losses.names import LOSSES
from sbert_triplet.training.library_losses import LibraryLoss, build_any_loss, find_loss
from sbert_triplet.training.library_names import HERE_INSTEAD, LIBRARY_LOSSES

ROWS, SIZE = 6, 8
LABELS = torch.tensor([0, 0, 1, 1, 2, 0])
SCORES = torch.tensor([0.0, 0.2, 0.2, 0.7, 1.0, 0.4])
YES = torch.tensor([1.0, 0.0, 0.0, 1.0, 1.0, 0.0])


class Student(nn.Module):
    """What stands for the encoder in the library's own loss."""

    device = torch.device("cpu")
    similarity_fn_name = "cosine"

    def get_embedding_dimension(self) -> int:
        return SIZE


def rows(count: int = ROWS, seed: int = 0, size: int = SIZE) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, size, generator=generator, dtype=torch.float64)


def interleaved(columns: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Negatives by row, as batches hold them, and their row pointers."""
    flat = torch.cat([torch.stack([column[row] for column in columns]) for row in range(ROWS)])
    return flat, torch.arange(ROWS + 1) * len(columns)


def batch_of(columns: int, negatives: int = 0, guide_size: int | None = None, **rest: Any) -> Embedded:
    embeddings = [rows(seed=seed) for seed in range(columns + negatives)]
    parts: dict[str, Any] = {}
    if negatives:
        parts["negatives"], parts["negative_rows"] = interleaved(embeddings[columns:])
    if guide_size is not None:
        teacher = [rows(seed=50 + seed, size=guide_size) for seed in range(columns + negatives)]
        shown: dict[str, Any] = {}
        if negatives:
            shown["negatives"], shown["negative_rows"] = interleaved(teacher[columns:])
        parts["guide"] = Embedded(tuple(teacher[:columns]), **shown)
    return Embedded(tuple(embeddings[:columns]), **parts, **rest)


def taught(columns: int, size: int = SIZE) -> list[Tensor]:
    return [rows(seed=50 + seed, size=size) for seed in range(columns)]


def taught_scores(columns: int, similarity: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    anchor, *others = taught(columns)
    return torch.stack([similarity(anchor, other) for other in others], dim=1)


BATCH = st.BatchHardTripletLossDistanceFunction
TEACHER = {"teacher": "base"}
BOTH = ("query_to_doc", "doc_to_doc")
Case = tuple[str, dict[str, Any], dict[str, Any], Embedded, int, Any]
"""Name, our options, theirs, the batch, the number of columns that they see, and their labels."""
CASES: list[Case] = [
    ("MultipleNegativesRankingLoss", {}, {}, batch_of(2), 2, None),
    ("MultipleNegativesRankingLoss", {"scale": 5.0, "similarity_fct": "dot"},
     {"scale": 5.0, "similarity_fct": util.dot_score}, batch_of(2, 2), 4, None),
    ("MultipleNegativesRankingLoss",
     {"directions": BOTH, "hardness_mode": "all_negatives", "hardness_strength": 9.0},
     {"directions": BOTH, "hardness_mode": "all_negatives", "hardness_strength": 9.0},
     batch_of(2, 1), 3, None),
    ("MultipleNegativesSymmetricRankingLoss", {}, {}, batch_of(2), 2, None),
    ("TripletLoss", {}, {}, batch_of(2, 1), 3, None),
    ("TripletLoss", {"distance_metric": "cosine", "triplet_margin": 0.3},
     {"distance_metric": st.TripletDistanceMetric.COSINE, "triplet_margin": 0.3}, batch_of(2, 1), 3, None),
    ("GlobalOrthogonalRegularizationLoss", {}, {}, batch_of(2, 1), 3, None),
    ("GlobalOrthogonalRegularizationLoss", {"mean_weight": None, "aggregation": "sum"},
     {"mean_weight": None, "aggregation": "sum"}, batch_of(1), 1, None),
    ("BatchAllTripletLoss", {"margin": 1.0}, {"margin": 1.0}, batch_of(1, labels=LABELS), 1, LABELS),
    ("BatchHardTripletLoss", {"distance_metric": "cosine", "margin": 0.4},
     {"distance_metric": BATCH.cosine_distance, "margin": 0.4}, batch_of(1, labels=LABELS), 1, LABELS),
    ("BatchHardSoftMarginTripletLoss", {}, {}, batch_of(1, labels=LABELS), 1, LABELS),
    ("BatchSemiHardTripletLoss", {}, {}, batch_of(1, labels=LABELS), 1, LABELS),
    ("CoSENTLoss", {}, {}, batch_of(2, scores=SCORES), 2, SCORES),
    ("CoSENTLoss", {"similarity_fct": "dot", "scale": 2.0},
     {"similarity_fct": util.pairwise_dot_score, "scale": 2.0}, batch_of(2, scores=SCORES), 2, SCORES),
    ("AnglELoss", {}, {}, batch_of(2, scores=SCORES), 2, SCORES),
    ("CosineSimilarityLoss", {}, {}, batch_of(2, scores=SCORES), 2, SCORES),
    ("ContrastiveLoss", {"size_average": False}, {"size_average": False}, batch_of(2, scores=YES), 2, YES),
    ("OnlineContrastiveLoss", {"distance_metric": "manhattan", "margin": 9.0},
     {"distance_metric": st.SiameseDistanceMetric.MANHATTAN, "margin": 9.0}, batch_of(2, scores=YES), 2, YES),
    ("EmbedDistillLoss", TEACHER, {}, batch_of(2, 1, SIZE), 3, taught(3)),
    ("EmbedDistillLoss", {"distance_metric": "l2", **TEACHER}, {"distance_metric": "l2"},
     batch_of(1, guide_size=SIZE), 1, taught(1)),
    ("MSELoss", TEACHER, {}, batch_of(2, guide_size=SIZE), 2, taught(2)),
    ("DistillKLDivLoss", {"temperature": 2.0, **TEACHER}, {"temperature": 2.0}, batch_of(2, 2, SIZE), 4,
     taught_scores(4, util.pairwise_dot_score)),
    ("DistillKLDivLoss", {"similarity_fct": "cosine", **TEACHER}, {"similarity_fct": util.pairwise_cos_sim},
     batch_of(2, 1, SIZE), 3, taught_scores(3, util.pairwise_cos_sim)),
    ("MarginMSELoss", TEACHER, {}, batch_of(2, 1, SIZE), 3, taught_scores(3, util.pairwise_dot_score)),
    ("MarginMSELoss", TEACHER, {}, batch_of(2, 3, SIZE), 5, taught_scores(5, util.pairwise_dot_score)),
]  # fmt: skip
OPTIONS: dict[str, dict[str, Any]] = {f"st.{name}": ours for name, ours, *_ in CASES}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{len(case[1])}")
def test_value_and_gradient_are_theirs(case: Case) -> None:
    name, ours, theirs, batch, columns, labels = case
    for part in (*batch.columns, *([batch.negatives] if batch.negatives is not None else [])):
        part.requires_grad_().grad = None
    loss = build_any_loss(f"st.{name}", dimensions=SIZE, **ours)
    output = loss(batch)
    output.value.backward()
    leaves = [rows(seed=seed).requires_grad_() for seed in range(columns)]
    found = getattr(st, name)(Student(), **theirs).compute_loss_from_embeddings(leaves, labels)
    expected = sum(found.values()) if isinstance(found, dict) else found
    expected.backward()
    torch.testing.assert_close(output.value, expected, rtol=1e-12, atol=1e-12, check_dtype=False)
    assert output.stats["n_valid"] > 0
    own = [column.grad for column in batch.columns]
    if batch.negatives is not None and batch.negatives.grad is not None:
        own += list(batch.negatives.grad.reshape(ROWS, -1, SIZE).unbind(1))
    for mine, leaf in zip(own, leaves, strict=True):
        torch.testing.assert_close(mine, leaf.grad, rtol=1e-12, atol=1e-12)
    assert any(bool(gradient.any()) for gradient in own if gradient is not None)


def test_every_loss_of_the_library_is_here_or_has_a_reason() -> None:
    every = {name for name in st.__all__ if inspect.isclass(getattr(st, name)) and name.endswith("Loss")}
    every |= {name for name in st.__all__ if name.startswith("ContrastiveTensionLoss")}
    on_embeddings = {name for name in every if hasattr(getattr(st, name), "compute_loss_from_embeddings")}
    assert {name.removeprefix("st.") for name in LIBRARY_LOSSES} == on_embeddings
    assert {name for name, *_ in CASES} == on_embeddings
    assert set(HERE_INSTEAD) == every - on_embeddings


def test_names_that_are_recommended_instead_are_there() -> None:
    for name in HERE_INSTEAD.values():
        assert name in LOSSES or " " in name


@pytest.mark.parametrize("name", sorted(LIBRARY_LOSSES))
def test_options_are_the_keywords_of_the_class(name: str) -> None:
    entry = find_loss(name)
    theirs = set(inspect.signature(vars(getattr(st, name.removeprefix("st.")))["__init__"]).parameters)
    assert set(entry.options) - {"teacher"} <= theirs
    objects = {"loss_fct", "cos_score_transformation"}
    left = theirs - set(entry.options) - {"self", "model", "gather_across_devices"}
    assert left <= objects, left
    for option in entry.options.values():
        assert option.default is None or isinstance(option.default, bool | int | float | str | tuple)
    loss = build_any_loss(name, dimensions=SIZE, **OPTIONS[name])
    for kind in entry.kinds:
        needs = loss.needs_for(kind)
        assert needs.labels == (kind == "labelled" and entry.kinds == {"labelled"})
        assert needs.scores == (kind == "scored" and entry.kinds == {"scored"})
        assert (needs.guide == "base") == ("teacher" in entry.options)


def test_what_texts_are_compared_by() -> None:
    distances = {"cosine": 2.0, "euclidean": 2.0, "manhattan": 2 * math.sqrt(SIZE)}
    for name, reach in distances.items():
        found = build_any_loss("st.TripletLoss", distance_metric=name).compares_by
        assert not isinstance(found, str)
        assert found is not None
        assert found.unit_range(SIZE) == pytest.approx(reach)
    assert build_any_loss("st.CoSENTLoss", similarity_fct="dot").compares_by == "dot"
    assert build_any_loss("st.MultipleNegativesRankingLoss").compares_by == "cosine"
    assert build_any_loss("st.CosineSimilarityLoss").compares_by == "cosine"


def test_parameters_of_a_loss_are_its_own_and_trained() -> None:
    torch.manual_seed(0)
    loss = build_any_loss("st.MSELoss", dimensions=SIZE, teacher="base", projection_dim=12)
    assert [tuple(parameter.shape) for parameter in loss.parameters()] == [(12, SIZE), (12,)]
    assert set(loss.state_dict()) == {"loss.projection.weight", "loss.projection.bias"}
    batch = batch_of(2, guide_size=12)
    loss.double()(batch).value.backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in loss.parameters())
    assert loss.embedding_sized
    with pytest.raises(
        InputError, match=r"st\.MSELoss: the teacher embeds in 5 dimensions, the encoder in 12"
    ):
        loss(batch_of(2, guide_size=5))


def test_the_encoder_is_never_called() -> None:
    loss = build_any_loss("st.CoSENTLoss", dimensions=SIZE)
    assert isinstance(loss, LibraryLoss)
    with pytest.raises(TypeError):
        loss.loss([{"input_ids": torch.zeros(1, 1)}] * 2, SCORES)


@pytest.mark.parametrize(
    "name", ["BatchAllTripletLoss", "BatchHardTripletLoss", "BatchHardSoftMarginTripletLoss",
             "BatchSemiHardTripletLoss"]
)  # fmt: skip
@pytest.mark.parametrize("labels", [torch.zeros(ROWS, dtype=torch.long), torch.arange(ROWS)])
def test_a_batch_without_triplets_has_no_loss(name: str, labels: Tensor) -> None:
    x = rows().requires_grad_()
    output = build_any_loss(f"st.{name}")(Embedded((x,), labels=labels))
    assert float(output.value.detach()) == 0
    assert output.stats == {"n_valid": 0.0}
    assert not torch.autograd.grad(output.value, x)[0].any()


def refusal(name: str, batch: Embedded, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        build_any_loss(name, dimensions=SIZE, **options)(batch)
    return str(caught.value)


def test_rows_that_they_cannot_take() -> None:
    ragged = Embedded(
        (rows(), rows(seed=1)), negatives=rows(7, 2), negative_rows=torch.tensor([0, 1, 2, 3, 4, 5, 7])
    )
    message = refusal("st.MultipleNegativesRankingLoss", ragged)
    assert "wants equally many negatives in every row: row 0 of the batch has 1, row 5 has 2" in message
    assert "st.TripletLoss wants 1 negative a row, these rows have 2" in refusal(
        "st.TripletLoss", batch_of(2, 2)
    )
    assert "st.TripletLoss wants 1 negative a row, these rows have 0" in refusal(
        "st.TripletLoss", batch_of(2)
    )
    assert "st.MarginMSELoss wants at least 1 negative a row" in refusal(
        "st.MarginMSELoss", batch_of(2, guide_size=SIZE), teacher="base"
    )
    assert "wants the batch embedded by a teacher" in refusal("st.MSELoss", batch_of(2), teacher="base")
    assert "the teacher embeds 1 columns of 2" in refusal(
        "st.MSELoss", Embedded((rows(), rows(seed=1)), guide=Embedded((rows(seed=2),))), teacher="base"
    )


def test_scores_and_weights_that_they_cannot_take() -> None:
    message = refusal("st.ContrastiveLoss", batch_of(2, scores=SCORES))
    assert message.startswith("st.ContrastiveLoss wants scores of 0 or 1; row 1 of the batch has 0.2")
    assert "between -1 and 1" in refusal("st.CosineSimilarityLoss", batch_of(2, scores=SCORES + 1))
    assert "wants one score a row" in refusal("st.CoSENTLoss", batch_of(2))
    weighted = batch_of(2, weights=torch.tensor([1.0, 2, 1, 1, 1, 1]))
    assert "st.MultipleNegativesRankingLoss cannot weight rows" in refusal(
        "st.MultipleNegativesRankingLoss", weighted
    )
    same = build_any_loss("st.MultipleNegativesRankingLoss")(batch_of(2, weights=torch.full((ROWS,), 2.0)))
    assert float(same.value.detach()) > 0


def test_matryoshka_around_them() -> None:
    batch = batch_of(2, 1)
    plain = build_any_loss("st.MultipleNegativesRankingLoss")
    wrapped = MatryoshkaLoss(plain, dimensions=[8, 4], weights=[1.0, 0.5])(batch)
    assert batch.negatives is not None
    first = [*(column[:, :4] for column in batch.columns), batch.negatives[:, :4]]
    theirs = st.MultipleNegativesRankingLoss(Student()).compute_loss_from_embeddings(first, None)
    torch.testing.assert_close(wrapped.value, plain(batch).value + 0.5 * theirs)
    with pytest.raises(ValueError, match="cannot be cut"):
        MatryoshkaLoss(build_any_loss("st.MSELoss", dimensions=8, teacher="base"), dimensions=[4])


def test_names_and_options_that_there_are_not() -> None:
    with pytest.raises(ValueError, match=r"did you mean 'st\.TripletLoss'"):
        find_loss("st.TripleLoss")
    with pytest.raises(ValueError, match="Scale must be a positive value"):
        build_any_loss("st.MultipleNegativesRankingLoss", scale=-1.0)
    with pytest.raises(ValueError, match=r"st\.CoSENTLoss: .*scal"):
        build_any_loss("st.CoSENTLoss", scal=1.0)
