"""Small encoders, examples and collators for the tests of training, with the Hub switched off."""

from __future__ import annotations

import copy
import functools
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from sbert_triplet.data.examples import Examples, Ragged
from sbert_triplet.data.kinds import Kind
from sbert_triplet.encoding.tiny import tiny_encoder
from sbert_triplet.encoding.tokens import TokenTable
from sbert_triplet.losses.batch import Loss
from sbert_triplet.training.arguments import TrainSettings, training_arguments
from sbert_triplet.training.callbacks import StepLog
from sbert_triplet.training.collate import Collator
from sbert_triplet.training.kept import Kept
from sbert_triplet.training.known import KnownPositives
from sbert_triplet.training.objective import Objective
from sbert_triplet.training.samplers import Batches, RowBatches
from sbert_triplet.training.trainer import Trainer

WORDS = ("red", "green", "blue", "cat", "dog", "horse", "runs", "sleeps", "eats", "slowly", "house", "tree")
TEXTS = tuple(
    " ".join(WORDS[(7 * number + 5 * place * place) % len(WORDS)] for place in range(1 + number % 9))
    + f" number {number}"
    for number in range(60)
)
"""Sixty different texts of 3 to 11 words."""


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def imported(file: str) -> ModuleType:
    """A file of this folder that is both a script and a module."""
    path = Path(__file__).with_name(file)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


SeveralProcesses = Callable[..., list[tuple[int, str]]]
TwoProcesses = Callable[..., list[tuple[int, str]]]


@pytest.fixture(scope="session")
def two_processes(several_processes: SeveralProcesses) -> TwoProcesses:
    """Runs ``script FOLDER WORDS`` as two processes of one run: exit code and output of each."""

    def carried_out(script: str, folder: Path, *words: str, limit: float = 300) -> list[tuple[int, str]]:
        for rank in (0, 1):
            (folder / str(rank)).mkdir(exist_ok=True)
        return several_processes(str(Path(__file__).with_name(script)), str(folder), *words, limit=limit)

    return carried_out


@pytest.fixture(scope="session")
def every_run() -> ModuleType:
    """``several_processes.py``: a run of each loss of the package, and what they are made of."""
    return imported("several_processes.py")


@pytest.fixture(scope="session")
def imported_script(every_run: ModuleType) -> Callable[[str], ModuleType]:
    """Imports another script of this folder, which may import ``several_processes``."""
    del every_run
    return imported


@functools.cache
def _tiny() -> SentenceTransformer:
    return tiny_encoder(TEXTS, dimensions=16)


@pytest.fixture
def texts() -> list[str]:
    return list(TEXTS)


@pytest.fixture
def make_encoder() -> Callable[..., SentenceTransformer]:
    """A tiny encoder of 16 dimensions; ``dropout`` of all its layers."""

    def make(dropout: float = 0.0, dtype: torch.dtype = torch.float32) -> SentenceTransformer:
        model = copy.deepcopy(_tiny())
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = dropout
        return model.to(dtype)

    return make


def rows_of(kind: Kind, anchors: Sequence[int], **parts: Any) -> Examples:
    """Examples of ``kind``; ``negatives`` as lists, the rest as sequences."""
    negatives = parts.pop("negatives", None)
    arrays = {
        name: np.array(values, dtype=np.float64 if name in ("scores", "weights") else np.int64)
        for name, values in parts.items()
        if name != "label_names"
    }
    if "label_names" in parts:
        arrays["label_names"] = parts["label_names"]
    return Examples(
        kind,
        anchors=np.array(anchors, dtype=np.int64),
        row_numbers=np.arange(len(anchors)) + 1000,
        negatives=Ragged.from_lists(negatives) if negatives is not None else None,
        **arrays,
    )


@pytest.fixture
def rows() -> Callable[..., Examples]:
    return rows_of


@pytest.fixture
def pairs() -> Examples:
    """24 pairs: repeated anchors and positives, and 0 to 3 negatives a row."""
    return rows_of(
        Kind.PAIRS,
        [row % 15 for row in range(24)],
        positives=[20 + (row * 5) % 18 for row in range(24)],
        negatives=[[40 + (row * 3 + place) % 12 for place in range(row % 4)] for row in range(24)],
    )


@pytest.fixture
def labelled() -> Examples:
    """40 texts of 5 classes."""
    return rows_of(
        Kind.LABELLED, range(40), labels=[row % 5 for row in range(40)], label_names=tuple("abcde")
    )


@pytest.fixture
def scored() -> Examples:
    """24 pairs of texts with a score of 0 to 5."""
    return rows_of(
        Kind.SCORED,
        range(24),
        positives=[24 + (row * 7) % 30 for row in range(24)],
        scores=[(row * 5 % 11) / 2 for row in range(24)],
    )


MakeCollator = Callable[..., Collator]


@pytest.fixture
def make_collator() -> MakeCollator:
    """A prepared collator over ``TEXTS`` for a loss; further arguments as of ``Collator``."""

    def make(
        examples: Examples,
        model: SentenceTransformer,
        loss: Loss,
        *,
        kind: Kind | None = None,
        known: np.ndarray | None = None,
        **parts: Any,
    ) -> Collator:
        collator = Collator(
            examples,
            TokenTable(model, lambda ids: [TEXTS[number] for number in ids]),
            loss.needs_for((kind or examples.kind).value),
            parts.pop("sides", ("text", "text")),
            parts.pop("budget", 64),
            KnownPositives(examples.known_positives() if known is None else known),
            **parts,
        )
        collator.prepare()
        return collator

    return make


MakeTrainer = Callable[..., Trainer]


@pytest.fixture
def make_trainer(tmp_path: Path, make_collator: MakeCollator) -> MakeTrainer:
    """A trainer of a loss on examples; further arguments as of ``TrainSettings``."""

    def make(
        examples: Examples,
        model: SentenceTransformer,
        loss: Loss,
        *,
        callbacks: Callable[[Objective], list[Any]] = lambda _: [],
        batches: Batches | None = None,
        kept: Mapping[str, Kept] | None = None,
        folder: str = "checkpoints",
        **settings: Any,
    ) -> Trainer:
        settings = {"steps": 4, "batch_size": 8, "learning_rate": 1e-3, **settings}
        objective = Objective(model, loss)
        given, given_callbacks = TrainSettings(**settings), callbacks(objective)
        return Trainer(
            objective,
            training_arguments(given, tmp_path / folder, device="cpu"),
            collator=make_collator(examples, model, loss, seed=given.seed),
            batches=batches or RowBatches(len(examples), given.batch_size, seed=given.seed),
            callbacks=given_callbacks,
            kept=kept,
            most_left_out=given.max_bad_steps,
            tell=next((each.write for each in given_callbacks if isinstance(each, StepLog)), None),
        )

    return make
