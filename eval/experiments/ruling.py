"""What the runs say of a claim: holds, does not hold, or not decided here.

A claim that one variant does better than another is tested by the difference of the two by held-out item, the
mean over the seeds of each, with a 95 % interval over the items (``evaluation.significance``) and p-values
adjusted by Holm over all comparisons of the experiment. It holds where the interval is clear of 0 in the
claimed direction and the adjusted p-value is at most .05. It does not hold where both are so in the other
direction, or where the whole interval lies within ``SMALLEST`` of 0: there may be a difference, but none of
interest. A claim that two do equally well holds where the whole interval lies within ``SMALLEST``, and does
not where the interval is clear of 0 and the adjusted p-value at most .05. Everything else is not decided.

A run that collapsed or diverged has no items: where that happened with every seed of one variant and with
none of the other, the other does better. That training collapses holds where it did with every seed, and does
not where it did with none.

On several sets a claim holds where it holds on all, and does not hold where it does not on all. Nothing is
decided while runs of the plan are missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import beside  # noqa: F401
import numpy as np
from claim import SEEDS, Claim, Experiment, Says
from outcomes import FloatArray, as_values

from sbert_triplet.evaluation.multiple import adjust
from sbert_triplet.evaluation.results import Comparison
from sbert_triplet.evaluation.significance import compare_items

Results = dict[str, Any]
Runs = Sequence[Mapping[str, Any]]
HOLDS, FAILS, OPEN = "holds", "does not hold", "not decided here"
SMALLEST = 0.01
"""The smallest difference of interest: one item in a hundred, or .01 of another metric."""
CHANCE = 0.05


@dataclass(frozen=True)
class Ruling:
    """What the runs on one set say of a claim. ``figure``: the numbers that say so, in words.

    ``by_seed``: the difference with each seed, which the interval over the items knows nothing of.
    """

    claim: Claim
    set: str
    outcome: str
    figure: str
    by_seed: tuple[float, ...] = ()
    missing: tuple[str, ...] = ()


def rulings(experiment: Experiment, results: Results) -> list[Ruling]:
    """Of every claim on every set that it is tested on."""
    pairs = [(claim, each) for claim in experiment.claims for each in experiment.sets_for(claim)]
    compared = {
        f"{place}": found
        for place, (claim, each) in enumerate(pairs)
        if (found := comparison(claim, each, results)) is not None
    }
    adjusted = adjust(compared)
    return [
        ruling(claim, each, results, adjusted.get(f"{place}")) for place, (claim, each) in enumerate(pairs)
    ]


def ruling(claim: Claim, set_name: str, results: Results, found: Comparison | None) -> Ruling:
    """``found``: the comparison, with its adjusted p-value, where the runs of both variants have items."""
    names = [name for name in (claim.one, claim.other) if name]
    sides = {name: of(results["runs"], set_name, name) for name in names}
    missing = tuple(
        f"{name}, seed {seed}"
        for name, runs in sides.items()
        for seed in SEEDS
        if seed not in {run["seed"] for run in runs}
    )
    if claim.says == "collapses":
        said, figure = collapse_outcome(sides[claim.one]), collapse_words(sides[claim.one])
    elif found is not None:
        said, figure = outcome(found, claim.says), figure_words(found)
    else:
        said, figure = stopped_outcome(claim, sides), stopped_words(sides)
    if missing:
        said = OPEN
    return Ruling(claim, set_name, said, figure, differences(claim, set_name, results), missing)


def outcome(found: Comparison, says: Says) -> str:
    """What a comparison of ``other`` (base) with ``one`` (tuned) says of the claim."""
    p_value = found.p_value if found.adjusted_p is None else found.adjusted_p
    shown = not p_value > CHANCE
    above, below = shown and found.low > 0, shown and found.high < 0
    within = found.low >= -SMALLEST and found.high <= SMALLEST
    if says == "same":
        return HOLDS if within else FAILS if above or below else OPEN
    if above:
        return HOLDS
    return FAILS if below or within else OPEN


def collapse_outcome(runs: Runs) -> str:
    """Whether training collapsed with every seed, with none, or with some."""
    count = sum(_collapsed(run) for run in runs)
    if not runs or 0 < count < len(runs):
        return OPEN
    return HOLDS if count else FAILS


def stopped_outcome(claim: Claim, sides: Mapping[str, Runs]) -> str:
    """Where stopped runs have no items: one that never was does better than one that always was."""
    one, other = (sides[name] for name in (claim.one, claim.other))
    counts = [sum(run["stopped"] is not None for run in runs) for runs in (one, other)]
    if not one or not other:
        return OPEN
    only_other = counts[0] == 0 and counts[1] == len(other)
    only_one = counts[1] == 0 and counts[0] == len(one)
    if claim.says == "same":
        return FAILS if only_one or only_other else OPEN
    return HOLDS if only_other else FAILS if only_one else OPEN


def together(found: Sequence[Ruling]) -> str:
    """Of one claim, over its sets."""
    said = {each.outcome for each in found}
    return said.pop() if len(said) == 1 else OPEN


def comparison(claim: Claim, set_name: str, results: Results) -> Comparison | None:
    """``one`` against ``other`` by item: the mean over the seeds that both have.

    None where a run of either was stopped, where there are no runs, and for a claim about one variant.
    """
    if not claim.other:
        return None
    sides = [of(results["runs"], set_name, name) for name in (claim.other, claim.one)]
    if any(run["stopped"] for runs in sides for run in runs):
        return None
    seeds = set.intersection(*({run["seed"] for run in runs} for runs in sides))
    if not seeds:
        return None
    other, one = (by_item([run for run in runs if run["seed"] in seeds]) for runs in sides)
    return compare_items(results["sets"][set_name]["metric"], other, one)


def by_item(runs: Runs) -> FloatArray:
    """The mean over the runs of each item's value."""
    values: FloatArray = np.mean([as_values(run["tuned_by_item"]) for run in runs], axis=0)
    return values


