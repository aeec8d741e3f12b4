"""A model in another form, and how far its embeddings lie from those that it came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer

from sbert_triplet.encoding.agreement import encoded, largest_difference
from sbert_triplet.encoding.loading import ResolvedModel, load_model
from sbert_triplet.errors import InputError
from sbert_triplet.publishing import graphs
from sbert_triplet.publishing.portable import SAMPLE, cut_as_module, save_half, save_portable, with_dimensions
from sbert_triplet.publishing.staging import whole_folder

FORMS = ("portable", "onnx", "openvino")
EXACT = 1e-4
"""Largest difference of a form that computes the same in another order."""


@dataclass(frozen=True)
class Asked:
    """Which form. ``int8``: for graphs; ``float16``: of the portable weights; ``dimensions``: the first N."""

    to: str = "portable"
    int8: bool = False
    float16: bool = False
    dimensions: int | None = None

    def refuse_what_does_not_go_together(self) -> None:
        """Raise InputError."""
        if self.to not in FORMS:
            raise InputError(f"--to {self.to}: choose from {', '.join(FORMS)}")
        if self.int8 and self.to == "portable":
            raise InputError(
                "--int8 goes with --to onnx or --to openvino: torch's weights stay whole numbers"
            )
        if self.float16 and self.to != "portable":
            raise InputError("--float16 goes with --to portable; a graph has --int8")

    @property
    def exact(self) -> bool:
        """Whether the embeddings, cut to their dimensions, are to be the same."""
        return not (self.int8 or self.float16)

    @property
    def name(self) -> str:
        """For a folder: ``onnx-int8``, ``portable-128``."""
        parts = [self.to, "int8" if self.int8 else "", "float16" if self.float16 else ""]
        return "-".join(
            [part for part in parts if part] + ([str(self.dimensions)] if self.dimensions else [])
        )


@dataclass(frozen=True)
class Exported:
    """``model``: what was written, loaded again. ``bytes``: of all files.

    ``difference``: the largest one of a number of an embedding in both forms, ``cosine``: the smallest one
    between both embeddings of a text; of the numbers that are left where ``dimensions`` were cut.
    """

    folder: Path
    model: SentenceTransformer
    difference: float
    cosine: float
    bytes: int


Accept = Callable[[Exported], None]


def export_model(
    model: SentenceTransformer, folder: Path, asked: Asked, *, accept: Accept, overwrite: bool = False
) -> Exported:
    """Write ``model`` into ``folder`` in the form that is ``asked`` for, whole or not at all.

    The folder is portable; a graph lies in it besides, where the backends of sentence-transformers look for
    it. ``accept`` is called with what was written before the folder gets its name, and raises to refuse it.

    Raises InputError for forms that do not go together, need a package, or should be exact and are not.
    """
    asked.refuse_what_does_not_go_together()
    cut = model if asked.dimensions is None else with_dimensions(model, asked.dimensions)
    cut = cut_as_module(cut)
    with _written(cut, folder, asked, overwrite) as (staged, again):
        difference = largest_difference(cut, again, SAMPLE)
        size = sum(file.stat().st_size for file in staged.rglob("*") if file.is_file())
        exported = Exported(folder, again, difference, _cosine(cut, again), size)
        if asked.exact and not difference <= EXACT:
            raise InputError(
                f"{folder}: the embeddings differ by {difference:.1e}, more than {EXACT:g}: this encoder "
                f"cannot be exported to {asked.to}"
            )
        accept(exported)
    return exported


@contextmanager
def _written(
    model: SentenceTransformer, folder: Path, asked: Asked, overwrite: bool
) -> Iterator[tuple[Path, SentenceTransformer]]:
    with whole_folder(folder, overwrite=overwrite) as staged:
        place = staged / "model"
        if asked.float16:
            save_half(model, place)
        else:
            save_portable(model, place)
        for item in place.iterdir():
            item.rename(staged / item.name)
        place.rmdir()
        if asked.to == "portable":
            yield staged, load_model(ResolvedModel(folder.name, "folder", staged), device="cpu")
            return
        onnx = asked.to == "onnx"
        names = (
            (graphs.ONNX_FILE, graphs.ONNX_INT8_FILE)
            if onnx
            else (graphs.OPENVINO_FILE, graphs.OPENVINO_INT8_FILE)
        )
        file = staged / names[asked.int8]
        (graphs.write_onnx if onnx else graphs.write_openvino)(model, file, int8=asked.int8)
        yield staged, graphs.with_graph(model, file)


def _cosine(one: SentenceTransformer, two: SentenceTransformer) -> float:
    texts = [text for text in SAMPLE if text]
    rows = [encoded(each, "text", texts) for each in (one, two)]
    first, second = (each / np.linalg.norm(each, axis=1, keepdims=True).clip(1e-12) for each in rows)
    return float((first * second).sum(axis=1).min())
