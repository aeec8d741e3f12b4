"""The names of metrics, the many ways people spell them, and which ones suit which kind of input.

Canonical names follow ir-measures for retrieval (``nDCG@10``, ``RR@10``, ``AP``, ``R@100``,
``P@5``, ``Success@3``); the rest are written out (``Spearman``, ``triplet accuracy``, ...).
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from enum import StrEnum

from sbert_triplet.data.kinds import Kind


class Task(StrEnum):
    """What a metric is measured on."""

    RETRIEVAL = "retrieval"
    SCORED = "scored pairs"
    PAIRS = "binary pairs"
    TRIPLETS = "triplets"
    LABELS = "labelled text"
    CLUSTERING = "clustering"


@dataclass(frozen=True)
class Metric:
    """One metric. ``name`` is canonical; ``family`` is the name without its cutoff."""

    name: str
    task: Task
    family: str
    cutoff: int | None = None

    def __str__(self) -> str:
        return self.name


class _Cutoff(StrEnum):
    NONE = "none"
    OPTIONAL = "optional"
    REQUIRED = "required"


@dataclass(frozen=True)
class _Family:
    """``spellings``: lower case, letters and digits only."""

    name: str
    task: Task
    cutoff: _Cutoff
    spellings: tuple[str, ...]


_FAMILIES = (
    _Family("nDCG", Task.RETRIEVAL, _Cutoff.OPTIONAL, ("ndcg",)),
    _Family("nDCG-exp", Task.RETRIEVAL, _Cutoff.OPTIONAL, ("ndcgexp", "ndcgexponential", "expndcg")),
    _Family("RR", Task.RETRIEVAL, _Cutoff.OPTIONAL, ("rr", "mrr", "reciprocalrank", "meanreciprocalrank")),
    _Family(
        "AP", Task.RETRIEVAL, _Cutoff.OPTIONAL, ("ap", "map", "averageprecision", "meanaverageprecision")
    ),
    _Family("R", Task.RETRIEVAL, _Cutoff.REQUIRED, ("r", "recall")),
    _Family("P", Task.RETRIEVAL, _Cutoff.REQUIRED, ("p", "precision", "prec")),
    _Family(
        "Success",
        Task.RETRIEVAL,
        _Cutoff.REQUIRED,
        ("success", "hit", "hits", "hitrate", "hr", "accuracy", "acc"),
    ),
    _Family("Spearman", Task.SCORED, _Cutoff.NONE, ("spearman", "spearmanr", "spearmanrho", "spearmans")),
    _Family("Pearson", Task.SCORED, _Cutoff.NONE, ("pearson", "pearsonr", "pearsons")),
    _Family("pair AP", Task.PAIRS, _Cutoff.NONE, ("pairap", "pairsap", "pairaverageprecision")),
    _Family(
        "triplet accuracy", Task.TRIPLETS, _Cutoff.NONE, ("tripletaccuracy", "tripletsaccuracy", "triplet")
    ),
    _Family(
        "1-NN accuracy",
        Task.LABELS,
        _Cutoff.NONE,
        ("1nnaccuracy", "1nn", "nnaccuracy", "nearestneighbouraccuracy", "nearestneighboraccuracy"),
    ),
    _Family(
        "centroid accuracy",
        Task.LABELS,
        _Cutoff.NONE,
        ("centroidaccuracy", "centroid", "nearestcentroid", "nearestcentroidaccuracy"),
    ),
    _Family(
        "logistic accuracy",
        Task.LABELS,
        _Cutoff.NONE,
        ("logisticaccuracy", "logistic", "logisticprobe", "logisticregression", "linearprobe"),
    ),
    _Family("V-measure", Task.CLUSTERING, _Cutoff.NONE, ("vmeasure", "vmeasurescore")),
)
_BY_SPELLING = {spelling: family for family in _FAMILIES for spelling in family.spellings}
_FORM = re.compile(
    r"(?P<name>.*?[^\W\d_])(?:\s*@\s*|[\s_-]+at[\s_-]+|[\s_-]+cut[\s_-]+|[\s_-]*)(?P<cutoff>\d+)?", re.ASCII
)


def parse_metric(text: str) -> Metric:
    """The metric that ``text`` names, in any of its common spellings.

    Case, spaces, hyphens and underscores do not matter, and a cutoff may be written ``@10``,
    ``_at_10``, ``_cut_10`` or ``_10``: ``MRR@10``, ``ndcg_at_10``, ``Recall@100``, ``map``,
    ``hit@3`` and ``accuracy@3`` (both ``Success@3``). ``nDCG`` has linear gains, ``nDCG-exp``
    the gains 2^grade - 1. Raises ``ValueError`` that names the nearest spelling.
    """
    form = _FORM.fullmatch(text.strip())
    if form is None:
        raise ValueError(f"unknown metric {text!r}. Known metrics: {_known()}")
    key = re.sub(r"[^a-z0-9]", "", form["name"].casefold())
    family = _BY_SPELLING.get(key)
    if family is None:
        raise ValueError(
            f"unknown metric {text!r}{_suggestion(key, form['cutoff'])}. Known metrics: {_known()}"
        )
    cutoff = int(form["cutoff"]) if form["cutoff"] else None
    if cutoff is None and key in ("accuracy", "acc"):
        raise ValueError(
            f"metric {text!r} could be several things: write accuracy@1 (the same as Success@1), "
            "triplet accuracy, 1-NN accuracy, centroid accuracy or logistic accuracy"
        )
    if cutoff is None and family.cutoff is _Cutoff.REQUIRED:
        raise ValueError(f"metric {text!r} needs a cutoff, as in {family.name}@10")
    if cutoff is not None and family.cutoff is _Cutoff.NONE:
        raise ValueError(f"metric {text!r} has no cutoff: write {family.name}")
    if cutoff == 0:
        raise ValueError(f"metric {text!r} has the cutoff 0; the smallest is {family.name}@1")
    return Metric(
        family.name if cutoff is None else f"{family.name}@{cutoff}", family.task, family.name, cutoff
    )


def default_metrics(kind: Kind, *, binary_scores: bool = False) -> tuple[Metric, ...]:
    """What is measured when nothing is asked for; the first is the main metric.

    ``binary_scores``: the scores of scored pairs are yes or no. None for texts alone, which cannot be
    measured.
    """
    if kind is Kind.SCORED and binary_scores:
        return (parse_metric("pair AP"),)
    return tuple(parse_metric(name) for name in _DEFAULTS[kind])


_RETRIEVAL = ("nDCG@10", "RR@10", "AP@100", "Success@1", "Success@3", "R@100")
_DEFAULTS = {
    Kind.PAIRS: _RETRIEVAL,
    Kind.RETRIEVAL: _RETRIEVAL,
    Kind.TRIPLETS: ("triplet accuracy",),
    Kind.NLI: ("triplet accuracy", "pair AP"),
    Kind.LABELLED: ("1-NN accuracy", "centroid accuracy"),
    Kind.SCORED: ("Spearman", "Pearson"),
    Kind.TEXTS: (),
}


def task_metrics(task: Task) -> tuple[Metric, ...]:
    """What is measured on a task of a suite when nothing is asked for; the first is the main metric."""
    return tuple(parse_metric(name) for name in _OF_TASKS[task])


_OF_TASKS = {
    Task.RETRIEVAL: _RETRIEVAL,
    Task.SCORED: ("Spearman", "Pearson"),
    Task.PAIRS: ("pair AP",),
    Task.TRIPLETS: ("triplet accuracy",),
    Task.LABELS: ("1-NN accuracy", "centroid accuracy", "logistic accuracy"),
    Task.CLUSTERING: ("V-measure",),
}


def _known() -> str:
    return ", ".join(
        family.name if family.cutoff is _Cutoff.NONE else f"{family.name}@10" for family in _FAMILIES
    )


def _suggestion(key: str, cutoff: str | None) -> str:
    near = difflib.get_close_matches(key, _BY_SPELLING, n=1, cutoff=0.5)
    if not near:
        return ""
    family = _BY_SPELLING[near[0]]
    if family.cutoff is _Cutoff.NONE:
        return f"; did you mean {family.name}?"
    if cutoff is None and family.cutoff is _Cutoff.OPTIONAL:
        return f"; did you mean {family.name}?"
    return f"; did you mean {family.name}@{cutoff or 10}?"
