"""One run of the comparison of hard negatives: its recipe, how long it trains, and what is kept of it."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hard_negatives_sets import Prepared
from mining_process import only_cache
from outcomes import as_text, log_entries, values_by_item
from paces import FEWEST_STEPS, step_seconds, timed_run
from runs import figures_of

from sbert_triplet.encoding.loading import EMBEDDED_MODEL
from sbert_triplet.pipeline.mining import mine_negatives
from sbert_triplet.pipeline.options import Options
from sbert_triplet.pipeline.preparing import load
from sbert_triplet.pipeline.request import Request
from sbert_triplet.pipeline.tasks import Setting
from sbert_triplet.recipe.model import Recipe
from sbert_triplet.recipe.reading import recipe_from

Results = dict[str, Any]
METRIC = "nDCG@10"


@dataclass(frozen=True)
class Method:
    """``pace``: methods of one pace cost the same a step and take as many steps.

    ``mine``, ``curriculum``: sections of the recipe, ``mine`` without the number of negatives.
    ``refreshed``: negatives are mined anew once, after half of the steps.
    """

    words: str
    pace: str
    mine: Results | None = None
    curriculum: Results | None = None
    refreshed: bool = False


NO_FILTERS: Results = {"near_equal": None, "transitive_hops": 0}
FILTERS: Results = {"relative_margin": 0.05}
CURRICULUM: Results = {"score": "reference", "pacing": "root", "start": 0.2, "full_at": 0.5}
METHODS = {
    "in-batch": Method("in-batch only", "pairs"),
    "once": Method("mined once", "negatives", NO_FILTERS),
    "filters": Method("mined with filters", "negatives", FILTERS),
    "refreshed": Method("mined with filters, refreshed", "refreshed", FILTERS, refreshed=True),
    "curriculum": Method("mined with filters, curriculum", "negatives", FILTERS, CURRICULUM),
}
PACED_BY = "filters"
"""The method whose pace tells how many steps are left beside a refresh."""


@dataclass(frozen=True)
class Plan:
    """What all runs share. ``tolerance``: the share by which a training may miss ``seconds``.

    ``margins``: off for a random encoder, to which they mean nothing.
    """

    seconds: float
    negatives: int
    batch_size: int
    max_length: int | None
    precision: str
    tolerance: float = 0.1
    model: str = EMBEDDED_MODEL
    margins: bool = True

    def recipe(self, rows: Prepared, method: Method, seed: int, steps: int | None) -> Recipe:
        """``steps``: as many as ``seconds`` are expected to be enough for where None."""
        train: Results = {"epochs": 1000, "batch_size": self.batch_size, "learning_rate": 5e-5, "seed": seed}
        train |= {"precision": self.precision}
        train |= {"max_seconds": self.seconds} if steps is None else {"max_steps": steps}
        sections: Results = {
            "model": self.model,
            "data": {
                "train": str(rows.folder / "train.parquet"),
                "test": str(rows.folder / "test.parquet"),
                "corpus": str(rows.folder / "corpus.parquet"),
            },
            "loss": {"name": "multiple_negatives_ranking", "scale": 20},
            "train": train,
            "evaluate": {
                "metrics": [METRIC],
                "dev": 0,
                "bm25": False,
                "general": False,
                "precision": self.precision,
            },
        }
        if self.max_length is not None:
            sections["max_length"] = self.max_length
        if method.mine is not None:
            sections["mine"] = {"negatives": self.negatives, **method.mine}
            if not self.margins:
                sections["mine"].pop("relative_margin", None)
            if method.refreshed and steps is not None:
                sections["mine"]["refresh"] = steps // 2 + 1
        if method.curriculum is not None:
            sections["curriculum"] = method.curriculum
        return recipe_from(sections, origin="the comparison")

    def as_json(self) -> Results:
        """What runs must have in common to be compared."""
        names = ("seconds", "negatives", "batch_size", "max_length", "precision")
        return {name: getattr(self, name) for name in names}


def one_run(plan: Plan, rows: Prepared, name: str, seed: int, steps: int | None) -> Results:
    """Carry one run out; its figures, with the metric of each query."""
    method = METHODS[name]
    recipe = plan.recipe(rows, method, seed, steps)
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "run"
        figures = figures_of(Request(recipe, name, ""), out)
        base, tuned = values_by_item(out)
        entries = log_entries(out)
    train, refreshes = figures["train"], [entry["refresh"] for entry in entries if "refresh" in entry]
    return {
        "set": rows.name,
        "method": name,
        "seed": seed,
        "steps": train["steps"],
        "rows_a_step": train["batch_size"],
        "seconds": train["seconds"],
        "step_seconds": statistics.median(entry["seconds"] for entry in entries if "loss" in entry),
        "refreshes": len(refreshes),
        "refresh_seconds": sum(float(each["seconds"]) for each in refreshes),
        "base": figures["metrics"][METRIC]["base"],
        "tuned": figures["metrics"][METRIC]["tuned"],
        "base_by_query": as_text(base),
        "tuned_by_query": as_text(tuned),
    }


def paced_run(plan: Plan, rows: Prepared, name: str, seed: int, kept: Results) -> Results:
    """A run whose training takes ``plan.seconds``, refreshes included.

    ``kept``: what is known of the set; the number of steps of the method's pace is added to it when it is
    found: by a run that came near enough. One that did not is made again with the steps that its own
    pace gives.
    """
    method, paces = METHODS[name], kept.setdefault("paces", {})
    if (known := paces.get(method.pace)) is not None:
        return one_run(plan, rows, name, seed, known["steps"])
    found = timed_run(
        lambda steps: one_run(plan, rows, name, seed, steps),
        plan.seconds,
        plan.tolerance,
        _first_guess(plan, method, kept),
    )
    paces[method.pace] = {"steps": found["steps"], "step_seconds": step_seconds(found)}
    return found


def _first_guess(plan: Plan, method: Method, kept: Results) -> int | None:
    if not method.refreshed:
        return None
    pace, mining = kept["paces"].get(METHODS[PACED_BY].pace), kept["mining"].get(PACED_BY)
    if pace is None or mining is None:
        sys.exit(f"{method.words}: the pace of {METHODS[PACED_BY].words} is needed, measure that first")
    left = plan.seconds - mining
    return max(int(left / pace["step_seconds"]), FEWEST_STEPS)


def mining_seconds(plan: Plan, rows: Prepared, name: str, cache: Path) -> float:
    """What mining before training takes, with nothing kept from earlier: encoding, search, filters."""
    recipe = plan.recipe(rows, replace(METHODS[name], refreshed=False, curriculum=None), 0, 1)
    options = Options(say=lambda _: None)
    with tempfile.TemporaryDirectory() as scratch, only_cache(cache):
        recipe, data, encoder = load(recipe, Path(scratch), None, options)
        setting = Setting(recipe, data, encoder, encoder.tokens(data), Path(scratch))
        start = time.perf_counter()
        mine_negatives(setting)
        return time.perf_counter() - start
