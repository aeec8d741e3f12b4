"""Training settings as sentence-transformers' arguments."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainingArguments

from sbert_triplet.errors import RecipeError
from sbert_triplet.processes import local_rank, processes
from sbert_triplet.training.left_out import MOST


@dataclass(frozen=True)
class TrainSettings:
    """Everything a run of the trainer is told.

    ``warmup`` below 1 is a share of the steps. ``max_grad_norm``: 0 or None clips nothing.
    """

    steps: int
    batch_size: int = 64
    learning_rate: float = 2e-5
    schedule: str = "linear"
    warmup: float = 0.1
    weight_decay: float = 0.0
    max_grad_norm: float | None = 1.0
    precision: str = "fp32"
    seed: int = 13
    deterministic: bool = False
    save_steps: int | None = None
    keep: int = 2
    max_bad_steps: int = MOST
    report_to: tuple[str, ...] = ()


def training_arguments(
    settings: TrainSettings, folder: Path, *, device: str | None = None
) -> SentenceTransformerTrainingArguments:
    """The arguments for ``training.trainer.Trainer``; checkpoints go to ``folder``."""
    warmup = settings.warmup if settings.warmup >= 1 else round(settings.warmup * settings.steps)
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(folder),
        max_steps=settings.steps,
        per_device_train_batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="constant_with_warmup" if settings.schedule == "constant" else settings.schedule,
        warmup_steps=int(warmup),
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm or 0.0,
        bf16=settings.precision == "bf16",
        fp16=settings.precision == "fp16",
        seed=settings.seed,
        full_determinism=settings.deterministic,
        save_strategy="steps" if settings.save_steps else "no",
        save_steps=settings.save_steps or 500,
        save_total_limit=settings.keep,
        report_to=list(settings.report_to) or "none",
        use_cpu=device == "cpu",
        disable_tqdm=True,
        logging_steps=1,
        logging_nan_inf_filter=False,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        # A step is several forward passes, whose number differs between processes: a broadcast in each hangs.
        ddp_broadcast_buffers=False,
        optim="adamw_torch_fused" if fused_optimizer(device) else "adamw_torch",
    )
    # Over several GPUs of one process transformers spreads each batch by DataParallel, which cuts packs in
    # two; several GPUs take a process each.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def fused_optimizer(device: str | None) -> bool:
    """Whether torch has a fused AdamW for the device."""
    return device in (None, "cpu") or str(device).startswith(("cuda", "mps", "xpu"))


def freeze(
    model: SentenceTransformer, patterns: Sequence[str | int], *, loss: torch.nn.Module | None = None
) -> list[str]:
    """Stop the gradient of the parameters that match; returns their names.

    A pattern is "embeddings", a number of lowest layers, a shell pattern of parameter names
    (``*.layer.0.*``), or "encoder" for all of them. Raises RecipeError for one that matches nothing, and
    where nothing would be left to train, in the encoder or in ``loss``.
    """
    names = [name for name, _ in model.named_parameters()]
    frozen: set[str] = set()
    for pattern in patterns:
        matched = {name for name in names if _matches(pattern, name)}
        if not matched:
            raise RecipeError(f"train.freeze: {pattern!r} matches no parameter of the model")
        frozen |= matched
    for name, parameter in model.named_parameters():
        if name in frozen:
            parameter.requires_grad_(False)
    trained = [*model.parameters(), *(loss.parameters() if loss is not None else [])]
    if not any(parameter.requires_grad for parameter in trained):
        raise RecipeError(
            "train.freeze: every parameter of the model is frozen, nothing is left to train; freeze "
            "fewer, or choose a loss that learns a metric (relative_comparisons, oasis, mahalanobis)"
        )
    return sorted(frozen)


def _matches(pattern: str | int, name: str) -> bool:
    if isinstance(pattern, int):
        layer = re.search(r"\b(?:layers?|h|blocks?)\.(\d+)\.", name)
        return layer is not None and int(layer.group(1)) < pattern
    if pattern == "encoder":
        return True
    if pattern == "embeddings":
        return re.search(r"\bembeddings?\.|\bembed_tokens\.", name) is not None
    return fnmatchcase(name, pattern)


def choose_device(wanted: str | None = None) -> torch.device:
    """The device to train on: the given one, else CUDA, else Apple's, else the CPU.

    Of several processes on a machine each has a GPU of its own.
    """
    if wanted and (wanted != "cuda" or processes() == 1):
        return torch.device(wanted)
    if torch.cuda.is_available():
        return torch.device("cuda", local_rank()) if processes() > 1 else torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
