"""What an evaluation was asked for, and everything that it found."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sentence_transformers import SentenceTransformer

from sbert_triplet.evaluation.mteb import MtebResult
from sbert_triplet.evaluation.over_seeds import SeedGroup
from sbert_triplet.evaluation.side_by_side import Compared, Row
from sbert_triplet.evaluation.speed import Speed
from sbert_triplet.pipeline.contenders import Contender
from sbert_triplet.pipeline.measured_data import MeasuredOn


@dataclass(frozen=True)
class Asked:
    """What is to be measured on what.

    ``models``: folders, run folders, Hub ids; the first is what the others are compared with. ``suite`` or
    ``data``, with ``settings`` that change values of the data's recipe; without both the data of the first
    model that a run made. ``local``: where a suite's files lie. ``mteb``: names of its tasks.
    """

    models: tuple[str, ...]
    suite: str | None = None
    data: str | None = None
    settings: tuple[str, ...] = ()
    local: Path | None = None
    mteb: tuple[str, ...] = ()
    precision: str = "fp32"
    seed: int = 13


@dataclass(frozen=True)
class Loaded:
    """A model in memory. ``weights``: SHA-256 of its parameters."""

    contender: Contender
    model: SentenceTransformer
    weights: str


@dataclass(frozen=True)
class Measurements:
    """Everything that was found; ``rows`` are the models, then BM25, then BM25 fused with each."""

    asked: Asked
    target: MeasuredOn | None
    models: list[Loaded]
    rows: list[Row] = field(default_factory=list)
    compared: list[Compared] = field(default_factory=list)
    seeds: list[SeedGroup] = field(default_factory=list)
    speeds: list[Speed] = field(default_factory=list)
    mteb: dict[str, list[MtebResult]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
