"""Short runs of which one process is to do the same as two: imported by a test, and started by it.

As a script: ``several_processes.py FOLDER`` with the environment that ``accelerate launch`` sets;
writes what each run gave to ``FOLDER/RANK.pt``.
"""

from __future__ import annotations

import copy
import gc
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.base.modules import Router
from sentence_transformers.sentence_transformer.modules import Dense, Normalize
from torch import Tensor
from transformers import TrainerCallback

from sbert_triplet.data.examples import Examples, Ragged
from sbert_triplet.data.kinds import Kind
from sbert_triplet.encoding.tiny import tiny_encoder
from sbert_triplet.encoding.tokens import Side, TokenTable
from sbert_triplet.losses.batch import Embedded, Loss, LossOutput
from sbert_triplet.losses.cosent import CoSENTLoss
from sbert_triplet.losses.matryoshka import MatryoshkaLoss
from sbert_triplet.losses.names import LOSSES, build_loss
from sbert_triplet.losses.ranking import MultipleNegativesRankingLoss
from sbert_triplet.losses.several import LossPerDataset, WeightedSum
from sbert_triplet.losses.triplet import HofferAilonLoss, TripletLoss
from sbert_triplet.losses.views import SimCSELoss
from sbert_triplet.training.arguments import TrainSettings, training_arguments
from sbert_triplet.training.callbacks import AfterStep, BestOnDev, StepLog
from sbert_triplet.training.collate import Collator
from sbert_triplet.training.joint import JointCollator
from sbert_triplet.training.known import KnownPositives
from sbert_triplet.training.objective import Objective
from sbert_triplet.training.samplers import Batches, ClassBatches, JointBatches, RowBatches
from sbert_triplet.training.trainer import Trainer

WORDS = ("red", "green", "blue", "cat", "dog", "horse", "runs", "sleeps", "eats", "slowly", "house", "tree")
TEXTS = [
    " ".join(WORDS[(5 * number + 3 * place * place) % 12] for place in range(1 + number * 7 % 13))
    + f" {number}"
    for number in range(60)
]
STEPS = 8
JOINT = "several data sets"
ROUTED = ("routes after one encoder", "an encoder for each side")
"""Models that part queries from documents: a step uses some parameters for a part of the texts only."""


