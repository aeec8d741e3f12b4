"""Encoder and loss together: the batch path against encoding the columns plainly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import losses as library
from torch import Tensor

from sbert_triplet.data.examples import Examples
from sbert_triplet.data.kinds import Kind
from sbert_triplet.errors import DivergedError, InputError
from sbert_triplet.losses.batch import Embedded, Loss, LossOutput, Needs
from sbert_triplet.losses.cosent import CoSENTLoss
from sbert_triplet.losses.pairs import ContrastiveLoss
from sbert_triplet.losses.ranking import MultipleNegativesRankingLoss
from sbert_triplet.losses.siamese import SoftmaxClassificationLoss
from sbert_triplet.losses.triplet import TripletLoss
from sbert_triplet.losses.views import SimCSELoss
from sbert_triplet.training.collate import Collator
from sbert_triplet.training.objective import Objective

Make = Callable[..., Collator]
Encoder = Callable[..., SentenceTransformer]
Rows = Callable[..., Examples]
EXACT: dict[str, Any] = {"atol": 1e-11, "rtol": 1e-9}


def plainly(model: SentenceTransformer, texts: list[str]) -> Tensor:
    """Each text alone through the model."""
    embeddings = [model(model.preprocess([text]))["sentence_embedding"] for text in texts]
    return torch.cat(embeddings)


def gradients(model: SentenceTransformer, value: Tensor) -> dict[str, Tensor]:
    """The gradient of every parameter; parameters that have none are left out."""
    model.zero_grad()
    value.backward()
    return {
        name: parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }


def assert_same_step(one: Objective, value: Tensor, other: SentenceTransformer, expected: Tensor) -> None:
    torch.testing.assert_close(value, expected, **EXACT)
    found, wanted = gradients(one.model, value), gradients(other, expected)
    assert found.keys() == wanted.keys()
    assert max(float(gradient.abs().max()) for gradient in wanted.values()) > 1e-3
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, **EXACT)


def from_rows(model: SentenceTransformer, examples: Examples, rows: list[int], texts: list[str]) -> Embedded:
    """The batch of these rows with every place encoded on its own, put together by hand."""

    def column(ids: np.ndarray) -> Tensor:
        return plainly(model, [texts[number] for number in ids])

    batch = examples.select(np.array(rows))
    ids = [batch.anchors] if batch.positives is None else [batch.anchors, batch.positives]
    extra: dict[str, Any] = {}
    if batch.negatives is not None:
        extra = {
            "negatives": column(batch.negatives.values),
            "negative_ids": torch.from_numpy(batch.negatives.values),
            "negative_rows": torch.from_numpy(batch.negatives.offsets),
        }
    return Embedded(
        columns=tuple(column(part) for part in ids),
        ids=tuple(torch.from_numpy(part) for part in ids),
        labels=None if batch.labels is None else torch.from_numpy(batch.labels),
        scores=None if batch.scores is None else torch.from_numpy(batch.scores),
        weights=None if batch.weights is None else torch.from_numpy(batch.weights),
        blocked=torch.from_numpy(examples.known_positives()),
        **extra,
    )


@pytest.mark.parametrize("budget", [1, 40, 10_000])
@pytest.mark.parametrize(
    ("data", "loss"),
    [
        ("pairs", MultipleNegativesRankingLoss(scale=20.0)),
        ("pairs", TripletLoss(margin=0.3)),
        ("pairs", TripletLoss(distance="euclidean", margin=0.3, miner="hard")),
        ("labelled", TripletLoss(margin=0.3, miner="all")),
        ("labelled", TripletLoss(distance="euclidean", soft=True, miner="hard")),
        ("scored", CoSENTLoss(scale=20.0)),
    ],
)
def test_value_and_gradient_are_those_of_encoding_every_place_on_its_own(
    data: str,
    loss: Loss,
    budget: int,
    make_encoder: Encoder,
    make_collator: Make,
    texts: list[str],
    request: pytest.FixtureRequest,
) -> None:
    examples: Examples = request.getfixturevalue(data)
    rows = [3, 18, 0, 7, 4, 16, 19, 11]
    model, other = (make_encoder(dtype=torch.float64).train() for _ in range(2))
    objective = Objective(model, loss)
    value = objective(make_collator(examples, model, loss, budget=budget)(rows))
    assert_same_step(objective, value, other, loss(from_rows(other, examples, rows, texts)).value)


def test_row_weights_reach_the_loss(
    rows: Rows, make_encoder: Encoder, make_collator: Make, texts: list[str]
) -> None:
    examples = rows(Kind.PAIRS, [0, 1, 2, 3], positives=[4, 5, 6, 7], weights=[1, 0, 3, 2])
    model, other = (make_encoder(dtype=torch.float64) for _ in range(2))
    loss = MultipleNegativesRankingLoss()
    objective = Objective(model, loss)
    value = objective(make_collator(examples, model, loss)([0, 1, 2, 3]))
    assert_same_step(objective, value, other, loss(from_rows(other, examples, [0, 1, 2, 3], texts)).value)


def test_prompts_of_the_sides_are_put_before_the_texts(
    pairs: Examples, make_encoder: Encoder, make_collator: Make, texts: list[str]
) -> None:
    model = make_encoder(dtype=torch.float64)
    model.prompts = {"query": "red cat ", "document": "blue dog "}
    rows = [0, 5, 9]
    loss = TripletLoss(margin=0.3)
    value = Objective(model, loss)(make_collator(pairs, model, loss, sides=("query", "document"))(rows))
    batch = pairs.select(np.array(rows))
    assert batch.positives is not None
    assert batch.negatives is not None
    expected = loss(
        Embedded(
            (
                plainly(model, [f"red cat {texts[number]}" for number in batch.anchors]),
                plainly(model, [f"blue dog {texts[number]}" for number in batch.positives]),
            ),
            negatives=plainly(model, [f"blue dog {texts[number]}" for number in batch.negatives.values]),
            negative_rows=torch.from_numpy(batch.negatives.offsets),
        )
    )
    torch.testing.assert_close(value, expected.value, **EXACT)


def test_a_batch_whose_rows_have_no_negatives_teaches_a_triplet_loss_nothing(
    pairs: Examples, make_encoder: Encoder, make_collator: Make
) -> None:
    model = make_encoder()
    loss = TripletLoss(margin=0.3)
    value = Objective(model, loss)(make_collator(pairs, model, loss)([0, 4, 8]))
    assert value.item() == 0
    assert not any(gradient.any() for gradient in gradients(model, value).values())


def test_views_of_a_text_differ_by_dropout(
    labelled: Examples, make_encoder: Encoder, make_collator: Make
) -> None:
    seen: list[Embedded] = []

    class Seeing(SimCSELoss):
        def forward(self, batch: Embedded) -> LossOutput:
            seen.append(batch)
            return super().forward(batch)

    model = make_encoder(dropout=0.1).train()
    loss = Seeing()
    Objective(model, loss)(make_collator(labelled, model, loss)([0, 1, 2, 3]))
    Objective(model, loss)([model.preprocess(["red cat", "blue dog"])], None)
    for batch in seen:
        assert len(batch.columns) == 2
        assert batch.ids is not None
        assert torch.equal(batch.ids[0], batch.ids[1])
        distance = (batch.columns[0] - batch.columns[1]).norm(dim=1)
        assert ((distance > 1e-3) & (distance < 1)).all()


def test_the_last_output_is_kept_for_the_log_without_its_graph(
    labelled: Examples, make_encoder: Encoder, make_collator: Make
) -> None:
    model = make_encoder()
    loss = TripletLoss(margin=0.3, miner="hard")
    objective = Objective(model, loss)
    assert objective.last is None
    value = objective(make_collator(labelled, model, loss)(list(range(8))))
    assert objective.last is not None
    assert objective.last.value == value
    assert not objective.last.value.requires_grad
    assert objective.last.stats["anchors"] == 6  # of rows 0 to 7, the classes 3 and 4 have one text


def test_distances_are_in_fp32_under_autocast(
    pairs: Examples, make_encoder: Encoder, make_collator: Make
) -> None:
    seen: list[tuple[torch.dtype, bool]] = []

    class Seeing(Loss):
        needs = Needs(columns=2)

        def forward(self, batch: Embedded) -> LossOutput:
            seen.append((batch.columns[0].dtype, torch.is_autocast_enabled("cpu")))
            return LossOutput(batch.columns[0].sum())

    model = make_encoder()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        Objective(model, Seeing())(make_collator(pairs, model, Seeing())([0, 1, 2]))
    assert seen == [(torch.float32, False)]


def test_embeddings_that_are_not_finite_are_reported(
    pairs: Examples, make_encoder: Encoder, make_collator: Make
) -> None:
    model = make_encoder()
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    loss = MultipleNegativesRankingLoss()
    with pytest.raises(DivergedError, match="not finite"):
        Objective(model, loss)(make_collator(pairs, model, loss)([0, 1]))


# As `loss=` of sentence-transformers' trainer: a list of features and one tensor of labels.

ANCHORS = ["red cat runs", "blue dog", "a house under the tree", "green horse sleeps slowly"]
POSITIVES = ["the red cat eats", "dog of blue", "house and tree number 7", "slowly sleeps a horse"]
NEGATIVES = ["green house", "the tree eats", "blue horse runs quickly", "a cat under the house"]


def by_columns(
    make_encoder: Encoder, loss: Loss, columns: list[list[str]], labels: Tensor | None
) -> tuple[Objective, Tensor]:
    model = make_encoder(dtype=torch.float64)
    objective = Objective(model, loss)
    return objective, objective([model.preprocess(column) for column in columns], labels)


def by_library(
    model: SentenceTransformer,
    loss: Callable[[SentenceTransformer], torch.nn.Module],
    columns: list[list[str]],
    labels: Tensor | None,
) -> Tensor:
    value: Tensor = loss(model)([model.preprocess(column) for column in columns], labels)
    return value


@pytest.mark.parametrize(
    ("ours", "theirs", "columns", "labels"),
    [
        (
            MultipleNegativesRankingLoss(scale=20.0),
            library.MultipleNegativesRankingLoss,
            [ANCHORS, POSITIVES],
            None,
        ),
        (
            MultipleNegativesRankingLoss(scale=5.0),
            lambda model: library.MultipleNegativesRankingLoss(model, scale=5.0),
            [ANCHORS, POSITIVES, NEGATIVES, NEGATIVES[::-1]],
            None,
        ),
        (
            MultipleNegativesRankingLoss(),
            library.MultipleNegativesRankingLoss,
            [ANCHORS, POSITIVES],
            torch.ones(4, dtype=torch.long),
        ),
        (
            CoSENTLoss(),
            library.CoSENTLoss,
            [ANCHORS, POSITIVES],
            torch.tensor([0.2, 1.0, 0.2, 0.7]),
        ),
        (CoSENTLoss(), library.CoSENTLoss, [ANCHORS, POSITIVES], torch.tensor([2, 0, 1, 1])),
        (
            TripletLoss(distance="euclidean", margin=5.0),
            library.TripletLoss,
            [ANCHORS, POSITIVES, NEGATIVES],
            None,
        ),
        (
            TripletLoss(margin=0.4),
            lambda model: library.TripletLoss(
                model, distance_metric=library.TripletDistanceMetric.COSINE, triplet_margin=0.4
            ),
            [ANCHORS, POSITIVES, NEGATIVES],
            None,
        ),
        (
            TripletLoss(distance="euclidean", soft=True, miner="hard"),
            library.BatchHardSoftMarginTripletLoss,
            [[*ANCHORS, *POSITIVES]],
            torch.tensor([0, 1, 2, 3, 0, 1, 2, 3]),
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:.*margin")
def test_equal_to_the_losses_of_sentence_transformers(
    ours: Loss, theirs: Any, columns: list[list[str]], labels: Tensor | None, make_encoder: Encoder
) -> None:
    objective, value = by_columns(make_encoder, ours, columns, labels)
    other = make_encoder(dtype=torch.float64)
    assert_same_step(objective, value, other, by_library(other, theirs, columns, labels))


def test_pairs_for_a_mined_loss_are_anchors_and_positives(make_encoder: Encoder) -> None:
    loss = TripletLoss(distance="euclidean", margin=0.5, miner="hard")
    objective, value = by_columns(make_encoder, loss, [ANCHORS, POSITIVES], None)
    anchors, positives = plainly(objective.model, ANCHORS), plainly(objective.model, POSITIVES)
    distances = torch.cdist(anchors, positives)
    nearest = (distances + torch.diag(torch.full((4,), torch.inf))).min(1).values
    torch.testing.assert_close(value, torch.relu(0.5 + distances.diag() - nearest).mean(), **EXACT)


def test_equal_texts_are_not_negatives_of_each_other(make_encoder: Encoder) -> None:
    loss = MultipleNegativesRankingLoss(scale=20.0)
    anchors, positives = [*ANCHORS, ANCHORS[0]], [*POSITIVES, "cat"]
    objective, value = by_columns(make_encoder, loss, [anchors, positives], None)
    left, right = plainly(objective.model, anchors), plainly(objective.model, positives)
    logits = 20 * left @ right.T
    logits[0, 4] = logits[4, 0] = -torch.inf
    torch.testing.assert_close(value, torch.nn.functional.cross_entropy(logits, torch.arange(5)), **EXACT)


def test_padding_does_not_hide_that_texts_are_equal(make_encoder: Encoder) -> None:
    seen: list[Any] = []

    class Seeing(MultipleNegativesRankingLoss):
        def forward(self, batch: Embedded) -> LossOutput:
            seen.append(batch.ids)
            return super().forward(batch)

    columns = [["dog", "a house of the red cat", "cat"], ["cat", "dog", "blue"]]
    by_columns(make_encoder, Seeing(), columns, None)
    dog, house, cat = seen[0][0].tolist()
    assert len({dog, house, cat}) == 3
    assert seen[0][1].tolist()[:2] == [cat, dog]
    assert seen[0][1][2].item() not in (dog, house, cat)


def test_the_negatives_of_a_row_stand_together(make_encoder: Encoder) -> None:
    seen: list[Embedded] = []

    class Seeing(TripletLoss):
        def forward(self, batch: Embedded) -> LossOutput:
            seen.append(batch)
            return super().forward(batch)

    columns = [ANCHORS, POSITIVES, NEGATIVES, NEGATIVES[::-1]]
    objective, _ = by_columns(make_encoder, Seeing(margin=0.3), columns, None)
    batch = seen[0]
    assert batch.negatives is not None
    assert batch.negative_rows is not None
    assert batch.negative_ids is not None
    assert batch.negative_rows.tolist() == [0, 2, 4, 6, 8]
    first, second, third, fourth = batch.negative_ids[::2].tolist()
    assert len({first, second, third, fourth}) == 4
    assert batch.negative_ids[1::2].tolist() == [fourth, third, second, first]
    expected = plainly(objective.model, [text for pair in zip(*columns[2:], strict=True) for text in pair])
    torch.testing.assert_close(batch.negatives, expected, **EXACT)


@pytest.mark.parametrize("labels", [torch.tensor([1, 0, 1, 0]), torch.tensor([1.0, 0.0, 1.0, 0.0])])
def test_pairs_that_are_similar_or_not(make_encoder: Encoder, labels: Tensor) -> None:
    loss = ContrastiveLoss(margin=0.5)
    objective, value = by_columns(make_encoder, loss, [ANCHORS, POSITIVES], labels)
    distances = 1 - (plainly(objective.model, ANCHORS) * plainly(objective.model, POSITIVES)).sum(1)
    each = torch.where(labels > 0, distances**2, torch.relu(0.5 - distances) ** 2) / 2
    torch.testing.assert_close(value, each.mean(), **EXACT)


def test_classes_of_pairs_reach_a_classifier(make_encoder: Encoder) -> None:
    torch.manual_seed(0)
    loss = SoftmaxClassificationLoss(classes=3, dimensions=16).double()
    labels = torch.tensor([0, 2, 1, 0])
    objective, value = by_columns(make_encoder, loss, [ANCHORS, POSITIVES], labels)
    left, right = plainly(objective.model, ANCHORS), plainly(objective.model, POSITIVES)
    expected = loss(Embedded((left, right), labels=labels)).value
    torch.testing.assert_close(value, expected, **EXACT)


def test_a_loss_over_pairs_refuses_one_column(make_encoder: Encoder) -> None:
    with pytest.raises(InputError, match="two columns"):
        by_columns(make_encoder, MultipleNegativesRankingLoss(), [ANCHORS], torch.tensor([0, 0, 1, 1]))
