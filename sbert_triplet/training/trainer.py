"""The trainer of sentence-transformers, fed with this package's batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import PrinterCallback, TrainerCallback, set_seed

from sbert_triplet.errors import DivergedError
from sbert_triplet.training.ahead import BatchesAhead, RowsAhead
from sbert_triplet.training.collate import BatchMaker, TokenBatch
from sbert_triplet.training.fitting import StepFitter
from sbert_triplet.training.kept import TAKEN, Kept, load_kept, save_kept
from sbert_triplet.training.objective import Objective
from sbert_triplet.training.samplers import Batches
from sbert_triplet.training.sharding import refuse_parted_encoder

_OBJECTIVE = "objective"
OBJECTIVE_FILE = f"{_OBJECTIVE}.safetensors"
_REMEDY = "lower train.learning_rate, or set train.precision to fp32"


class Trainer(SentenceTransformerTrainer):
    """ST's trainer with global batches of row numbers.

    Every process draws the same batch from ``batches``; the collator hands each its share of the
    texts. The parameters of the loss start alike on all processes, have their gradients averaged,
    are clipped together with the encoder's, and are saved and loaded with each checkpoint. Raises
    DivergedError, naming step and data rows (from 1), for an embedding, loss or gradient that is not finite.
    A step that runs out of memory is repeated in smaller parts; ``tell`` is given an entry for the log.
    Every process holds the whole encoder: InputError where accelerate was asked for sharded weights.
    A batch is made while the step before it runs, and again where callbacks change the collator in between.
    ``kept``: by name, what else belongs into every checkpoint.
    """

    def __init__(
        self,
        objective: Objective,
        args: SentenceTransformerTrainingArguments,
        *,
        collator: BatchMaker,
        batches: Batches,
        callbacks: list[TrainerCallback] | None = None,
        tell: Callable[[dict[str, Any]], None] | None = None,
        kept: Mapping[str, Kept] | None = None,
    ) -> None:
        refuse_parted_encoder()
        if taken := (TAKEN | {_OBJECTIVE}) & set(kept or {}):
            raise ValueError(f"{', '.join(sorted(taken))}: a checkpoint has a file of this name already")
        self._kept: dict[str, Kept] = {_OBJECTIVE: _Own(objective), **(kept or {})}
        self.batches = batches
        self.objective: Objective = objective
        self.collator = collator
        self._ahead = BatchesAhead(collator)
        self.fitter = StepFitter(objective, collator, tell or (lambda _: None))
        collator.place(args.process_index, args.world_size)
        self.rows_seen = 0
        self.tokens_seen = 0
        self._rows = torch.zeros(0, dtype=torch.long)
        rows = Dataset.from_dict({"row": list(range(len(collator)))})
        super().__init__(
            model=objective.model,
            args=args,
            train_dataset=rows,
            loss=objective,
            data_collator=collator,  # type: ignore[arg-type]
            callbacks=callbacks,
        )
        self.remove_callback(PrinterCallback)

    def get_decay_parameter_names(self, model: torch.nn.Module) -> list[str]:
        """Those of the encoder: a temperature or a metric has no reason to shrink."""
        names = super().get_decay_parameter_names(model)
        return [name for name in names if not name.startswith("loss.")]

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """No callback: it would copy training texts into the model card, which this package writes itself."""

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Rows of global batches, not sharded: each process takes its share of the texts, not of the rows."""
        return RowsAhead(
            range(len(self.collator)),  # type: ignore[arg-type]
            batch_sampler=_Epochs(self.batches, self.collator),
            collate_fn=lambda rows: {"rows": self._ahead.announce(rows)},
        )

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train, and leave the encoder without wrapper, autocast and marks of the trainer.

        Dropout is a function of the seed and not of what was drawn since the trainer was made; each
        process has its own, or two views of a text that two processes encode would be the same.
        """
        set_seed(self.args.seed + self.args.process_index)
        if not any(parameter.requires_grad for parameter in self.objective.model.parameters()):
            # A wrapper for several processes refuses an encoder without anything to train.
            self.accelerator.prepare_model = lambda model, *_, **__: model
        if self.args.world_size > 1:
            for tensor in self.objective.own_state().values():
                torch.distributed.broadcast(tensor, src=0)
        try:
            return super().train(*args, **kwargs)
        finally:
            for mark in ("forward", "_original_forward", "_is_accelerate_prepared"):
                vars(self.model).pop(mark, None)
            self.objective.model = self.model_wrapped = self.model

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        return {"batch": inputs["batch"].to(self.args.device)}

    def collect_features(  # type: ignore[override]
        self, inputs: dict[str, Any]
    ) -> tuple[TokenBatch, None]:
        """The batch as the objective understands it; the labels are inside."""
        return inputs["batch"], None

    def training_step(self, model: torch.nn.Module, inputs: dict[str, Any], *rest: Any) -> Tensor:
        batch = self._ahead.take(inputs["rows"])
        self._rows = batch.rows
        self.rows_seen += len(self._rows)
        self.tokens_seen += batch.tokens
        stock = super().training_step
        try:
            loss: Tensor = self.fitter.carry_out(
                batch, lambda some: stock(model, {"batch": some}, *rest), self.state.global_step + 1
            )
        except DivergedError as error:
            raise self._diverged(str(error)) from error
        if not torch.isfinite(loss):
            raise self._diverged(f"the loss is {loss.item()}; {_REMEDY}")
        if self.args.world_size > 1:
            for parameter in self._loss_parameters():
                torch.distributed.all_reduce(parameter.grad)
                parameter.grad /= self.args.world_size
        self._ahead.settle()
        return loss

    def _clip_grad_norm(self, model: torch.nn.Module) -> Tensor:
        return self._clip(model, self.args.max_grad_norm)

    def _get_grad_norm(self, model: torch.nn.Module, grad_norm: Tensor | None = None) -> Tensor:
        norm = grad_norm if grad_norm is not None else self._clip(model, float("inf"))
        # With fp16 the gradient scaler leaves such a step out and goes on with a smaller scale.
        if self.accelerator.scaler is None and not torch.isfinite(norm):
            raise self._diverged(f"the norm of the gradient is {norm.item()}; {_REMEDY}")
        return norm

    def _clip(self, model: torch.nn.Module, limit: float) -> Tensor:
        parameters = [*model.parameters(), *self._loss_parameters()]
        norm: Tensor = self.accelerator.clip_grad_norm_(parameters, limit)
        return norm

    def _loss_parameters(self) -> list[torch.nn.Parameter]:
        return [parameter for parameter in self.objective.loss.parameters() if parameter.grad is not None]

    def _diverged(self, what: str) -> DivergedError:
        return DivergedError(f"step {self.state.global_step + 1}, data rows {_some(self._rows)}: {what}")

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict)
        save_kept(self._kept, Path(output_dir or self.args.output_dir or "."))

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: torch.nn.Module | None = None
    ) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint)
        load_kept(self._kept, Path(resume_from_checkpoint))


@dataclass(frozen=True)
class _Own:
    """The state of an objective without its encoder: the loss's, and that of a momentum encoder."""

    objective: Objective

    def state(self) -> dict[str, Tensor]:
        return self.objective.own_state()

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        own = self.objective.own_state()
        for name, value in state.items():
            own[name].copy_(value)


class _Epochs:
    """``Batches`` as a batch sampler that tells batches and collator the epoch.

    The base class tells the ``batch_sampler`` of a data loader's batch sampler: on a resumed run
    that is this, inside one which skips batches; otherwise it would be one of its own.
    """

    def __init__(self, batches: Batches, collator: BatchMaker) -> None:
        self._batches, self._collator = batches, collator

    @property
    def batch_sampler(self) -> _Epochs:
        return self

    def set_epoch(self, epoch: int) -> None:
        self._batches.set_epoch(epoch)
        self._collator.set_epoch(epoch)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self._batches)

    def __len__(self) -> int:
        return len(self._batches)


def _some(rows: Tensor) -> str:
    shown = ", ".join(str(int(row) + 1) for row in rows[:10])
    return shown + (f", … {len(rows)} in all" if len(rows) > 10 else "")
