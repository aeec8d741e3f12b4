"""Texts to token ids, once: what training, mining and evaluation read instead of strings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Router

from sbert_triplet.errors import ModelError

Side = Literal["query", "document", "text", "left", "right"]
"""How a text is encoded: as ``encode_query``, as ``encode_document``, or as ``encode`` does.

``left`` and ``right`` are texts of one role, encoded as ``encode`` does to be compared with each other.
They differ from ``text`` only where a model ends in routes for queries and documents, whose
similarity is not symmetric: the left text takes the query's route there, the right one the document's.
"""

IntArray = NDArray[np.int64]
_CHUNK = 1024


@dataclass(frozen=True)
class Form:
    """What the encoder makes of a side: the prompt before the text, and the Router's task."""

    prompt: str | None
    task: str | None


def form_of(model: SentenceTransformer, side: Side) -> Form:
    """The prompt and task that ``model.encode_query``, ``encode_document`` or ``encode`` would use."""
    prompts = model.prompts
    routed = any(isinstance(module, Router) for module in model.children())
    if side in ("left", "right"):
        route = "query" if side == "left" else "document"
        return Form(_default_prompt(model) or None, route if ends_in_routes(model) else None)
    if side == "query" and "query" in prompts:
        prompt = prompts["query"]
    elif side == "document":
        names = [name for name in ("document", "passage", "corpus") if name in prompts]
        prompt = prompts[names[0]] if names else _default_prompt(model)
    else:
        prompt = _default_prompt(model)
    return Form(prompt or None, side if routed and side != "text" else None)


def ends_in_routes(model: SentenceTransformer) -> bool:
    """Whether queries and documents share an encoder and part ways after it."""
    return any(isinstance(module, Router) for module in list(model.children())[1:])


def _default_prompt(model: SentenceTransformer) -> str | None:
    name = model.default_prompt_name
    return model.prompts.get(name) if name else None


class _Store:
    """Token rows of one form, growing; row of a text id through ``position``."""

    def __init__(self) -> None:
        self.tokens = np.zeros(0, dtype=np.int32)
        self.types: NDArray[np.int8] | None = None
        self.offsets = np.zeros(1, dtype=np.int64)
        self.position = np.full(0, -1, dtype=np.int64)
        self.prompt_length: int | None = None

    def missing(self, ids: IntArray) -> IntArray:
        ids = np.unique(ids)
        if len(ids) and ids[-1] >= len(self.position):
            grown = np.full(max(int(ids[-1]) + 1, 2 * len(self.position)), -1, dtype=np.int64)
            grown[: len(self.position)] = self.position
            self.position = grown
        return ids[self.position[ids] < 0]


