"""Losses that do not suit the data or the encoder: refused before the first step, with what to do."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from sentence_transformers import SentenceTransformer

from sbert_triplet.errors import DivergedError, InputError, RecipeError
from sbert_triplet.losses.views import MoCoLoss
from sbert_triplet.pipeline.tasks import queue_size

if TYPE_CHECKING:
    from tests.pipeline.conftest import Rows, Tables, Train

INFINITE = float("inf")


def refusal(
    train: Train, rows: Rows, loss: Any, error: type[InputError] = InputError, **sections: Any
) -> str:
    with pytest.raises(error) as caught:
        train(rows, loss=loss, **sections)
    assert not Path("out").exists()
    return str(caught.value)


def scored(tables: Tables, *scores: float) -> Rows:
    return [
        {"sentence1": tables.question(n), "sentence2": tables.answer(n), "score": scores[n % len(scores)]}
        for n in range(60)
    ]


@pytest.mark.parametrize(
    ("distance", "reach"),
    [
        ("cosine", 2),
        ("dot", 2),
        ("jaccard", 1),
        ("chebyshev", 2),
        ("euclidean", 2),
        ("squared_euclidean", 4),
        ("manhattan", 2 * 32**0.5),
        ({"name": "minkowski", "p": 3}, 2),
        ({"name": "minkowski", "p": 1.5}, 2 * 32 ** (1 / 1.5 - 1 / 2)),
    ],
)
def test_margins_beyond_the_range_of_their_distance(
    distance: Any, reach: float, tables: Tables, train: Train
) -> None:
    name = distance["name"] if isinstance(distance, dict) else distance
    loss = {"name": "triplet", "miner": "all", "distance": distance, "margin": 1.001 * reach}
    message = refusal(train, tables.labelled(), loss)
    assert f"can never be met: {name} lies between 0 and {reach:g} on this encoder's output" in message
    assert "Set loss.margin above 0" in message


def test_a_boundary_beyond_the_range_of_the_distance(tables: Tables, train: Train) -> None:
    loss = {"name": "margin_based", "distance": "euclidean", "alpha": 0.2, "beta": 1.9}
    message = refusal(train, tables.labelled(), loss)
    assert "A margin of 2.1 can never be met: euclidean lies between 0 and 2" in message
    assert "Set the sum of loss.alpha and loss.beta above 0 and well below 2" in message


def test_margins_inside_the_range_of_their_distance(tables: Tables, train: Train) -> None:
    loss = {"name": "triplet", "miner": "all", "distance": "squared_euclidean", "margin": 3.9}
    assert train(tables.labelled(), loss=loss).report["train"]["steps"] == 3


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ({"name": "triplet", "miner": "all"}, "loss: triplet: margin is missing: give it in units of the"),
        ({"name": "triplet", "margin": 0}, "loss.margin: expected a number greater than 0, found 0"),
        ({"name": "triplet", "margin": INFINITE}, "loss.margin: expected a number greater than 0, found inf"),
        ({"name": "contrastive"}, "loss.margin: missing; expected a number greater than 0"),
        ({"name": "cosent", "scale": INFINITE}, "loss.scale: expected a number greater than 0, found inf"),
        ({"name": "ladder", "margins": [INFINITE]}, "loss.margins[0]: expected a number, found inf"),
        ({"name": "nt_xent", "temperature": 0},
         "loss.temperature: expected a number greater than 0, found 0"),
        ({"name": "triplet", "margin": 0.1, "distance": {"name": "minkowski", "p": 0.99}},
         "loss.distance.p: expected a number of at least 1, found 0.99"),
        ({"name": "moco", "momentum": 1},
         "loss.momentum: expected a number of at least 0 and below 1, found 1"),
        ({"name": "moco", "queue_size": 0},
         "loss.queue_size: expected a whole number of at least 1, found 0"),
        ({"name": "hoffer_ailon", "distance": "dot"},
         "loss: hoffer_ailon: hoffer_ailon wants a distance, dot is"),
    ],
)  # fmt: skip
def test_options(loss: dict[str, Any], message: str, tables: Tables, train: Train) -> None:
    assert message in refusal(train, tables.pairs(), loss, RecipeError)


@pytest.mark.parametrize(
    ("loss", "scores", "message"),
    [
        ({"name": "cosine_regression"}, (0.0, 2.5, 5.0),
         "it takes scores from -1 to 1, and row 2 of the data has 2.5; these run from 0 to 5"),
        ({"name": "contrastive", "margin": 0.5}, (0.5, 1.0, -0.5),
         "it takes scores from 0 to 1, and row 3 of the data has -0.5; these run from -0.5 to 1"),
        ({"name": "online_contrastive", "margin": 0.5}, (0.0, 1.0, 1.0, 0.5),
         "it takes scores 0 and 1 only, and row 4 of the data has 0.5"),
        ({"name": "st.OnlineContrastiveLoss"}, (0.0, 1.0, 0.5), "it takes scores 0 and 1 only"),
        ({"name": "st.CosineSimilarityLoss"}, (0.0, 1.0, 1.5), "it takes scores from -1 to 1"),
        ({"name": "cosine_regression", "matryoshka": [8]}, (0.0, 1.0, 4.0), "it takes scores from -1 to 1"),
    ],
)  # fmt: skip
def test_scores_out_of_range(
    loss: dict[str, Any], scores: tuple[float, ...], message: str, tables: Tables, train: Train
) -> None:
    found = refusal(train, scored(tables, *scores), loss)
    assert found.startswith(f"loss {loss['name']}, on scored pairs: ")
    assert message in found
    own = loss["name"] == "cosine_regression"
    advice = "Say what the ends of the scale are (loss.score_at_zero" if own else "Rescale that column"
    assert advice in found
    assert "or choose cosent, for which only their order counts" in found


def test_scores_of_any_range_where_only_their_order_counts(tables: Tables, train: Train) -> None:
    for loss in ("cosent", "st.CoSENTLoss"):
        finished = train(scored(tables, -3.0, 2.5, 50.0), f"out-{loss}", loss=loss)
        assert finished.report["train"]["steps"] == 3


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ({"name": "triplet", "margin": 0.2}, "the batch has no negatives: give a negative column, mine some"),
        ({"name": "relative_comparisons"}, "the batch has no negatives"),
        ({"name": "oasis"}, "the batch has no negatives"),
        ({"name": "contrastive", "margin": 0.5}, "contrastive losses want dissimilar pairs too"),
        ({"name": "supervised_contrastive"}, "works on labelled text, and these rows are pairs"),
        ({"name": "softmax_classification"}, "works on NLI, and these rows are pairs"),
        ({"name": "cosine_regression"}, "works on scored pairs, and these rows are pairs"),
        ({"name": "ladder", "relevance": "labels", "thresholds": [0, -1]}, "this loss wants class labels"),
    ],
)
def test_pairs_for_a_loss_that_wants_more(
    loss: dict[str, Any], message: str, tables: Tables, train: Train
) -> None:
    assert message in refusal(train, tables.pairs(), loss)


def test_a_queue_that_is_longer_than_the_data() -> None:
    tasks: list[Any] = [SimpleNamespace(loss=MoCoLoss(queue_size=41), rows=range(40))]
    with pytest.raises(InputError, match=r"loss\.queue_size: 41 keys, and an epoch has 40 rows"):
        queue_size(tasks)
    assert queue_size([SimpleNamespace(loss=MoCoLoss(queue_size=40), rows=range(40))]) == 40  # type: ignore[list-item]
    assert queue_size([SimpleNamespace(loss=MoCoLoss(), rows=range(40))]) == 40  # type: ignore[list-item]


@pytest.mark.parametrize("classes", [1, 60])
def test_one_class_and_classes_that_all_differ(classes: int, tables: Tables, train: Train) -> None:
    name = tables.write("classes.csv", tables.labelled(classes=classes))
    data = {"train": name, "columns": {"anchor": "text", "label": "label"}, "kind": "labelled"}
    with pytest.raises(InputError, match="need at least two classes with two texts each"):
        train(data, loss={"name": "triplet", "margin": 0.2, "miner": "all"})


def test_weights_of_rows_that_a_loss_of_the_library_cannot_take(tables: Tables, train: Train) -> None:
    rows = [{**row, "clicks": 1 + n % 3} for n, row in enumerate(tables.pairs())]
    data = {"train": tables.write("clicks.csv", rows), "columns": {"weight": "clicks"}}
    with pytest.raises(InputError, match=r"st\.MultipleNegativesRankingLoss cannot weight rows"):
        train(data, loss={"name": "st.MultipleNegativesRankingLoss"})


def test_an_encoder_whose_embeddings_are_not_finite(tables: Tables, tiny_folder: Path, train: Train) -> None:
    shutil.copytree(tiny_folder, "broken")
    model = SentenceTransformer("broken", device="cpu")
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    model.save("broken", create_model_card=False)
    with pytest.raises((DivergedError, InputError), match=r"not finite|NaN"):
        train(tables.pairs(), smoke=False, model="./broken", train={"max_steps": 2, "batch_size": 8})
