"""An Objective as ``loss=`` of sentence-transformers' own trainer, with its collator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer import losses as library

from sbert_triplet.losses.batch import Loss
from sbert_triplet.losses.cosent import CoSENTLoss
from sbert_triplet.losses.ranking import MultipleNegativesRankingLoss
from sbert_triplet.losses.triplet import TripletLoss
from sbert_triplet.training.objective import Objective

Encoder = Callable[..., SentenceTransformer]
STEPS = 3


@pytest.fixture
def tables(texts: list[str]) -> dict[str, dict[str, list[Any]]]:
    """Tables of 24 rows without a repeated text."""
    return {
        "pairs": {"anchor": texts[:24], "positive": texts[24:48]},
        "triplets": {"anchor": texts[:20], "positive": texts[20:40], "negative": texts[40:60]},
        "scored": {
            "first": texts[:24],
            "second": texts[24:48],
            "score": [row * 5 % 11 / 10 for row in range(24)],
        },
        "labelled": {"text": texts[:24], "label": [row % 2 for row in range(24)]},
    }


def trained(
    model: SentenceTransformer, loss: torch.nn.Module, table: dict[str, list[Any]], folder: Path
) -> tuple[dict[str, torch.Tensor], list[float]]:
    """The weights and the losses after three steps."""
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(folder),
        max_steps=STEPS,
        per_device_train_batch_size=8,
        learning_rate=0.1,
        optim="sgd",  # which, unlike Adam, does not make rounding of small gradients large
        warmup_steps=0,
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        logging_steps=1,
        disable_tqdm=True,
        seed=5,
    )
    trainer = SentenceTransformerTrainer(
        model=model, args=arguments, train_dataset=Dataset.from_dict(table), loss=loss
    )
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}, losses


@pytest.mark.parametrize(
    ("data", "ours", "theirs"),
    [
        ("pairs", MultipleNegativesRankingLoss(), library.MultipleNegativesRankingLoss),
        ("triplets", MultipleNegativesRankingLoss(), library.MultipleNegativesRankingLoss),
        (
            "triplets",
            TripletLoss(margin=0.4),
            lambda model: library.TripletLoss(
                model, distance_metric=library.TripletDistanceMetric.COSINE, triplet_margin=0.4
            ),
        ),
        ("scored", CoSENTLoss(), library.CoSENTLoss),
        (
            "labelled",
            TripletLoss(distance="euclidean", soft=True, miner="hard"),
            library.BatchHardSoftMarginTripletLoss,
        ),
    ],
)
def test_a_run_is_that_of_the_librarys_own_loss(
    data: str,
    ours: Loss,
    theirs: Any,
    tables: dict[str, dict[str, list[Any]]],
    make_encoder: Encoder,
    tmp_path: Path,
) -> None:
    # The library encodes positives and negatives in one pass, and so draws other dropout for them.
    dropout = 0.0 if data == "triplets" else 0.1
    one, other = make_encoder(dropout), make_encoder(dropout)
    start = {name: tensor.clone() for name, tensor in one.state_dict().items()}
    found, losses = trained(one, Objective(one, ours), tables[data], tmp_path / "ours")
    expected, wanted = trained(other, theirs(other), tables[data], tmp_path / "theirs")
    assert losses == pytest.approx(wanted, abs=1e-5)
    assert max(float((found[name] - start[name]).abs().max()) for name in start) > 1e-3
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, atol=1e-6, rtol=1e-5, msg=name)


def test_pairs_for_a_mined_triplet_loss(
    tables: dict[str, dict[str, list[Any]]], make_encoder: Encoder, tmp_path: Path
) -> None:
    model = make_encoder()
    objective = Objective(model, TripletLoss(margin=0.3, miner="hard"))
    _, losses = trained(model, objective, tables["pairs"], tmp_path)
    assert len(losses) == STEPS
    assert all(loss > 0 for loss in losses)
    assert objective.last is not None
    assert objective.last.stats["anchors"] == 8


def test_a_learned_scale_is_trained(
    tables: dict[str, dict[str, list[Any]]], make_encoder: Encoder, tmp_path: Path
) -> None:
    model = make_encoder()
    loss = MultipleNegativesRankingLoss(scale=10.0, learn_scale=True)
    before = {name: parameter.clone() for name, parameter in loss.named_parameters()}
    trained(model, Objective(model, loss), tables["pairs"], tmp_path)
    assert before
    assert all(not torch.equal(parameter, before[name]) for name, parameter in loss.named_parameters())
