"""The trainer of sentence-transformers, fed with this package's batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import PrinterCallback, TrainerCallback

from sbert_triplet.errors import DivergedError
from sbert_triplet.training.collate import Collator, TokenBatch
from sbert_triplet.training.objective import Objective
from sbert_triplet.training.samplers import Batches

LOSS_FILE = "loss.safetensors"


class Trainer(SentenceTransformerTrainer):
    """ST's trainer with global batches of row numbers.

    Every process draws the same batch from ``batches``; the collator hands each its share of the
    texts. The parameters of the loss are clipped together with the encoder's, averaged over the
    processes, and saved and loaded with each checkpoint.
    """

    def __init__(
        self,
        objective: Objective,
        args: SentenceTransformerTrainingArguments,
        *,
        collator: Collator,
        batches: Batches,
        callbacks: list[TrainerCallback] | None = None,
    ) -> None:
        self.batches = batches
        self.objective: Objective = objective
        self.collator = collator
        self.rows_seen = 0
        self.tokens_seen = 0
        rows = Dataset.from_dict({"row": list(range(len(collator.examples)))})
        super().__init__(
            model=objective.model,
            args=args,
            train_dataset=rows,
            loss=objective,
            data_collator=collator,  # type: ignore[arg-type]
            callbacks=callbacks,
        )
        self.remove_callback(PrinterCallback)

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """No callback: it would copy training texts into the model card, which this package writes itself."""

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Global batches, not sharded: each process takes its share of the texts, not of the rows."""
        return DataLoader(
            range(len(self.collator.examples)),  # type: ignore[arg-type]
            batch_sampler=_Epochs(self.batches),
            collate_fn=lambda rows: {"batch": self.collator(rows)},
        )

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train, and leave the encoder as it was called before: without the trainer's autocast."""
        try:
            return super().train(*args, **kwargs)
        finally:
            self.accelerator.unwrap_model(self.model_wrapped, keep_fp32_wrapper=False)

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        return {"batch": inputs["batch"].to(self.args.device)}

    def collect_features(  # type: ignore[override]
        self, inputs: dict[str, Any]
    ) -> tuple[TokenBatch, None]:
        """The batch as the objective understands it; the labels are inside."""
        return inputs["batch"], None

    def training_step(self, model: torch.nn.Module, inputs: dict[str, Any], *rest: Any) -> Tensor:
        rows = inputs["batch"].rows
        self.rows_seen += len(rows)
        self.tokens_seen += inputs["batch"].tokens
        loss: Tensor = super().training_step(model, inputs, *rest)
        if not torch.isfinite(loss):
            raise DivergedError(
                f"step {self.state.global_step + 1}: the loss is {loss.item()} (data rows {_some(rows)}); "
                "lower train.learning_rate, or set train.precision to fp32"
            )
        return loss

    def _clip_grad_norm(self, model: torch.nn.Module) -> Tensor:
        own = [p for p in self.objective.loss.parameters() if p.grad is not None]
        if self.args.world_size > 1:
            for parameter in own:
                torch.distributed.all_reduce(parameter.grad)
                parameter.grad /= self.args.world_size
        norm: Tensor = self.accelerator.clip_grad_norm_([*model.parameters(), *own], self.args.max_grad_norm)
        return norm

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict)
        state = self.objective.loss.state_dict()
        if state:
            folder = Path(output_dir or self.args.output_dir or ".")
            save_file({name: value.contiguous().cpu() for name, value in state.items()}, folder / LOSS_FILE)

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: torch.nn.Module | None = None
    ) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint)
        file = Path(resume_from_checkpoint) / LOSS_FILE
        if file.is_file():
            self.objective.loss.load_state_dict(load_file(file))


class _Epochs:
    """``Batches`` behind the face of a batch sampler whose inner sampler knows the epoch."""

    def __init__(self, batches: Batches) -> None:
        self.batch_sampler = batches
        self.batch_size = None

    def __iter__(self) -> Any:
        return iter(self.batch_sampler)

    def __len__(self) -> int:
        return len(self.batch_sampler)


def _some(rows: Tensor) -> str:
    shown = ", ".join(str(int(row)) for row in rows[:10])
    return shown + (f", … {len(rows)} in all" if len(rows) > 10 else "")
