"""Launches that would part the encoder among the processes, which the trainer cannot do."""

from __future__ import annotations

import os

from sbert_triplet.errors import InputError

PARTING = {
    "ACCELERATE_USE_FSDP": "sharded weights (FSDP)",
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "a parallelism of its own (parallelism_config)",
}
"""What ``accelerate launch`` sets in the environment, and what for."""


def refuse_parted_encoder() -> None:
    """Raise InputError where ``accelerate launch`` asks for an encoder in parts.

    Processes encode shares of different numbers of groups, and evaluate, save and step in different
    places; with parted weights each of these would wait for all others. accelerate besides knows the
    encoder's parameters only, not those of a loss.
    """
    for variable, what in PARTING.items():
        if os.environ.get(variable, "").strip().lower() in ("1", "true", "yes", "on"):
            raise InputError(
                f"accelerate asks for {what}, and here every process trains with the whole encoder: launch "
                "with recipes/accelerate/several_gpus.yaml instead; train.chunk_tokens bounds what a batch "
                "takes beside the weights"
            )
