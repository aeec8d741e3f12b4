"""The trainer of sentence-transformers, fed with this package's batches."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import PrinterCallback, TrainerCallback, set_seed
from transformers.trainer import TRAINING_ARGS_NAME

from sbert_triplet.data.wording import first_line
from sbert_triplet.errors import DivergedError, InputError, MachineError
from sbert_triplet.processes import from_all
from sbert_triplet.training.ahead import BatchesAhead, RowsAhead
from sbert_triplet.training.checkpoints import Checkpoints
from sbert_triplet.training.collate import BatchMaker, TokenBatch
from sbert_triplet.training.fitting import StepFitter, StepState
from sbert_triplet.training.generators import generators, set_generators
from sbert_triplet.training.kept import TAKEN, Kept, load_kept, save_kept
from sbert_triplet.training.left_out import MOST, REMEDY, LeftOut
from sbert_triplet.training.objective import Objective
from sbert_triplet.training.pieces import Epochs, IntervalsAsAsked, OwnState, Spent
from sbert_triplet.training.resuming import PARTS_BY, load_weights, loading_optimizer
from sbert_triplet.training.samplers import Batches
from sbert_triplet.training.scaling import ScaleSearch
from sbert_triplet.training.sharding import refuse_parted_encoder

_OBJECTIVE = "objective"
OBJECTIVE_FILE = f"{_OBJECTIVE}.safetensors"
GENERATORS = "generators.safetensors"
STATE = "trainer_state.json"
UNREADABLE = (pickle.UnpicklingError, EOFError, AttributeError, KeyError, TypeError, ValueError)
"""What reading and taking the state of an optimizer raises where it is another file."""


class Trainer(SentenceTransformerTrainer):
    """ST's trainer with global batches of row numbers.

    Every process draws the same batch from ``batches``; the collator hands each its share of the
    texts. The parameters of the loss start alike on all processes, have their gradients averaged,
    are clipped together with the encoder's, and are saved and loaded with each checkpoint. A step with an
    embedding, loss or gradient that is not finite is left out, which ``left_out`` counts; after more than
    ``most_left_out`` of them DivergedError is raised, naming step and data rows (from 1).
    A step that runs out of memory is repeated in smaller parts; ``tell`` is given an entry for the log.
    Every process holds the whole encoder: InputError where accelerate was asked for sharded weights.
    A batch is made while the step before it runs, and again where callbacks change the collator in between.
    ``kept``: by name, what else belongs into every checkpoint. ``checkpoints``: where they are written, by
    default as the arguments say. ``changed``: keys of the recipe whose values are not those of the run that
    wrote the checkpoint to go on from; what they say holds from there on.
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
        checkpoints: Checkpoints | None = None,
        most_left_out: int = MOST,
        changed: Collection[str] = (),
    ) -> None:
        refuse_parted_encoder()
        self.batches = batches
        self.objective: Objective = objective
        self.collator = collator
        self._ahead = BatchesAhead(collator)
        tell = tell or (lambda _: None)
        self.fitter = StepFitter(objective, collator, tell)
        self.spent, self.left_out = Spent(), LeftOut(most_left_out, tell)
        self._scale_search, self._changed = ScaleSearch(), frozenset(changed)
        own: dict[str, Kept] = {
            _OBJECTIVE: OwnState(objective),
            "parts": self.fitter,
            "spent": self.spent,
            "left-out": self.left_out,
            "scale-search": self._scale_search,
        }
        if taken := (TAKEN | set(own)) & set(kept or {}):
            raise ValueError(f"{', '.join(sorted(taken))}: a checkpoint has a file of this name already")
        self._kept: dict[str, Kept] = {**own, **(kept or {})}
        self.checkpoints = checkpoints or Checkpoints(
            Path(args.output_dir or "."), keep=args.save_total_limit or 1
        )
        collator.place(args.process_index, args.world_size)
        self._rows = torch.zeros(0, dtype=torch.long)
        self._before = StepState(objective)
        self._bad: str | None = None
        rows = Dataset.from_dict({"row": list(range(len(collator)))})
        super().__init__(
            model=objective.model,
            args=args,
            train_dataset=rows,
            loss=objective,
            data_collator=collator,  # type: ignore[arg-type]
            callbacks=[IntervalsAsAsked(), *(callbacks or [])],
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
            batch_sampler=Epochs(self.batches, self.collator),
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
        self.spent.start()
        try:
            found = super().train(*args, **kwargs)
            self.refuse_unfit()
            with self.spent.waiting_for_checkpoint():
                self.checkpoints.settle()
            return found
        finally:
            with suppress(MachineError):
                # After another failure the checkpoint before it is still made whole.
                self.checkpoints.settle()
            self.spent.stop()
            for mark in ("forward", "_original_forward", "_is_accelerate_prepared"):
                vars(self.model).pop(mark, None)
            self.objective.model = self.model_wrapped = self.model

    @property
    def unmoved(self) -> bool:
        """Whether no step so far reached the weights."""
        return self.left_out.all_of(self.state.global_step, self._scale_search.skipped)

    def refuse_unfit(self) -> None:
        """Raise DivergedError where weights are not finite, or are those of the start."""
        self._refuse_spoiled_weights()
        self.left_out.refuse_all(self.state.global_step, self._scale_search.skipped)

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
        self.spent.rows += len(self._rows)
        self.spent.tokens += batch.tokens
        self._before, self._bad = StepState(self.objective), None
        stock = super().training_step
        try:
            loss: Tensor = self.fitter.carry_out(
                batch,
                lambda some: stock(model, {"batch": some}, *rest),
                self.state.global_step + 1,
                self._before,
            )
        except DivergedError as error:
            self._bad, loss = str(error), torch.zeros((), device=self.args.device)
            self._give_scaler_something_to_leave_out()
        else:
            if not torch.isfinite(loss):
                self._bad = f"the loss is {loss.item()}"
            self._average_gradients_of_loss()
        self._ahead.settle()
        return loss

    def _average_gradients_of_loss(self) -> None:
        for parameter in self._loss_parameters() if self.args.world_size > 1 else []:
            torch.distributed.all_reduce(parameter.grad)
            parameter.grad /= self.args.world_size

    def _clip_grad_norm(self, model: torch.nn.Module) -> Tensor:
        return self._clip(model, self.args.max_grad_norm)

    def _get_grad_norm(self, model: torch.nn.Module, grad_norm: Tensor | None = None) -> Tensor:
        norm = grad_norm if grad_norm is not None else self._clip(model, float("inf"))
        finite = bool(torch.isfinite(norm))
        # With fp16 the gradient scaler leaves such a step out and goes on with a smaller scale.
        searching = self._scale_search.goes_on(self.accelerator.scaler, finite=finite)
        if self._bad is None and not finite and not searching:
            self._bad = f"the norm of the gradient is {norm.item()}"
        if (why := self._bad_anywhere()) is not None:
            self._before.restore()
            self.objective.left_out()
            self.left_out.add(self.state.global_step + 1, self._rows, why)
        return norm

    def _bad_anywhere(self) -> str | None:
        """Why this step is left out: every process leaves it out where one has to."""
        if self.args.world_size == 1:
            return self._bad
        found = torch.tensor(self._bad is not None, dtype=torch.int32, device=self.args.device)
        torch.distributed.all_reduce(found)
        return self._bad or ("another process found a number that is not finite" if found else None)

    def _give_scaler_something_to_leave_out(self) -> None:
        """Without any gradient the scaler of fp16 refuses the step; with this one it leaves it out."""
        if self.accelerator.scaler is not None:
            for parameter in self.objective.parameters():
                if parameter.requires_grad:
                    parameter.grad = torch.full_like(parameter, float("inf"))

    def _clip(self, model: torch.nn.Module, limit: float) -> Tensor:
        parameters = [*model.parameters(), *self._loss_parameters()]
        norm: Tensor = self.accelerator.clip_grad_norm_(parameters, limit)
        return norm

    def _loss_parameters(self) -> list[torch.nn.Parameter]:
        return [parameter for parameter in self.objective.loss.parameters() if parameter.grad is not None]

    def _refuse_spoiled_weights(self) -> None:
        if all(bool(torch.isfinite(tensor).all()) for tensor in self.objective.parameters()):
            return
        raise DivergedError(f"step {self.state.global_step}: a weight is not finite; {REMEDY}")

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        """Everything that the next step depends on, written by the leading process."""
        with self.spent.waiting_for_checkpoint():
            self._write_checkpoint()

    def _write_checkpoint(self) -> None:
        self._refuse_spoiled_weights()
        draws = from_all(generators(self.args.device))
        if not self.args.should_save:
            return
        # Every step is in the log already; here the list would grow with each of them.
        self.state.log_history.clear()
        with self.checkpoints.staged(self.state.global_step) as folder:
            self._save(str(folder))
            self._save_optimizer_and_scheduler(str(folder))
            self._save_scaler(str(folder))
            named = {f"{rank}.{name}": state for rank, own in enumerate(draws) for name, state in own.items()}
            save_file(named, folder / GENERATORS)
            self.state.save_to_json(str(folder / STATE))

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict)
        folder = Path(output_dir or self.args.output_dir or ".")
        # A pickle that nothing reads.
        (folder / TRAINING_ARGS_NAME).unlink(missing_ok=True)
        save_kept(self._kept, folder)

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: torch.nn.Module | None = None
    ) -> None:
        folder = Path(resume_from_checkpoint)
        load_weights(self.model, folder)
        planned = {"parts"} if self._changed & PARTS_BY else set()
        load_kept({name: part for name, part in self._kept.items() if name not in planned}, folder)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Raises InputError where there is more in the files than tensors and numbers, or other ones."""
        if checkpoint is None or self.optimizer is None or self.lr_scheduler is None:
            return
        changed = bool(self._changed)
        try:
            with loading_optimizer(self.optimizer, self.lr_scheduler, checkpoint, changed=changed):
                super()._load_optimizer_and_scheduler(checkpoint)
        except UNREADABLE as error:
            raise InputError(
                f"{checkpoint}: the state of the optimizer or the scheduler is not what a run writes "
                f"({first_line(error, 80)}); remove the folder to go on from an earlier checkpoint"
            ) from error

    def load(self, checkpoint: Path) -> None:
        """The weights and all other parts of a checkpoint, without any further step."""
        self._load_from_checkpoint(str(checkpoint))

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        rank, states = self.args.process_index, load_file(Path(checkpoint) / GENERATORS)
        own = {name.partition(".")[2]: state for name, state in states.items() if name.startswith(f"{rank}.")}
        if own:
            set_generators(own, self.args.device)
        else:
            # There were fewer processes: this one draws what no other does, and the same at each resume.
            set_seed((self.args.seed + 7919 * self.state.global_step + rank) % 2**32)
