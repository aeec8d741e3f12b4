"""A few steps of training in this process, by this package or by sentence-transformers, and their cost."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow.parquet as pq
import torch
from isolated import peak_above
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.base.losses.merged_forward import embed_columns
from sentence_transformers.base.sampler import DefaultBatchSampler
from sentence_transformers.sentence_transformer import losses
from throughput_cases import System
from throughput_data import SEED
from torch import Tensor
from transformers import PrinterCallback, TrainerCallback
from transformers import Trainer as AnyTrainer

from sbert_triplet.data.build import build_examples
from sbert_triplet.data.kinds import Kind, Roles
from sbert_triplet.data.texts import TextTable
from sbert_triplet.encoding.encode import group_tokens
from sbert_triplet.encoding.loading import load_model
from sbert_triplet.encoding.tokens import TokenTable
from sbert_triplet.losses.names import build_loss
from sbert_triplet.training.arguments import TrainSettings, fused_optimizer, training_arguments
from sbert_triplet.training.callbacks import AfterStep, StepLog
from sbert_triplet.training.collate import Collator
from sbert_triplet.training.known import KnownPositives
from sbert_triplet.training.objective import Objective
from sbert_triplet.training.samplers import Batches
from sbert_triplet.training.trainer import Trainer

LEARNING_RATE, SCALE, WEIGHT_DECAY = 5e-5, 20.0, 0.01


@dataclass(frozen=True)
class Task:
    """What every system is given. ``sizes``: rows of the batches, of which the last is only fetched."""

    rows: str
    model: str
    precision: str
    device: str
    max_length: int
    sizes: tuple[int, ...]
    warmup: int

    @property
    def steps(self) -> int:
        return len(self.sizes) - 1

    def batches(self) -> list[np.ndarray[Any, np.dtype[np.int64]]]:
        """The numbers of the rows of each batch."""
        ends = np.cumsum([0, *self.sizes])
        return [np.arange(start, end, dtype=np.int64) for start, end in pairwise(ends)]

    def dataset(self) -> datasets.Dataset:
        return datasets.Dataset(pq.read_table(self.rows))


@dataclass(frozen=True)
class Spent:
    """Of the timed steps: seconds, processor seconds in and outside the system, and bytes above the start."""

    seconds: float
    user: float
    system: float
    peak: int
    loss: float


class Clock(TrainerCallback):
    """Reads the time at the end of the warm-up and of the last step; ``begin`` and ``end`` are told."""

    def __init__(
        self, task: Task, begin: Callable[[], Any] | None = None, end: Callable[[], Any] | None = None
    ) -> None:
        self.task, self.done = task, 0
        self.marks: list[tuple[float, float, float]] = []
        self.told = {task.warmup: begin, task.steps: end}

    def on_step_end(self, *_: Any, **__: Any) -> None:
        import resource

        self.done += 1
        if self.done in self.told:
            if self.task.device == "cuda":
                torch.cuda.synchronize()
            used = resource.getrusage(resource.RUSAGE_SELF)
            self.marks.append((time.perf_counter(), used.ru_utime, used.ru_stime))
            if (tell := self.told[self.done]) is not None:
                tell()

    def spent(self) -> tuple[float, float, float]:
        """Seconds, and processor seconds outside and inside the system."""
        first, last = self.marks
        return last[0] - first[0], last[1] - first[1], last[2] - first[2]


def trained(system: System, task: Task, clock: Clock) -> Spent:
    """Carry the steps out. The peak counts from a loaded model, with data at hand, before the first step."""
    torch.manual_seed(SEED)
    outcome: list[Any] = []
    with tempfile.TemporaryDirectory() as folder:
        trainer = (_ours if system.ours else _st)(system, task, Path(folder))
        trainer.add_callback(clock)
        peak = _peak_of(lambda: outcome.append(trainer.train()), task.device)
    return Spent(*clock.spent(), peak, float(outcome[0].training_loss))


def _peak_of(train: Callable[[], None], device: str) -> int:
    """The peak above what there was before: of the GPU's memory where there is one, else resident memory."""
    if device != "cuda":
        return peak_above(train)[1]
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    train()
    return torch.cuda.max_memory_allocated() - before


