"""Every loss by the name that recipes use."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from sbert_triplet.distances.options import Range, nearest_spelling
from sbert_triplet.losses.batch import Loss
from sbert_triplet.losses.cosent import CoSENTLoss
from sbert_triplet.losses.guided import GuidedRankingLoss
from sbert_triplet.losses.ladder import LadderLoss
from sbert_triplet.losses.learned import OasisLoss, RelativeComparisonsLoss
from sbert_triplet.losses.margin_based import MarginBasedLoss
from sbert_triplet.losses.pairs import ContrastiveLoss, OnlineContrastiveLoss
from sbert_triplet.losses.ranking import MultipleNegativesRankingLoss, SymmetricRankingLoss
from sbert_triplet.losses.siamese import CosineRegressionLoss, SoftmaxClassificationLoss
from sbert_triplet.losses.supervised_contrastive import SupervisedContrastiveLoss
from sbert_triplet.losses.triplet import HofferAilonLoss, TripletLoss
from sbert_triplet.losses.views import MoCoLoss, NTXentLoss, SimCSELoss

PAIRED = frozenset({"pairs", "triplets", "retrieval"})
"""Anchors with positives; NLI counts where its entailed pairs are used so, contradictions as negatives."""
MINED = PAIRED | {"nli", "labelled"}
ANY = MINED | {"scored"}
ALONE = ANY | {"texts"}
SUPPLIED = ("dimensions", "transform")
"""Parameters that the program supplies, not the person."""


@dataclass(frozen=True)
class Option:
    """One keyword of a loss or distance, read from its constructor's signature."""

    name: str
    type: Any
    default: Any
    required: bool
    range: Range | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class LossEntry:
    """A loss as recipes see it: ``kinds`` are values of ``data.kinds.Kind`` that it accepts."""

    constructor: Callable[..., Loss]
    kinds: frozenset[str]
    description: str

    @property
    def options(self) -> dict[str, Option]:
        return options_of(self.constructor)


LOSSES: dict[str, LossEntry] = {
    "triplet": LossEntry(
        TripletLoss, MINED, "anchor nearer to its positive than to its negative by a margin"
    ),
    "margin_based": LossEntry(
        MarginBasedLoss, MINED, "positives inside, negatives outside a boundary, fixed or learned"
    ),
    "hoffer_ailon": LossEntry(
        HofferAilonLoss, MINED, "squared softmax ratio of the two distances of a triplet"
    ),
    "multiple_negatives_ranking": LossEntry(
        MultipleNegativesRankingLoss, MINED, "the own positive among all texts of the batch (InfoNCE)"
    ),
    "symmetric_ranking": LossEntry(
        SymmetricRankingLoss, MINED, "the own positive and the own anchor, both ways (CLIP)"
    ),
    "nt_xent": LossEntry(
        NTXentLoss, ANY | {"texts"}, "each view picks its partner among all other views (SimCLR)"
    ),
    "simcse": LossEntry(
        SimCSELoss, ANY | {"texts"}, "each text picks its own second dropout pass; no labels needed"
    ),
    "moco": LossEntry(MoCoLoss, PAIRED | {"nli"}, "the own key among a queue of a momentum encoder's keys"),
    "supervised_contrastive": LossEntry(
        SupervisedContrastiveLoss, frozenset({"labelled"}), "all texts of the same class as positives"
    ),
    "guided_ranking": LossEntry(
        GuidedRankingLoss, PAIRED | {"nli"}, "ranking without candidates that a guide finds too near (GIST)"
    ),
    "contrastive": LossEntry(ContrastiveLoss, ANY, "similar pairs together, dissimilar ones beyond a margin"),
    "online_contrastive": LossEntry(
        OnlineContrastiveLoss, ANY, "contrastive on the hard pairs of the batch only"
    ),
    "softmax_classification": LossEntry(
        SoftmaxClassificationLoss, frozenset({"nli"}), "a classifier on (u, v, |u - v|) (SBERT on NLI)"
    ),
    "cosine_regression": LossEntry(
        CosineRegressionLoss, frozenset({"scored"}), "squared error of the cosine against the score"
    ),
    "cosent": LossEntry(CoSENTLoss, frozenset({"scored"}), "similarities in the order of the scores"),
    "ladder": LossEntry(LadderLoss, ANY, "candidates in the order of graded relevance, rung by rung"),
    "relative_comparisons": LossEntry(
        RelativeComparisonsLoss, MINED, "a diagonal metric from triplets (Schultz and Joachims)"
    ),
    "oasis": LossEntry(OasisLoss, MINED, "a bilinear similarity from triplets (OASIS)"),
}


def build_loss(name: str, *, dimensions: int | None = None, **options: Any) -> Loss:
    """The loss called ``name`` with its ``options``.

    ``dimensions`` of the encoder reaches the losses and distances that hold a matrix. Raises
    ValueError with the nearest spelling for an unknown name or option, and for values outside
    their range.
    """
    if name not in LOSSES:
        raise ValueError(f"loss {name!r} is not known: {nearest_spelling(name, tuple(LOSSES))}")
    constructor = LOSSES[name].constructor
    parameters = inspect.signature(constructor).parameters
    if "dimensions" in parameters and dimensions is not None:
        options.setdefault("dimensions", dimensions)
    for option in options:
        if option not in parameters:
            known = tuple(LOSSES[name].options)
            hint = nearest_spelling(option, known) if known else "it has none"
            raise ValueError(f"loss {name} has no option {option!r}: {hint}")
    for key, parameter in parameters.items():
        if parameter.default is parameter.empty and key not in options:
            raise ValueError(f"loss {name} needs {key}")
    return constructor(**options)


def options_of(constructor: Callable[..., Any]) -> dict[str, Option]:
    """The options that a person may give to a constructor, with types, defaults, ranges and choices."""
    target = constructor.__init__ if inspect.isclass(constructor) else constructor
    hints = get_type_hints(target, include_extras=True)
    found = {}
    for parameter in inspect.signature(constructor).parameters.values():
        if parameter.name in SUPPLIED:
            continue
        hint = hints[parameter.name]
        found[parameter.name] = Option(
            parameter.name,
            hint,
            None if parameter.default is parameter.empty else parameter.default,
            parameter.default is parameter.empty,
            _range(hint),
            _choices(hint),
        )
    return found


def _range(hint: Any) -> Range | None:
    if get_origin(hint) is Annotated:
        return next((extra for extra in hint.__metadata__ if isinstance(extra, Range)), None)
    if get_origin(hint) in (Union, UnionType):
        return next((found for part in get_args(hint) if (found := _range(part)) is not None), None)
    return None


def _choices(hint: Any) -> tuple[str, ...]:
    if get_origin(hint) is Literal:
        return tuple(get_args(hint))
    if get_origin(hint) in (Union, UnionType):
        parts = [part for part in get_args(hint) if part is not NoneType]
        return _choices(parts[0]) if len(parts) == 1 else ()
    return ()
