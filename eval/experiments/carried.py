"""One run of an experiment: its recipe, how long it trains, and what is kept of it."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import beside  # noqa: F401
from claim import LEARNING_RATE, Experiment, Variant
from matching import matched_margin, open_ended
from outcomes import as_text, log_entries, values_by_item
from paces import step_seconds, timed_run
from runs import figures_of
from sets import LABELS, PAIRS, TRIPLETS, Cut

from sbert_triplet.encoding.loading import EMBEDDED_MODEL
from sbert_triplet.errors import CollapsedError, DivergedError
from sbert_triplet.pipeline.request import Request
from sbert_triplet.recipe.model import Recipe
from sbert_triplet.recipe.reading import recipe_from
from sbert_triplet.training.collapse import LEFT

Results = dict[str, Any]
FIRST_PART = 3
"""One step in so many belongs to the run that comes before, where there is one."""
TENTH = 10


@dataclass(frozen=True)
class Place:
    """Where and how all runs work. ``tolerance``: the share by which a training may miss its seconds.

    ``steps``: at most so many, and ``margins``: whether mining has filters; for a trial, whose random
    encoder knows nothing.
    """

    folder: Path
    model: str = EMBEDDED_MODEL
    precision: str = "bf16"
    tolerance: float = 0.1
    seconds: float | None = None
    steps: int | None = None
    margins: bool = True

    def encoder(self, variant: Variant) -> str:
        return open_ended(self.model, self.folder / "open") if variant.open else self.model


def made(experiment: Experiment, name: str, cut: Cut, seed: int, kept: Results, place: Place) -> Results:
    """A run of the variant; ``kept``: what is known of the set, to which margins and paces are added."""
    variant = experiment.variants[name]
    margin = known_margin(experiment, name, cut, kept, place)
    job = Job(variant, cut, seed, place, margin, place.seconds or experiment.seconds)
    if experiment.seconds is None:
        found = job.carried_out(steps_of(experiment, variant, cut, place))
    else:
        found = at_equal_time(job, kept.setdefault("paces", {}))
    return {"set": cut.name, "variant": name, "seed": seed, **found}


def at_equal_time(job: Job, paces: Results) -> Results:
    """A run of the job's seconds; the steps of its pace are added to ``paces`` when they are found."""
    if (known := paces.get(job.variant.pace)) is not None:
        return job.carried_out(known["steps"])
    found = timed_run(job.carried_out, job.seconds or 0.0, job.place.tolerance)
    if not found["stopped"]:
        paces[job.variant.pace] = {"steps": found["steps"], "step_seconds": step_seconds(found)}
    return found


def known_margin(experiment: Experiment, name: str, cut: Cut, kept: Results, place: Place) -> float | None:
    """The margin of a variant whose margin is matched, measured once for each set."""
    variant = experiment.variants[name]
    if not variant.matched:
        return None
    margins = kept.setdefault("margins", {})
    if name not in margins:
        margins[name] = matched_margin(place.encoder(variant), cut, variant.loss["distance"])
    return float(margins[name])