def _model(system: System, task: Task) -> SentenceTransformer:
    model = load_model(task.model, max_length=task.max_length, device=task.device)
    transformer: Any = model[0]
    if system.attention is not None:
        transformer.model.set_attn_implementation(system.attention)
        transformer.unpad_inputs = None  # looks again whether padding can be left out
    if system.compiled:
        # sentence-transformers enters forward itself, past what Module.compile() puts in its place.
        transformer.model.forward = torch.compile(transformer.model.forward, dynamic=True)
    return model


class _Given(Batches):
    """The batches of a task."""

    def __init__(self, task: Task) -> None:
        super().__init__(SEED)
        self.task = task

    def epoch_batches(self, epoch: int) -> list[np.ndarray[Any, np.dtype[np.int64]]]:
        return self.task.batches()


def _ours(system: System, task: Task, folder: Path) -> Trainer:
    """As the command line sets a run up."""
    model, rows = _model(system, task), task.dataset()
    anchor, positive, *negatives = rows.column_names
    kind = Kind.TRIPLETS if negatives else Kind.PAIRS
    texts = TextTable(folder)
    examples = build_examples(
        rows, Roles(kind=kind, anchor=anchor, positive=positive, negatives=tuple(negatives)), texts
    )
    loss = build_loss("multiple_negatives_ranking", scale=SCALE)
    collator = Collator(
        examples,
        TokenTable(model, lambda ids: texts.texts(list(ids))),
        loss.needs_for(kind.value),
        ("query", "document"),
        system.tokens or group_tokens(model.device),
        KnownPositives(examples.known_positives()),
        seed=SEED,
    )
    collator.prepare()
    objective = Objective(model, loss, cached=system.cached)
    settings = TrainSettings(
        steps=task.steps,
        batch_size=max(task.sizes),
        learning_rate=LEARNING_RATE,
        weight_decay=WEIGHT_DECAY,
        precision=task.precision,
        seed=SEED,
    )
    log = StepLog(folder / "log.jsonl", objective)
    return Trainer(
        objective,
        training_arguments(settings, folder / "checkpoints", device=task.device),
        collator=collator,
        batches=_Given(task),
        callbacks=[AfterStep(objective), log],
        tell=log.write,
    )


class _InOrder(DefaultBatchSampler):
    """The batches of a task, for sentence-transformers."""

    def __init__(self, task: Task, dataset: datasets.Dataset, **options: Any) -> None:
        super().__init__(range(len(dataset)), **options)
        self.task = task

    def __iter__(self) -> Iterator[list[int]]:
        return iter([batch.tolist() for batch in self.task.batches()])

    def __len__(self) -> int:
        return len(self.task.sizes)


class _Merged(losses.MultipleNegativesRankingLoss):
    """All columns in one forward pass, the anchors too."""

    def forward(self, sentence_features: Any, labels: Tensor) -> Tensor:
        embeddings = embed_columns(self.model, sentence_features, separate_first=False)
        return self.compute_loss_from_embeddings(embeddings, labels)


def _st(system: System, task: Task, folder: Path) -> AnyTrainer:
    """The library's defaults but for batches, learning rate, precision and optimizer."""
    model = _model(system, task)
    loss: torch.nn.Module
    if system.cached:
        loss = losses.CachedMultipleNegativesRankingLoss(
            model, scale=SCALE, mini_batch_size=system.texts, mini_batch_num_tokens=system.tokens
        )
    else:
        loss = (_Merged if system.merged else losses.MultipleNegativesRankingLoss)(model, scale=SCALE)
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(folder),
        max_steps=task.steps,
        per_device_train_batch_size=max(task.sizes),
        learning_rate=LEARNING_RATE,
        weight_decay=WEIGHT_DECAY,
        bf16=task.precision == "bf16",
        seed=SEED,
        use_cpu=task.device == "cpu",
        batch_sampler=lambda dataset, **options: _InOrder(task, dataset, **options),
        optim="adamw_torch_fused" if fused_optimizer(task.device) else "adamw_torch",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = SentenceTransformerTrainer(model=model, args=arguments, train_dataset=task.dataset(), loss=loss)
    trainer.remove_callback(PrinterCallback)
    return trainer