class TokenTable:
    """Token ids of texts, each text tokenised once for each form in which it is encoded.

    ``texts`` gives the texts of text ids. Sides that the model encodes alike (no prompts, no
    routes) share one form, so a text that is an anchor here and a positive there is one row. The
    forms are those that ``model`` has now: prompts set or routes added later want a new table.
    """

    def __init__(self, model: SentenceTransformer, texts: Callable[[Sequence[int]], list[str]]) -> None:
        if getattr(model, "tokenizer", None) is None or not callable(getattr(model.tokenizer, "pad", None)):
            raise ModelError("the model has no text tokenizer; a transformer encoder is needed")
        self._texts = texts
        self._preprocess = model.preprocess
        self._forms: list[Form] = []
        self._stores: list[_Store] = []
        self._form_index: dict[Side, int] = {}
        for side in get_args(Side):
            form = form_of(model, side)
            if form not in self._forms:
                self._forms.append(form)
                self._stores.append(_Store())
            self._form_index[side] = self._forms.index(form)
        self.pad_id = int(getattr(model.tokenizer, "pad_token_id", 0) or 0)
        self.max_length = model.max_seq_length

    def fits(self, model: SentenceTransformer) -> bool:
        """Whether ``model`` encodes each side in the form that this table has for it."""
        return all(self._forms[form] == form_of(model, side) for side, form in self._form_index.items())

    def form(self, side: Side) -> int:
        """The number of the form that the side is encoded in."""
        return self._form_index[side]

    def by_form(self, wanted: Iterable[tuple[Side, IntArray]]) -> dict[int, tuple[Side, IntArray]]:
        """The distinct text ids of each form that is wanted, ascending, and a side that it is the form of."""
        sides: dict[int, Side] = {}
        parts: dict[int, list[IntArray]] = {}
        for side, ids in wanted:
            form = self.form(side)
            sides.setdefault(form, side)
            parts.setdefault(form, []).append(ids)
        return {form: (side, np.unique(np.concatenate(parts[form]))) for form, side in sides.items()}

    @property
    def forms(self) -> int:
        """How many forms there are: 1 without prompts and routes."""
        return len(self._forms)

    def add(self, side: Side, ids: IntArray) -> None:
        """Tokenise the texts of these ids, unless that was done."""
        index = self._form_index[side]
        store, form = self._stores[index], self._forms[index]
        wanted = store.missing(np.asarray(ids, dtype=np.int64))
        if not len(wanted):
            return
        rows: list[NDArray[np.int32]] = []
        types: list[NDArray[np.int8]] = []
        for start in range(0, len(wanted), _CHUNK):
            chunk = wanted[start : start + _CHUNK]
            features = self._preprocess(self._texts(chunk.tolist()), prompt=form.prompt, task=form.task)
            mask = features["attention_mask"].numpy().astype(bool)
            tokens = features["input_ids"].numpy()
            rows.extend(row[keep].astype(np.int32) for row, keep in zip(tokens, mask, strict=True))
            if "token_type_ids" in features:
                kinds = features["token_type_ids"].numpy()
                types.extend(row[keep].astype(np.int8) for row, keep in zip(kinds, mask, strict=True))
            if "prompt_length" in features:
                store.prompt_length = int(features["prompt_length"])
        self._append(store, wanted, rows, types)

    @staticmethod
    def _append(
        store: _Store, ids: IntArray, rows: list[NDArray[np.int32]], types: list[NDArray[np.int8]]
    ) -> None:
        lengths = np.fromiter((len(row) for row in rows), dtype=np.int64, count=len(rows))
        store.position[ids] = np.arange(len(ids)) + len(store.offsets) - 1
        store.offsets = np.concatenate([store.offsets, store.offsets[-1] + np.cumsum(lengths)])
        if types:
            before = store.types if store.types is not None else np.zeros(len(store.tokens), dtype=np.int8)
            store.types = np.concatenate([before, *types])
        store.tokens = np.concatenate([store.tokens, *rows])

    def lengths(self, form: int, ids: IntArray) -> IntArray:
        """(n,) token counts after truncation; the texts must have been added."""
        store = self._stores[form]
        rows = store.position[ids]
        lengths: IntArray = store.offsets[rows + 1] - store.offsets[rows]
        return lengths

    def features(self, form: int, ids: IntArray) -> dict[str, Any]:
        """One padded group of n texts as the model's input: (n, longest) tensors on the CPU."""
        store = self._stores[form]
        rows = store.position[ids]
        starts, lengths = store.offsets[rows], store.offsets[rows + 1] - store.offsets[rows]
        columns = np.arange(int(lengths.max()))
        mask = columns[None, :] < lengths[:, None]
        where = (starts[:, None] + columns[None, :])[mask]
        tokens = np.full(mask.shape, self.pad_id, dtype=np.int64)
        tokens[mask] = store.tokens[where]
        features: dict[str, Any] = {
            "input_ids": torch.from_numpy(tokens),
            "attention_mask": torch.from_numpy(mask.astype(np.int64)),
        }
        if store.types is not None:
            types = np.zeros(mask.shape, dtype=np.int64)
            types[mask] = store.types[where]
            features["token_type_ids"] = torch.from_numpy(types)
        if store.prompt_length is not None:
            features["prompt_length"] = store.prompt_length
        if self._forms[form].task is not None:
            features["task"] = self._forms[form].task
        return features
