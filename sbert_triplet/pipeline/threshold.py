"""From which similarity on two texts are the same: chosen on dev, tried on test, kept beside the model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sbert_triplet.encoding.embedder import Embedder
from sbert_triplet.evaluation.calibration import Calibration, calibrate
from sbert_triplet.evaluation.held_out import HeldOut
from sbert_triplet.evaluation.judged import Judged, judged_pairs
from sbert_triplet.evaluation.pairs import Threshold, at_threshold
from sbert_triplet.evaluation.parts import Part, Scored
from sbert_triplet.pipeline.folder import RunFolder

FILE = "calibration.json"
PAIRS = 5_000
"""Pairs that are looked at at most."""


@dataclass(frozen=True)
class SameFrom:
    """A calibration on dev pairs, and what its cut gives on ``test_pairs`` of the test rows.

    ``what``: what a pair is. ``function``: the similarity function of the model.
    """

    calibration: Calibration
    test: Threshold
    test_pairs: int
    what: str
    function: str

    def as_json(self) -> dict[str, Any]:
        """``calibration.json``: what somebody needs who is to use the cut, and how far to trust it."""
        measured = {"precision": self.test.precision, "recall": self.test.recall}
        return {
            "function": self.function,
            "pairs": self.what,
            **self.calibration.as_json(),
            "chosen_on": "dev",
            "test": {
                **{name: value if math.isfinite(value) else None for name, value in measured.items()},
                "n": self.test_pairs,
            },
            "sentence": self.calibration.sentence(),
        }


def same_from(
    dev: HeldOut,
    embedder: Embedder,
    *,
    test: tuple[Part, Scored],
    precision: float,
    seed: int,
) -> SameFrom | None:
    """The cut of the model that ``embedder`` is of; None where the dev rows do not say what is the same.

    ``test``: the first part of the test rows, and what the model scored there.
    """
    part = dev.parts[0]
    embedder.prepare(dev.wanted)
    chosen = judged_pairs(part, part.score(embedder), embedder)
    tried = judged_pairs(*test, embedder)
    if chosen is None or tried is None or not (chosen.same.any() and tried.same.any()):
        return None
    calibration = _calibrated(chosen.some(PAIRS, seed), precision, seed)
    return SameFrom(
        calibration,
        at_threshold(tried.similarities, tried.same, calibration.cut.similarity),
        len(tried.same),
        chosen.what,
        str(embedder.similarity),
    )


def _calibrated(pairs: Judged, precision: float, seed: int) -> Calibration:
    return calibrate(pairs.similarities, pairs.same, precision=precision, groups=pairs.groups, seed=seed)


def write_cuts(home: Path, cuts: Mapping[str, SameFrom | None]) -> None:
    """``calibration.json`` in the folders of models that have a cut."""
    for folder, cut in cuts.items():
        if cut is not None:
            RunFolder(home).write_json(f"{folder}/{FILE}", cut.as_json())