def steps_of(experiment: Experiment, variant: Variant, cut: Cut, place: Place) -> int:
    """Steps of every run of the variant: as said for the set, or as it takes to see so many rows."""
    if experiment.steps is not None:
        steps = experiment.steps[cut.name]
    else:
        size = variant.train.get("batch_size", cut.shape.batch_size)
        steps = round((experiment.rows or 0) / cut.train) * -(-cut.train // size)
    return max(min(steps, place.steps or steps), 1)


@dataclass(frozen=True)
class Job:
    """A variant on a set with a seed. ``margin``: in place of the loss's own. ``seconds``: at equal time."""

    variant: Variant
    cut: Cut
    seed: int
    place: Place
    margin: float | None = None
    seconds: float | None = None

    def carried_out(self, steps: int | None) -> Results:
        """One run, or two of which the second goes on with the weights of the first."""
        with tempfile.TemporaryDirectory(dir=self.place.folder) as scratch:
            out = Path(scratch) / "run"
            if self.variant.first is None or steps is None:
                return outcome(self.recipe(steps), out, self.cut)
            before, early = Path(scratch) / "before", max(steps // FIRST_PART, 1)
            first = outcome(self.recipe(early, miner=self.variant.first), before, self.cut)
            if first["stopped"]:
                return first
            rest = self.recipe(max(steps - early, 1), model=str(before))
            return joined(first, outcome(rest, out, self.cut))

    def recipe(self, steps: int | None, *, miner: str | None = None, model: str | None = None) -> Recipe:
        """``steps``: as many as the seconds are expected to be enough for where None.

        ``miner`` and ``model`` take the place of the variant's own.
        """
        variant, place, shape = self.variant, self.place, self.cut.shape
        data: Results = {part: str(self.cut.folder / f"{part}.parquet") for part in ("train", "test")}
        if shape.kind == LABELS:
            data["columns"] = {"anchor": "text", "label": "label"}
        elif shape.kind == PAIRS:
            data["corpus"] = str(self.cut.folder / "corpus.parquet")
        measure = {"metrics": [shape.metric], "dev": 0, "bm25": False, "general": False}
        sections: Results = {
            "model": model or place.encoder(variant),
            "max_length": shape.max_length,
            "data": data,
            "loss": self._loss(miner or variant.miner),
            "train": self._train(steps),
            "evaluate": {**measure, "precision": place.precision},
        }
        if variant.mine is not None:
            left_out = () if place.margins else ("relative_margin",)
            sections["mine"] = {key: value for key, value in variant.mine.items() if key not in left_out}
        if variant.curriculum is not None:
            sections["curriculum"] = dict(variant.curriculum)
        return recipe_from(sections, origin="the experiment")

    def _loss(self, miner: str | None) -> Results:
        loss = dict(self.variant.loss)
        if self.margin is not None:
            loss["margin"] = self.margin
        if miner is not None and self.cut.shape.kind != TRIPLETS:
            loss["miner"] = miner
        return loss

    def _train(self, steps: int | None) -> Results:
        train: Results = {
            "epochs": 1000,
            "batch_size": self.cut.shape.batch_size,
            "learning_rate": LEARNING_RATE,
            "seed": self.seed,
            "precision": self.place.precision,
            "never_worse": False,
            **self.variant.train,
        }
        limit = {"max_seconds": self.seconds} if steps is None else {"max_steps": steps}
        return train | limit


def outcome(recipe: Recipe, out: Path, cut: Cut) -> Results:
    """What came of one training: how well it did by item, or why and when it was stopped."""
    stopped, figures = None, {}
    try:
        figures = figures_of(Request(recipe, cut.name, ""), out)
    except DivergedError as error:
        why = "collapsed" if isinstance(error, CollapsedError) else "diverged"
        stopped = {"why": why, "message": str(error)}
    steps = [entry for entry in log_entries(out) if "loss" in entry]
    found: Results = {"stopped": stopped, **of_steps(steps)}
    if stopped is not None:
        return found
    _, tuned = values_by_item(out)
    metric, train = figures["metrics"][cut.shape.metric], figures["train"]
    return {
        **found,
        "steps": train["steps"],
        "seconds": train["seconds"],
        "base": metric["base"],
        "tuned": metric["tuned"],
        "tuned_by_item": as_text(tuned),
    }


def of_steps(steps: Sequence[Results]) -> Results:
    """What the log says of a training: the share of active triplets, and how the embeddings crowd.

    ``active``: over the first and the last tenth of the steps. ``cosine``, ``rank``: mean cosine and
    effective rank of different texts of a batch, at the first check and the last; ``crowded_from``: the
    first checked step from which on no more than ``LEFT`` of the start is left of either.
    """
    seconds = [float(entry["seconds"]) for entry in steps]
    active = [entry["stats"]["active_share"] for entry in steps if "active_share" in entry["stats"]]
    checks = [entry for entry in steps if "anisotropy" in entry["stats"]]
    cosines = [entry["stats"]["anisotropy"] for entry in checks]
    ranks = [entry["stats"]["effective_rank"] for entry in checks]
    part = max(len(active) // TENTH, 1)
    return {
        "steps": len(steps),
        "seconds": sum(seconds),
        "step_seconds": statistics.median(seconds) if seconds else None,
        "active": [statistics.mean(active[:part]), statistics.mean(active[-part:])] if active else None,
        "cosine": [cosines[0], cosines[-1]] if checks else None,
        "rank": [ranks[0], ranks[-1]] if checks else None,
        "crowded_from": crowded_from([int(entry["step"]) for entry in checks], cosines, ranks),
    }


def crowded_from(steps: Sequence[int], cosines: Sequence[float], ranks: Sequence[float]) -> int | None:
    """The first checked step from which on embeddings were crowded to the end; None where they were not."""
    found = None
    for step, cosine, rank in zip(reversed(steps), reversed(cosines), reversed(ranks), strict=True):
        if 1 - cosine > LEFT * (1 - cosines[0]) and rank - 1 > LEFT * (ranks[0] - 1):
            break
        found = step
    return found


def joined(first: Results, second: Results) -> Results:
    """Two trainings, one after the other, as one; it starts from the base model of the first."""
    both = {key: first[key] + second[key] for key in ("steps", "seconds")}
    spans = {
        key: [first[key][0], second[key][1]] if first[key] and second[key] else None
        for key in ("active", "cosine", "rank")
    }
    crowded = second["crowded_from"]
    base = {} if second["stopped"] else {"base": first["base"]}
    shifted = None if crowded is None else crowded + first["steps"]
    return {**second, **both, **spans, **base, "crowded_from": shifted}
