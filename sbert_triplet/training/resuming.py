"""Loading a checkpoint into a run: what does not fit is told, and what was changed on purpose holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.optim.lr_scheduler import LambdaLR

from sbert_triplet.encoding.loading import ResolvedModel, load_model
from sbert_triplet.errors import InputError

OTHER_RUN = "cannot be changed with --force; put it back, or begin anew with --overwrite"
"""What is said of keys after whose change no checkpoint fits."""
PARTS_BY = frozenset({"train.chunk_tokens", "train.group_tokens"})
"""Keys that say in which parts steps are made."""
HELD = ("initial_lr", "weight_decay")
"""What the groups of an optimizer hold of the arguments, which the state of an earlier one replaces."""


def load_weights(model: torch.nn.Module, folder: Path) -> None:
    """Those of the encoder of a checkpoint. Raises InputError where they are of another architecture."""
    loaded = load_model(ResolvedModel(str(folder), "folder", folder), device="cpu")
    try:
        model.load_state_dict(loaded.state_dict())
    except RuntimeError as error:
        raise InputError(f"{folder}: its weights do not fit the model: model {OTHER_RUN}") from error


@contextmanager
def loading_optimizer(
    optimizer: torch.optim.Optimizer, scheduler: LambdaLR, checkpoint: str, *, changed: bool
) -> Iterator[None]:
    """The state of both is loaded inside; where something was ``changed``, rates and decay stay as asked for.

    Raises InputError where that state is one of other parameters.
    """
    asked = [{key: group[key] for key in HELD} for group in optimizer.param_groups]
    try:
        yield
    except ValueError as error:
        raise InputError(
            f"{checkpoint}: other parameters were trained: train.freeze, loss and losses {OTHER_RUN}"
        ) from error
    if not changed:
        return
    scheduler.base_lrs = [values["initial_lr"] for values in asked]
    step = scheduler.last_epoch
    rates = [base * at(step) for base, at in zip(scheduler.base_lrs, scheduler.lr_lambdas, strict=True)]
    for group, values, rate in zip(optimizer.param_groups, asked, rates, strict=True):
        group.update(values, lr=rate)
    scheduler._last_lr = rates
