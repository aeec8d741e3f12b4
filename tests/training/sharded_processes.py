"""Two processes that hold a half of the weights each (torch's ``fully_shard``), as far as that goes.

As a script: ``sharded_processes.py FOLDER`` with the environment that ``accelerate launch`` sets; writes
what each way of encoding gave to ``FOLDER/RANK.pt``. Each process is given as many groups as the other,
for every forward pass gathers the weights from both.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import several_processes as runs
import torch
import torch.distributed as dist
from sentence_transformers import SentenceTransformer
from torch import Tensor

from sbert_triplet.training.objective import Objective

WAYS = {"whole graph": (False, 10_000), "one group, cached": (True, 10_000), "cached": (True, 40)}


def sharded(model: SentenceTransformer) -> SentenceTransformer:
    """The encoder with its layers sharded, and what is beside them."""
    from torch.distributed.fsdp import fully_shard

    for layer in model[0].model.encoder.layer:
        fully_shard(layer)
    fully_shard(model)
    return model


def whole(tensor: Tensor) -> Tensor:
    full: Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return full.detach().clone()


def stepped(
    model: SentenceTransformer, cached: bool, budget: int, rank: int, processes: int
) -> dict[str, Tensor]:
    """The gradients of one batch, put together from all processes."""
    objective, collator, batches = runs.prepared("ranking", model, cached=cached)
    assert collator.tokens.why_not_packed == ""
    if processes > 1:
        objective = Objective(sharded(model), objective.loss, cached=cached)
    collator.place(rank, processes)
    collator.budget = budget
    batch = collator(batches.epoch_batches(0)[0].tolist())
    groups = torch.tensor([len(batch.texts.groups)])
    if processes > 1:
        dist.all_reduce(groups, op=dist.ReduceOp.MAX)
    assert int(groups) == len(batch.texts.groups)
    value = objective(batch)
    value.backward()
    gradients = {
        name: whole(parameter.grad)
        for name, parameter in objective.model.named_parameters()
        if parameter.grad is not None
    }
    return {"value": value.detach(), "groups": groups, **gradients}


def everything(models: list[SentenceTransformer], rank: int, processes: int) -> dict[str, dict[str, Tensor]]:
    return {
        way: stepped(model, *how, rank, processes)
        for model, (way, how) in zip(models, WAYS.items(), strict=True)
    }


def encoders() -> list[SentenceTransformer]:
    """Made before the processes meet, after which only one would write the files of a new encoder."""
    return [runs.encoder(torch.float64) for _ in WAYS]


if __name__ == "__main__":
    torch.set_num_threads(1)
    models = encoders()
    dist.init_process_group("gloo")
    torch.save(
        everything(models, dist.get_rank(), dist.get_world_size()),
        Path(sys.argv[1]) / f"{os.environ['RANK']}.pt",
    )
    dist.destroy_process_group()
