"""The straight line between the weights that an encoder had and those that it was tuned to.

Weights part of the way often serve the new task as well as the tuned ones, and have unlearned less of all
else: after WiSE-FT (Wortsman et al. 2022, arXiv 2109.01903) and LM-Cocktail (Xiao et al. 2023, arXiv
2311.13534). On the line are the encoder's own parameters and floating-point buffers; frozen parameters are
alike at both ends, and whole numbers (positions, counts) stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

AT_ONCE = 1 << 22
"""Numbers of a tensor that are held in float64 at a time."""


def keep_weights(model: nn.Module, file: Path) -> Path:
    """Write what lies on the line, as ``model`` has it now, as safetensors; returns ``file``."""
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in _on_the_line(model)}
    save_file(kept, file)
    return file


def between(base: Tensor, tuned: Tensor, at: float) -> Tensor:
    """``base + at * (tuned - base)`` in float64, rounded to the type of ``tuned``; on the CPU.

    Exactly ``base`` at 0 and ``tuned`` at 1, and everywhere where the two are equal. Raises ValueError
    for a point that is not between 0 and 1.
    """
    if not 0.0 <= at <= 1.0:
        raise ValueError(f"a point of the line is between 0 (base) and 1 (tuned), not {at}")
    if at in (0.0, 1.0):
        return (tuned if at else base).clone()
    found = torch.empty(tuned.shape, dtype=tuned.dtype)
    out, one, two = (tensor.reshape(-1) for tensor in (found, base, tuned))
    for first in range(0, len(out), AT_ONCE):
        some = slice(first, first + AT_ONCE)
        start = one[some].double()
        out[some] = (two[some].double() - start) * at + start
    return found


class WeightLine:
    """Puts the weights of a point of the line into ``model``.

    ``base`` and ``tuned`` are files of ``keep_weights``; the model is taken to be at the tuned end. The
    tensors of the model stay the same objects, so everything that shares them (a served model) moves along.
    Only one tensor is held beside the model at a time. Raises ValueError where the files are not of
    this model.
    """

    def __init__(self, model: nn.Module, base: Path, tuned: Path) -> None:
        self._model, self._ends = model, (base, tuned)
        self._point = 1.0
        shapes = {name: list(tensor.shape) for name, tensor in _on_the_line(model)}
        for file in self._ends:
            with safe_open(file, framework="pt") as kept:
                found = {name: kept.get_slice(name).get_shape() for name in sorted(kept.keys())}
            if found != shapes:
                odd = sorted(name for name in shapes.keys() | found if shapes.get(name) != found.get(name))
                raise ValueError(f"{file}: not of this model or of what is trained of it, see {odd[0]}")

    @property
    def point(self) -> float:
        """Where the model is: 0 is the base, 1 the tuned end."""
        return self._point

    def move(self, to: float) -> None:
        """Put the weights of a point into the model, to stay. Raises ValueError outside of 0 to 1."""
        base, tuned = self._ends
        with safe_open(base, framework="pt") as one, safe_open(tuned, framework="pt") as two:
            for name, tensor in _on_the_line(self._model):
                point = between(one.get_tensor(name), two.get_tensor(name), to)
                with torch.no_grad():
                    tensor.copy_(point)
        self._point = to

    @contextmanager
    def at(self, point: float) -> Iterator[None]:
        """The weights of a point for as long as the block lasts; afterwards, come what may, those before."""
        before = self._point
        try:
            self.move(point)
            yield
        finally:
            self.move(before)


def _on_the_line(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The tensors that training may have moved, each once, by its first name."""
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and parameter.is_floating_point():
            yield name, parameter
    stored = model.state_dict()
    for name, buffer in model.named_buffers():
        if name in stored and buffer.is_floating_point():
            yield name, buffer
