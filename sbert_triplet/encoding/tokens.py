"""Texts to token ids, once: what training, mining and evaluation read instead of strings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Router

from sbert_triplet.data.content import content_of
from sbert_triplet.encoding.groups import plan_groups, plan_packs
from sbert_triplet.encoding.packing import Rows, first_position, packed, padded
from sbert_triplet.encoding.probe import why_not_packed
from sbert_triplet.encoding.token_cache import token_rows
from sbert_triplet.encoding.tokenise import Tokenised, Tokeniser
from sbert_triplet.errors import ModelError

Side = Literal["query", "document", "text", "left", "right"]
"""How a text is encoded: as ``encode_query``, as ``encode_document``, or as ``encode`` does.

``left`` and ``right`` are texts of one role, encoded as ``encode`` does to be compared with each other.
They differ from ``text`` only where a model ends in routes for queries and documents, whose
similarity is not symmetric: the left text takes the query's route there, the right one the document's.
"""

IntArray = NDArray[np.int64]


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


class Truncation(NamedTuple):
    """What a limit of length cuts off: ``cut`` of so many ``texts``, ``lost`` of so many ``tokens``."""

    texts: int
    cut: int
    tokens: int
    lost: int

    @classmethod
    def of(cls, full_lengths: NDArray[np.integer[Any]], lengths: NDArray[np.integer[Any]]) -> Truncation:
        """From (n,) token counts without and with the limit."""
        lost = full_lengths.astype(np.int64) - lengths
        return cls(len(lost), int((lost > 0).sum()), int(full_lengths.sum()), int(lost.sum()))

    @property
    def texts_share(self) -> float:
        """The share of texts that are cut."""
        return self.cut / max(self.texts, 1)

    @property
    def tokens_share(self) -> float:
        """The share of tokens that are never read."""
        return self.lost / max(self.tokens, 1)


class _Store:
    """Token rows of one form, growing by parts; the row of a text id through ``position``.

    The parts may be memory-mapped; what stays in memory is where each row lies and how long it is.
    """

    def __init__(self) -> None:
        self.parts: list[Tokenised] = []
        self.position = np.full(0, -1, dtype=np.int64)
        self.lengths = np.zeros(0, dtype=np.int32)
        self.full_lengths = np.zeros(0, dtype=np.int32)
        self._first = np.zeros(0, dtype=np.int64)
        """The first row of each part."""
        self._starts = np.zeros(0, dtype=np.int64)
        """Where in its part each row begins."""

    def missing(self, ids: IntArray) -> IntArray:
        ids = np.unique(ids)
        if len(ids) and ids[-1] >= len(self.position):
            grown = np.full(max(int(ids[-1]) + 1, 2 * len(self.position)), -1, dtype=np.int64)
            grown[: len(self.position)] = self.position
            self.position = grown
        return ids[self.position[ids] < 0]

    def append(self, ids: IntArray, parts: list[Tokenised]) -> None:
        """The rows of ``ids``, in their order."""
        sizes = [len(part.lengths) for part in parts]
        rows = len(self.lengths)
        self.position[ids] = np.arange(rows, rows + len(ids))
        self._first = np.concatenate([self._first, rows + np.cumsum([0, *sizes[:-1]])])
        starts = [np.cumsum(part.lengths, dtype=np.int64) - part.lengths for part in parts]
        self._starts = np.concatenate([self._starts, *starts])
        self.lengths = np.concatenate([self.lengths, *(part.lengths for part in parts)])
        self.full_lengths = np.concatenate([self.full_lengths, *(part.full_lengths for part in parts)])
        self.parts.extend(parts)

    def rows(self, ids: IntArray) -> Rows:
        rows = self.position[ids]
        lengths = self.lengths[rows].astype(np.int64)
        owners = np.searchsorted(self._first, rows, side="right") - 1
        starts = self._starts[rows]
        places = list(zip(owners.tolist(), starts.tolist(), (starts + lengths).tolist(), strict=True))
        types = [
            kinds[start:end] for owner, start, end in places if (kinds := self.parts[owner].types) is not None
        ]
        tokens = np.concatenate([self.parts[owner].tokens[start:end] for owner, start, end in places])
        return Rows(tokens, lengths, np.concatenate(types) if types else None)


class TokenTable:
    """Token ids of texts, each text tokenised once for each form in which it is encoded.

    Many texts at once are kept in a file that later runs read (``encoding.token_cache``).
    ``texts`` gives the texts of text ids. Sides that the model encodes alike (no prompts, no
    routes) share one form, so a text that is an anchor here and a positive there is one row. The
    forms are those that ``model`` has now: prompts set or routes added later want a new table.
    """

    def __init__(self, model: SentenceTransformer, texts: Callable[[Sequence[int]], list[str]]) -> None:
        if getattr(model, "tokenizer", None) is None or not callable(getattr(model.tokenizer, "pad", None)):
            raise ModelError("the model has no text tokenizer; a transformer encoder is needed")
        self._texts = texts
        self._model = model
        self._first_position = first_position(model)
        self._forms: list[Form] = []
        self._stores: list[_Store] = []
        self._tokenisers: list[Tokeniser] = []
        self._prompt_lengths: dict[int, int | None] = {}
        self._form_index: dict[Side, int] = {}
        for side in get_args(Side):
            form = form_of(model, side)
            if form not in self._forms:
                self._forms.append(form)
                self._stores.append(_Store())
                self._tokenisers.append(Tokeniser(model, form.prompt, form.task))
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
        store = self._stores[index]
        wanted = store.missing(np.asarray(ids, dtype=np.int64))
        if not len(wanted):
            return
        store.append(wanted, token_rows(self._tokenisers[index], self._texts, wanted))

    def lengths(self, form: int, ids: IntArray) -> IntArray:
        """(n,) token counts after truncation; the texts must have been added."""
        store = self._stores[form]
        return store.lengths[store.position[ids]].astype(np.int64)

    def full_lengths(self, form: int, ids: IntArray) -> IntArray:
        """(n,) token counts that the texts have without a limit; the texts must have been added."""
        store = self._stores[form]
        return store.full_lengths[store.position[ids]].astype(np.int64)

    def truncation(self, form: int, ids: IntArray) -> Truncation:
        """What the limit of length cuts off these texts, each counted as often as it is in ``ids``."""
        return Truncation.of(self.full_lengths(form, ids), self.lengths(form, ids))

    def fingerprint(self, form: int) -> str | None:
        """A name for all that the tokens of a text depend on in this form; None where that is not known."""
        return self._tokenisers[form].fingerprint()

    def content(self, ids: IntArray) -> str:
        """A name for what the texts of ``ids`` say, in this order (``data.content``)."""
        return content_of(self._texts, ids)

    @cached_property
    def why_not_packed(self) -> str:
        """Why the encoder is given padded groups; empty where it is given packs."""
        return why_not_packed(self._model, [form.task for form in self._forms])

    def inputs(self, form: int, ids: IntArray, budget: int) -> list[tuple[IntArray, dict[str, Any]]]:
        """The n texts as inputs of at most ``budget`` tokens, longest first: their positions, and features.

        Packs where the encoder can be given them, else padded groups, whose padding is counted.
        """
        return list(self.inputs_in_turn(form, ids, budget))

    def inputs_in_turn(
        self, form: int, ids: IntArray, budget: int
    ) -> Iterator[tuple[IntArray, dict[str, Any]]]:
        """As ``inputs``, each made when it is asked for: of many texts, few are tensors at a time."""
        for chosen in self.groups(form, ids, budget):
            yield chosen, self.group_inputs(form, ids[chosen])

    def groups(self, form: int, ids: IntArray, budget: int) -> list[IntArray]:
        """The positions of each of the groups that ``inputs`` makes of the n texts, in their order."""
        return (plan_groups if self.why_not_packed else plan_packs)(self.lengths(form, ids), budget)

    def group_inputs(self, form: int, ids: IntArray) -> dict[str, Any]:
        """The features of one of these groups: a pack where the encoder can be given one, else padded."""
        # The texts without any token, which are planned apart, have no place in a pack.
        packs = not self.why_not_packed and self.lengths(form, ids[:1])[0] > 0
        return (self.packed if packs else self.features)(form, ids)

    def features(self, form: int, ids: IntArray) -> dict[str, Any]:
        """One padded group of n texts as the model's input: (n, longest) tensors on the CPU."""
        return padded(self._stores[form].rows(ids), self.pad_id) | self._marks(form)

    def packed(self, form: int, ids: IntArray) -> dict[str, Any]:
        """One pack of n texts as the model's input: (1, T) tensors on the CPU."""
        return packed(self._stores[form].rows(ids), self._first_position) | self._marks(form)

    def _marks(self, form: int) -> dict[str, Any]:
        if form not in self._prompt_lengths:
            self._prompt_lengths[form] = self._tokenisers[form].prompt_length()
        marks = {"prompt_length": self._prompt_lengths[form], "task": self._forms[form].task}
        return {name: value for name, value in marks.items() if value is not None}