@dataclass
class Seen(TrainerCallback):
    """The gradients of every step as the optimizer gets them, and the loss."""

    objective: Objective
    gradients: list[dict[str, Tensor]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    def on_pre_optimizer_step(self, *_: Any, **__: Any) -> None:
        self.gradients.append(
            {
                name.replace("model.module.", "model."): parameter.grad.clone()
                for name, parameter in self.objective.named_parameters()
                if parameter.grad is not None
            }
        )
        assert self.objective.last is not None
        self.losses.append(float(self.objective.last.value))


def ranking() -> tuple[Examples, Loss, Batches]:
    """Repeated anchors and positives, known positives across rows, 0 to 3 negatives a row."""
    examples = Examples(
        Kind.PAIRS,
        anchors=np.arange(24) % 15,
        row_numbers=np.arange(24),
        positives=20 + np.arange(24) * 5 % 18,
        negatives=Ragged.from_lists(
            [[40 + (row * 3 + place) % 12 for place in range(row % 4)] for row in range(24)]
        ),
    )
    loss = MultipleNegativesRankingLoss(scale=10.0, learn_scale=True)
    return examples, loss, RowBatches(24, 8, seed=3)


def mined() -> tuple[Examples, Loss, Batches]:
    labels = np.arange(40) % 5
    examples = Examples(Kind.LABELLED, np.arange(40), np.arange(40), labels=labels)
    return (
        examples,
        TripletLoss(distance="euclidean", margin=0.5, miner="hard"),
        ClassBatches(labels, 4, 3, seed=3),
    )


def scored() -> tuple[Examples, Loss, Batches]:
    examples = Examples(
        Kind.SCORED,
        np.arange(24),
        np.arange(24),
        positives=24 + np.arange(24) * 7 % 30,
        scores=(np.arange(24) * 5 % 11) / 2,
    )
    return examples, CoSENTLoss(), RowBatches(24, 8, seed=3)


def few() -> tuple[Examples, Loss, Batches]:
    """A single text a batch: one of two processes has nothing to encode."""
    examples = Examples(Kind.LABELLED, np.array([3, 3, 7, 7]), np.arange(4), labels=np.array([0, 1, 0, 1]))
    return examples, TripletLoss(margin=0.3, miner="all"), RowBatches(4, 1, seed=3)


RUNS: dict[str, Callable[[], tuple[Examples, Loss, Batches]]] = {
    "ranking": ranking,
    "mined": mined,
    "scored": scored,
    "few": few,
}


def graded() -> tuple[Examples, Batches]:
    """NLI-like rows: a class for each pair of texts."""
    examples = Examples(
        Kind.NLI,
        np.arange(24),
        np.arange(24),
        positives=24 + np.arange(24) * 7 % 30,
        labels=np.arange(24) % 3,
    )
    return examples, RowBatches(24, 8, seed=3)


def scored_to_one(*, yes_or_no: bool) -> tuple[Examples, Batches]:
    examples, _, batches = scored()
    assert examples.scores is not None
    scores = examples.scores / 5
    return replace(examples, scores=np.round(scores) if yes_or_no else scores), batches


def by_name(name: str, loss: Loss) -> tuple[Examples, Loss, Batches]:
    """A loss with rows that suit it."""
    if name == "softmax_classification":
        examples, batches = graded()
    elif name in ("cosine_regression", "contrastive", "online_contrastive", "cosent"):
        examples, batches = scored_to_one(yes_or_no="contrastive" in name)
    elif loss.needs_for("labelled").columns == 1 and loss.needs_for("labelled").labels:
        examples, _, batches = mined()
    else:
        examples, _, batches = ranking()
    return examples, loss, batches


LOSS_OPTIONS: dict[str, dict[str, Any]] = {
    "triplet": {
        "distance": {"name": "mahalanobis", "form": "low_rank", "rank": 5},
        "margin": 0.5,
        "miner": "all",
    },
    "margin_based": {"boundary": "per_class", "classes": 5},
    "nt_xent": {"learn_temperature": True},
    "moco": {"queue_size": 20, "momentum": 0.5, "learn_temperature": True},
    "guided_ranking": {"temperature": 0.1, "learn_temperature": True},
    "contrastive": {"margin": 0.5},
    "online_contrastive": {"margin": 0.5},
    "softmax_classification": {"classes": 3},
    "relative_comparisons": {"slack_cost": 0.5},
    "oasis": {"rank": 4},
    "ladder": {"relevance": "teacher", "thresholds": (0.6, 0.0)},
}
WITH_CHANCE = frozenset({"simcse"})
"""Losses of two dropout passes, whose draws depend on who encodes what; ``views`` looks at these."""
FROZEN = "frozen encoder"


def every_loss() -> dict[str, Callable[[], tuple[Examples, Loss, Batches]]]:
    """A run of each loss that recipes name, and of a nested one."""

    def one(name: str) -> Callable[[], tuple[Examples, Loss, Batches]]:
        return lambda: by_name(name, build_loss(name, dimensions=16, **LOSS_OPTIONS.get(name, {})))

    def nested() -> tuple[Examples, Loss, Batches]:
        return by_name("nested", MatryoshkaLoss(MultipleNegativesRankingLoss(scale=10.0), dimensions=[16, 6]))

    def frozen() -> tuple[Examples, Loss, Batches]:
        return by_name("oasis", build_loss("oasis", dimensions=16, rank=4))

    given = {name: one(name) for name in LOSSES}
    return given | {"nested": nested, FROZEN: frozen}


def table_guide(side: str, ids: np.ndarray) -> np.ndarray:
    """What a guide might say of a text: the same in every process."""
    del side
    rows = np.sin(np.arange(1, 5) * (ids[:, None] + 1.0) * 0.7).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


TABLES: dict[str, tuple[Callable[[], Loss], dict[str, list[Any]]]] = {
    "columns of pairs": (
        lambda: MultipleNegativesRankingLoss(scale=10.0, learn_scale=True),
        {"anchor": [TEXTS[row % 15] for row in range(24)], "positive": TEXTS[30:54]},
    ),
    "a column with labels": (
        lambda: TripletLoss(distance="euclidean", margin=0.5, miner="hard"),
        {"text": TEXTS[:24], "label": [row % 2 for row in range(24)]},
    ),
}


def encoder(dtype: torch.dtype) -> SentenceTransformer:
    """Without dropout, whose draws depend on who encodes what."""
    model = tiny_encoder(TEXTS, dimensions=16)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model.to(dtype)


def routed(name: str) -> SentenceTransformer:
    """An encoder in fp64 with routes for queries and documents, all of it or at its end."""
    model = encoder(torch.float64)
    torch.manual_seed(1)
    if name == ROUTED[0]:
        routes = Router.for_query_document([Dense(16, 16)], [Dense(16, 16)])
        modules = [model[0], model[1], routes, Normalize()]
    else:
        other = copy.deepcopy(model)
        modules = [Router.for_query_document([model[0], model[1]], [other[0], other[1]]), Normalize()]
    return SentenceTransformer(modules=modules, device="cpu").double()


def collator_of(
    examples: Examples, loss: Loss, model: SentenceTransformer, sides: tuple[Side, Side] = ("text", "text")
) -> Collator:
    collator = Collator(
        examples,
        TokenTable(model, lambda ids: [TEXTS[number] for number in ids]),
        loss.needs_for(examples.kind.value),
        sides,
        40,
        KnownPositives(examples.known_positives()),
        guide=table_guide,
    )
    collator.prepare()
    return collator


def joint(model: SentenceTransformer) -> tuple[Loss, JointCollator, Batches]:
    """Three data sets with a loss each, one of them a weighted sum."""
    rows, _, row_batches = ranking()
    classes, mining, class_batches = mined()
    scores, cosent, score_batches = scored()
    both = WeightedSum(
        [MultipleNegativesRankingLoss(scale=10.0, learn_scale=True), HofferAilonLoss()],
        [1.0, 0.5],
        ["ranking", "ratio"],
    )
    losses = [both, mining, cosent]
    collators = [
        collator_of(examples, loss, model)
        for examples, loss in zip([rows, classes, scores], losses, strict=True)
    ]
    batches = JointBatches([row_batches, class_batches, score_batches], [24, 40, 24], seed=3)
    return LossPerDataset(losses, ["rows", "classes", "scores"]), JointCollator(collators), batches


def prepared(
    name: str, model: SentenceTransformer, *, cached: bool = False
) -> tuple[Objective, Collator | JointCollator, Batches]:
    """The objective of a run, and where its batches come from."""
    torch.manual_seed(5)  # what a loss draws for its parameters is then the same whenever it is made
    loss: Loss
    collator: Collator | JointCollator
    if name == JOINT:
        loss, collator, batches = joint(model)
    elif name in ROUTED:
        examples, loss, batches = ranking()
        collator = collator_of(examples, loss, model, ("query", "document"))
    else:
        examples, loss, batches = (RUNS | every_loss())[name]()
        collator = collator_of(examples, loss, model)
    if name == FROZEN:
        model.requires_grad_(False)
    # The learned metrics and classifiers are of the encoder's precision, so that fp64 is exact.
    return Objective(model, loss.to(model.dtype), cached=cached), collator, batches


def run(name: str, model: SentenceTransformer, folder: Path, *, cached: bool = False) -> dict[str, Any]:
    """Train for a few steps with this package's trainer: in fp64 with Adam, in fp32 with SGD.

    Adam makes rounding of gradients that are zero but for rounding as large as any other.
    """
    objective, collator, batches = prepared(name, model, cached=cached)
    settings = TrainSettings(steps=STEPS, learning_rate=1e-3, warmup=0.0, max_grad_norm=0.1, save_steps=STEPS)
    arguments = training_arguments(settings, folder / name, device="cpu")
    if model.dtype is torch.float32:
        arguments.optim, arguments.learning_rate = "sgd", 0.05
    seen = Seen(objective)
    folder.mkdir(exist_ok=True)
    log = StepLog(folder / f"{name}.jsonl", objective)
    scores = iter([0.1, 0.9, 0.5, 0.4, 0.3, 0.2, 0.1, 0.1])
    best = BestOnDev(objective, lambda: next(scores), metric="AP", steps=1, patience=None, log=log)
    trainer = Trainer(
        objective,
        arguments,
        collator=collator,
        batches=batches,
        callbacks=[AfterStep(objective), log, seen, best],
    )
    trainer.train()
    weights = {key: tensor.clone() for key, tensor in objective.state_dict().items()}
    best.restore()
    restored = {key: tensor.clone() for key, tensor in objective.state_dict().items()}
    return {
        "gradients": seen.gradients,
        "losses": seen.losses,
        "weights": weights,
        "best": restored,
        "texts": [collator(batch.tolist()).texts.sizes for batch in batches.epoch_batches(0)],
        "stats": dict(objective.last.stats) if objective.last else {},
    }


def views(model: SentenceTransformer, folder: Path) -> list[float]:
    """The largest difference of the two views of each text, at the first step of a SimCSE run."""

    class Seeing(SimCSELoss):
        seen: list[Tensor]

        def forward(self, batch: Embedded) -> LossOutput:
            self.seen = [(batch.columns[0] - batch.columns[1]).abs().amax(1).detach()]
            return super().forward(batch)

    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.3
    examples = Examples(Kind.TEXTS, np.arange(48), np.arange(48))
    loss = Seeing()
    objective = Objective(model, loss)
    arguments = training_arguments(TrainSettings(steps=1), folder / "views", device="cpu")
    batches = RowBatches(48, 48, seed=3)
    collator = collator_of(examples, loss, model)
    Trainer(objective, arguments, collator=collator, batches=batches).train()
    return [float(number) for number in loss.seen[0]]


def run_in_library(name: str, model: SentenceTransformer, folder: Path) -> dict[str, Any]:
    """Train with sentence-transformers' own trainer and collator, 8 rows a step over all processes."""
    make, table = TABLES[name]
    objective = Objective(model, make())
    seen = Seen(objective)
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(folder / "library"),
        max_steps=3,
        per_device_train_batch_size=8 // int(os.environ.get("WORLD_SIZE", "1")),
        learning_rate=0.05,
        optim="sgd",
        warmup_steps=0,
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
    )
    trainer = SentenceTransformerTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_dict(table),
        loss=objective,
        callbacks=[seen],
    )
    trainer.train()
    weights = {
        key.replace("model.module.", "model."): tensor.clone()
        for key, tensor in objective.state_dict().items()
    }
    return {"gradients": seen.gradients, "losses": seen.losses, "weights": weights}