def differences(claim: Claim, set_name: str, results: Results) -> tuple[float, ...]:
    """``one`` less ``other`` with each seed that both have; none where one of them was stopped."""
    if not claim.other:
        return ()
    one, other = (
        {run["seed"]: run["tuned"] for run in of(results["runs"], set_name, name) if not run["stopped"]}
        for name in (claim.one, claim.other)
    )
    return tuple(one[seed] - other[seed] for seed in sorted(one.keys() & other.keys()))


def of(runs: Runs, set_name: str, variant: str) -> list[Mapping[str, Any]]:
    """The runs of a variant on a set with the seeds of the plan, by seed."""
    found = [run for run in runs if (run["set"], run["variant"]) == (set_name, variant)]
    return sorted((run for run in found if run["seed"] in SEEDS), key=lambda run: int(run["seed"]))


def figure_words(found: Comparison) -> str:
    """``+0.021 (+0.010 to +0.032), p = 0.003``."""
    p_value = found.p_value if found.adjusted_p is None else found.adjusted_p
    chance = "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"
    return f"{found.difference:+.3f} ({found.low:+.3f} to {found.high:+.3f}), {chance}"


def collapse_words(runs: Runs) -> str:
    """With how many seeds it collapsed and when, and else how near the embeddings came."""
    if not runs:
        return "no run yet"
    steps = [str(run["steps"]) for run in runs if _collapsed(run)]
    if steps:
        at = f"at step{'s' if len(steps) > 1 else ''} {', '.join(steps)}"
        return f"collapsed with {len(steps)} of {len(runs)} seeds, {at}"
    cosines = [run["cosine"][1] for run in runs if run["cosine"]]
    ranks = [run["rank"][1] for run in runs if run["rank"]]
    if not cosines:
        return f"collapsed with none of {len(runs)} seeds"
    return (
        f"collapsed with none of {len(runs)} seeds; at the end two texts have a mean cosine of "
        f"{np.mean(cosines):.2f}, and the effective rank is {np.mean(ranks):.0f}"
    )


def stopped_words(sides: Mapping[str, Runs]) -> str:
    """Which of the two was stopped, and with how many seeds."""
    told = []
    for name, runs in sides.items():
        for why in ("collapsed", "diverged"):
            count = sum(run["stopped"] is not None and run["stopped"]["why"] == why for run in runs)
            if count:
                told.append(f"{name} {why} with {count} of {len(runs)} seeds")
    return "; ".join(told) or "no runs of both yet"


def _collapsed(run: Mapping[str, Any]) -> bool:
    return run["stopped"] is not None and run["stopped"]["why"] == "collapsed"
