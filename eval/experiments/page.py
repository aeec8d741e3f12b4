"""Writes eval/claims.md from the results that there are; without any it writes nothing and says so.

python eval/experiments/page.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import beside  # noqa: F401
from all import EXPERIMENTS
from claim import SEEDS, Experiment
from command import kept_results, name_of
from record import RESULTS, ROOT
from ruling import SMALLEST
from shown import overview, section

Results = dict[str, Any]
PAGE = ROOT / "eval" / "claims.md"
HEAD = f"""# Common claims about triplet learning, tested

Made by `python eval/experiments/page.py` from `eval/results/claims/`, in which every run is kept; nothing
here is written by hand. All runs start from all-MiniLM-L6-v2 and go through the package's main job in bf16,
with a learning rate of 5e-5 where nothing else is said, no rate searched for any variant, and {len(SEEDS)}
seeds each. They are short, on one or two sets: what is said of a claim is said of this encoder, these sets
and this much training.

The rule: two ways to train are compared by the difference of their held-out items, of each the mean over the
seeds, with a 95 % interval over the items and p-values adjusted by Holm over the comparisons of an
experiment. A claim that one does better **holds** where the interval is clear of 0 in its direction (and p
at most .05), **does not hold** where it is clear of 0 in the other, or lies within {SMALLEST:g} of 0 as a
whole, the smallest difference of interest. A claim that two do equally well holds where the interval lies
within {SMALLEST:g} as a whole, and does not where it is clear of 0. That training collapses holds where it
does with every seed, and does not where it does with none. On several sets all have to agree. Everything
else, and what is not run yet, is **not decided here**. The interval knows nothing of other seeds: the
difference with each is shown beside it."""


def page(found: Mapping[str, tuple[Experiment, Results | None]]) -> str:
    """The page as Markdown."""
    parts = [HEAD, "\n".join(overview(found)), made_by(found)]
    parts += [section(experiment, results) for experiment, results in found.values()]
    return "\n\n".join(part for part in parts if part) + "\n"


def made_by(found: Mapping[str, tuple[Experiment, Results | None]]) -> str:
    """The machines and commits that the runs were made with."""
    lines = []
    commits = {
        run["measured"]["commit"] for _, results in found.values() if results for run in results["runs"]
    }
    if commits:
        lines.append(f"Commits: {', '.join(sorted(commits))}.")
    machines = dict.fromkeys(_machines([name for name, (_, results) in found.items() if results]))
    lines += [f"Machine: {machine}." for machine in machines]
    return " ".join(lines)


def _machines(names: Sequence[str]) -> Iterator[str]:
    for name in names:
        file = RESULTS / f"{name_of(EXPERIMENTS[name])}.json"
        if file.is_file():
            machine = json.loads(file.read_text(encoding="utf-8"))["machine"]
            yield f"{machine['processor']}, {machine['cores']} cores, torch {machine['torch']}"


def write_page(to: Path = PAGE) -> Path | None:
    """Write the page; None where there is no run yet."""
    found = {name: (experiment, kept_results(experiment)) for name, experiment in EXPERIMENTS.items()}
    if not any(results and results["runs"] for _, results in found.values()):
        print("there is no run yet: python eval/experiments/all.py DATA makes them")
        return None
    to.write_text(page(found), encoding="utf-8")
    print(to)
    return to


if __name__ == "__main__":
    write_page()
