"""A model as one folder that every consumer of sentence-transformers models loads with equal embeddings."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense
from torch import nn

from sbert_triplet.encoding.agreement import largest_difference
from sbert_triplet.encoding.loading import ResolvedModel, load_model
from sbert_triplet.errors import InputError, MachineError
from sbert_triplet.publishing.legacy import SINCE_FIVE, rewrite
from sbert_triplet.publishing.staging import whole_folder

SAME = 1e-6
"""Largest difference between a number of an embedding in memory and one of the folder, loaded again."""
SAMPLE = (
    "How do I return a parcel?",
    "A parcel can be returned within thirty days, free of charge, at every post office of the country.",
    "",
    "naïve café, 日本語, Ελληνικά, العربية 🙂",
    "word " * 600,
)
"""Texts that embeddings are compared on: short, long beyond any limit, empty, and of many scripts."""


@dataclass(frozen=True)
class Portable:
    """What was written: the ``folder``, the ``modules`` by class, and the ``difference`` when loaded again.

    ``limits``: a sentence for each consumer that cannot load it.
    """

    folder: Path
    modules: tuple[str, ...]
    difference: float
    limits: tuple[str, ...] = ()


def save_portable(
    model: SentenceTransformer,
    folder: Path,
    *,
    sample: Sequence[str] = SAMPLE,
    dimensions: Sequence[int] = (),
    overwrite: bool = False,
) -> Portable:
    """Write ``model`` into ``folder``, whole or not at all, and compare what is loaded again with it.

    Module names, pooling and lengths are written in the words of sentence-transformers 3.4, which current
    versions, text-embeddings-inference, vLLM and infinity read as well. A cut to fewer dimensions
    (``truncate_dim``), which older versions do not read, becomes a Dense module that leaves the others out.
    ``dimensions``: sizes that the model was trained to be cut to.

    Raises ModelError for a model that cannot be written in these words, InputError where something is in
    the way, MachineError where the embeddings differ by more than 1e-6.
    """
    return _saved(model, folder, SAME, sample, dimensions, overwrite)


def save_half(model: SentenceTransformer, folder: Path, *, overwrite: bool = False) -> Portable:
    """As ``save_portable``, with the weights in float16; the difference is to the model as it is given."""
    halved = copy.deepcopy(model).half()
    return _saved(halved, folder, None, SAMPLE, (), overwrite)


def with_dimensions(model: SentenceTransformer, dimensions: int) -> SentenceTransformer:
    """The model whose embeddings are the first ``dimensions`` numbers; it shares the modules.

    Raises InputError where the model gives fewer.
    """
    width = model.get_embedding_dimension() or 0
    if not 0 < dimensions <= width:
        raise InputError(f"--dimensions {dimensions}: the embeddings of this model have {width}")
    return _with_modules(model, OrderedDict(model.named_children()), dimensions)


def cut_as_module(model: SentenceTransformer) -> SentenceTransformer:
    """The model with its ``truncate_dim``, where it has one, as a Dense module at the end."""
    modules, size = OrderedDict(model.named_children()), model.truncate_dim
    if size is None:
        return model
    whole = _with_modules(model, modules, None).get_embedding_dimension() or size
    if size < whole:
        number = len(modules)
        while str(number) in modules:
            number += 1
        modules[str(number)] = Dense(
            whole,
            size,
            bias=False,
            activation_function=nn.Identity(),
            init_weight=torch.eye(size, whole, dtype=model.dtype, device=model.device),
        )
    return _with_modules(model, modules, None)


def _saved(
    model: SentenceTransformer,
    folder: Path,
    allowed: float | None,
    sample: Sequence[str],
    dimensions: Sequence[int],
    overwrite: bool,
) -> Portable:
    cut = cut_as_module(model)
    width = cut.get_embedding_dimension() or 0
    with whole_folder(folder, overwrite=overwrite) as staged:
        cut.save(str(staged), create_model_card=False)
        names = rewrite(staged, cut, [size for size in dimensions if size < width])
        again = load_model(ResolvedModel(folder.name, "folder", staged), device=model.device)
        difference = largest_difference(model, again, sample)
        if allowed is not None and not difference <= allowed:
            raise MachineError(
                f"{folder}: the saved model, loaded again, gives embeddings that differ by {difference:.1e} "
                "from those in memory; the disk or the library that wrote it is at fault"
            )
    return Portable(folder, tuple(names), difference, _limits(names))


def _limits(names: Sequence[str]) -> tuple[str, ...]:
    if not SINCE_FIVE & set(names):
        return ()
    return (
        "sentence-transformers before version 5, plain transformers, text-embeddings-inference, vLLM: they "
        "have no routes for queries and documents",
    )


def _with_modules(
    model: SentenceTransformer, modules: OrderedDict[str, nn.Module], truncate_dim: int | None
) -> SentenceTransformer:
    made = SentenceTransformer(
        modules=modules,  # type: ignore[arg-type]
        device=str(model.device),
        prompts={name: text or "" for name, text in model.prompts.items()},
        default_prompt_name=model.default_prompt_name,
        similarity_fn_name=model.similarity_fn_name,
        truncate_dim=truncate_dim,
        model_card_data=copy.copy(model.model_card_data),
    )
    made.module_kwargs = model.module_kwargs
    return made.eval()
