"""The scripts that sentence-transformers' documentation gives, run by its own trainer.

Pairs and retrieval: negatives mined by `mine_hard_negatives` as its page recommends (TopK-PercPos, 95 %),
then MultipleNegativesRankingLoss, batches of 32 without duplicates. Triplets: the same loss on the negatives
that are given, batches of 64. Labels: BatchAllTripletLoss (cosine, margin 0.3: the default Euclidean margin
of 5 is out of reach on unit vectors) and BatchHardSoftMarginTripletLoss, batches of 64 by label, one epoch.
Scores: CoSENTLoss, batches of 16. Warmup over a tenth of the steps, all else as the library has it.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
import torch
from quality_plan import LABELS, PAIRS, RETRIEVAL, SCORES, SHIPPED, TRIPLETS, Grid, Job, Plan, Results, Spent
from quality_sets import JUDGED
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.base.sampler import BatchSamplers
from sentence_transformers.sentence_transformer import losses
from sentence_transformers.util import mine_hard_negatives
from transformers import PrinterCallback

from sbert_triplet.encoding.loading import load_model, resolve_model

MARGIN = 0.3
_COSINE: Any = losses.BatchHardTripletLossDistanceFunction.cosine_distance
LOSSES: dict[str, Callable[[SentenceTransformer], torch.nn.Module]] = {
    "MultipleNegativesRanking": losses.MultipleNegativesRankingLoss,
    "BatchAll": lambda model: losses.BatchAllTripletLoss(model, _COSINE, MARGIN),
    "BatchHardSoftMargin": losses.BatchHardSoftMarginTripletLoss,
    "CoSENT": losses.CoSENTLoss,
}


@dataclass(frozen=True)
class Script:
    """What the documentation fixes. ``once``: one epoch, whatever the grid has."""

    losses: tuple[str, ...]
    batch_size: int
    sampler: BatchSamplers
    mined: bool = False
    once: bool = False


_RANKING = ("MultipleNegativesRanking",)
SCRIPTS = {
    PAIRS: Script(_RANKING, 32, BatchSamplers.NO_DUPLICATES, mined=True),
    RETRIEVAL: Script(_RANKING, 32, BatchSamplers.NO_DUPLICATES, mined=True),
    TRIPLETS: Script(_RANKING, 64, BatchSamplers.NO_DUPLICATES),
    LABELS: Script(("BatchAll", "BatchHardSoftMargin"), 64, BatchSamplers.GROUP_BY_LABEL, once=True),
    SCORES: Script(("CoSENT",), 16, BatchSamplers.BATCH_SAMPLER),
}


@dataclass(frozen=True)
class Setting:
    """One point of the grid."""

    loss: str
    learning_rate: float
    epochs: float

    @property
    def name(self) -> str:
        return f"{self.loss}, {self.learning_rate:g}, {self.epochs:g} epochs"


def settings(kind: str, grid: Grid) -> list[Setting]:
    """All that the peer chooses from on dev."""
    script = SCRIPTS[kind]
    epochs = (1.0,) if script.once else grid.epochs
    points = product(script.losses, grid.learning_rates, epochs)
    return [Setting(*point) for point in points]


def trained(plan: Plan, job: Job, setting: Setting, out: Path) -> Spent:
    """Carry the script out and save its model in ``out``."""
    datasets.disable_progress_bars()
    script, start = SCRIPTS[job.kind], time.perf_counter()
    model = load_model(resolve_model(plan.model), max_length=job.max_length)
    rows, corpus = _rows(job)
    mining = time.perf_counter()
    if script.mined:
        rows = _with_negatives(rows, model, corpus, plan.negatives)
    mining = time.perf_counter() - mining if script.mined else 0.0
    with tempfile.TemporaryDirectory() as scratch:
        trainer = SentenceTransformerTrainer(
            model=model,
            args=_arguments(plan, script, setting, job.seed, Path(scratch), str(model.device.type)),
            train_dataset=rows,
            loss=LOSSES[setting.loss](model),
        )
        trainer.remove_callback(PrinterCallback)
        begun = time.perf_counter()
        trainer.train()
        ended = time.perf_counter()
    model.save(str(out), create_model_card=False)
    steps = int(trainer.state.global_step)
    seen = min(steps * script.batch_size, round(setting.epochs * len(rows)))
    return Spent(begun - start, mining, ended - begun, steps, steps, seen, {SHIPPED: out}, setting.name)


def _with_negatives(
    rows: datasets.Dataset, model: SentenceTransformer, corpus: list[str] | None, negatives: int
) -> datasets.Dataset:
    # Its progress bars cannot be switched off.
    with contextlib.redirect_stderr(io.StringIO()):
        return mine_hard_negatives(
            rows,
            model,
            corpus=corpus,
            relative_margin=0.05,
            num_negatives=negatives,
            sampling_strategy="top",
            verbose=False,
        )


def _arguments(
    plan: Plan, script: Script, setting: Setting, seed: int, scratch: Path, device: str
) -> SentenceTransformerTrainingArguments:
    told: Results = {
        "num_train_epochs": setting.epochs,
        "per_device_train_batch_size": script.batch_size,
        "learning_rate": setting.learning_rate,
        "warmup_steps": 0.1,
        "bf16": plan.precision == "bf16",
        "batch_sampler": script.sampler,
        "seed": seed,
        "use_cpu": device == "cpu",
        "save_strategy": "no",
        "logging_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }
    return SentenceTransformerTrainingArguments(output_dir=str(scratch), **told)


def _rows(job: Job) -> tuple[datasets.Dataset, list[str] | None]:
    """The rows to train on as the trainer takes them, and the documents to mine from."""
    if job.kind in (PAIRS, RETRIEVAL):
        return _pairs(job.folder / JUDGED)
    rows = datasets.Dataset(pq.read_table(job.folder / "train.parquet"))
    if job.kind == LABELS:
        rows = rows.class_encode_column("label")
    return rows, None


def _pairs(folder: Path) -> tuple[datasets.Dataset, list[str]]:
    queries, corpus = (
        dict(zip(table["_id"].to_pylist(), table["text"].to_pylist(), strict=True))
        for table in (pq.read_table(folder / f"{name}.parquet") for name in ("queries", "corpus"))
    )
    judged = pq.read_table(folder / "qrels" / "train.parquet").to_pydict()
    columns = {
        "anchor": [queries[each] for each in judged["query-id"]],
        "positive": [corpus[each] for each in judged["corpus-id"]],
    }
    return datasets.Dataset.from_dict(columns), list(corpus.values())