def everything(folder: Path) -> dict[str, dict[str, Any]]:
    """What every run gives in this process."""
    gc.freeze()  # a trainer collects garbage at its start, which takes long over all that was imported
    # Before the first trainer, after which only one process would write the files of a new encoder.
    encoders = {
        f"{name} {dtype}": encoder(dtype) for name in RUNS for dtype in (torch.float32, torch.float64)
    }
    names = [name for name in (*every_loss(), JOINT) if name not in WITH_CHANCE]
    encoders |= {f"{name} {torch.float64}": encoder(torch.float64) for name in names}
    encoders |= {f"{name} {torch.float64}": routed(name) for name in ROUTED}
    others = {name: encoder(torch.float32) for name in (*TABLES, "views")}
    again = {f"{name} {torch.float64}": encoder(torch.float64) for name in names}
    again |= {f"{name} {torch.float64}": routed(name) for name in ROUTED}
    found = {name: run(name.rpartition(" ")[0], model, folder) for name, model in encoders.items()}
    if "WORLD_SIZE" in os.environ:
        for name, model in again.items():
            found[f"cached {name}"] = run(name.rpartition(" ")[0], model, folder / "cached", cached=True)
    found["views"] = {"differences": views(others.pop("views"), folder)}
    return found | {name: run_in_library(name, model, folder) for name, model in others.items()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    out = Path(sys.argv[1])
    torch.save(everything(out / os.environ["RANK"]), out / f"{os.environ['RANK']}.pt")
    torch.distributed.destroy_process_group()
