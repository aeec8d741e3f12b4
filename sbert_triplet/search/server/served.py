"""A model that is served: texts to token rows, and rows of several requests to embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize
from sentence_transformers.util import truncate_embeddings

from sbert_triplet.encoding.encode import group_tokens, in_halves_that_fit
from sbert_triplet.encoding.forward import evaluating, moved, sentence_embeddings
from sbert_triplet.encoding.groups import plan_groups, plan_packs
from sbert_triplet.encoding.packing import Rows, first_position, packed, padded
from sbert_triplet.encoding.probe import why_not_packed
from sbert_triplet.encoding.tokenise import Tokenised, Tokeniser
from sbert_triplet.encoding.tokens import Form, Side, form_of
from sbert_triplet.errors import InputError

FloatMatrix = NDArray[np.float32]
IntArray = NDArray[np.int64]
_PLAIN_NAMES = {"model", "candidate"}


@dataclass(frozen=True)
class Row:
    """The tokens of one text, and their types where the encoder has some."""

    tokens: NDArray[np.int32]
    types: NDArray[np.int8] | None


class ServedModel:
    """One thread at a time tokenises and embeds with it.

    ``name``: what requests call it. ``dimensions``: sizes (ascending) to which its embeddings may be cut.
    Raises InputError for one that is no size of a part.
    """

    def __init__(self, model: SentenceTransformer, name: str, dimensions: tuple[int, ...] = ()) -> None:
        self.model, self.name = model, name
        self.width = int(model.truncate_dim or model.get_embedding_dimension() or 0)
        self.dimensions = tuple(sorted({*dimensions, *_declared(model, self.width)}))
        for size in self.dimensions:
            if not 0 < size < self.width:
                raise InputError(f"--dimensions {size}: the embeddings of {name} have {self.width} numbers")
        self.normalised = any(isinstance(module, Normalize) for module in model.modules())
        self.budget = group_tokens(model.device)
        sides: tuple[Side, ...] = ("text", "query", "document")
        self._forms: dict[Side, Form] = {side: form_of(model, side) for side in sides}
        self._tokenisers = {
            form: Tokeniser(model, form.prompt, form.task) for form in set(self._forms.values())
        }
        self._marks = {form: self._marks_of(form) for form in self._tokenisers}
        self._packs = not why_not_packed(model, sorted({form.task for form in self._marks}, key=str))
        self._pad = int(getattr(model.tokenizer, "pad_token_id", 0) or 0)
        self._first_position = first_position(model)

    def form(self, side: Side) -> Form:
        """What the encoder makes of a side: texts of one form can be embedded together."""
        return self._forms[side]

    def rows(self, form: Form, texts: list[str]) -> tuple[list[Row], list[int]]:
        """The n rows of tokens, and how many each text has without a limit."""
        made = self._tokenisers[form](texts)
        return _cut_apart(made), made.full_lengths.tolist()

    def embed(self, form: Form, rows: list[Row]) -> FloatMatrix:
        """(n, D) embeddings, in groups of like length under the token budget of the device."""
        lengths = np.array([len(row.tokens) for row in rows], dtype=np.int64)
        out: FloatMatrix | None = None

        def embedded(some: IntArray) -> FloatMatrix:
            features = moved(self._features(form, [rows[place] for place in some]), self.model.device)
            embeddings = sentence_embeddings(self.model, features)
            made: FloatMatrix = truncate_embeddings(embeddings, self.model.truncate_dim).float().cpu().numpy()
            return made

        with evaluating(self.model), torch.inference_mode():
            for group in (plan_packs if self._packs else plan_groups)(lengths, self.budget):
                made = in_halves_that_fit(embedded, group, self.model.device)
                if out is None:
                    out = np.empty((len(rows), made.shape[1]), dtype=np.float32)
                out[group] = made
        return out if out is not None else np.zeros((0, self.width), dtype=np.float32)

    def cut(self, embeddings: FloatMatrix, size: int) -> FloatMatrix:
        """The first ``size`` numbers, of length 1 again where the whole ones are."""
        cut = embeddings[:, :size]
        if not self.normalised:
            return cut
        norms = np.linalg.norm(cut, axis=1, keepdims=True)
        return np.asarray(cut / np.maximum(norms, 1e-12), dtype=np.float32)

    def _features(self, form: Form, rows: list[Row]) -> dict[str, Any]:
        lengths = np.array([len(row.tokens) for row in rows], dtype=np.int64)
        kinds = [row.types for row in rows if row.types is not None]
        joined = Rows(
            np.concatenate([row.tokens for row in rows]), lengths, np.concatenate(kinds) if kinds else None
        )
        # Texts without any token, which are planned apart, have no place in a pack.
        if self._packs and lengths[0] > 0:
            return packed(joined, self._first_position) | self._marks[form]
        return padded(joined, self._pad) | self._marks[form]

    def _marks_of(self, form: Form) -> dict[str, Any]:
        marks = {"prompt_length": self._tokenisers[form].prompt_length(), "task": form.task}
        return {name: value for name, value in marks.items() if value is not None}


def public_name(name: str) -> str:
    """The last part of a model's name or folder: a server does not tell where its files lie."""
    parts = [part for part in PurePath(name.rstrip("/\\")).parts if part not in ("/", "..", ".", "~")]
    if len(parts) > 1 and parts[-1] in _PLAIN_NAMES:
        return parts[-2]
    return parts[-1] if parts else "model"


def _cut_apart(made: Tokenised) -> list[Row]:
    ends = np.cumsum(made.lengths)[:-1]
    tokens = np.split(made.tokens, ends)
    types = [None] * len(tokens) if made.types is None else np.split(made.types, ends)
    return [Row(*pair) for pair in zip(tokens, types, strict=True)]


def _declared(model: SentenceTransformer, width: int) -> list[int]:
    """Sizes that the model's own configuration says it was trained to be cut to."""
    config = getattr(model[0], "config", None) or getattr(model[0], "auto_model", None)
    sizes = getattr(getattr(config, "config", config), "matryoshka_dimensions", None) or ()
    return [size for size in sizes if isinstance(size, int) and 0 < size < width]
