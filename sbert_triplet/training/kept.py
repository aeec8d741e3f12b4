"""What the checkpoints of a run hold beside the encoder and what the base trainer keeps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from safetensors.torch import load_file, save_file
from torch import Tensor

from sbert_triplet.errors import InputError

TAKEN = frozenset({"model", "adapter_model", "generators"})
"""Names of files that the base trainer writes into a checkpoint."""


class Kept(Protocol):
    """A part of a run that a run resumed from a checkpoint needs as it was.

    ``state`` gives tensors by name, none where there is nothing to keep; ``load_state`` takes what
    ``state`` gave in the run that wrote the checkpoint.
    """

    def state(self) -> Mapping[str, Tensor]: ...

    def load_state(self, state: Mapping[str, Tensor]) -> None: ...


def save_kept(parts: Mapping[str, Kept], folder: Path) -> None:
    """``NAME.safetensors`` for each part that has a state."""
    for name, part in parts.items():
        state = {key: value.detach().contiguous().cpu() for key, value in part.state().items()}
        if state:
            save_file(state, folder / f"{name}.safetensors")


def load_kept(parts: Mapping[str, Kept], folder: Path) -> None:
    """Give each part what ``save_kept`` wrote. Raises InputError for a file that is missing."""
    for name, part in parts.items():
        file = folder / f"{name}.safetensors"
        if file.is_file():
            part.load_state(load_file(file))
        elif part.state():
            raise InputError(
                f"{folder}: {file.name} is missing; choose another checkpoint, or put back the keys of the "
                "recipe without which the run was begun (loss, losses, mine): --force cannot change them"
            )
