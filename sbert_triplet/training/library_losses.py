"""Losses of sentence-transformers that work on embeddings, by the names ``st.CLASS`` in recipes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor

from sbert_triplet.distances import Distance, build_distance
from sbert_triplet.distances.options import nearest_spelling
from sbert_triplet.errors import InputError
from sbert_triplet.losses.batch import Embedded, Loss, LossOutput, Needs, connected_zero
from sbert_triplet.losses.candidates import labels_of
from sbert_triplet.losses.cosent import scores_of
from sbert_triplet.losses.names import LOSSES, LossEntry, build_loss
from sbert_triplet.training.library_names import LABELLED, LIBRARY_LOSSES
from sbert_triplet.training.library_options import functions_of, library_class, signature_of


class LibraryLoss(Loss):
    """A loss of sentence-transformers on embeddings that were made elsewhere.

    ``name``: a key of ``LIBRARY_LOSSES``; ``options``: keywords of its class, functions of
    distance or similarity by name. Value and gradient are those of the class's
    ``compute_loss_from_embeddings``; the encoder that its constructor asks for is never called.
    Parameters it makes are this module's. Every row brings equally many negatives, and rows are
    not weighted. A batch of class labels without a triplet gives 0 instead of the margin.
    ``teacher`` names the frozen encoder of a loss that distils. Raises ValueError for options
    that the class refuses.
    """

    def __init__(
        self, name: str, *, dimensions: int | None = None, teacher: str | None = None, **options: Any
    ) -> None:
        super().__init__()
        self.name, self.entry, self.teacher = name, LIBRARY_LOSSES[name], teacher
        cls = library_class(name)
        functions = functions_of(cls)
        self._compares: Distance | str | None = _fixed_similarity(name)
        for option, (table, default) in functions.items():
            chosen = options.get(option, default)
            options[option] = table[chosen]
            self._compares = build_distance(chosen) if option == "distance_metric" else chosen
        try:
            self.loss = cls(_NoEncoder(dimensions), **options)
        except TypeError as error:
            raise ValueError(f"{name}: {error}") from error
        self.scores_yes_or_no = self.entry.target == "yes or no"
        self.scores_between = (-1.0, 1.0) if name == "st.CosineSimilarityLoss" else None
        self.needs = self.needs_for("labelled" if self.entry.kinds == LABELLED else "pairs")

    def needs_for(self, kind: str) -> Needs:
        if self.entry.target == "classes":
            return Needs(columns=1, labels=True)
        if self.entry.target in ("scores", "yes or no"):
            return Needs(columns=2, scores=True)
        columns = 1 if kind == "labelled" else 2
        return Needs(columns=columns, negatives=self.entry.least > 0, guide=self.teacher)

    @property
    def embedding_sized(self) -> bool:
        return self.entry.embedding_sized

    @property
    def compares_by(self) -> Distance | str | None:
        return self._compares

    def forward(self, batch: Embedded) -> LossOutput:
        if batch.weights is not None and bool((batch.weights != batch.weights[:1]).any()):
            raise InputError(f"{self.name} cannot weight rows: leave data.columns.weight and weights out")
        valid = float(batch.rows)
        if self.entry.target == "classes":
            valid = float(_anchors_with_triplets(labels_of(batch)))
        if valid == 0:
            return LossOutput(connected_zero(*batch.columns), {"n_valid": 0.0})
        embeddings = self._embeddings(batch)
        try:
            found = self.loss.compute_loss_from_embeddings(embeddings, self._target(batch, len(embeddings)))
        except ValueError as error:
            raise InputError(f"{self.name}: {error}") from error
        parts = found if isinstance(found, Mapping) else {"": found}
        stats = {name: float(value.detach()) for name, value in parts.items() if name}
        return LossOutput(torch.stack(list(parts.values())).sum(), {"n_valid": valid, **stats})

    def _embeddings(self, batch: Embedded) -> list[Tensor]:
        """Columns, then the first negative of every row, the second of every row, ..."""
        count = _negatives_a_row(batch, self.name)
        least, most = self.entry.least, self.entry.most
        if count < least or (most is not None and count > most):
            wanted = f"{least}" if least == most else f"at least {least}"
            raise InputError(
                f"{self.name} wants {wanted} negative a row, these rows have {count}: "
                "name the negatives' columns in data.columns.negative"
            )
        return [*batch.columns, *_by_place(batch, count)]

    def _target(self, batch: Embedded, columns: int) -> Any:
        target = self.entry.target
        if target == "classes":
            return labels_of(batch)
        if target in ("scores", "yes or no"):
            scores = scores_of(batch, *(self.scores_between or (None, None)))
            if self.scores_yes_or_no and bool(((scores != 0) & (scores != 1)).any()):
                row = int(((scores != 0) & (scores != 1)).nonzero()[0])
                raise InputError(
                    f"{self.name} wants scores of 0 or 1; row {row} of the batch has {float(scores[row]):g}"
                )
            return scores
        return None if target == "nothing" else self._taught(batch, columns)

    def _taught(self, batch: Embedded, columns: int) -> Any:
        """What the teacher makes of the same texts: its embeddings, or (B, N) similarities of N texts."""
        if batch.guide is None:
            raise InputError(f"{self.name} wants the batch embedded by a teacher")
        shown = Embedded(
            batch.guide.columns, negatives=batch.guide.negatives, negative_rows=batch.negative_rows
        )
        embeddings = [*shown.columns, *_by_place(shown, _negatives_a_row(batch, self.name))]
        if len(embeddings) != columns:
            raise InputError(f"{self.name}: the teacher embeds {len(embeddings)} columns of {columns}")
        if self.entry.target == "similarities":
            anchor, *others = embeddings
            similarity = self.loss.similarity_fct
            return torch.stack([similarity(anchor, other) for other in others], dim=1).detach()
        wide = self.loss.projection_dim or batch.columns[0].shape[1]
        if embeddings[0].shape[1] != wide:
            raise InputError(
                f"{self.name}: the teacher embeds in {embeddings[0].shape[1]} dimensions, the encoder in "
                f"{wide}; set loss.projection_dim to {embeddings[0].shape[1]}"
            )
        return [embedding.detach() for embedding in embeddings]


def find_loss(name: str) -> LossEntry:
    """The loss of this name, one of this package or, behind ``st.``, one of sentence-transformers.

    Raises ValueError with the nearest spelling for a name that is neither.
    """
    if name in LOSSES:
        return LOSSES[name]
    if name not in LIBRARY_LOSSES:
        hint = nearest_spelling(name, (*LOSSES, *LIBRARY_LOSSES))
        raise ValueError(f"loss {name!r} is not known: {hint}")
    entry = LIBRARY_LOSSES[name]
    return LossEntry(_constructor(name), entry.kinds, entry.description)


def build_any_loss(name: str, *, dimensions: int | None = None, **options: Any) -> Loss:
    """``losses.names.build_loss``, for the losses of sentence-transformers as well."""
    if name in LOSSES:
        return build_loss(name, dimensions=dimensions, **options)
    return find_loss(name).constructor(dimensions=dimensions, **options)


@cache
def _constructor(name: str) -> Callable[..., Loss]:
    """A constructor whose signature has the options that a person may give, and ``dimensions``."""
    options = {**signature_of(library_class(name)), "dimensions": (int | None, None)}
    if LIBRARY_LOSSES[name].target in ("embeddings", "similarities"):
        options["teacher"] = (str, inspect.Parameter.empty)

    def construct(**given: Any) -> Loss:
        return LibraryLoss(name, **given)

    construct.__doc__ = LIBRARY_LOSSES[name].description
    construct.__annotations__ = {option: annotation for option, (annotation, _) in options.items()}
    vars(construct)["__signature__"] = inspect.Signature(
        [
            inspect.Parameter(option, inspect.Parameter.KEYWORD_ONLY, default=default)
            for option, (_, default) in options.items()
        ]
    )
    return construct


def _fixed_similarity(name: str) -> str | None:
    """What a loss compares by that offers no choice of it; None where embeddings are matched in place."""
    return "cosine" if name == "st.CosineSimilarityLoss" else None


class _NoEncoder:
    """What the constructors read of an encoder: its dimensions and device; calling it is an error."""

    def __init__(self, dimensions: int | None) -> None:
        self.dimensions, self.device = dimensions, torch.device("cpu")

    def get_embedding_dimension(self) -> int:
        if self.dimensions is None:
            raise ValueError("the encoder's dimensions are not known")
        return self.dimensions


def _anchors_with_triplets(labels: Tensor) -> int:
    same = labels[:, None] == labels[None]
    return int(((same.sum(1) > 1) & ~same.all(1)).sum())


def _negatives_a_row(batch: Embedded, name: str) -> int:
    if batch.negatives is None or batch.negative_rows is None:
        return 0
    counts = batch.negative_rows.diff()
    if bool((counts != counts[:1]).any()):
        row = int((counts != counts[0]).nonzero()[0])
        raise InputError(
            f"{name} wants equally many negatives in every row: row 0 of the batch has {int(counts[0])}, "
            f"row {row} has {int(counts[row])}; losses without st. take any number"
        )
    return int(counts[0]) if len(counts) else 0


def _by_place(batch: Embedded, count: int) -> list[Tensor]:
    """(C, D) negatives, ``count`` of each row, as ``count`` tensors (B, D)."""
    if batch.negatives is None or count == 0:
        return []
    return list(batch.negatives.reshape(batch.rows, count, -1).unbind(1))
