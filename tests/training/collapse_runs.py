"""A run that collapses, with what it is made of: imported by a test, and started by it as several processes.

As a script: ``collapse_runs.py FOLDER`` with the environment that ``accelerate launch`` sets; prints the
message that the run was stopped with.
"""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from sbert_triplet.data.examples import Examples
from sbert_triplet.data.kinds import Kind
from sbert_triplet.encoding.tiny import tiny_encoder
from sbert_triplet.encoding.tokens import TokenTable
from sbert_triplet.errors import CollapsedError
from sbert_triplet.losses.batch import Loss
from sbert_triplet.losses.triplet import TripletLoss
from sbert_triplet.training.arguments import TrainSettings, training_arguments
from sbert_triplet.training.callbacks import AfterStep
from sbert_triplet.training.collapse import CollapseWatch
from sbert_triplet.training.collate import Collator
from sbert_triplet.training.known import KnownPositives
from sbert_triplet.training.objective import Objective
from sbert_triplet.training.samplers import ClassBatches
from sbert_triplet.training.trainer import Trainer

WORDS = ("red", "green", "blue", "cat", "dog", "horse", "runs", "sleeps", "eats", "slowly", "house", "tree")
TOPICS = ("rain", "bread", "chess", "moss", "paint", "maps")
TEXTS = [
    " ".join(WORDS[(5 * number + number // 12 + 3 * place * place) % 12] for place in range(2 + number % 4))
    + f" {TOPICS[number % 6]}"
    for number in range(72)
]
"""Different texts, each of which holds the word that is its class."""
CLASSES = np.arange(72) % 6
NO_CLASSES = np.random.default_rng(0).permutation(CLASSES)
"""Classes that the texts say nothing of, so that hard triplets stay hard."""
_MADE: dict[str, SentenceTransformer] = {}


def encoder() -> SentenceTransformer:
    if "plain" not in _MADE:
        _MADE["plain"] = tiny_encoder(TEXTS, dimensions=16)
    model = copy.deepcopy(_MADE["plain"])
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


def hopeless() -> Loss:
    """Hardest triplets under a margin that hardly any can meet."""
    return TripletLoss(distance="euclidean", margin=1.5, miner="hard")


def made(
    folder: Path,
    loss: Loss,
    *,
    model: SentenceTransformer | None = None,
    labels: np.ndarray | None = None,
    watched: bool = True,
    every: int = 5,
    more: tuple[Any, ...] = (),
    **settings: Any,
) -> tuple[Trainer, CollapseWatch]:
    """A trainer on the texts and their classes, with its watch, which takes part only where ``watched``."""
    classes = CLASSES if labels is None else labels
    examples = Examples(Kind.LABELLED, np.arange(72), np.arange(72), labels=classes)
    objective = Objective(model or encoder(), loss)
    collator = Collator(
        examples,
        TokenTable(objective.model, lambda ids: [TEXTS[number] for number in ids]),
        loss.needs_for("labelled"),
        ("text", "text"),
        512,
        KnownPositives(examples.known_positives()),
    )
    collator.prepare()
    watch = CollapseWatch(objective, every=every)
    chosen = {"steps": 60, "learning_rate": 3e-3, "warmup": 0.0, "schedule": "constant", "batch_size": 24}
    trainer = Trainer(
        objective,
        training_arguments(TrainSettings(**{**chosen, **settings}), folder, device="cpu"),
        collator=collator,
        batches=ClassBatches(classes, len(set(classes.tolist())), 4, seed=3),
        callbacks=[AfterStep(objective), *([watch] if watched else []), *more],
        kept={"collapse": watch},
    )
    return trainer, watch


if __name__ == "__main__":
    try:
        made(Path(sys.argv[1]) / "checkpoints", hopeless(), labels=NO_CLASSES)[0].train()
    except CollapsedError as error:
        print(f"stopped: {error}")
